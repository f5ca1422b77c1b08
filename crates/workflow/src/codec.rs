//! How records are stored: a byte with the format's version, then the value in postcard's encoding.

use crate::WorkflowError;
use crate::error::ErrorKind;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Plain, format 1.
const PLAIN: u8 = 1;

pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, WorkflowError> {
    postcard::to_extend(value, vec![PLAIN]).map_err(|error| broken("cannot be written", &error))
}

pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WorkflowError> {
    decode_front(bytes)
}

/// The same of a record's first fields; what stands behind them is left.
pub fn decode_front<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, WorkflowError> {
    match bytes.split_first() {
        Some((&PLAIN, rest)) => postcard::from_bytes(rest).map_err(|error| broken("cannot be read", &error)),
        Some((version, _)) => Err(WorkflowError::new(
            ErrorKind::InternalServerError,
            format!("a workflow record has format {version}, and this version of bourn reads 1"),
        )),
        None => Err(WorkflowError::new(ErrorKind::InternalServerError, "a workflow record is empty")),
    }
}

fn broken(what: &str, error: &postcard::Error) -> WorkflowError {
    WorkflowError::new(ErrorKind::InternalServerError, format!("a workflow record {what}: {error}"))
}
