//! Who may do what: API keys, and what stands in for them on loopback.
//!
//! A key is sent as `Authorization: Bearer <key>` or `X-Api-Key: <key>`; only its SHA-256 is known here.
//! All configured hashes are compared, each in constant time, whether or not an earlier one was equal.
//!
//! AWS clients send no such key: they sign. If there are access keys to check signatures with
//! (`aws.keys`), the AWS routes do that themselves; if there are only API keys, they take an API key
//! with the verb `admin`, for else they would be a hole beside the keys.
//!
//! Without keys everybody who reaches the port may do everything, which on loopback still includes any
//! page in a browser on the machine. So a request that carries the `Origin` of another place is refused.

use crate::WebError;
use crate::problem::{Problem, ProblemKind};
use crate::route::Route;
use bourn_config::{ApiKey, Verb};
use bourn_event::hex;
use http::HeaderMap;
use http::header::{AUTHORIZATION, ORIGIN};
use sha2::{Digest, Sha256};
use std::hint::black_box;

const HASH_BYTES: usize = 32;
const CHALLENGE: &str = "Bearer realm=\"bourn\"";
const CHALLENGE_INVALID: &str = "Bearer realm=\"bourn\", error=\"invalid_token\"";
const CHALLENGE_SCOPE: &str = "Bearer realm=\"bourn\", error=\"insufficient_scope\"";

/// The configured keys.
pub(crate) struct Auth {
    keys: Vec<Key>,
}

struct Key {
    hash: [u8; HASH_BYTES],
    /// Empty: all.
    streams: Vec<String>,
    /// Empty: all.
    verbs: Vec<Verb>,
}

/// What a route needs of its caller.
enum Need<'a> {
    Nothing,
    AnyKey,
    Verb(Verb),
    Stream(&'a str),
}

impl Auth {
    pub(crate) fn new(keys: &[ApiKey]) -> Result<Self, WebError> {
        let keys = keys.iter().map(|key| {
            let hash = parse_hash(&key.hash).ok_or_else(|| WebError::KeyHash { name: key.name.clone() })?;
            Ok(Key { hash, streams: key.streams.clone(), verbs: key.verbs.clone() })
        });
        Ok(Self { keys: keys.collect::<Result<_, _>>()? })
    }

    /// Are there no keys, so that everybody may do everything?
    pub(crate) fn is_open(&self) -> bool {
        self.keys.is_empty()
    }

    /// `signed`: do the AWS routes ask for signatures themselves?
    pub(crate) fn check(&self, route: &Route<'_>, headers: &HeaderMap, signed: bool) -> Result<(), Problem> {
        if self.is_open() {
            return check_origin(headers);
        }
        let need = match route {
            Route::Health | Route::Ready | Route::Unknown => Need::Nothing,
            Route::Metrics | Route::OpenApi => Need::AnyKey,
            Route::Sql => Need::Verb(Verb::Query),
            Route::States | Route::Lambda if signed => Need::Nothing,
            Route::Admin(_) | Route::Task(..) | Route::States | Route::Lambda => Need::Verb(Verb::Admin),
            Route::Ingest(stream) => Need::Stream(stream),
        };
        if matches!(need, Need::Nothing) {
            return Ok(());
        }
        let Some(sent) = sent_key(headers) else {
            let detail = if route.kind().is_aws() {
                "the server has API keys but no `aws.keys`, so that signatures cannot be checked: set \
                 `aws.keys`, or send an API key that may administer as `Authorization: Bearer <key>`"
            } else {
                "send an API key as `Authorization: Bearer <key>` or `X-Api-Key: <key>`"
            };
            return Err(Problem::new(ProblemKind::Unauthorized, detail).challenge(CHALLENGE));
        };
        let Some(key) = self.find(sent) else {
            let detail = "the API key is not known";
            return Err(Problem::new(ProblemKind::Unauthorized, detail).challenge(CHALLENGE_INVALID));
        };
        if key.allows(&need) {
            return Ok(());
        }
        let detail = match need {
            Need::Stream(stream) => format!("the API key may not send events to the stream `{stream}`"),
            Need::Verb(Verb::Admin) => "the API key may not administer the pipeline".to_owned(),
            _ => "the API key may not run queries".to_owned(),
        };
        Err(Problem::new(ProblemKind::Forbidden, detail).challenge(CHALLENGE_SCOPE))
    }

    fn find(&self, sent: &[u8]) -> Option<&Key> {
        let hash: [u8; HASH_BYTES] = Sha256::digest(sent).into();
        let mut found = None;
        for key in &self.keys {
            if same(&key.hash, &hash) {
                found = Some(key);
            }
        }
        found
    }
}

impl Key {
    fn allows(&self, need: &Need<'_>) -> bool {
        let verb = |verb| self.verbs.is_empty() || self.verbs.contains(&verb);
        match need {
            Need::Nothing | Need::AnyKey => true,
            Need::Verb(needed) => verb(*needed),
            Need::Stream(stream) => {
                verb(Verb::Ingest) && (self.streams.is_empty() || self.streams.iter().any(|s| s == stream))
            }
        }
    }
}

/// Equal, in a time that does not depend on where they differ.
fn same(a: &[u8; HASH_BYTES], b: &[u8; HASH_BYTES]) -> bool {
    let difference = a.iter().zip(b).fold(0, |difference, (a, b)| black_box(difference | (a ^ b)));
    black_box(difference) == 0
}

fn sent_key(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let (scheme, key) = value.as_bytes().split_at_checked(7)?;
        return scheme
            .eq_ignore_ascii_case(b"bearer ")
            .then(|| key.trim_ascii())
            .filter(|key| !key.is_empty());
    }
    headers.get("x-api-key").map(|value| value.as_bytes()).filter(|key| !key.is_empty())
}

fn parse_hash(text: &str) -> Option<[u8; HASH_BYTES]> {
    let digits: &[u8; 2 * HASH_BYTES] = text.strip_prefix("sha256:")?.as_bytes().try_into().ok()?;
    let mut hash = [0; HASH_BYTES];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = hex(pair[0])? << 4 | hex(pair[1])?;
    }
    Some(hash)
}

fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(ORIGIN) {
        Some(origin) if !is_loopback_origin(origin.as_bytes()) => {
            let detail = "without API keys, requests of pages from other origins are refused";
            Err(Problem::new(ProblemKind::Forbidden, detail))
        }
        _ => Ok(()),
    }
}

fn is_loopback_origin(origin: &[u8]) -> bool {
    let Ok(origin) = std::str::from_utf8(origin) else { return false };
    let Some((_, authority)) = origin.split_once("://") else { return false };
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_loopback_or_refused() {
        let cases = [
            ("http://localhost:3000", true),
            ("http://127.0.0.1", true),
            ("https://[::1]:8686", true),
            ("http://127.0.0.1.evil.example", false),
            ("http://localhost.evil.example", false),
            ("https://evil.example", false),
            ("null", false),
            ("", false),
        ];
        for (origin, open) in cases {
            assert_eq!(is_loopback_origin(origin.as_bytes()), open, "{origin}");
        }
    }

    #[test]
    fn hashes_are_64_hexadecimal_digits() {
        let digits = "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789";
        assert!(parse_hash(&format!("sha256:{digits}")).is_some());
        for bad in
            ["", "sha256:", digits, "sha256:0g", &format!("sha256:{digits}0"), &format!("md5:{digits}")]
        {
            assert_eq!(parse_hash(bad), None, "{bad}");
        }
    }
}
