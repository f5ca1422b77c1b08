//! What intrinsic functions share with those of JSONata.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// Most items of a range, as in Step Functions.
pub(crate) const RANGE_ITEMS_MAX: usize = 1000;

/// From `from` to `to`, both included, by `step`.
pub(crate) fn range(from: i64, to: i64, step: i64) -> Result<Vec<i64>, String> {
    if step == 0 {
        return Err("The step argument must not be zero".to_owned());
    }
    let mut list = Vec::new();
    let mut at = from;
    while (step > 0 && at <= to) || (step < 0 && at >= to) {
        if list.len() == RANGE_ITEMS_MAX {
            return Err(format!("The range must not have more than {RANGE_ITEMS_MAX} items"));
        }
        list.push(at);
        match at.checked_add(step) {
            Some(next) => at = next,
            None => break,
        }
    }
    Ok(list)
}

/// In lower-case hexadecimal.
pub(crate) fn hash(text: &str, algorithm: &str) -> Result<String, String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect();
    Ok(match algorithm {
        "MD5" => hex(&Md5::digest(text)),
        "SHA-1" => hex(&Sha1::digest(text)),
        "SHA-256" => hex(&Sha256::digest(text)),
        "SHA-384" => hex(&Sha384::digest(text)),
        "SHA-512" => hex(&Sha512::digest(text)),
        _ => {
            return Err(format!(
                "Unknown hash algorithm '{algorithm}': use MD5, SHA-1, SHA-256, SHA-384 or SHA-512"
            ));
        }
    })
}

/// The number in `[0, 1)` that belongs to a seed.
pub(crate) fn seeded(seed: f64) -> f64 {
    use crate::{Outside as _, Seeded};
    Seeded::new(seed.to_bits(), 0).random()
}

/// Whole, half up: 1.5 is 2, -0.5 is 0.
pub(crate) fn round(n: f64) -> f64 {
    (n + 0.5).floor()
}
