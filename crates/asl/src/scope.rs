//! What an expression can see, and the three things it may ask of the world.

use serde_json::{Map, Value};
use std::sync::atomic::{AtomicU64, Ordering};

/// Workflow variables by name, without `$`.
pub type Variables = Map<String, Value>;

/// Time and chance. The caller decides them, so that an evaluation can be repeated.
pub trait Outside {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now_ms(&self) -> i64;
    /// A version 4 UUID in its usual text form.
    fn uuid(&self) -> String;
    /// Evenly spread in `[0, 1)`.
    fn random(&self) -> f64;
}

/// An [`Outside`] that repeats itself for the same seed: splitmix64.
#[derive(Debug)]
pub struct Seeded {
    state: AtomicU64,
    now_ms: i64,
}

impl Seeded {
    pub fn new(seed: u64, now_ms: i64) -> Seeded {
        Seeded { state: AtomicU64::new(seed), now_ms }
    }

    fn next(&self) -> u64 {
        let mut z = self
            .state
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
            .wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Outside for Seeded {
    fn now_ms(&self) -> i64 {
        self.now_ms
    }

    fn uuid(&self) -> String {
        let mut bytes = [0u8; 16];
        bytes[..8].copy_from_slice(&self.next().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next().to_be_bytes());
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    fn random(&self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What an expression sees. For JSONPath `input` is `$`, `context` is `$$`; for JSONata they are `$states.input` and
/// `$states.context`.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub input: &'a Value,
    pub context: &'a Value,
    pub variables: &'a Variables,
    /// `$states.result`, where there is one.
    pub result: Option<&'a Value>,
    /// `$states.errorOutput`, in a Catch.
    pub error_output: Option<&'a Value>,
    pub outside: &'a dyn Outside,
}

impl<'a> Scope<'a> {
    pub fn new(
        input: &'a Value,
        context: &'a Value,
        variables: &'a Variables,
        outside: &'a dyn Outside,
    ) -> Scope<'a> {
        Scope { input, context, variables, result: None, error_output: None, outside }
    }

    pub fn with_input(self, input: &'a Value) -> Scope<'a> {
        Scope { input, ..self }
    }

    pub fn with_result(self, result: &'a Value) -> Scope<'a> {
        Scope { result: Some(result), ..self }
    }

    pub fn with_error_output(self, error_output: &'a Value) -> Scope<'a> {
        Scope { error_output: Some(error_output), ..self }
    }
}
