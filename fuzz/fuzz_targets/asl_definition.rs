//! Any bytes as a definition, JSON or YAML: faults or a machine, never a panic, never a hang.
#![no_main]

use bourn_asl::{Machine, place};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    match Machine::parse(&text) {
        Ok(machine) => {
            let again = Machine::from_value(&machine.source).expect("a machine's source is a machine");
            assert_eq!(again.states().len(), machine.states().len());
            for used in machine.uses() {
                assert!(machine.source.pointer(&used.pointer).is_some(), "{} leads nowhere", used.pointer);
            }
        }
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without saying why");
            for fault in faults {
                let _ = place(&text, &fault.location);
            }
        }
    }
});
