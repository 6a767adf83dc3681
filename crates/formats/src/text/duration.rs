//! Durations and intervals as ISO 8601 text. Every component carries its own sign, as PostgreSQL writes them:
//! `P1Y2M3DT4H5M6.5S`, `P-1DT2H`, `PT0S`.

use arrow::datatypes::TimeUnit;

use super::{calendar::split, number::integer};

/// A length of time, in hours, minutes and seconds: a day is not always 24 hours, so there are none.
pub(super) fn duration(value: i64, unit: TimeUnit, out: &mut Vec<u8>) {
    days_and_time(0, 0, value, unit, out);
}

/// An interval of months, as years and months.
pub(super) fn months(value: i32, out: &mut Vec<u8>) {
    days_and_time(value, 0, 0, TimeUnit::Second, out);
}

/// An interval of months, days and time, which are never carried into each other.
pub(super) fn days_and_time(months: i32, days: i32, time: i64, unit: TimeUnit, out: &mut Vec<u8>) {
    out.push(b'P');
    component(i64::from(months / 12), b'Y', out);
    component(i64::from(months % 12), b'M', out);
    component(i64::from(days), b'D', out);
    if time != 0 {
        clock(time, unit, out);
    } else if months == 0 && days == 0 {
        out.extend_from_slice(b"T0S");
    }
}

fn clock(time: i64, unit: TimeUnit, out: &mut Vec<u8>) {
    let negative = time < 0;
    // Splitting rounds down: bring the negative fraction back to the sign of the whole.
    let (mut seconds, mut nanoseconds) = split(time, unit);
    if negative && nanoseconds > 0 {
        seconds += 1;
        nanoseconds = 1_000_000_000 - nanoseconds;
    }
    out.push(b'T');
    component(seconds / 3600, b'H', out);
    component(seconds % 3600 / 60, b'M', out);
    let rest = seconds % 60;
    if rest == 0 && nanoseconds == 0 {
        return;
    }
    if negative {
        out.push(b'-');
    }
    integer(rest.unsigned_abs(), out);
    if nanoseconds > 0 {
        let digits = format!("{nanoseconds:09}");
        out.push(b'.');
        out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
    }
    out.push(b'S');
}

fn component(value: i64, letter: u8, out: &mut Vec<u8>) {
    if value != 0 {
        integer(value, out);
        out.push(letter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_carry_their_own_sign() {
        let hour = 3_600_000_000_000;
        for ((months, days, nanoseconds), expected) in [
            ((0, 0, 0), "PT0S"),
            ((14, 3, 4 * hour + 300_000_000_000 + 6_500_000_000), "P1Y2M3DT4H5M6.5S"),
            ((-14, 1, 0), "P-1Y-2M1D"),
            ((0, -1, 2 * hour), "P-1DT2H"),
            ((0, 0, 26 * hour), "PT26H"),
            ((0, 0, -1), "PT-0.000000001S"),
            ((0, 0, -hour - 1_500_000_000), "PT-1H-1.5S"),
            ((0, 0, i64::MIN), "PT-2562047H-47M-16.854775808S"),
        ] {
            let mut out = Vec::new();
            days_and_time(months, days, nanoseconds, TimeUnit::Nanosecond, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
