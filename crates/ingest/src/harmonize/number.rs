//! Numbers by their decimal digits, as they are written: none of them is rounded on its way to a whole number or a
//! decimal.

use lakebed_types::Result;

use super::plan::wrong;

/// Digits that the widest decimal has.
const MAX_DIGITS: u32 = 38;

/// `digits` × 10^`power`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exact {
    digits: i128,
    power: i32,
}

impl Exact {
    /// Reads `-12.50`, `4.2e1` and the like. None for what is no number, and for numbers of more than 38 digits between
    /// their first and their last one that is not zero.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (negative, mantissa) = match mantissa.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            all => (false, all),
        };
        let (mut digits, mut count, mut zeros) = (0_i128, 0_u32, 0_u32);
        let (mut power, mut any, mut point) = (exponent, false, false);
        for byte in mantissa {
            match byte {
                b'.' if !point => point = true,
                b'0'..=b'9' => {
                    any = true;
                    power = power.saturating_sub(point.into());
                    if *byte == b'0' {
                        // Counted where another digit follows.
                        zeros += u32::from(digits != 0);
                        continue;
                    }
                    count += zeros + 1;
                    if count > MAX_DIGITS {
                        return None;
                    }
                    digits = digits * 10_i128.pow(zeros + 1) + i128::from(byte - b'0');
                    zeros = 0;
                }
                _ => return None,
            }
        }
        let power = power.saturating_add(zeros.into());
        match (any, digits) {
            (false, _) => None,
            (true, 0) => Some(Self { digits: 0, power: 0 }),
            (true, _) => Some(Self { digits: if negative { -digits } else { digits }, power: power.try_into().ok()? }),
        }
    }

    /// The product; None where it has too many digits.
    fn times(self, other: Self) -> Option<Self> {
        let (mut digits, mut power) = (self.digits.checked_mul(other.digits)?, self.power.checked_add(other.power)?);
        while digits != 0 && digits % 10 == 0 {
            (digits, power) = (digits / 10, power.checked_add(1)?);
        }
        Some(Self { digits, power })
    }

    /// The number × 10^`places`, where that is whole.
    pub(super) fn whole(self, places: i32) -> Option<i128> {
        if self.digits == 0 {
            return Some(0);
        }
        let power = u32::try_from(self.power.checked_add(places)?).ok()?;
        self.digits.checked_mul(10_i128.checked_pow(power)?)
    }

    /// The number × 10^`places`, and what is behind the point rounded or cut off.
    pub(super) fn near(self, places: i32, round: bool) -> Option<i128> {
        let power = self.power.checked_add(places)?;
        if power >= 0 {
            return self.whole(places);
        }
        // Beyond all digits nothing is left.
        let Some(divisor) = 10_i128.checked_pow(power.unsigned_abs()) else {
            return Some(if round || self.digits >= 0 { 0 } else { -1 });
        };
        let (quotient, rest) = (self.digits.div_euclid(divisor), self.digits.rem_euclid(divisor));
        Some(quotient + i128::from(round && rest >= divisor - rest))
    }
}

/// What numbers are multiplied by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factor {
    exact: Exact,
    /// The same, for numbers that are not exact themselves.
    pub(super) real: f64,
}

impl Factor {
    /// The factor with the fewest digits that is this number.
    ///
    /// # Errors
    /// `invalid_request` where it is not finite.
    pub(super) fn new(column: &str, factor: f64) -> Result<Self> {
        match Exact::read(&factor.to_string()) {
            Some(exact) => Ok(Self { exact, real: factor }),
            None => Err(wrong(column, "`scale` is not a number")),
        }
    }
}

/// A text's number, times the factor where there is one.
pub(super) fn scaled(text: &str, factor: Option<Factor>) -> Option<Exact> {
    let number = Exact::read(text)?;
    match factor {
        Some(factor) => number.times(factor.exact),
        None => Some(number),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(text: &str, places: i32) -> Option<i128> {
        Exact::read(text)?.whole(places)
    }

    #[test]
    fn digits_and_exponents_are_kept() {
        assert_eq!(whole("1.2345678901234567890e10", 9), Some(12_345_678_901_234_567_890));
        assert_eq!(whole("-12.50", 2), Some(-1250));
        assert_eq!((whole("+.5e1", 0), whole("5.", 0), whole("-0e99999999999", 2)), (Some(5), Some(5), Some(0)));
        assert_eq!(whole("12.345", 2), None);
        assert_eq!(whole(&format!("1{}", "0".repeat(256)), 2), None);
        assert_eq!(whole(&format!("{}.5{}", "0".repeat(300), "0".repeat(300)), 1), Some(5));
        assert_eq!(whole(&"9".repeat(38), 0), Some(10_i128.pow(38) - 1));
        for no_number in ["", "-", ".", "e5", "1e", "1e+", "1.2.3", "--1", "0x1", "inf", "NaN", "1 2", &"9".repeat(39)]
        {
            assert_eq!(Exact::read(no_number), None, "{no_number}");
        }
    }

    #[test]
    fn what_is_behind_the_point_is_rounded_or_cut_off() {
        let near = |text: &str, round| Exact::read(text).unwrap().near(0, round);
        assert_eq!((near("1.5", true), near("1.4999", true), near("-1.6", true)), (Some(2), Some(1), Some(-2)));
        assert_eq!((near("1.9", false), near("-0.1", false), near("1e-50", true)), (Some(1), Some(-1), Some(0)));
    }

    proptest! {
        #[test]
        fn numbers_come_back_as_integers_do(number in any::<i64>(), places in 0_usize..20, zeros in 0_usize..10) {
            let digits = format!("{:0>width$}", number.unsigned_abs(), width = places + 1);
            let (front, back) = digits.split_at(digits.len() - places);
            let sign = if number < 0 { "-" } else { "" };
            let text = format!("{sign}{front}.{back}{}e{places}", "0".repeat(zeros));
            prop_assert_eq!(whole(&text, 0), Some(i128::from(number)), "{}", text);
        }
    }
}
