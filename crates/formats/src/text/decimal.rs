//! Decimals as text, with all digits of their scale: `12.50`.

use arrow::{
    array::{Array, AsArray},
    datatypes::{self as t, DataType, i256},
};

use super::WriteValue;

/// The largest integer up to which a double tells every integer from its neighbours: 2^53 - 1.
const MAX_EXACT_INTEGER: u64 = (1 << 53) - 1;

/// How the values of a decimal array are written; None for other types.
pub(super) fn column(array: &dyn Array) -> Option<WriteValue<'_>> {
    Some(match array.data_type() {
        DataType::Decimal32(_, scale) => {
            narrow(*scale, move |row| i128::from(array.as_primitive::<t::Decimal32Type>().value(row)))
        }
        DataType::Decimal64(_, scale) => {
            narrow(*scale, move |row| i128::from(array.as_primitive::<t::Decimal64Type>().value(row)))
        }
        DataType::Decimal128(_, scale) => {
            let array = array.as_primitive::<t::Decimal128Type>();
            narrow(*scale, move |row| array.value(row))
        }
        DataType::Decimal256(_, scale) => {
            let array = array.as_primitive::<t::Decimal256Type>();
            let scale = *scale;
            Box::new(move |row, out| wide(array.value(row), scale, out))
        }
        _ => return None,
    })
}

fn narrow<'a>(scale: i8, value: impl Fn(usize) -> i128 + 'a) -> WriteValue<'a> {
    Box::new(move |row, out| place_point(itoa::Buffer::new().format(value(row)), scale, out))
}

fn wide(value: i256, scale: i8, out: &mut Vec<u8>) {
    match value.to_i128() {
        Some(value) => place_point(itoa::Buffer::new().format(value), scale, out),
        None => place_point(&value.to_string(), scale, out),
    }
}

/// Puts the point before the last `scale` digits of an integer's text, or `-scale` zeros behind it.
fn place_point(unscaled: &str, scale: i8, out: &mut Vec<u8>) {
    let digits = match unscaled.strip_prefix('-') {
        Some(digits) => {
            out.push(b'-');
            digits
        }
        None => unscaled,
    };
    let places = usize::from(scale.unsigned_abs());
    if scale <= 0 {
        out.extend_from_slice(digits.as_bytes());
        if digits != "0" {
            out.resize(out.len() + places, b'0');
        }
    } else if digits.len() > places {
        let (whole, fraction) = digits.as_bytes().split_at(digits.len() - places);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    } else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + places - digits.len(), b'0');
        out.extend_from_slice(digits.as_bytes());
    }
}

/// Whether a reader that keeps numbers as doubles still has the value of an integer's or decimal's text: integers
/// up to 2^53 - 1, fractions of at most 15 significant digits (so many survive the way into a double and back).
pub(crate) fn is_exact_as_double(text: &[u8]) -> bool {
    const SAFE_DIGITS: usize = 15;
    if text.len() <= SAFE_DIGITS {
        return true;
    }
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let mut halves = unsigned.splitn(2, |byte| *byte == b'.');
    let whole = trim_start_zeros(halves.next().unwrap_or_default());
    let fraction = trim_end_zeros(halves.next().unwrap_or_default());
    if fraction.is_empty() {
        return whole.len() <= 16
            && std::str::from_utf8(whole)
                .is_ok_and(|digits| digits.is_empty() || digits.parse().is_ok_and(|n: u64| n <= MAX_EXACT_INTEGER));
    }
    let significant = if whole.is_empty() { trim_start_zeros(fraction).len() } else { whole.len() + fraction.len() };
    significant <= SAFE_DIGITS
}

fn trim_start_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

fn trim_end_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    &digits[..digits.len() - zeros]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_point_goes_where_the_scale_says() {
        for (unscaled, scale, text) in [
            ("0", 0, "0"),
            ("0", 2, "0.00"),
            ("5", 2, "0.05"),
            ("-5", 2, "-0.05"),
            ("150", 2, "1.50"),
            ("-12345", 5, "-0.12345"),
            ("12", -3, "12000"),
            ("0", -3, "0"),
        ] {
            let mut out = Vec::new();
            place_point(unscaled, scale, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn a_double_is_exact_up_to_its_limits() {
        for (text, exact) in [
            ("0.1", true),
            ("9007199254740991", true),
            ("-9007199254740991", true),
            ("9007199254740992", false),
            ("-9007199254740992", false),
            ("9007199254740991.00", true),
            ("9007199254740992.00", false),
            ("123456789012.345", true),
            ("123456789012.3456", false),
            ("123456789012.3450000000", true),
            ("0.00000000000000000000123456789012345", true),
            ("0.00000000000000000000", true),
            ("100000000000000000000", false),
        ] {
            assert_eq!(is_exact_as_double(text.as_bytes()), exact, "{text}");
        }
    }
}
