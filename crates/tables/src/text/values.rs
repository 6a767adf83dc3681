//! One value of a text file: which types its text fits, and the value it stands for.

use chrono::NaiveDate;

/// Days from 0001-01-01 to 1970-01-01, plus one: `NaiveDate::num_days_from_ce` of the epoch.
const EPOCH_DAYS_FROM_CE: i32 = 719_163;
const SECONDS_PER_DAY: i64 = 86_400;

/// The narrowest type that a text fits. Numbers with a sign in front, or with zeros in front as in `007`, are text:
/// they are telephone numbers and codes more often than quantities, and a number would lose them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// `true` or `false`, in any case.
    Boolean,
    /// Fits 64 bits.
    Integer,
    /// An integer that does not fit 64 bits.
    HugeInteger,
    /// A decimal point, an exponent, `nan`, `inf`.
    Float,
    /// `2024-01-31`.
    Date,
    /// `2024-01-31 10:20[:30[.123]]`, also with `T`.
    Timestamp {
        /// Ends with `Z` or an offset.
        zoned: bool,
        /// Finer than microseconds.
        nanoseconds: bool,
    },
    /// Anything else.
    Text,
}

/// The class of a text, white space around it ignored. The text is not empty.
pub(super) fn classify(text: &[u8]) -> Class {
    let text = text.trim_ascii();
    match text.first() {
        Some(b'0'..=b'9' | b'-' | b'.') => classify_number_or_time(text),
        Some(b't' | b'T' | b'f' | b'F') if is_true_or_false(text) => Class::Boolean,
        Some(b'n' | b'N' | b'i' | b'I') if is_not_finite_word(text) => Class::Float,
        _ => Class::Text,
    }
}

fn is_true_or_false(text: &[u8]) -> bool {
    text.eq_ignore_ascii_case(b"true") || text.eq_ignore_ascii_case(b"false")
}

fn is_not_finite_word(text: &[u8]) -> bool {
    [&b"nan"[..], b"inf", b"infinity"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

fn classify_number_or_time(text: &[u8]) -> Class {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || (digits[0] == b'0' && digits.get(1).is_some_and(u8::is_ascii_digit)) {
        return classify_time(text);
    }
    if digits.iter().all(u8::is_ascii_digit) {
        return if integer(text).is_some() { Class::Integer } else { Class::HugeInteger };
    }
    if is_not_finite_word(digits) || float(text).is_some_and(f64::is_finite) {
        return Class::Float;
    }
    classify_time(text)
}

fn classify_time(text: &[u8]) -> Class {
    if date(text).is_some() {
        return Class::Date;
    }
    match moment(text) {
        Some(moment) => Class::Timestamp { zoned: moment.zoned, nanoseconds: moment.nanoseconds % 1000 != 0 },
        None => Class::Text,
    }
}

/// A 64-bit integer; `None` if the text is none or does not fit.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    if digits.len() <= 18 {
        let mut value = 0i64;
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + i64::from(digit);
        }
        return Some(if negative { -value } else { value });
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// An integer, also written as a float without a fraction such as `3.0` or `1e3`, while a double holds it exactly.
pub(super) fn integral(text: &[u8]) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    integer(text).or_else(|| float(text).filter(|value| value.fract() == 0.0 && value.abs() < EXACT).map(|v| v as i64))
}

/// A double; also `nan`, `inf` and `infinity` in any case.
pub(super) fn float(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A truth value, in the spellings of SQL dialects.
pub(super) fn boolean(text: &[u8]) -> Option<bool> {
    const TRUE: [&[u8]; 5] = [b"true", b"t", b"1", b"yes", b"y"];
    const FALSE: [&[u8]; 5] = [b"false", b"f", b"0", b"no", b"n"];
    if TRUE.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Some(true);
    }
    FALSE.iter().any(|word| text.eq_ignore_ascii_case(word)).then_some(false)
}

/// Days since 1970-01-01 of `2024-01-31`.
pub(super) fn date(text: &[u8]) -> Option<i32> {
    if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let year = number(&text[..4])?;
    let date = NaiveDate::from_ymd_opt(year as i32, number(&text[5..7])?, number(&text[8..10])?)?;
    Some(chrono::Datelike::num_days_from_ce(&date) - EPOCH_DAYS_FROM_CE)
}

/// A point in time, in UTC, or on an unnamed clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Since 1970-01-01 00:00:00.
    pub seconds: i64,
    /// Of the second.
    pub nanoseconds: u32,
    /// Whether the text names its offset from UTC.
    pub zoned: bool,
}

/// `2024-01-31 10:20[:30[.123456789]]`, with a space or `T`, and `Z` or an offset behind; also a date alone.
pub(super) fn moment(text: &[u8]) -> Option<Moment> {
    let days = i64::from(date(text.get(..10)?)?);
    let rest = &text[10..];
    if rest.is_empty() {
        return Some(Moment { seconds: days * SECONDS_PER_DAY, nanoseconds: 0, zoned: false });
    }
    if !matches!(rest[0], b' ' | b'T' | b't') {
        return None;
    }
    let (seconds, nanoseconds, rest) = time_of_day(&rest[1..])?;
    let offset = offset_seconds(rest.trim_ascii_start())?;
    let seconds = days * SECONDS_PER_DAY + seconds - offset.unwrap_or(0);
    Some(Moment { seconds, nanoseconds, zoned: offset.is_some() })
}

fn time_of_day(text: &[u8]) -> Option<(i64, u32, &[u8])> {
    if text.len() < 5 || text[2] != b':' {
        return None;
    }
    let (hours, minutes) = (number(&text[..2])?, number(&text[3..5])?);
    let mut rest = &text[5..];
    let (mut seconds, mut nanoseconds) = (0, 0);
    if rest.len() >= 3 && rest[0] == b':' {
        seconds = number(&rest[1..3])?;
        rest = &rest[3..];
        if let Some((b'.', fraction)) = rest.split_first() {
            let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if length == 0 || length > 9 {
                return None;
            }
            nanoseconds = number(&fraction[..length])? * 10u32.pow(9 - length as u32);
            rest = &fraction[length..];
        }
    }
    let valid = hours < 24 && minutes < 60 && seconds < 60;
    valid.then_some((i64::from(hours * 3600 + minutes * 60 + seconds), nanoseconds, rest))
}

/// Of `Z`, `+02`, `+0230`, `+02:30`; `Some(None)` where nothing is written.
fn offset_seconds(text: &[u8]) -> Option<Option<i64>> {
    let Some((sign, digits)) = text.split_first() else { return Some(None) };
    let sign = match sign {
        b'Z' | b'z' if digits.is_empty() => return Some(Some(0)),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = match digits.len() {
        2 => (number(digits)?, 0),
        4 => (number(&digits[..2])?, number(&digits[2..])?),
        5 if digits[2] == b':' => (number(&digits[..2])?, number(&digits[3..])?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(Some(sign * i64::from(hours * 3600 + minutes * 60)))
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_get_the_narrowest_type_that_keeps_them_whole() {
        let timestamp = Class::Timestamp { zoned: false, nanoseconds: false };
        for (text, class) in [
            ("42", Class::Integer),
            (" -7 ", Class::Integer),
            ("0", Class::Integer),
            ("007", Class::Text),
            ("-07", Class::Text),
            ("+49123", Class::Text),
            ("9223372036854775807", Class::Integer),
            ("9223372036854775808", Class::HugeInteger),
            ("1.50", Class::Float),
            ("0.5", Class::Float),
            (".5", Class::Float),
            ("-1e-3", Class::Float),
            ("1e999", Class::Text),
            ("NaN", Class::Float),
            ("-inf", Class::Float),
            ("None", Class::Text),
            ("TRUE", Class::Boolean),
            ("t", Class::Text),
            ("2024-02-29", Class::Date),
            ("2023-02-29", Class::Text),
            ("2024-1-5", Class::Text),
            ("2013-01-01 05:00", timestamp),
            ("2013-01-01T05:00:00.123456", timestamp),
            ("2013-01-01T05:00:00Z", Class::Timestamp { zoned: true, nanoseconds: false }),
            ("2013-01-01 05:00:00.123456789", Class::Timestamp { zoned: false, nanoseconds: true }),
            ("2013-01-01 24:00:00", Class::Text),
            ("192.168.0.1", Class::Text),
            ("-", Class::Text),
            ("1,000", Class::Text),
        ] {
            assert_eq!(classify(text.as_bytes()), class, "{text}");
        }
    }

    #[test]
    fn times_are_what_chrono_says() {
        for text in ["1969-12-31T23:59:59.5Z", "2024-02-29T12:34:56.789+05:30", "0001-01-01T00:00:00-08:00"] {
            let expected = chrono::DateTime::parse_from_rfc3339(text).unwrap();
            let found = moment(text.as_bytes()).unwrap();
            assert_eq!(found.seconds, expected.timestamp(), "{text}");
            assert_eq!(found.nanoseconds, expected.timestamp_subsec_nanos(), "{text}");
        }
        assert_eq!(date(b"1970-01-02"), Some(1));
        assert_eq!(date(b"1969-12-31"), Some(-1));
    }

    #[test]
    fn floats_without_a_fraction_are_integers_while_exact() {
        assert_eq!(integral(b"3.0"), Some(3));
        assert_eq!(integral(b"1e3"), Some(1000));
        assert_eq!(integral(b"3.5"), None);
        assert_eq!(integral(b"1e300"), None);
    }
}
