//! Numbers: reading them, and comparing them exactly as the schema's judge does.

use std::cmp::Ordering;

/// A number as it stands in the event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number {
    pub start: usize,
    pub end: usize,
    pub negative: bool,
    /// All digits, without the point.
    pub mantissa: u64,
    /// Power of ten that `mantissa` is scaled by.
    pub exponent: i32,
    /// Written without point and exponent.
    pub whole: bool,
    /// `mantissa` and `exponent` hold the number exactly.
    pub exact: bool,
}

/// A number of at most [`PLAIN_DIGITS`] digits without an exponent, and not `-0`: both its digits and itself are exact
/// in an `i64` and an `f64`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain {
    pub end: usize,
    /// All digits, without the point.
    digits: i64,
    decimals: usize,
}

const PLAIN_DIGITS: usize = 15;

/// A number's value: whole where `serde_json` keeps an integer, else a float.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    Whole(i128),
    Float(f64),
}

const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

impl Plain {
    /// Reads the number at `start` if it is a plain one.
    #[inline]
    pub fn read(bytes: &[u8], start: usize) -> Option<Self> {
        let first = start + usize::from(bytes.get(start) == Some(&b'-'));
        let (mut at, mut point, mut digits) = (first, usize::MAX, 0i64);
        let behind = loop {
            let byte = bytes.get(at).copied().unwrap_or(0);
            let digit = byte.wrapping_sub(b'0');
            if digit < 10 {
                digits = digits.wrapping_mul(10).wrapping_add(i64::from(digit));
            } else if byte == b'.' && point == usize::MAX {
                point = at;
            } else {
                break byte;
            }
            at += 1;
        };
        let (whole, decimals) = if point < at { (point - first, at - point - 1) } else { (at - first, 0) };
        let negative = first > start;
        let good = whole > 0
            && (point == usize::MAX || decimals > 0)
            && (whole == 1 || bytes[first] != b'0')
            && whole + decimals <= PLAIN_DIGITS
            && !matches!(behind, b'e' | b'E' | b'.')
            && !(negative && digits == 0);
        // Only good digits did not wrap.
        good.then(|| Self { end: at, digits: if negative { -digits } else { digits }, decimals })
    }

    #[inline]
    pub fn integer(self) -> Option<i64> {
        (self.decimals == 0).then_some(self.digits)
    }

    #[inline]
    pub fn float(self) -> f64 {
        // Both are exact floats, so one rounding gives the nearest float.
        self.digits as f64 / POWERS[self.decimals]
    }
}

impl Number {
    /// Reads the number at `start`; `Err` holds where its grammar (RFC 8259) breaks.
    #[inline]
    pub fn read(bytes: &[u8], start: usize) -> Result<Self, usize> {
        let negative = bytes.get(start) == Some(&b'-');
        let mut at = start + usize::from(negative);
        let mut number =
            Number { start, end: 0, negative, mantissa: 0, exponent: 0, whole: true, exact: true };
        let first = at;
        at = number.digits(bytes, at);
        if at == first || (bytes[first] == b'0' && at > first + 1) {
            return Err(first);
        }
        if bytes.get(at) == Some(&b'.') {
            number.whole = false;
            let point = at + 1;
            at = number.digits(bytes, point);
            if at == point {
                return Err(point);
            }
            number.exponent = -i32::try_from(at - point).unwrap_or(i32::MAX);
        }
        if let Some(b'e' | b'E') = bytes.get(at) {
            number.whole = false;
            at = number.scale(bytes, at + 1)?;
        }
        number.end = at;
        Ok(number)
    }

    #[inline]
    fn digits(&mut self, bytes: &[u8], mut at: usize) -> usize {
        while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10)
        {
            if self.mantissa < u64::MAX / 10 - 1 {
                self.mantissa = self.mantissa * 10 + u64::from(digit);
            } else {
                match self.mantissa.checked_mul(10).and_then(|m| m.checked_add(u64::from(digit))) {
                    Some(mantissa) if self.exact => self.mantissa = mantissa,
                    _ => self.exact = false,
                }
            }
            at += 1;
        }
        at
    }

    fn scale(&mut self, bytes: &[u8], mut at: usize) -> Result<usize, usize> {
        let down = bytes.get(at) == Some(&b'-');
        if let Some(b'+' | b'-') = bytes.get(at) {
            at += 1;
        }
        let first = at;
        let mut power = 0i32;
        while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10)
        {
            power = power.saturating_mul(10).saturating_add(i32::from(digit));
            at += 1;
        }
        if at == first {
            return Err(first);
        }
        self.exponent = self.exponent.saturating_add(if down { -power } else { power });
        Ok(at)
    }

    /// The value; a float is infinite if no finite one is near.
    #[inline]
    pub fn value(&self, text: &str) -> Value {
        if self.whole && self.exact {
            let magnitude = i128::from(self.mantissa);
            let signed = if self.negative { -magnitude } else { magnitude };
            // The judge keeps what fits u64 or i64 whole, and `-0` as a float.
            if signed >= i128::from(i64::MIN) && !(self.negative && magnitude == 0) {
                return Value::Whole(signed);
            }
        }
        Value::Float(self.float(text))
    }

    #[inline]
    pub fn float(&self, text: &str) -> f64 {
        // Both factors are exact floats, so one rounding gives the nearest float.
        if self.exact && self.mantissa <= 1 << 53 && self.exponent.unsigned_abs() <= 22 {
            let mantissa = self.mantissa as f64;
            let power = POWERS[self.exponent.unsigned_abs() as usize];
            let value = if self.exponent < 0 { mantissa / power } else { mantissa * power };
            return if self.negative { -value } else { value };
        }
        text.get(self.start..self.end).and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
    }
}

impl Value {
    /// The value as an integer, if it is one (`1.0` is).
    pub fn integer(self) -> Option<i128> {
        match self {
            Self::Whole(whole) => Some(whole),
            Self::Float(float) if float.fract() == 0.0 && float.abs() < 1e38 => Some(float as i128),
            Self::Float(_) => None,
        }
    }

    pub fn of_json(number: &serde_json::Number) -> Option<Self> {
        number
            .as_i64()
            .map(|whole| Self::Whole(whole.into()))
            .or_else(|| number.as_u64().map(|whole| Self::Whole(whole.into())))
            .or_else(|| number.as_f64().map(Self::Float))
    }

    /// Exact order of two numbers, however they are written.
    pub fn order(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Whole(a), Self::Float(b)) => whole_to_float(a, b),
            (Self::Float(a), Self::Whole(b)) => whole_to_float(b, a).map(Ordering::reverse),
        }
    }
}

fn whole_to_float(whole: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    if float >= 1e30 {
        return Some(Ordering::Less);
    }
    if float <= -1e30 {
        return Some(Ordering::Greater);
    }
    let floor = float.floor();
    Some(whole.cmp(&(floor as i128)).then(if float > floor { Ordering::Less } else { Ordering::Equal }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_serde_json_reads_them() {
        for text in [
            "0",
            "-0",
            "-0.0",
            "1",
            "-1",
            "00",
            "01",
            "1.",
            ".5",
            "-",
            "1e",
            "1e+",
            "1e5",
            "1E-5",
            "1.5e3",
            "0.1",
            "9007199254740993",
            "9007199254740993.0",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775808",
            "-9223372036854775809",
            "123456789012345678901234567890",
            "1e22",
            "1e23",
            "1.7976931348623157e308",
            "5e-324",
            "0.30000000000000004",
            "3.141592653589793238462643383279",
            "1e-400",
            "7.2057594037927933e16",
            "100000000000000000000000e-5",
            "1844674407370955161.5",
            "1844674407370955161.65",
        ] {
            let ours = Number::read(text.as_bytes(), 0).ok().filter(|number| number.end == text.len());
            let theirs = serde_json::from_str::<serde_json::Number>(text).ok();
            assert_eq!(ours.is_some(), theirs.is_some(), "{text}");
            let (Some(ours), Some(theirs)) = (ours, theirs) else { continue };
            assert_eq!(Some(ours.value(text)), Value::of_json(&theirs), "{text}");
        }
    }

    #[test]
    fn a_plain_number_is_what_it_is_otherwise() {
        for (text, plain) in [
            ("0", true),
            ("7,", true),
            ("-7}", true),
            ("0.5", true),
            ("-12.25 ", true),
            ("123456789012345", true),
            ("12345678.0123456", true),
            ("1234567890123456", false),
            ("-9223372036854775808", false),
            ("0.000000000000001", false),
            ("-0", false),
            ("-0.00", false),
            ("00", false),
            ("01.5", false),
            ("1.", false),
            ("1.2.3", false),
            (".5", false),
            ("-", false),
            ("", false),
            ("1e3", false),
            ("1.5E3", false),
            ("99999999999999999999999999999999999999999", false),
        ] {
            let read = Plain::read(text.as_bytes(), 0);
            assert_eq!(read.is_some(), plain, "{text}");
            let Some(read) = read else { continue };
            let number = Number::read(text.as_bytes(), 0).unwrap();
            assert_eq!(read.end, number.end, "{text}");
            match number.value(text) {
                Value::Whole(whole) => assert_eq!(read.integer().map(i128::from), Some(whole), "{text}"),
                Value::Float(_) => assert_eq!(read.integer(), None, "{text}"),
            }
            assert_eq!(read.float(), number.float(text), "{text}");
        }
    }

    #[test]
    fn order_is_exact_between_kinds() {
        let big = 9_007_199_254_740_993_i128;
        assert_eq!(Value::Whole(big).order(Value::Float(9_007_199_254_740_992.0)), Some(Ordering::Greater));
        assert_eq!(Value::Whole(-1).order(Value::Float(-1.5)), Some(Ordering::Greater));
        assert_eq!(Value::Float(0.5).order(Value::Whole(0)), Some(Ordering::Greater));
        assert_eq!(Value::Whole(3).order(Value::Float(f64::INFINITY)), Some(Ordering::Less));
    }
}
