//! Signed notes: any bytes are a note or a reason why not, and a note is the same after it was written.
#![no_main]

use carbon_ops_ledger::keys::SecretKey;
use carbon_ops_proof::note::Note;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let key = SecretKey::from_seed(&std::array::from_fn(|i| u8::try_from(i).unwrap_or_default()));
    let keys = [key.public_key()];
    let Ok(note) = Note::parse(bytes) else { return };
    assert_eq!(note.to_string().as_bytes(), bytes);
    let name = note.text().lines().next().unwrap_or_default();
    let _ = note.verify(name, &keys);
    // The same text, signed, is believed by who knows the key and by nobody else.
    let Ok(signed) = Note::sign(note.text().to_owned(), "example.com/log", &key) else { return };
    assert_eq!(signed.verify("example.com/log", &keys), Ok(keys[0]));
    assert!(signed.verify("example.com/other", &keys).is_err());
});
