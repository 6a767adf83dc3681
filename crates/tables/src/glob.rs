//! Patterns over object paths: `*` and `?` within a segment, `[a-z]` for one character, `**` for any number of folders.

/// Where patterns begin to be ones.
const SPECIAL: [char; 3] = ['*', '?', '['];

/// The folder that a pattern's files lie below, with its slash, and the rest, such as `data/` and `*/sales-*.parquet`. The
/// folder is empty where the pattern begins with its first segment. None for a text that is no pattern.
pub fn split_pattern(text: &str) -> Option<(&str, &str)> {
    let special = text.find(SPECIAL)?;
    let folder_end = text[..special].rfind('/').map_or(0, |slash| slash + 1);
    Some(text.split_at(folder_end))
}

/// Whether a path matches a pattern of `*`, `?`, `[a-z]` and `**`. Both without leading slash.
pub fn matches_pattern(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    segments(&pattern, &path)
}

fn segments(pattern: &[&str], path: &[&str]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        Some((&"**", rest)) => (0..=path.len()).any(|skipped| segments(rest, &path[skipped..])),
        Some((first, rest)) => {
            path.split_first().is_some_and(|(segment, more)| segment_matches(first, segment) && segments(rest, more))
        }
    }
}

/// One segment. Keeps the last `*` and comes back to it, so the time is bounded by pattern × text.
fn segment_matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
        } else if let Some(next) = one(&pattern, p, text[t]) {
            (p, t) = (next, t + 1);
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (p, t) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Where the pattern goes on if the part at `at` takes this character.
fn one(pattern: &[char], at: usize, c: char) -> Option<usize> {
    match pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => match pattern[at + 1..].iter().skip(1).position(|c| *c == ']') {
            Some(length) => {
                let end = at + 2 + length;
                in_class(&pattern[at + 1..end], c).then_some(end + 1)
            }
            None => (c == '[').then_some(at + 1),
        },
        literal => (*literal == c).then_some(at + 1),
    }
}

/// `abc`, `a-z`, `!a-z`.
fn in_class(class: &[char], c: char) -> bool {
    let (negated, mut class) = match class.split_first() {
        Some(('!' | '^', rest)) => (true, rest),
        _ => (false, class),
    };
    let mut found = false;
    while let Some((first, rest)) = class.split_first() {
        class = rest;
        if let ['-', last, more @ ..] = rest {
            found |= (*first..=*last).contains(&c);
            class = more;
        } else {
            found |= *first == c;
        }
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_begins_after_its_folder() {
        assert_eq!(split_pattern("s3://b/day=*/x.csv"), Some(("s3://b/", "day=*/x.csv")));
        assert_eq!(split_pattern("*.csv"), Some(("", "*.csv")));
        assert_eq!(split_pattern("data/x.csv"), None);
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        let cases = [
            ("lake/*.parquet", "lake/a.parquet", true),
            ("lake/*.parquet", "lake/x/a.parquet", false),
            ("lake/**/*.parquet", "lake/a.parquet", true),
            ("lake/**/*.parquet", "lake/x/y/a.parquet", true),
            ("lake/**", "lake/x/y/a.csv", true),
            ("lake/day=2024-0[1-3]-*/?.csv", "lake/day=2024-02-17/a.csv", true),
            ("lake/day=2024-0[1-3]-*/?.csv", "lake/day=2024-04-17/a.csv", false),
            ("lake/[!a]*.csv", "lake/b.csv", true),
            ("lake/[!a]*.csv", "lake/ab.csv", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("[", "[", true),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(matches_pattern(pattern, path), expected, "{pattern} on {path}");
        }
    }
}
