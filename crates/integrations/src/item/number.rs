//! Numbers of items: decimals with up to 38 significant digits, from 1E-130 to 9.9…E+125.
//!
//! Shape after DynamoDB's "Naming rules and data types": exact, no binary floating point; leading
//! and trailing zeros are trimmed.

use std::cmp::Ordering;
use std::fmt;

const DIGITS_MAX: u32 = 38;
/// Of the first digit.
const MAGNITUDE_MIN: i32 = -130;
const MAGNITUDE_MAX: i32 = 125;

/// `mantissa × 10^exponent`; the mantissa has no trailing zero, and zero is `0 × 10^0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Decimal {
    negative: bool,
    mantissa: u128,
    exponent: i32,
}

// 38 digits, and the sum of two such numbers, fit the mantissa.
const _: () = assert!(2 * 10u128.pow(DIGITS_MAX) > 10u128.pow(DIGITS_MAX));

/// What DynamoDB says of a text that is no number, or one that it cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NumberError {
    #[error("The parameter cannot be converted to a numeric value")]
    NotANumber,
    #[error("Attempting to store more than 38 significant digits in a Number")]
    TooPrecise,
    #[error("Number overflow. Attempting to store a number with magnitude larger than supported range")]
    TooLarge,
    #[error("Number underflow. Attempting to store a number with magnitude smaller than supported range")]
    TooSmall,
}

impl Decimal {
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        let text = text.trim();
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (digits, power) = match unsigned.find(['e', 'E']) {
            Some(at) => {
                let power = unsigned[at + 1..].parse::<i32>().map_err(|_| NumberError::NotANumber)?;
                (&unsigned[..at], power)
            }
            None => (unsigned, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
            return Err(NumberError::NotANumber);
        }
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Ok(Self { negative: false, mantissa: 0, exponent: 0 });
        }
        if significant.len() as u32 > DIGITS_MAX {
            return Err(NumberError::TooPrecise);
        }
        let trailing = digits.len() - digits.trim_end_matches('0').len();
        let mantissa = significant.parse().map_err(|_| NumberError::NotANumber)?;
        let shift = i64::from(power) + trailing as i64 - fraction.len() as i64;
        let exponent = i32::try_from(shift)
            .map_err(|_| if shift > 0 { NumberError::TooLarge } else { NumberError::TooSmall })?;
        Self::new(negative, mantissa, exponent)
    }

    /// Trims zeros and checks the range.
    fn new(negative: bool, mut mantissa: u128, mut exponent: i32) -> Result<Self, NumberError> {
        if mantissa == 0 {
            return Ok(Self { negative: false, mantissa: 0, exponent: 0 });
        }
        while mantissa.is_multiple_of(10) {
            mantissa /= 10;
            exponent = exponent.saturating_add(1);
        }
        let number = Self { negative, mantissa, exponent };
        if mantissa.ilog10() >= DIGITS_MAX {
            return Err(NumberError::TooPrecise);
        }
        match number.magnitude() {
            magnitude if magnitude > MAGNITUDE_MAX => Err(NumberError::TooLarge),
            magnitude if magnitude < MAGNITUDE_MIN => Err(NumberError::TooSmall),
            _ => Ok(number),
        }
    }

    /// The power of ten of the first digit.
    fn magnitude(&self) -> i32 {
        self.exponent.saturating_add(self.mantissa.checked_ilog10().unwrap_or(0) as i32)
    }

    pub fn add(self, other: Self) -> Result<Self, NumberError> {
        if self.mantissa == 0 {
            return Ok(other);
        }
        if other.mantissa == 0 {
            return Ok(self);
        }
        let exponent = self.exponent.min(other.exponent);
        let (a, b) = (self.shifted(exponent)?, other.shifted(exponent)?);
        let (negative, mantissa) = match (self.negative == other.negative, a >= b) {
            (true, _) => (self.negative, a + b),
            (false, true) => (self.negative, a - b),
            (false, false) => (other.negative, b - a),
        };
        Self::new(negative, mantissa, exponent)
    }

    pub fn subtract(self, other: Self) -> Result<Self, NumberError> {
        self.add(Self { negative: !other.negative, ..other })
    }

    /// The mantissa for a smaller exponent.
    fn shifted(&self, exponent: i32) -> Result<u128, NumberError> {
        let places = self.exponent.abs_diff(exponent);
        let digits = self.mantissa.ilog10() + 1;
        if digits + places > DIGITS_MAX {
            return Err(NumberError::TooPrecise);
        }
        Ok(self.mantissa * 10u128.pow(places))
    }

    /// A text whose order is the order of the numbers: sign, magnitude, digits; for negative numbers
    /// all of it complemented.
    pub fn sortable(&self) -> String {
        if self.mantissa == 0 {
            return "1".into();
        }
        let magnitude = (self.magnitude() + 500) as u32;
        let digits = self.mantissa.to_string();
        if !self.negative {
            return format!("2{magnitude:03}{digits}");
        }
        let complement: String = digits.bytes().map(|digit| char::from(b'0' + (b'9' - digit))).collect();
        // `~` sorts behind every digit: of two negative numbers, the longer one is the smaller.
        format!("0{:03}{complement}~", 999 - magnitude)
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.mantissa, number.negative) {
            (0, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        };
        let by_sign = sign(self).cmp(&sign(other));
        if by_sign != Ordering::Equal || self.mantissa == 0 {
            return by_sign;
        }
        let scaled = |number: &Self| number.mantissa * 10u128.pow(DIGITS_MAX - 1 - number.mantissa.ilog10());
        let size = self.magnitude().cmp(&other.magnitude()).then_with(|| scaled(self).cmp(&scaled(other)));
        if self.negative { size.reverse() } else { size }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let digits = self.mantissa.to_string();
        let point = digits.len() as i32 + self.exponent;
        match self.exponent {
            0.. if point <= DIGITS_MAX as i32 => {
                write!(f, "{sign}{digits}{}", "0".repeat(self.exponent as usize))
            }
            ..0 if point > 0 => {
                let (whole, fraction) = digits.split_at(point as usize);
                write!(f, "{sign}{whole}.{fraction}")
            }
            ..0 if point > -20 => write!(f, "{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
            _ => write!(f, "{sign}{digits}E{:+}", self.exponent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text).expect(text)
    }

    #[test]
    fn texts_become_trimmed_numbers() {
        let cases = [
            ("0", "0"),
            ("-0.00", "0"),
            ("007", "7"),
            ("1.50", "1.5"),
            ("+12e3", "12000"),
            (".5", "0.5"),
            ("5.", "5"),
            ("-1.25E-2", "-0.0125"),
            ("1e125", "1E+125"),
            ("1e-130", "1E-130"),
            ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
        ];
        for (text, shown) in cases {
            assert_eq!(number(text).to_string(), shown, "{text}");
            assert_eq!(number(shown), number(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_named() {
        use NumberError::*;
        let cases = [
            ("", NotANumber),
            (".", NotANumber),
            ("abc", NotANumber),
            ("1 2", NotANumber),
            ("1e", NotANumber),
            ("NaN", NotANumber),
            ("--1", NotANumber),
            ("1e126", TooLarge),
            ("1e2147483647", TooLarge),
            ("1e-131", TooSmall),
            ("0.1e-2147483648", TooSmall),
            ("123456789012345678901234567890123456789", TooPrecise),
        ];
        for (text, error) in cases {
            assert_eq!(Decimal::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn sums_are_exact_or_refused() {
        let cases = [
            ("0.1", "0.2", Ok("0.3")),
            ("1", "-1", Ok("0")),
            ("-5", "3.5", Ok("-1.5")),
            ("1e20", "1e-10", Ok("100000000000000000000.0000000001")),
            ("99999999999999999999999999999999999999", "1", Ok("1E+38")),
            ("1e38", "1", Err(NumberError::TooPrecise)),
            ("9e125", "9e125", Err(NumberError::TooLarge)),
            ("0", "1e125", Ok("1E+125")),
        ];
        for (a, b, sum) in cases {
            assert_eq!(
                number(a).add(number(b)).map(|sum| sum.to_string()),
                sum.map(str::to_string),
                "{a}+{b}"
            );
        }
        assert_eq!(number("3").subtract(number("4.5")).map(|n| n.to_string()), Ok("-1.5".into()));
    }

    #[test]
    fn order_and_sortable_texts_agree() {
        let sorted = [
            "-1e125", "-100", "-99.9", "-12", "-1.25", "-1.2", "-1", "-0.5", "-1e-130", "0", "1e-130", "0.5",
            "1", "1.2", "1.25", "9", "10", "99.9", "100", "1e125",
        ];
        for pair in sorted.windows(2) {
            let (a, b) = (number(pair[0]), number(pair[1]));
            assert!(a < b, "{} < {}", pair[0], pair[1]);
            assert!(
                a.sortable() < b.sortable(),
                "{} < {}: {} {}",
                pair[0],
                pair[1],
                a.sortable(),
                b.sortable()
            );
        }
    }
}
