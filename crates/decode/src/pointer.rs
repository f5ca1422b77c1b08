//! Where in an event something lies: computed from its position, only once a fault is told.

use crate::scan::unescape;

enum Level {
    Array(usize),
    Object { key: Option<usize>, awaits_key: bool },
}

/// JSON pointer (RFC 6901) of the value that begins at `target`, or of the member whose key ends there.
/// The bytes before `target` are the beginning of valid JSON.
pub(crate) fn pointer_at(bytes: &[u8], target: usize) -> String {
    let mut levels: Vec<Level> = Vec::new();
    let mut scratch = Vec::new();
    let mut at = 0;
    while at < target {
        match bytes[at] {
            b'{' => levels.push(Level::Object { key: None, awaits_key: true }),
            b'[' => levels.push(Level::Array(0)),
            b'}' | b']' => drop(levels.pop()),
            b',' => match levels.last_mut() {
                Some(Level::Array(index)) => *index += 1,
                Some(Level::Object { awaits_key, .. }) => *awaits_key = true,
                None => {}
            },
            b'"' => {
                if let Some(Level::Object { key, awaits_key: awaits_key @ true }) = levels.last_mut() {
                    *key = Some(at + 1);
                    *awaits_key = false;
                }
                scratch.clear();
                match unescape(bytes, at + 1, &mut scratch) {
                    Ok(end) => at = end - 1,
                    Err(_) => break,
                }
            }
            _ => {}
        }
        at += 1;
    }
    let mut pointer = String::new();
    for level in levels {
        match level {
            Level::Array(index) => pointer.push_str(&format!("/{index}")),
            Level::Object { key: Some(key), .. } => {
                scratch.clear();
                if unescape(bytes, key, &mut scratch).is_ok() {
                    pointer.push('/');
                    push_token(&mut pointer, &String::from_utf8_lossy(&scratch));
                }
            }
            Level::Object { key: None, .. } => {}
        }
    }
    pointer
}

/// Appends a reference token, `~` and `/` escaped.
pub(crate) fn push_token(pointer: &mut String, token: &str) {
    for character in token.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_become_pointers() {
        let text = br#"{"a": [1, {"b/c": "x,]", "d\u00e4": 9}], "e": {}}"#;
        for (value, pointer) in [
            ("{\"a", ""),
            ("[1", "/a"),
            ("1,", "/a/0"),
            ("\"x", "/a/1/b~1c"),
            ("9", "/a/1/d\u{e4}"),
            ("{}", "/e"),
        ] {
            let at = String::from_utf8_lossy(text).find(value).expect("in the text");
            assert_eq!(pointer_at(text, at), pointer, "{value}");
        }
    }
}
