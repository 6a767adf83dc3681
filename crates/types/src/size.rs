//! Sizes and counts as people write and read them.

use crate::Error;

const UNITS: [(&str, u64); 6] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("PiB", 1 << 50)];

/// A size in binary units with three digits: `1.50 GiB`, `512 B`.
pub fn format_bytes(bytes: u64) -> String {
    let (unit, factor) = UNITS.iter().rev().find(|(_, factor)| bytes >= *factor).unwrap_or(&UNITS[0]);
    let value = bytes as f64 / *factor as f64;
    let decimals = match value {
        _ if *factor == 1 => 0,
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

/// A count with thousands apart: `6,001,215`.
pub fn format_count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Reads `512`, `512MB`, `1.5 GiB`, `2g`: decimal and binary units both count in powers of 1024.
///
/// # Errors
/// `invalid_request` if it is not a number with a known unit.
pub fn parse_bytes(text: &str) -> Result<u64, Error> {
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let wrong = || {
        Error::invalid_request(format!("`{}` is not a size", text.escape_debug()))
            .with_hint("Write a number and a unit, such as 512MB or 1.5GiB.")
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1u64,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return Err(wrong()),
    };
    Ok((number * factor as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_back() {
        assert_eq!(parse_bytes("1.5 GiB").unwrap(), 3 << 29);
        assert_eq!(parse_bytes("512mb").unwrap(), 512 << 20);
        assert!(parse_bytes("many").is_err());
        assert!(parse_bytes("5 parsecs").is_err());
    }

    #[test]
    fn people_can_read_them() {
        assert_eq!(format_bytes(0), "0 B");
        assert_eq!(format_bytes(1536), "1.50 KiB");
        assert_eq!(format_bytes(300 << 20), "300 MiB");
        assert_eq!(format_count(6_001_215), "6,001,215");
        assert_eq!(format_count(999), "999");
    }
}
