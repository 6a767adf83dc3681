//! JSON as it was written: where its values stand, so that numbers keep all their digits. For text that has been found
//! to be JSON; of other text it finds nothing.

use std::collections::HashMap;

/// The fields of an object with their values. Of a name that stands twice the last one counts.
pub(super) fn fields(object: &str) -> Vec<(String, &str)> {
    let mut found: Vec<(String, &str)> = Vec::new();
    let mut places = HashMap::new();
    let mut rest = object.trim_ascii_start().strip_prefix('{').unwrap_or_default().trim_ascii_start();
    while let Some((name, after)) = next(rest) {
        let Ok(name) = serde_json::from_str::<String>(name) else { break };
        let after = after.trim_ascii_start().strip_prefix(':').unwrap_or_default();
        let Some((value, after)) = next(after.trim_ascii_start()) else { break };
        match places.get(&name) {
            Some(place) => found[*place] = (name, value),
            None => {
                places.insert(name.clone(), found.len());
                found.push((name, value));
            }
        }
        rest = after_comma(after);
    }
    found
}

/// The items of an array.
pub(super) fn items(array: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = array.trim_ascii_start().strip_prefix('[').unwrap_or_default().trim_ascii_start();
    while let Some((item, after)) = next(rest) {
        found.push(item);
        rest = after_comma(after);
    }
    found
}

/// A value without white space around its signs.
pub(super) fn compact(value: &str) -> String {
    let (mut compact, mut in_string, mut escaped) = (String::with_capacity(value.len()), false, false);
    for letter in value.chars() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            ' ' | '\t' | '\n' | '\r' if !in_string => continue,
            _ => {}
        }
        compact.push(letter);
    }
    compact
}

fn after_comma(rest: &str) -> &str {
    let rest = rest.trim_ascii_start();
    rest.strip_prefix(',').unwrap_or(rest).trim_ascii_start()
}

/// The value that a text begins with, and the rest; None where it begins with none.
fn next(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let mut end = text.len();
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b',' | b':' | b'}' | b']' if depth == 0 => {
                end = at;
                break;
            }
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    let (value, rest) = text.split_at(end);
    let value = value.trim_ascii_end();
    (!value.is_empty()).then_some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_as_they_were_written() {
        let text = r#" { "a" : 1.10 , "b\"}":[ 1 , {"x": "],"} ],"c":{} ,"a":12345678901234567890123 } "#;
        let found = fields(text);
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(found, [("a", "12345678901234567890123"), ("b\"}", r#"[ 1 , {"x": "],"} ]"#), ("c", "{}")]);
        assert_eq!(items(found[1].1), ["1", r#"{"x": "],"}"#]);
        assert_eq!(compact(found[1].1), r#"[1,{"x":"],"}]"#);
        assert!(items(" [ ] ").is_empty() && fields("{ }").is_empty());
    }
}
