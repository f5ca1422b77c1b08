//! Any bytes as `bourn.yaml`: faults or a definition, never a panic, never a hang.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    if let Err(faults) = bourn_config::load_text(&text, "bourn.yaml", Path::new("/nonexistent")) {
        assert!(!faults.is_empty(), "refused without saying why");
        let _ = faults.to_string();
    }
});
