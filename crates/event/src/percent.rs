//! Percent-encoding (RFC 3986, 2.1), as addresses and header values have it.

/// Takes `%xx` apart; what is none stays as it is.
pub fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let code = after.split_first_chunk::<2>().filter(|_| *byte == b'%');
        match code.and_then(|(digits, behind)| Some((hex(digits[0])? << 4 | hex(digits[1])?, behind))) {
            Some((decoded, behind)) => {
                bytes.push(decoded);
                rest = behind;
            }
            None => bytes.push(*byte),
        }
    }
    bytes
}

/// Writes `%XX` for every byte but the unreserved characters (RFC 3986, 2.3) and those in `keep`.
pub fn percent_encode(text: &[u8], keep: &str, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text {
        let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        if unreserved || keep.as_bytes().contains(byte) {
            out.push(char::from(*byte));
        } else {
            let (high, low) = (DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]);
            out.extend(['%', char::from(high), char::from(low)]);
        }
    }
}

/// The value of a hexadecimal digit.
pub fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_leaves_what_is_no_code() {
        let cases: [(&str, &[u8]); 9] = [
            ("", b""),
            ("plain", b"plain"),
            ("a%20b", b"a b"),
            ("%e2%82%AC", "€".as_bytes()),
            ("%ff", b"\xff"),
            ("100%", b"100%"),
            ("%2", b"%2"),
            ("%+5%zz", b"%+5%zz"),
            ("%%41", b"%A"),
        ];
        for (text, expected) in cases {
            assert_eq!(percent_decode(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_to_itself() {
        let all: Vec<u8> = (0..=255).collect();
        let mut text = String::new();
        percent_encode(&all, "", &mut text);
        assert_eq!(percent_decode(text.as_bytes()), all);
        for (given, keep, expected) in
            [("a-._~Z9", "", "a-._~Z9"), ("a/b c", "/", "a/b%20c"), ("€", "", "%E2%82%AC")]
        {
            let mut text = String::new();
            percent_encode(given.as_bytes(), keep, &mut text);
            assert_eq!(text, expected);
        }
    }
}
