//! An entry whose payload is written out and whose six other members are still to come.
//!
//! The canonical form of a payload is made once, by whoever submits it. Number, link and signature
//! are put into their places in it later, so that nobody writes or sorts members a second time. Every line
//! that is written is made here.
//!
//! Out of scope: judging payloads, which is `check_payload`.

use sha2::{Digest, Sha256};

use super::layout::{ALGORITHM, RESERVED_MEMBERS};
use crate::canonical::{Object, utf16_order, write_member};
use crate::ids::{EntryHash, Head, LedgerId, MAX_LINE_BYTES};
use crate::keys::PublicKey;

/// Room for the six members with their values, names and punctuation.
const MEMBERS_BYTES: usize = 512;

/// Room for the three members of a signature and for the end of the line.
pub const SIGNATURE_BYTES: usize = 320;

/// A payload in canonical form, open where the ledger's members belong.
#[derive(Debug)]
pub struct Template {
    /// The members of the payload, each with a comma behind it.
    text: Vec<u8>,
    /// Where in `text` each of [`RESERVED_MEMBERS`], which are in canonical order, belongs.
    places: [usize; RESERVED_MEMBERS.len()],
}

/// The members that an entry has besides its payload and its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The ledger.
    pub ledger_id: LedgerId,
    /// The entry before; none for a genesis.
    pub after: Option<Head>,
}

impl Place {
    /// The number of the entry.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.after.map_or(0, |head| head.seq.saturating_add(1))
    }
}

impl Template {
    /// Of a payload that [`check_payload`](super::check_payload) accepts, or of one of the ledger's own.
    #[must_use]
    pub fn new(payload: &Object) -> Self {
        let mut text = Vec::with_capacity(1024);
        let mut places = [0; RESERVED_MEMBERS.len()];
        let mut open = RESERVED_MEMBERS.iter().zip(&mut places).peekable();
        for (name, value) in payload.iter() {
            while let Some((_, place)) = open.next_if(|(other, _)| utf16_order(other, name).is_lt())
            {
                *place = text.len();
            }
            write_member(&mut text, name, value);
            text.push(b',');
        }
        for (_, place) in open {
            *place = text.len();
        }
        Self { text, places }
    }

    /// How much memory it holds, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Whether the line at this place, which is not the first, is within [`MAX_LINE_BYTES`].
    #[must_use]
    pub fn fits(&self, place: &Place) -> bool {
        // `"ledger_id":"…",` and so on, each with its comma; the last comma makes room for one of
        // the two braces.
        const MEMBERS: usize = "\"ledger_id\":\"\",".len()
            + 32
            + "\"prev_hash\":\"\",".len()
            + 64
            + "\"seq\":,".len()
            + "\"signature\":\"\",".len()
            + 128
            + "\"signature_algorithm\":\"ed25519\",".len()
            + "\"signing_key\":\"\",".len()
            + 64;
        let digits = place.seq().checked_ilog10().map_or(1, |log| log as usize + 1);
        self.text.len() + MEMBERS + digits < MAX_LINE_BYTES
    }

    /// The signed bytes of the entry at this place, and their hash.
    #[must_use]
    pub fn signed_bytes(&self, place: &Place) -> (Vec<u8>, EntryHash) {
        let mut out = Vec::with_capacity(self.text.len() + MEMBERS_BYTES);
        self.write(&mut out, place, None);
        let hash = EntryHash(Sha256::digest(&out).into());
        (out, hash)
    }

    /// Appends the whole line of the entry at this place, without its newline.
    pub fn line(&self, out: &mut Vec<u8>, place: &Place, key: &SigningKey, signature: &[u8; 64]) {
        self.write(out, place, Some((key, &digits::<128>(signature))));
    }

    fn write(&self, out: &mut Vec<u8>, place: &Place, signed: Option<(&SigningKey, &[u8])>) {
        let mut at = 0;
        let mut piece = |out: &mut Vec<u8>, to: usize, member: &str, value: &[u8], quoted: bool| {
            out.extend_from_slice(self.text.get(at..to).unwrap_or_default());
            at = to;
            out.push(b'"');
            out.extend_from_slice(member.as_bytes());
            out.extend_from_slice(if quoted { b"\":\"" } else { b"\":" });
            out.extend_from_slice(value);
            out.extend_from_slice(if quoted { b"\"," } else { b"," });
        };
        let [ledger_id, prev_hash, seq, signature, algorithm, signing_key] = self.places;
        out.push(b'{');
        piece(out, ledger_id, "ledger_id", &digits::<32>(&place.ledger_id.0), true);
        if let Some(after) = place.after {
            piece(out, prev_hash, "prev_hash", &digits::<64>(&after.hash.0), true);
        }
        let mut number = itoa::Buffer::new();
        piece(out, seq, "seq", number.format(place.seq()).as_bytes(), false);
        if let Some((key, digits)) = signed {
            piece(out, signature, "signature", digits, true);
            piece(out, algorithm, "signature_algorithm", ALGORITHM.as_bytes(), true);
            piece(out, signing_key, "signing_key", &key.digits, true);
        }
        out.extend_from_slice(self.text.get(at..).unwrap_or_default());
        // Every member ends with a comma, and there are some: the last one closes the object.
        out.pop();
        out.push(b'}');
    }
}

/// The lower-case hexadecimal digits of some bytes, of which there are `D / 2`.
fn digits<const D: usize>(bytes: &[u8]) -> [u8; D] {
    let mut digits = [b'0'; D];
    // It fails for another length alone.
    let _ = base16ct::lower::encode(bytes, &mut digits);
    digits
}

/// A public key with its digits, which every line repeats.
#[derive(Clone, Copy, Debug)]
pub struct SigningKey {
    /// The key.
    pub key: PublicKey,
    digits: [u8; 64],
}

impl SigningKey {
    /// Of a public key.
    #[must_use]
    pub fn new(key: PublicKey) -> Self {
        Self { key, digits: digits(&key.to_bytes()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::canonical::{Number, Value, object_to_canonical};
    use crate::entry::Entry;
    use crate::keys::{SecretKey, Signer as _};

    fn key() -> SecretKey {
        SecretKey::from_seed(&[7; 32])
    }

    fn place(seq: u64) -> Place {
        let after = Head { seq: seq - 1, hash: EntryHash([0xab; 32]) };
        Place { ledger_id: LedgerId([0xc4; 16]), after: Some(after) }
    }

    fn by_template(payload: &Object, place: &Place) -> (Vec<u8>, EntryHash) {
        let template = Template::new(payload);
        let (signed, hash) = template.signed_bytes(place);
        let signature = key().sign(&signed).unwrap();
        let mut line = Vec::new();
        template.line(&mut line, place, &SigningKey::new(key().public_key()), &signature);
        assert_eq!(Entry::parse(&line).unwrap().signed_bytes(), signed);
        assert_eq!(template.fits(place), line.len() <= MAX_LINE_BYTES);
        (line, hash)
    }

    /// Against the whole object, sorted and written as any other.
    fn check(mut payload: Object, place: &Place) {
        let (line, hash) = by_template(&payload, place);
        let after = place.after.unwrap();
        payload.insert("ledger_id", place.ledger_id.to_string());
        payload.insert("prev_hash", after.hash.to_string());
        payload.insert("seq", Number::try_from(place.seq()).unwrap());
        let signed = object_to_canonical(&payload);
        assert_eq!(hash, EntryHash(Sha256::digest(&signed).into()));
        let signature = base16ct::lower::encode_string(&key().sign(&signed).unwrap());
        payload.insert("signature", signature);
        payload.insert("signature_algorithm", ALGORITHM);
        payload.insert("signing_key", key().public_key().to_hex());
        let slow = object_to_canonical(&payload);
        assert_eq!(String::from_utf8(line), String::from_utf8(slow));
    }

    #[test]
    fn members_that_sort_between_the_ledgers_own_are_in_their_places() {
        let names = [
            "",
            "a",
            "ledger_i",
            "ledger_id_",
            "prev_hasg",
            "prev_hash0",
            "sep",
            "seq_",
            "signatur",
            "signature_",
            "signature_algorithm_",
            "signature0",
            "signing_ke",
            "signing_key_",
            "z",
            "é",
            "\u{fb33}",
            "😀",
            "with \"quotes\"\n",
        ];
        for name in names {
            check(Object::from_members([(name, Value::from(1))]).unwrap(), &place(1));
        }
        check(
            Object::from_members(names.map(|name| (name, Value::from(name)))).unwrap(),
            &place(9),
        );
        check(Object::new(), &place(1));
    }

    #[test]
    fn the_line_limit_is_that_of_entries() {
        for seq in [1, 9, 10, 99_999, 100_000, (1 << 53) - 1] {
            let (empty, _) =
                by_template(&Object::from_members([("p", "".into())]).unwrap(), &place(seq));
            for (more, fits) in [(0, true), (1, false)] {
                let pad = "x".repeat(MAX_LINE_BYTES - empty.len() + more);
                let template = Template::new(&Object::from_members([("p", pad.into())]).unwrap());
                assert_eq!(template.fits(&place(seq)), fits, "{seq}");
            }
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..4)
                    .prop_map(|members| Object::from_members(members).unwrap().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_line_by_template_is_the_line_by_object(
            members in prop::collection::btree_map("[lps][a-z_]{0,6}|.*", values(), 0..8),
            seq in 1_u64..1 << 53,
        ) {
            let payload = Object::from_members(members).unwrap();
            prop_assume!(crate::entry::check_payload(&payload).is_ok());
            check(payload, &place(seq));
        }
    }
}
