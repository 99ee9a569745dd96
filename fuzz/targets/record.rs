//! Records: any bytes are a record or an error; a record is the same when it is written
//! and read again, its own slots price it without a panic, and so are its numbers derived.
#![no_main]

use carbon_ops_record::Record;
use carbon_ops_record::continuity::Passage;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// More trials than a run of this may take.
const TRIALS_MAX: u64 = 10_000;

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    let Ok(record) = Record::from_json(value) else { return };
    let Ok(again) = serde_json::to_value(&record) else { unreachable!("a record has a JSON form") };
    let again = Record::from_json(again);
    assert_eq!(again.as_ref().ok(), Some(&record));
    let trials = record.meta.monte_carlo.as_ref();
    if trials.is_none_or(|run| run.trials <= TRIALS_MAX && run.adaptive_digits.is_none()) {
        let _ = record.recompute();
    }
    for missing in ["step", "drop", "interpolate"] {
        if let Ok(missing) = missing.parse() {
            let _ = record.reprice(missing);
        }
    }
    let _ = record.shared_errors();
    let _ = record.energy();
    let _ = Passage::of(&record);
});
