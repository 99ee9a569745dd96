//! What a witness and its clients read from strangers: requests, policies and lines of cosignatures. Any
//! bytes are one or a reason why not, and a request is the same after it was written.
#![no_main]

use carbon_ops_proof::cosignature;
use carbon_ops_ledger::keys::SecretKey;
use carbon_ops_proof::note::{KeyKind, Note, NoteSignature, VerifierKey};
use carbon_ops_proof::policy::Policy;
use carbon_ops_ledger::witness::Request;
use libfuzzer_sys::fuzz_target;

const LOG: &str = "example.com/log";
const TEXT: &str = "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = Request::parse(bytes) {
        assert_eq!(request.to_string().as_bytes(), bytes);
        verify(&request.checkpoint);
    }
    let policy = Policy::parse(bytes);
    let lines = str::from_utf8(bytes).ok().map(NoteSignature::parse_lines);
    if policy.is_err() && !matches!(lines, Some(Ok(_))) {
        return;
    }
    let Ok(mut note) = Note::sign(TEXT.to_owned(), LOG, &SecretKey::from_seed(&[1; 32])) else {
        return;
    };
    for line in lines.into_iter().flatten().flatten() {
        let _ = note.add(line);
    }
    // Whatever was added, it is a note that is read as it was written.
    assert_eq!(Note::parse(note.to_string().as_bytes()).as_ref(), Ok(&note));
    verify(&note);
    if let Ok(policy) = policy {
        let _ = policy.judge(&note, u64::MAX).map(|judged| judged.to_string());
    }
});

fn verify(note: &Note) {
    let key = SecretKey::from_seed(&[11; 32]).public_key();
    if let Some(key) = VerifierKey::new("w11.example", KeyKind::Cosignature, key) {
        // Nobody but the key's holder cosigns.
        assert!(!matches!(cosignature::verify(note, &key), Ok(Some(_))));
    }
}
