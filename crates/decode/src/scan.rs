//! Finding the end of strings and reading their escapes. Pure functions over the event's bytes.

/// Index of the first `"`, `\` or control character at or behind `from`, or the length.
#[inline]
pub(crate) fn string_stop(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(chunk) = chunk_at(bytes, at) {
        let mask = stops(chunk);
        if mask != 0 {
            return at + mask.trailing_zeros() as usize;
        }
        at += 16;
    }
    while at < bytes.len() && !is_stop(bytes[at]) {
        at += 1;
    }
    at
}

/// Appends the string whose first content byte is `from` to `out`, if it has neither escapes nor control characters;
/// returns the index of the first `"`, `\` or control character, up to which `out` was filled.
#[inline]
pub(crate) fn copy_plain(bytes: &[u8], from: usize, out: &mut Vec<u8>) -> usize {
    let mut at = from;
    // Whole chunks are copied and what is too much is cut: no length has to be known before.
    while let Some(chunk) = chunk_at(bytes, at) {
        out.extend_from_slice(chunk);
        let mask = stops(chunk);
        if mask != 0 {
            let taken = mask.trailing_zeros() as usize;
            out.truncate(out.len() - (16 - taken));
            return at + taken;
        }
        at += 16;
    }
    let end = string_stop(bytes, at);
    out.extend_from_slice(&bytes[at..end]);
    end
}

#[inline]
fn chunk_at(bytes: &[u8], at: usize) -> Option<&[u8; 16]> {
    bytes.get(at..)?.first_chunk()
}

#[inline]
fn is_stop(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// Bit `i` is set where `chunk[i]` stops a string.
#[cfg(target_arch = "x86_64")]
#[inline]
fn stops(chunk: &[u8; 16]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    // SAFETY: SSE2 is part of every x86-64; the unaligned load reads the 16 bytes of `chunk`.
    unsafe {
        let bytes = _mm_loadu_si128(chunk.as_ptr().cast());
        let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
        let slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
        let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
        _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), control)) as u32
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn stops(chunk: &[u8; 16]) -> u32 {
    chunk.iter().enumerate().fold(0, |mask, (i, byte)| mask | (u32::from(is_stop(*byte)) << i))
}

/// Why a string cannot be read, with the position.
pub(crate) struct Broken {
    pub at: usize,
    pub why: &'static str,
}

/// Reads the string whose first content byte is `from` into `out`, escapes resolved; returns the index
/// behind its closing quote.
pub(crate) fn unescape(bytes: &[u8], from: usize, out: &mut Vec<u8>) -> Result<usize, Broken> {
    let mut at = from;
    loop {
        let stop = string_stop(bytes, at);
        out.extend_from_slice(&bytes[at..stop]);
        match bytes.get(stop) {
            None => return Err(Broken { at: stop, why: "a string does not end" }),
            Some(b'"') => return Ok(stop + 1),
            Some(b'\\') => at = escape(bytes, stop, out)?,
            Some(_) => return Err(Broken { at: stop, why: "a string holds an unescaped control character" }),
        }
    }
}

fn escape(bytes: &[u8], slash: usize, out: &mut Vec<u8>) -> Result<usize, Broken> {
    let plain = match bytes.get(slash + 1) {
        Some(b'"') => b'"',
        Some(b'\\') => b'\\',
        Some(b'/') => b'/',
        Some(b'b') => 0x08,
        Some(b'f') => 0x0c,
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'u') => return unicode(bytes, slash, out),
        _ => return Err(Broken { at: slash, why: "a string holds an unknown escape" }),
    };
    out.push(plain);
    Ok(slash + 2)
}

fn unicode(bytes: &[u8], slash: usize, out: &mut Vec<u8>) -> Result<usize, Broken> {
    let lone = Broken { at: slash, why: "a string holds half of a surrogate pair" };
    let first = hex4(bytes, slash + 2).ok_or(Broken { at: slash, why: "\\u needs four hex digits" })?;
    let (code, end) = match first {
        0xd800..=0xdbff => {
            if bytes.get(slash + 6..slash + 8) != Some(b"\\u") {
                return Err(lone);
            }
            match hex4(bytes, slash + 8) {
                Some(low @ 0xdc00..=0xdfff) => {
                    (0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00), slash + 12)
                }
                _ => return Err(lone),
            }
        }
        _ => (first, slash + 6),
    };
    let Some(character) = char::from_u32(code) else { return Err(lone) };
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(end)
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.iter().try_fold(0, |code, byte| Some(code * 16 + (*byte as char).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_are_found_at_every_distance() {
        for stop in [b'"', b'\\', 0, 0x1f] {
            for at in 0..70 {
                let mut text = vec![0xe4; 80];
                text[at] = stop;
                assert_eq!(string_stop(&text, 0), at, "stop {stop}");
                let mut out = b"before".to_vec();
                assert_eq!(copy_plain(&text, 0, &mut out), at, "stop {stop}");
                assert_eq!(out[6..], text[..at], "stop {stop}");
            }
        }
        assert_eq!(string_stop(b"plain text without any stop at all", 0), 34);
    }

    #[test]
    fn escapes_read_as_serde_json_reads_them() {
        for text in [
            r#""a\n\"\\\/\b\f\r\t""#,
            r#""\u00e4\ud83d\ude00x""#,
            r#""\ud800""#,
            r#""\ud800\u0041""#,
            r#""\udc00""#,
            r#""\u12g4""#,
            r#""\x""#,
            r#""\u12"#,
            "\"a\nb\"",
            r#""open"#,
        ] {
            let mut out = Vec::new();
            let ours = unescape(text.as_bytes(), 1, &mut out).ok().map(|_| String::from_utf8(out).unwrap());
            assert_eq!(ours, serde_json::from_str::<String>(text).ok(), "{text}");
        }
    }
}
