//! The one form of a request that both sides sign.
//!
//! ```text
//! METHOD \n path \n query \n header:value\n… \n signed;headers \n hash-of-body
//! ```
//!
//! The path is encoded once more than it was sent (only S3 does not), with dot segments and double
//! slashes removed; query parameters are decoded, encoded in the one strict way, and sorted; values of
//! headers lose spaces at their ends, and runs of spaces within become one.

use bourn_event::{percent_decode, percent_encode};
use http::header::HOST;
use http::request::Parts;
use std::fmt::Write;

/// `None` if a signed header is not there.
pub(super) fn request(head: &Parts, signed_headers: &[String], body_hash: &str) -> Option<String> {
    let mut names: Vec<&str> = signed_headers.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let mut text = format!(
        "{}\n{}\n{}\n",
        head.method,
        path(head.uri.path()),
        query(head.uri.query().unwrap_or_default())
    );
    for name in &names {
        writeln!(text, "{name}:{}", header(head, name)?).ok()?;
    }
    write!(text, "\n{}\n{body_hash}", names.join(";")).ok()?;
    Some(text)
}

/// Decoded names and values, in the order they were sent.
pub(super) fn query_pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (lossy(decode(name)), lossy(decode(value)))
        })
        .collect()
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn header(head: &Parts, name: &str) -> Option<String> {
    let mut values = head.headers.get_all(name).iter().peekable();
    if values.peek().is_none() {
        // HTTP/2 has the host in the address.
        return (name == HOST.as_str()).then(|| head.uri.authority().map(|host| host.to_string()))?;
    }
    let trimmed = values.map(|value| {
        let text = String::from_utf8_lossy(value.as_bytes());
        text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    });
    Some(trimmed.collect::<Vec<_>>().join(","))
}

fn query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (encode(&decode(name), ""), encode(&decode(value), ""))
        })
        .filter(|(name, _)| name != "X-Amz-Signature")
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let mut text = String::from("/");
    text.push_str(&encode(parts.join("/").as_bytes(), "/"));
    let directory = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    if directory && text.len() > 1 {
        text.push('/');
    }
    text
}

fn encode(bytes: &[u8], keep: &str) -> String {
    let mut text = String::with_capacity(bytes.len());
    percent_encode(bytes, keep, &mut text);
    text
}

/// Of a query, in which `+` is a space.
fn decode(text: &str) -> Vec<u8> {
    percent_decode(text.replace('+', " ").as_bytes())
}
