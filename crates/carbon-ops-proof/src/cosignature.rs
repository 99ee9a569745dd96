//! Cosignatures: what a witness adds to a checkpoint (C2SP tlog-cosignature, Ed25519, `cosignature/v1`).
//!
//! A cosignature says that at its time this was the largest tree of the log that the witness had seen,
//! and that it extends all that it had seen before.
//!
//! Out of scope: ML-DSA-44 (type 0x06), of which the specification is a release candidate, and
//! signatures of subtrees.

use crate::error::{Error, Result};
use crate::keys::{Signer, sign_verifiably};
use crate::note::{KeyKind, Note, NoteError, NoteSignature, VerifierKey};

/// The latest time that a cosignature may carry (C2SP tlog-cosignature, "Format").
const MAX_TIMESTAMP: u64 = i64::MAX as u64;

/// Cosigns a note as `name`. `timestamp` is in seconds since 1970-01-01 UTC.
///
/// To be called by what keeps a witness's state only.
///
/// # Errors
///
/// When the signer does not sign, the name cannot be a key's, or the time is beyond
/// what a cosignature holds.
///
/// ```
/// use carbon_ops_proof::cosignature::{cosign, verify};
/// use carbon_ops_proof::keys::SecretKey;
/// use carbon_ops_proof::note::{KeyKind, Note, VerifierKey};
/// let (log, witness) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
/// let text = "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
/// let mut note = Note::sign(text.into(), "example.com/log", &log).unwrap();
/// let name = "witness.example/w1";
/// let key = VerifierKey::new(name, KeyKind::Cosignature, witness.public_key()).unwrap();
/// assert_eq!(verify(&note, &key), Ok(None));
/// note.add(cosign(&note, name, &witness, 1_679_315_147).unwrap()).unwrap();
/// assert_eq!(verify(&note, &key), Ok(Some(1_679_315_147)));
/// ```
pub fn cosign(
    note: &Note,
    name: &str,
    signer: &dyn Signer,
    timestamp: u64,
) -> Result<NoteSignature> {
    let refuse = |reason: &str| Error::Signer { reason: reason.to_owned() };
    let key = VerifierKey::new(name, KeyKind::Cosignature, signer.public_key())
        .ok_or_else(|| refuse("its name is empty, or has white space or a plus sign"))?;
    if timestamp > MAX_TIMESTAMP {
        return Err(refuse("the time is beyond 2^63 - 1 seconds"));
    }
    let signature = sign_verifiably(signer, message(note.text(), timestamp).as_bytes())?;
    let signature = [&timestamp.to_be_bytes()[..], &signature].concat();
    Ok(NoteSignature { name: name.to_owned(), key_id: key.key_id(), signature })
}

/// When the witness with this key last cosigned the note, in seconds since 1970-01-01 UTC; none when
/// it did not.
///
/// # Errors
///
/// [`NoteError::Signature`] when the note has a line by this key that does not verify.
pub fn verify(note: &Note, key: &VerifierKey) -> Result<Option<u64>, NoteError> {
    let mut latest = None;
    if key.kind() != KeyKind::Cosignature {
        return Ok(None);
    }
    for signature in note.signatures().iter().filter(|signature| key.claims(signature)) {
        let timestamp = timestamp_of(note.text(), signature, key)
            .ok_or_else(|| NoteError::Signature(key.name().to_owned()))?;
        latest = latest.max(Some(timestamp));
    }
    Ok(latest)
}

/// The time of a cosignature, if it is one of the text by this key.
pub(crate) fn timestamp_of(
    text: &str,
    signature: &NoteSignature,
    key: &VerifierKey,
) -> Option<u64> {
    let (timestamp, rest) = signature.signature.split_first_chunk::<8>()?;
    let timestamp = u64::from_be_bytes(*timestamp);
    let bytes: [u8; 64] = rest.try_into().ok()?;
    let good = key.claims(signature)
        && timestamp <= MAX_TIMESTAMP
        && key.key().verifies(message(text, timestamp).as_bytes(), &bytes);
    good.then_some(timestamp)
}

/// The signed message (C2SP tlog-cosignature, "Ed25519 signed message").
fn message(text: &str, timestamp: u64) -> String {
    format!("cosignature/v1\ntime {timestamp}\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SecretKey;

    const LOG: &str = "example.com/behind-the-sofa";
    const WITNESS: &str = "witness.example.com/w1";
    /// The text and the time of the example in C2SP tlog-cosignature.
    const TEXT: &str = "example.com/behind-the-sofa\n20852163\n\
                        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    const TIME: u64 = 1_679_315_147;

    fn cosigned() -> (Note, VerifierKey) {
        let (log, witness) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let key = VerifierKey::new(WITNESS, KeyKind::Cosignature, witness.public_key()).unwrap();
        let mut note = Note::sign(TEXT.to_owned(), LOG, &log).unwrap();
        note.add(cosign(&note, WITNESS, &witness, TIME).unwrap()).unwrap();
        (note, key)
    }

    #[test]
    fn the_message_is_the_one_of_the_specification() {
        let spec = "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n\
                    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        assert_eq!(message(TEXT, TIME), spec);
    }

    /// The note that C2SP tlog-cosignature shows. Its keys are not published: what can be compared is
    /// the form and the time.
    #[test]
    fn the_note_of_the_specification_is_read_and_has_its_time() {
        let text = format!(
            "{TEXT}\n\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurm\
             RDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\u{2014} witness.example.com/w1 \
             jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0x\
             Ue+mbIUBkBIfZ+qnA==\n"
        );
        let note = Note::parse(text.as_bytes()).unwrap();
        assert_eq!(note.to_string(), text);
        let [_, witness] = note.signatures() else { panic!("two signatures") };
        assert_eq!(witness.signature.len(), 8 + 64);
        assert_eq!(witness.signature[..8], TIME.to_be_bytes());
    }

    #[test]
    fn a_plain_signature_is_no_cosignature_and_the_reverse() {
        let (note, key) = cosigned();
        let witness = SecretKey::from_seed(&[2; 32]);
        let plain = Note::sign(TEXT.to_owned(), WITNESS, &witness).unwrap();
        assert_eq!(verify(&plain, &key), Ok(None));
        assert_eq!(note.verify(WITNESS, &[witness.public_key()]), Err(NoteError::Unsigned));
        let as_log = VerifierKey::new(WITNESS, KeyKind::Ed25519, witness.public_key()).unwrap();
        assert_eq!(verify(&plain, &as_log), Ok(None));
    }

    #[test]
    fn a_note_cosigned_twice_has_the_later_time_and_both_are_checked() {
        let (mut note, key) = cosigned();
        let witness = SecretKey::from_seed(&[2; 32]);
        let later = cosign(&note, WITNESS, &witness, TIME + 60).unwrap();
        let text = format!("{note}{later}");
        let both = Note::parse(text.as_bytes()).unwrap();
        assert_eq!(verify(&both, &key), Ok(Some(TIME + 60)));
        note.add(later).unwrap();
        assert_eq!(note.signatures().len(), 2, "the older one was replaced");
        let mut bad = cosign(&note, WITNESS, &witness, TIME + 90).unwrap();
        bad.signature[20] ^= 1;
        let text = format!("{note}{bad}");
        let note = Note::parse(text.as_bytes()).unwrap();
        assert_eq!(verify(&note, &key), Err(NoteError::Signature(WITNESS.to_owned())));
    }

    #[test]
    fn no_flipped_bit_of_a_cosignature_is_accepted() {
        let (note, key) = cosigned();
        for at in 0..8 + 64 {
            for bit in 0..8 {
                let mut note = note.clone();
                let mut signature = note.signatures()[1].clone();
                signature.signature[at] ^= 1 << bit;
                note.add(signature).unwrap();
                assert!(verify(&note, &key).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn a_time_beyond_the_limit_is_neither_signed_nor_believed() {
        let (mut note, key) = cosigned();
        let witness = SecretKey::from_seed(&[2; 32]);
        assert!(cosign(&note, WITNESS, &witness, MAX_TIMESTAMP).is_ok());
        assert!(cosign(&note, WITNESS, &witness, MAX_TIMESTAMP + 1).is_err());
        // Made by a witness without that limit.
        let late = MAX_TIMESTAMP + 1;
        let signature = witness.sign(message(note.text(), late).as_bytes()).unwrap();
        let signature = [&late.to_be_bytes()[..], &signature].concat();
        let name = WITNESS.to_owned();
        note.add(NoteSignature { name, key_id: key.key_id(), signature }).unwrap();
        assert!(verify(&note, &key).is_err());
    }
}
