//! The patterns by which drivers look for names: `%` for any text, `_` for one character, `\` before either for itself.

/// Whether the whole text is one that the pattern means.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let parts = parts(pattern);
    let text: Vec<char> = text.chars().collect();
    // Where to go on if what follows the last `%` does not fit: that `%` takes one character more.
    let (mut part, mut at, mut back) = (0, 0, None);
    while at < text.len() {
        match parts.get(part) {
            Some(Part::Any) => {
                back = Some((part + 1, at));
                part += 1;
            }
            Some(Part::One) => (part, at) = (part + 1, at + 1),
            Some(Part::Is(letter)) if *letter == text[at] => (part, at) = (part + 1, at + 1),
            _ => match &mut back {
                Some((next, from)) => {
                    *from += 1;
                    (part, at) = (*next, *from);
                }
                None => return false,
            },
        }
    }
    parts[part..].iter().all(|part| *part == Part::Any)
}

#[derive(Debug, PartialEq)]
enum Part {
    Any,
    One,
    Is(char),
}

fn parts(pattern: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        parts.push(match letter {
            '%' => Part::Any,
            '_' => Part::One,
            '\\' => Part::Is(letters.next_if(|next| matches!(next, '%' | '_' | '\\')).unwrap_or('\\')),
            other => Part::Is(other),
        });
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_drivers_expect() {
        for (pattern, text, wanted) in [
            ("", "", true),
            ("", "a", false),
            ("%", "", true),
            ("%", "anything", true),
            ("t_ips", "trips", true),
            ("t_ips", "tips", false),
            ("%s", "sales", true),
            ("%a%e%", "sales", true),
            ("%ab", "aab", true),
            ("a%b%c", "aXbYbZc", true),
            ("a%b%c", "aXbYbZ", false),
            (r"a\_b", "a_b", true),
            (r"a\_b", "axb", false),
            (r"100\%", "100%", true),
            (r"a\\b", r"a\b", true),
            (r"a\b", r"a\b", true),
            ("ä_", "äö", true),
            ("Sales", "sales", false),
        ] {
            assert_eq!(matches(pattern, text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_of_many_wildcards_does_not_take_forever() {
        let (pattern, text) = ("%a".repeat(2_000), "a".repeat(1_999));
        assert!(!matches(&pattern, &text));
    }
}
