//! A JSON document that the Python package signed, alone: no line of a ledger, in any layout.

use carbon_ops_proof::keys::{PublicKey, Trust};
use carbon_ops_proof::verify::Status;

use super::line::{ALGORITHM, Line, text};
use crate::legacy_fault::Fault;

/// What verifying a document found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Document {
    /// [`Status::Valid`], [`Status::Untrusted`] or [`Status::Tampered`].
    pub status: Status,
    /// What is wrong with it.
    pub fault: Option<Fault>,
    /// The key that signed it.
    pub key: Option<PublicKey>,
}

/// Verifies a document: its signature, and nothing else, for there is nothing else. How its JSON is laid out
/// does not matter, as it does not to the package.
#[must_use]
pub fn verify_document(json: &[u8], trust: &Trust) -> Document {
    let judge = || {
        // A line has no carriage return for the package's sake, which ends a line there.
        let json: Vec<u8> = json.iter().copied().filter(|byte| *byte != b'\r').collect();
        let line = Line::parse(&json)?;
        let by_layout =
            |fault: &&Fault| matches!(fault, Fault::Respelled | Fault::SurroundingSpace);
        if let Some(fault) = line.lax.iter().find(|fault| !by_layout(fault)) {
            return Err(fault.clone());
        }
        if text(&line.members, "signature_algorithm") != Some(ALGORITHM) {
            return Err(Fault::Algorithm);
        }
        let keys = line.named_key().into_iter().chain(trust.keys());
        keys.into_iter().find(|key| line.verifies(*key)).ok_or(Fault::Signature)
    };
    match judge() {
        Ok(key) => {
            let status = if trust.contains(key) { Status::Valid } else { Status::Untrusted };
            Document { status, fault: None, key: Some(key) }
        }
        Err(fault) => Document { status: Status::Tampered, fault: Some(fault), key: None },
    }
}

#[cfg(test)]
mod tests {
    use carbon_ops_proof::keys::SecretKey;

    use super::*;

    /// The first line of a ledger that the package wrote, which links to none before.
    const SIGNED: &str = include_str!("../../../../testdata/ledgers/0.1/audit.ndjson");

    #[test]
    fn a_document_of_the_package_verifies_in_any_layout_and_no_change_of_it_does() {
        let line = SIGNED.lines().next().unwrap();
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let named = value["signing_key"].as_str().unwrap();
        let key = PublicKey::from_hex(named).unwrap();
        let trust = Trust::from_iter([key]);
        for laid_out in [
            line.to_owned(),
            format!("{line}\n"),
            format!(" {}\r\n", line.replace(", \"", ",\r\n  \"")),
        ] {
            let document = verify_document(laid_out.as_bytes(), &trust);
            assert_eq!((document.status, document.key), (Status::Valid, Some(key)), "{laid_out}");
            let unknown = verify_document(laid_out.as_bytes(), &Trust::new());
            assert_eq!((unknown.status, unknown.key), (Status::Untrusted, Some(key)));
        }
        let other = Trust::from_iter([SecretKey::from_seed(&[9; 32]).public_key()]);
        assert_eq!(verify_document(line.as_bytes(), &other).status, Status::Untrusted);
        for at in 0..line.len() {
            let mut bad = line.as_bytes().to_vec();
            bad[at] ^= 1 << (at % 6);
            // What names a key and an algorithm is not signed; and space is no content.
            let same = |text: &[u8]| {
                let value: Option<serde_json::Value> = serde_json::from_slice(text).ok();
                value.map(|mut value| {
                    let members = value.as_object_mut().map(|m| m.remove("signing_key"));
                    (value, members.is_some())
                })
            };
            if same(&bad) != same(line.as_bytes()) {
                assert_eq!(verify_document(&bad, &trust).status, Status::Tampered, "byte {at}");
            }
        }
    }
}
