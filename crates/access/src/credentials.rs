//! The `Authorization` header: one key or token, as Bearer or as the password of Basic.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::secret::KeyText;

/// Some clients leave the padding out, all those that are written in Go for Arrow Flight among them.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The key that a header presents; None where it presents none that could be ours. The user name of Basic is free.
pub(crate) fn presented_key(authorization: &str) -> Option<KeyText> {
    KeyText::parse(&presented_secret(authorization)?)
}

/// The token that a header presents; None where what it presents has not the three parts of one.
pub(crate) fn presented_token(authorization: &str) -> Option<String> {
    presented_secret(authorization).filter(|text| text.bytes().filter(|byte| *byte == b'.').count() == 2)
}

/// What stands in an `Authorization` header as the key or token: after Bearer, or as the password of Basic.
pub fn presented_secret(authorization: &str) -> Option<String> {
    let (scheme, value) = authorization.trim().split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(BASE64.decode(value).ok()?).ok()?;
        return Some(decoded.split_once(':')?.1.to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};

    use super::*;

    #[test]
    fn one_key_works_as_bearer_and_as_password() {
        let key = KeyText::random().unwrap();
        let basic = |user: &str| format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{key}")));
        for header in [format!("Bearer {key}"), format!("bearer   {key} "), basic(key.id()), basic("anyone"), basic("")]
        {
            assert_eq!(presented_key(&header).unwrap().id(), key.id(), "{header}");
        }
        for user in ["a", "ab", "abc"] {
            let unpadded = format!("Basic {}", BASE64_STANDARD_NO_PAD.encode(format!("{user}:{key}")));
            assert_eq!(presented_key(&unpadded).unwrap().id(), key.id(), "{unpadded}");
        }
        for header in ["", "Bearer", &key.to_string(), &format!("Digest {key}"), "Basic %", "Basic YQ==", "Basic YTpi"]
        {
            assert!(presented_key(header).is_none(), "{header}");
        }
    }

    #[test]
    fn a_token_has_three_parts() {
        let basic = format!("Basic {}", BASE64_STANDARD.encode("me:a.b.c"));
        for header in ["Bearer a.b.c", &basic] {
            assert_eq!(presented_token(header).as_deref(), Some("a.b.c"), "{header}");
        }
        for header in ["Bearer a.b", "Bearer a.b.c.d", "Bearer lb_1_2", "a.b.c"] {
            assert!(presented_token(header).is_none(), "{header}");
        }
    }
}
