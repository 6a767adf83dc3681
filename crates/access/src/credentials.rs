//! The `Authorization` header: one key, as Bearer or as the password of Basic.

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::secret::KeyText;

/// The key that a header presents; None where it presents none that could be ours. The user name of Basic is free.
pub(crate) fn presented_key(authorization: &str) -> Option<KeyText> {
    let (scheme, value) = authorization.trim().split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return KeyText::parse(value);
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(BASE64_STANDARD.decode(value).ok()?).ok()?;
        return KeyText::parse(decoded.split_once(':')?.1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_works_as_bearer_and_as_password() {
        let key = KeyText::random().unwrap();
        let basic = |user: &str| format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{key}")));
        for header in [format!("Bearer {key}"), format!("bearer   {key} "), basic(key.id()), basic("anyone"), basic("")]
        {
            assert_eq!(presented_key(&header).unwrap().id(), key.id(), "{header}");
        }
        for header in ["", "Bearer", &key.to_string(), &format!("Digest {key}"), "Basic %", "Basic YQ==", "Basic YTpi"]
        {
            assert!(presented_key(header).is_none(), "{header}");
        }
    }
}
