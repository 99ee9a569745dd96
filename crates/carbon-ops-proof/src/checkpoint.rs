//! Checkpoints: the size and root of a ledger's tree, as a text that is signed (C2SP
//! tlog-checkpoint v1.0.0).
//!
//! Whoever kept one can tell that the ledger was cut or rewritten below it.
//!
//! Out of scope: when one is made and where it is stored (`carbon-ops-ledger`), and comparing one
//! with a ledger (`verify.rs`).

use std::fmt;

use crate::entry::LedgerId;
use crate::error::Result;
use crate::hex;
use crate::keys::{PublicKey, Signer};
use crate::merkle::TreeHash;
use crate::note::{Note, NoteError};

/// The file in the ledger's directory that holds the last checkpoint.
pub const CHECKPOINT_FILE: &str = "checkpoint";
/// The file that every checkpoint is appended to.
pub const CHECKPOINT_LOG: &str = "checkpoints.log";
/// The file that holds what the signer was last ready to sign.
pub const SIGNER_STATE_FILE: &str = "signer.state";

/// What the origin of a ledger begins with. No URL that anyone serves: a ledger is known by its
/// random name, and a folder has no address.
pub(crate) const ORIGIN_PREFIX: &str = "carbon-ops/ledger/";

/// The size and root of a ledger at one time.
///
/// ```
/// use carbon_ops_proof::checkpoint::Checkpoint;
/// use carbon_ops_proof::entry::LedgerId;
/// use carbon_ops_proof::merkle::empty_root;
/// let checkpoint = Checkpoint { ledger_id: LedgerId([0xa1; 16]), size: 0, root: empty_root() };
/// let text = checkpoint.to_string();
/// assert_eq!(
///     text,
///     "carbon-ops/ledger/a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1\n0\n\
///      47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
/// );
/// assert_eq!(Checkpoint::parse(&text), Some(checkpoint));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which ledger.
    pub ledger_id: LedgerId,
    /// How many lines it has.
    pub size: u64,
    /// The root of the tree over them.
    pub root: TreeHash,
}

/// The size and root of any log's tree, as a witness sees it: it need not know what the log is.
///
/// ```
/// use carbon_ops_proof::checkpoint::TreeHead;
/// let head = TreeHead::parse(
///     "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nan extension\n",
/// );
/// assert_eq!(head.unwrap().origin, "example.com/log");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// The log's unique name.
    pub origin: String,
    /// How many leaves there are.
    pub size: u64,
    /// The root over them.
    pub root: TreeHash,
}

impl TreeHead {
    /// Reads the text of a log's checkpoint: origin, size and root, then lines of the log's own, of
    /// which nothing is said. Size and root have one spelling, and no line is empty.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, digits, root) = (lines.next()?, lines.next()?, lines.next()?);
        let head = Self {
            origin: origin.to_owned(),
            size: digits.parse().ok()?,
            root: TreeHash::from_base64(root)?,
        };
        let good = !origin.is_empty()
            && head.size.to_string() == digits
            && lines.all(|extension| !extension.is_empty());
        good.then_some(head)
    }
}

/// The name of a ledger in checkpoints, and of the key that signs them.
#[must_use]
pub fn origin(ledger_id: LedgerId) -> String {
    format!("{ORIGIN_PREFIX}{ledger_id}")
}

impl Checkpoint {
    /// Reads the text of a checkpoint of a ledger of ours, strictly. Extension lines, which no
    /// monitor could check, are refused.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let id = lines.next()?.strip_prefix(ORIGIN_PREFIX)?;
        let checkpoint = Self {
            ledger_id: LedgerId(hex::decode(id)?),
            size: lines.next()?.parse().ok()?,
            root: TreeHash::from_base64(lines.next()?)?,
        };
        // One spelling for all: no leading zeroes, nothing behind.
        (checkpoint.to_string() == text).then_some(checkpoint)
    }

    /// Reads a note whose text is a checkpoint. Its signatures are not checked yet.
    ///
    /// # Errors
    ///
    /// When it is no note or its text no checkpoint of a ledger of ours.
    pub fn of_note(note: &Note) -> Result<Self, NoteError> {
        Self::parse(note.text()).ok_or(NoteError::Form("its text is not a ledger's checkpoint"))
    }

    /// The key among `keys` that signed `note`, which has this checkpoint's text.
    ///
    /// # Errors
    ///
    /// As [`Note::verify`].
    pub fn signed_by(&self, note: &Note, keys: &[PublicKey]) -> Result<PublicKey, NoteError> {
        note.verify(&origin(self.ledger_id), keys)
    }

    /// Signs this checkpoint. To be called by what keeps the signer's state only.
    ///
    /// # Errors
    ///
    /// When the signer does not sign.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Note> {
        Note::sign(self.to_string(), &origin(self.ledger_id), signer)
    }
}

/// The text that is signed.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", origin(self.ledger_id), self.size, self.root)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_one_spelling_is_read() {
        let good = "carbon-ops/ledger/a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1\n12\n\
                    47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
        assert!(Checkpoint::parse(good).is_some());
        for bad in [
            good.replace("12", "012"),
            good.replace("12", "+12"),
            good.replace("12", ""),
            good.replace("12", "18446744073709551616"),
            good.replace("a1", "A1"),
            good.replace("carbon-ops/", "example.com/"),
            good.replace("FU=", "FV="),
            good.replace("FU=", "FU"),
            format!("{good}extension\n"),
            format!("{good}\n"),
            good.trim_end().to_owned(),
            String::new(),
        ] {
            assert_eq!(Checkpoint::parse(&bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_checkpoint_is_read_as_it_was_written(id: [u8; 16], size: u64, root: [u8; 32]) {
            let checkpoint = Checkpoint { ledger_id: LedgerId(id), size, root: TreeHash(root) };
            prop_assert_eq!(Checkpoint::parse(&checkpoint.to_string()), Some(checkpoint));
        }
    }
}
