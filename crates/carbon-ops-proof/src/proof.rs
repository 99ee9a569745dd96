//! A proof that one entry is in a ledger, as a file that needs nothing else but the keys one trusts
//! (C2SP tlog-proof v1).
//!
//! The file carries the entry's line as its `extra`, the path to the root, and the signed checkpoint.
//! Where others than the genesis key signed these, the lines follow in `extra` that say who may sign: so
//! that who trusts the key that began the ledger needs to trust no other.
//!
//! Out of scope: building the tree, and saying what the entry means.

use std::fmt;

use base64ct::{Base64, Encoding};

use crate::checkpoint::Checkpoint;
use crate::entry::{Entry, MAX_LINE_BYTES};
use crate::keys::{PublicKey, Trust};
use crate::merkle::{MAX_PROOF_HASHES, TreeHash, leaf_hash, verify_inclusion};
use crate::note::{MAX_NOTE_BYTES, Note, NoteError};

mod build;
mod chain;
mod fault;

use chain::Chain;
pub use fault::ProofFault;

/// The first line of the file.
const MAGIC: &str = "c2sp.org/tlog-proof@v1";
/// The longest file that is read: a line in base64, a path, a checkpoint, and thousands of changes of
/// keys.
pub const MAX_PROOF_BYTES: usize = MAX_NOTE_BYTES + 2 * MAX_LINE_BYTES + (16 << 20);

/// The content of a proof file, not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The line without its newline, and behind it the lines that say who may sign; or other data that
    /// came along.
    pub extra: Option<Vec<u8>>,
    /// The entry's index, which is its `seq`.
    pub index: u64,
    /// The path from the leaf's sibling to the root's child.
    pub path: Vec<TreeHash>,
    /// The signed checkpoint.
    pub checkpoint: Note,
}

/// What a proof has shown.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Proven {
    /// The entry.
    pub entry: Entry,
    /// The tree that it is in.
    pub checkpoint: Checkpoint,
    /// The key that signed the checkpoint: a trusted one, or one that a trusted one let join.
    pub checkpoint_key: PublicKey,
    /// The key that began the ledger, if it is trusted and so vouches for the two that signed.
    pub genesis_key: Option<PublicKey>,
}

impl Proof {
    /// Reads a proof file, strictly: what is accepted is printed as the same bytes.
    ///
    /// # Errors
    ///
    /// [`ProofFault::Form`], or [`ProofFault::Checkpoint`] for the note at its end.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFault> {
        let refuse = ProofFault::Form;
        if bytes.len() > MAX_PROOF_BYTES {
            return Err(refuse("it is too long"));
        }
        let text = str::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8"))?;
        let (head, note) = text.split_once("\n\n").ok_or(refuse("it has no checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(MAGIC) {
            return Err(refuse("its first line is not c2sp.org/tlog-proof@v1"));
        }
        let extra = lines.peek().and_then(|line| line.strip_prefix("extra "));
        let extra = extra.map(|extra| Base64::decode_vec(extra).map_err(|_| refuse("bad extra")));
        let extra = extra.transpose()?;
        if extra.is_some() {
            lines.next();
        }
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index.and_then(|index| index.parse().ok()).ok_or(refuse("it has no index"))?;
        let path: Option<Vec<_>> = lines.map(TreeHash::from_base64).collect();
        let path = path.ok_or(refuse("a line of its path is not a hash"))?;
        if path.len() > MAX_PROOF_HASHES {
            return Err(refuse("its path is too long"));
        }
        let proof = Self { extra, index, path, checkpoint: Note::parse(note.as_bytes())? };
        // One spelling for all: no leading zeroes, no stray bits in the base64.
        if proof.to_string() == text { Ok(proof) } else { Err(refuse("it is not in its one form")) }
    }

    /// Checks everything: the entry that the file carries is in the tree of the checkpoint at `index`, is
    /// a valid entry of the same ledger, and both were signed by keys that are trusted, or that may sign
    /// by what the file carries of the ledger, if the key that began it is trusted.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn check(&self, trust: &Trust) -> Result<Proven, ProofFault> {
        let checkpoint = Checkpoint::of_note(&self.checkpoint)?;
        let (line, chain) = self.parts()?;
        verify_inclusion(
            leaf_hash(line),
            self.index,
            checkpoint.size,
            checkpoint.root,
            &self.path,
        )?;
        let roster = chain.map(|chain| chain.roster(&checkpoint)).transpose()?;
        let roster = roster.filter(|roster| trust.contains(roster.genesis_key()));
        let entry = Entry::parse(line);
        let mut keys: Vec<PublicKey> = trust.keys().collect();
        // Of a fingerprint the key has to be presented.
        keys.extend(entry.iter().map(Entry::signing_key).filter(|key| trust.contains(*key)));
        keys.extend(roster.iter().flat_map(|roster| roster.keys_at(checkpoint.size)));
        let checkpoint_key = match checkpoint.signed_by(&self.checkpoint, &keys) {
            Err(NoteError::Unsigned) => return Err(ProofFault::UntrustedCheckpoint),
            other => other?,
        };
        let entry = entry?;
        if entry.ledger_id() != checkpoint.ledger_id || entry.seq() != self.index {
            return Err(ProofFault::OtherEntry);
        }
        entry.verify_signature()?;
        let key = entry.signing_key();
        match &roster {
            Some(roster) => roster.permits(key, self.index)?,
            None if trust.contains(key) => {}
            None => return Err(ProofFault::UntrustedEntry(key.fingerprint())),
        }
        let genesis_key = roster.map(|roster| roster.genesis_key());
        Ok(Proven { entry, checkpoint, checkpoint_key, genesis_key })
    }

    /// The key to be trusted for this proof: the one that began the ledger, where the file tells it, or
    /// else the one that the entry says signed it. Nothing of it is checked.
    #[must_use]
    pub fn key_to_trust(&self) -> Option<PublicKey> {
        let (line, chain) = self.parts().ok()?;
        let first = chain.and_then(|chain| chain.first_line().map(<[u8]>::to_vec));
        let entry = Entry::parse(&first.unwrap_or_else(|| line.to_vec())).ok()?;
        Some(entry.signing_key())
    }

    /// The entry's line, and what follows it.
    fn parts(&self) -> Result<(&[u8], Option<Chain>), ProofFault> {
        let extra = self.extra.as_deref().ok_or(ProofFault::NoEntry)?;
        let Some(end) = extra.iter().position(|byte| *byte == b'\n') else {
            return Ok((extra, None));
        };
        let (line, rest) = extra.split_at(end);
        let chain = Chain::parse(rest.get(1..).unwrap_or_default());
        let chain =
            chain.ok_or(ProofFault::Form("what follows its entry does not say who may sign"))?;
        Ok((line, Some(chain)))
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{MAGIC}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", Base64::encode_string(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{hash}")?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::SecretKey;

    fn proof(extra: Option<Vec<u8>>, index: u64, path: Vec<[u8; 32]>) -> Proof {
        let key = SecretKey::from_seed(&[1; 32]);
        let checkpoint = Note::sign("log\n1\nroot\n".into(), "log", &key).unwrap();
        Proof { extra, index, path: path.into_iter().map(TreeHash).collect(), checkpoint }
    }

    #[test]
    fn only_the_one_spelling_is_read() {
        let good = proof(Some(b"ab".to_vec()), 7, vec![[9; 32]]).to_string();
        assert!(Proof::parse(good.as_bytes()).is_ok());
        for bad in [
            good.replace("@v1", "@v2"),
            good.replace("index 7", "index 07"),
            good.replace("index 7", "index +7"),
            good.replace("index 7\n", ""),
            good.replace("extra YWI=", "extra YWJ="),
            good.replace("extra YWI=", "extra  YWI="),
            good.replace("extra YWI=\nindex 7", "index 7\nextra YWI="),
            good.replace("extra YWI=\n", "extra YWI=\nextra YWI=\n"),
            good.replace("\n\nlog", "\nlog"),
            good.replace('\n', "\r\n"),
            format!("{good}\n"),
            format!("\n{good}"),
            proof(None, 7, vec![[9; 32]; MAX_PROOF_HASHES + 1]).to_string(),
        ] {
            assert_ne!(bad, good);
            assert!(Proof::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_proof_is_read_as_it_was_written(
            extra: Option<Vec<u8>>, index: u64,
            path in prop::collection::vec(any::<[u8; 32]>(), 0..=MAX_PROOF_HASHES),
        ) {
            let proof = proof(extra, index, path);
            prop_assert_eq!(Proof::parse(proof.to_string().as_bytes()), Ok(proof));
        }

        #[test]
        fn hostile_proof_files_never_panic(
            head in "(c2sp.org/tlog-proof@v1\n)?(extra [A-Za-z=]{0,8}\n)?(index [0-9]{0,22}\n)?",
            rest in "[ -~\n\u{2014}]{0,80}",
        ) {
            let _ = Proof::parse(format!("{head}{rest}").as_bytes());
        }
    }
}
