//! Dates, times of day and timestamps as ISO 8601 text, for every value that the types can hold.

use arrow::datatypes::TimeUnit;

const SECONDS_PER_DAY: i64 = 86_400;

/// `2024-01-02`, from days since 1970-01-01. Years outside 0 to 9999 carry a sign and at least six digits, as
/// ISO 8601 and ECMAScript ask for.
pub(super) fn date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(days);
    if (0..=9999).contains(&year) {
        pair(year / 100, out);
        pair(year % 100, out);
    } else {
        super::append(out, format_args!("{year:+07}"));
    }
    out.push(b'-');
    pair(month, out);
    out.push(b'-');
    pair(day, out);
}

/// `03:04:05.123`, from units since midnight.
pub(super) fn time(value: i64, unit: TimeUnit, out: &mut Vec<u8>) {
    let (seconds, nanoseconds) = split(value, unit);
    let (hours, rest) = (seconds / 3600, seconds % 3600);
    pair(hours, out);
    out.push(b':');
    pair(rest / 60, out);
    out.push(b':');
    pair(rest % 60, out);
    fraction(nanoseconds, out);
}

/// `2024-01-02T03:04:05.123456`, from units since 1970-01-01T00:00:00; with a `Z` where the type has a zone.
pub(super) fn timestamp(value: i64, unit: TimeUnit, zoned: bool, out: &mut Vec<u8>) {
    let (seconds, nanoseconds) = split(value, unit);
    date(seconds.div_euclid(SECONDS_PER_DAY), out);
    out.push(b'T');
    time(seconds.rem_euclid(SECONDS_PER_DAY), TimeUnit::Second, out);
    fraction(nanoseconds, out);
    if zoned {
        out.push(b'Z');
    }
}

/// Whole seconds, rounded down, and the nanoseconds beyond them.
pub(super) fn split(value: i64, unit: TimeUnit) -> (i64, i64) {
    let per_second = match unit {
        TimeUnit::Second => return (value, 0),
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    (value.div_euclid(per_second), value.rem_euclid(per_second) * (1_000_000_000 / per_second))
}

/// Nothing for whole seconds, else a point and 3, 6 or 9 digits: as few as hold the value.
fn fraction(nanoseconds: i64, out: &mut Vec<u8>) {
    if nanoseconds == 0 {
        return;
    }
    out.push(b'.');
    for (part, last) in [
        (nanoseconds / 1_000_000, nanoseconds % 1_000_000 == 0),
        (nanoseconds / 1_000 % 1_000, nanoseconds % 1_000 == 0),
        (nanoseconds % 1_000, true),
    ] {
        out.push(b'0' + (part / 100) as u8);
        pair(part % 100, out);
        if last {
            return;
        }
    }
}

/// Two digits of a number below 100; larger numbers (hours of an impossible time of day) in full.
fn pair(number: i64, out: &mut Vec<u8>) {
    if (0..100).contains(&number) {
        out.extend_from_slice(&[b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]);
    } else {
        super::number::integer(number, out);
    }
}

/// Year, month and day of the proleptic Gregorian calendar. Counts in eras of 400 years that begin on the first of
/// March, so that the leap day is the last day of a year (the method of Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    let shifted = days + 719_468;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_equal_those_of_another_calendar() {
        let epoch = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for days in (-2_900_000..2_900_000).step_by(97) {
            let expected = (epoch + chrono::Duration::days(days)).format("%Y-%m-%d").to_string();
            let written = text(|out| date(days, out));
            if expected.len() == 10 && !expected.starts_with('-') {
                assert_eq!(written, expected);
            } else {
                assert_eq!(written.parse::<chrono::NaiveDate>().unwrap(), epoch + chrono::Duration::days(days));
            }
        }
    }

    #[test]
    fn fractions_take_as_few_digits_as_hold_them() {
        for (ns, expected) in [
            (0, "1970-01-01T00:00:00"),
            (1, "1970-01-01T00:00:00.000000001"),
            (120_000_000, "1970-01-01T00:00:00.120"),
            (120_000, "1970-01-01T00:00:00.000120"),
            (-1, "1969-12-31T23:59:59.999999999"),
        ] {
            assert_eq!(text(|out| timestamp(ns, TimeUnit::Nanosecond, false, out)), expected);
        }
    }

    #[test]
    fn the_ends_of_the_range_are_written_too() {
        assert_eq!(text(|out| date(i64::from(i32::MAX), out)), "+5881580-07-11");
        assert_eq!(text(|out| date(i64::from(i32::MIN), out)), "-5877641-06-23");
        assert!(text(|out| timestamp(i64::MAX, TimeUnit::Second, true, out)).ends_with('Z'));
        assert!(text(|out| timestamp(i64::MIN, TimeUnit::Second, true, out)).starts_with('-'));
    }
}
