//! Task tokens: which try of which task an answer is for, and a secret that only its holder knows.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What a token says. It is looked up, not trusted: the secret must be the task's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub seq: u64,
    pub frame: u32,
    pub attempt: u32,
    pub secret: u64,
}

const VERSION: u8 = 1;
const BYTES: usize = 1 + 8 + 4 + 4 + 8;

impl Token {
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.seq.to_be_bytes());
        bytes.extend_from_slice(&self.frame.to_be_bytes());
        bytes.extend_from_slice(&self.attempt.to_be_bytes());
        bytes.extend_from_slice(&self.secret.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == BYTES)?;
        let (version, rest) = bytes.split_first()?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        let (frame, rest) = rest.split_first_chunk::<4>()?;
        let (attempt, secret) = rest.split_first_chunk::<4>()?;
        (*version == VERSION).then_some(Self {
            seq: u64::from_be_bytes(*seq),
            frame: u32::from_be_bytes(*frame),
            attempt: u32::from_be_bytes(*attempt),
            secret: u64::from_be_bytes(secret.try_into().ok()?),
        })
    }
}
