//! Checkpoints: any text is one or none, one is the same after it was written, and only signed ones count.
#![no_main]

use carbon_ops_proof::checkpoint::Checkpoint;
use carbon_ops_ledger::keys::{SecretKey, Trust};
use carbon_ops_proof::note::Note;
use carbon_ops_proof::verify::{Anchor, AnchorKind, AnchorVerdict, Status, verify_against};
use libfuzzer_sys::fuzz_target;

/// The ledger that the seeds are checkpoints of.
const LEDGER: &[u8] = include_bytes!("../../testdata/ledgers/v1/basic.ndjson");

fuzz_target!(|bytes: &[u8]| {
    let key = SecretKey::from_seed(&std::array::from_fn(|i| u8::try_from(i).unwrap_or_default()));
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(checkpoint) = Checkpoint::parse(text)
    {
        assert_eq!(checkpoint.to_string(), text);
    }
    let trust = Trust::from_iter([key.public_key()]);
    for kind in [AnchorKind::Checkpoint, AnchorKind::SignerState] {
        let anchor = Anchor { source: "fuzz".into(), bytes: bytes.to_vec(), kind };
        let since = anchor.checkpoint().map_or(0, |checkpoint| checkpoint.size);
        let report = verify_against(LEDGER, &trust, &[anchor], since, &mut |_| Ok(()));
        let Ok(report) = report else { unreachable!("a slice can be read") };
        let [anchor] = &report.anchors[..] else { unreachable!("one anchor, one report") };
        assert_eq!(anchor.verdict == AnchorVerdict::Confirmed, report.status == Status::Valid);
        // The seeds' own note, and nothing else that a key of ours has not signed.
        if kind == AnchorKind::Checkpoint && report.status == Status::Valid {
            let note = Note::parse(bytes);
            let signed = note.ok().and_then(|n| Some((Checkpoint::of_note(&n).ok()?, n)));
            assert!(signed.is_some_and(|(c, n)| c.signed_by(&n, &[key.public_key()]).is_ok()));
        }
    }
});
