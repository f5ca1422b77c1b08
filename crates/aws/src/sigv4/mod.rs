//! Signature Version 4, the server's side: is a request signed by one of the configured keys?
//!
//! Both forms are taken: the `Authorization` header and the `X-Amz-Signature` query of a presigned
//! address. What is asked for, after AWS's "Signature Version 4 signing process":
//!
//! - the scope names the service that the request is for, and the day of the signature;
//! - `host` is signed, and so is every `x-amz-*` header that is there: what is not signed could be
//!   changed by whoever replays the request, above all `X-Amz-Target`;
//! - the body is signed: `UNSIGNED-PAYLOAD` and chunk signatures belong to S3 and are refused;
//! - the time of signing is at most 15 minutes away from the clock, or within `X-Amz-Expires`.
//!
//! The region of a scope may be any: it is part of the signature, and clients are set to many.
//! Session tokens are signed along like any header; they are not looked at, for there are no sessions.

mod canonical;
mod claim;
mod fault;

#[cfg(test)]
mod tests;

pub(crate) use fault::SignatureFault;

use bourn_config::AccessKey;
use bourn_event::{Clock, Micros};
use claim::Claim;
use hmac::{Hmac, Mac};
use http::request::Parts;
use sha2::{Digest, Sha256};
use std::sync::Arc;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// A signature's time may differ from the clock by this much.
const SKEW_MAX: Micros = 15 * 60 * 1_000_000;
/// The longest validity of a presigned address: 7 days.
const EXPIRES_SECS_MAX: i64 = 604_800;

/// Knows the keys and the time.
pub(crate) struct Verifier {
    keys: Vec<AccessKey>,
    clock: Arc<dyn Clock>,
}

/// A request whose head is in order; its body is what is left to be seen.
pub(crate) struct Pending<'a> {
    claim: Claim,
    key: &'a AccessKey,
}

impl Verifier {
    pub(crate) fn new(keys: Vec<AccessKey>, clock: Arc<dyn Clock>) -> Self {
        Self { keys, clock }
    }

    /// Looks at the head, before anybody reads the body; `None` if there are no keys, and so nothing to check.
    pub(crate) fn begin(&self, head: &Parts, service: &str) -> Result<Option<Pending<'_>>, SignatureFault> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let claim = Claim::of(head)?;
        claim.check_scope(service)?;
        claim.check_signed_headers(&head.headers)?;
        claim.check_time(self.clock.now())?;
        let key = self.keys.iter().find(|key| key.id == claim.key).ok_or(SignatureFault::UnknownKey)?;
        Ok(Some(Pending { claim, key }))
    }
}

impl Pending<'_> {
    /// Is the signature that of this head and this body?
    pub(crate) fn finish(&self, head: &Parts, body: &[u8]) -> Result<(), SignatureFault> {
        let body_hash = hex(&Sha256::digest(body));
        if let Some(sent) = head.headers.get("x-amz-content-sha256")
            && sent.as_bytes() != body_hash.as_bytes()
        {
            return Err(SignatureFault::Body);
        }
        let canonical = canonical::request(head, &self.claim.signed_headers, &body_hash)
            .ok_or_else(|| SignatureFault::Incomplete("a signed header is not there".into()))?;
        let text = self.claim.string_to_sign(&canonical);
        let sent = unhex(&self.claim.signature).ok_or(SignatureFault::Mismatch)?;
        let scope = &self.claim.scope;
        let mut key = mac(format!("AWS4{}", self.key.secret.reveal()).as_bytes(), scope.date.as_bytes());
        for part in [scope.region.as_str(), scope.service.as_str(), "aws4_request"] {
            key = mac(&key.finalize().into_bytes(), part.as_bytes());
        }
        // Compares in a time that does not depend on where they differ.
        mac(&key.finalize().into_bytes(), text.as_bytes())
            .verify_slice(&sent)
            .map_err(|_| SignatureFault::Mismatch)
    }
}

fn mac(key: &[u8], data: &[u8]) -> Hmac<Sha256> {
    let mut mac = match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mac) => mac,
        Err(_) => unreachable!("HMAC takes keys of any length"),
    };
    mac.update(data);
    mac
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}
