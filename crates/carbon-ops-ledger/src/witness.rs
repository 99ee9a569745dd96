//! A witness: cosigns a log's checkpoint when it extends everything that it cosigned before
//! (C2SP tlog-witness).
//!
//! The state is durable before the answer: whatever dies in between, no two cosigned checkpoints of one
//! log contradict each other, and none is smaller than an earlier one.
//!
//! Out of scope: HTTP and clocks, which the binary has; `sign-subtree`; fetching lists of logs.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use carbon_ops_proof::checkpoint::TreeHead;
use carbon_ops_proof::cosignature::cosign;
use carbon_ops_proof::keys::{PublicKey, Signer};
use carbon_ops_proof::merkle::{TreeHash, empty_root, verify_consistency};
use carbon_ops_proof::note::{KeyKind, Note, NoteError, NoteSignature, VerifierKey};

mod dir;
mod list;
mod store;
#[cfg(test)]
mod tests;

pub use dir::{DirState, WitnessDirError};
pub use list::{ListError, parse_log_list};
pub use store::StateStore;

/// The most lines that a consistency proof in a request may have (C2SP tlog-witness,
/// "add-checkpoint").
const MAX_PROOF_LINES: usize = 63;
/// The longest request that is read: a proof of 3 kB and a checkpoint with many cosignatures, of which
/// those by ML-DSA-44 take 3.3 kB each.
pub const MAX_REQUEST_BYTES: usize = 1 << 18;
/// The path below a witness's prefix.
pub const ADD_CHECKPOINT: &str = "add-checkpoint";
/// The media type of the body that tells the size of a tree.
const SIZE_TYPE: &str = "text/x.tlog.size";

/// A request to cosign a checkpoint, not yet checked.
///
/// ```
/// use carbon_ops_proof::keys::SecretKey;
/// use carbon_ops_proof::note::Note;
/// use carbon_ops_ledger::witness::Request;
/// let key = SecretKey::from_seed(&[1; 32]);
/// let checkpoint = Note::sign("example.com/log\n5\nroot\n".into(), "example.com/log", &key).unwrap();
/// let request = Request { old: 3, proof: Vec::new(), checkpoint };
/// let text = request.to_string();
/// assert!(text.starts_with("old 3\n\nexample.com/log\n5\n"));
/// assert_eq!(Request::parse(text.as_bytes()), Ok(request));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The size of the tree that the witness cosigned last, as far as the client knows.
    pub old: u64,
    /// That the tree of the checkpoint extends that one.
    pub proof: Vec<TreeHash>,
    /// The checkpoint, signed by its log.
    pub checkpoint: Note,
}

impl Request {
    /// Reads a request, strictly: what is accepted is printed as the same bytes.
    ///
    /// # Errors
    ///
    /// [`NoteError::Form`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let refuse = NoteError::Form;
        if bytes.len() > MAX_REQUEST_BYTES {
            return Err(refuse("the request is too long"));
        }
        let text = str::from_utf8(bytes).map_err(|_| refuse("the request is not UTF-8"))?;
        let (head, note) =
            text.split_once("\n\n").ok_or(refuse("the request has no checkpoint"))?;
        let mut lines = head.split('\n');
        let digits = lines.next().and_then(|line| line.strip_prefix("old "));
        let digits = digits.ok_or(refuse("the first line is not `old` and a size"))?;
        let old: u64 = digits.parse().map_err(|_| refuse("the old size is not a number"))?;
        if old.to_string() != digits {
            return Err(refuse("the old size is not in its one spelling"));
        }
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == MAX_PROOF_LINES {
                return Err(refuse("the proof has more than 63 lines"));
            }
            let hash = TreeHash::from_base64(line);
            proof.push(hash.ok_or(refuse("a line of the proof is not a hash"))?);
        }
        Ok(Self { old, proof, checkpoint: Note::parse(note.as_bytes())? })
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.proof {
            writeln!(f, "{hash}")?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

/// What a witness answers to `add-checkpoint`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Answer {
    /// The checkpoint was cosigned: the signature line.
    Cosigned(NoteSignature),
    /// The request is malformed, or its old size is above that of its checkpoint.
    BadRequest(String),
    /// No key that is known for this log signed the checkpoint.
    Forbidden(String),
    /// The log is not known.
    NotFound,
    /// The last cosigned checkpoint has this size, which is not the old size of the request; or it is,
    /// and the root differs (`forked`).
    Conflict {
        /// The size of the last cosigned checkpoint.
        size: u64,
        /// Whether the log signed two trees of this size.
        forked: bool,
    },
    /// The proof does not show that the checkpoint extends the last cosigned one.
    Unprocessable(String),
    /// The state could not be read or written. Nothing was cosigned.
    Failed(io::Error),
}

impl Answer {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Cosigned(_) => 200,
            Self::BadRequest(_) => 400,
            Self::Forbidden(_) => 403,
            Self::NotFound => 404,
            Self::Conflict { .. } => 409,
            Self::Unprocessable(_) => 422,
            Self::Failed(_) => 500,
        }
    }

    /// The media type of the body.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => SIZE_TYPE,
            _ => "text/plain; charset=utf-8",
        }
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> String {
        match self {
            Self::Cosigned(line) => line.to_string(),
            Self::BadRequest(why) | Self::Forbidden(why) | Self::Unprocessable(why) => {
                format!("{why}\n")
            }
            Self::NotFound => "this log is not known here\n".to_owned(),
            Self::Conflict { size, .. } => format!("{size}\n"),
            // What failed on the witness's disk is for its operator.
            Self::Failed(_) => "the witness cannot store its state\n".to_owned(),
        }
    }
}

/// A witness of some logs.
pub struct Witness<S> {
    key: VerifierKey,
    signer: Box<dyn Signer>,
    logs: BTreeMap<String, Vec<VerifierKey>>,
    store: S,
}

impl<S> fmt::Debug for Witness<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let logs = self.logs.len();
        f.debug_struct("Witness")
            .field("key", &self.key)
            .field("logs", &logs)
            .finish_non_exhaustive()
    }
}

impl<S: StateStore> Witness<S> {
    /// A witness that signs as `name`, for the logs given: origin and key. A log may have several keys.
    /// None when the name cannot be a key's.
    #[must_use]
    pub fn new(
        name: &str,
        signer: Box<dyn Signer>,
        logs: impl IntoIterator<Item = (String, VerifierKey)>,
        store: S,
    ) -> Option<Self> {
        let key = VerifierKey::new(name, KeyKind::Cosignature, signer.public_key())?;
        let mut known: BTreeMap<String, Vec<VerifierKey>> = BTreeMap::new();
        for (origin, key) in logs {
            known.entry(origin).or_default().push(key);
        }
        Some(Self { key, signer, logs: known, store })
    }

    /// The witness's key, as its clients need it.
    #[must_use]
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The origins of the logs that it knows.
    pub fn origins(&self) -> impl Iterator<Item = &str> {
        self.logs.keys().map(String::as_str)
    }

    /// Answers one `add-checkpoint` request. `now` is in seconds since 1970-01-01 UTC. Requests are
    /// answered one after the other: that nobody else changes the state meanwhile is what `&mut` says.
    pub fn add_checkpoint(&mut self, request: &[u8], now: u64) -> Answer {
        self.answer(request, now).unwrap_or_else(|refusal| refusal)
    }

    fn answer(&mut self, request: &[u8], now: u64) -> Result<Answer, Answer> {
        let Request { old, proof, checkpoint } =
            Request::parse(request).map_err(|e| Answer::BadRequest(e.to_string()))?;
        let head = TreeHead::parse(checkpoint.text());
        let head = head.ok_or_else(|| bad_request("the text is not a checkpoint"))?;
        let own = self.signed_by_log(&head, &checkpoint)?;
        if old > head.size {
            return Err(bad_request("the old size is above that of the checkpoint"));
        }
        let stored = self.stored(&head.origin).map_err(Answer::Failed)?;
        let (size, root) = stored.as_ref().map_or((0, empty_root()), |s| (s.size, s.root));
        // Two trees of one size are two histories, from whatever size the client thinks that it goes on. Of
        // size 0 there is one tree: another root is nonsense rather than a second history.
        if size == head.size && root != head.root && size > 0 {
            // Refused all the same if the evidence cannot be kept.
            let _ = self.store.keep_evidence(&head.origin, &own);
            return Err(Answer::Conflict { size, forked: true });
        }
        if old != size {
            return Err(Answer::Conflict { size, forked: false });
        }
        if head.size == 0 && head.root != empty_root() {
            return Err(Answer::Unprocessable("no tree of size 0 has this root".to_owned()));
        }
        verify_consistency(size, root, head.size, head.root, &proof)
            .map_err(|e| Answer::Unprocessable(format!("from size {size} on: {e}")))?;
        // Also what is stored already: a failed sync may have left it in memory only.
        self.store.store(&head.origin, &own).map_err(Answer::Failed)?;
        // Crash here: the state is ahead of what anybody was told. The client asks again from there.
        let line = cosign(&checkpoint, self.key.name(), self.signer.as_ref(), now);
        Ok(Answer::Cosigned(line.map_err(|e| Answer::Failed(io::Error::other(e.to_string())))?))
    }

    /// The checkpoint with its log's signatures alone, which have been verified.
    fn signed_by_log(&self, head: &TreeHead, checkpoint: &Note) -> Result<Note, Answer> {
        let keys = self.logs.get(&head.origin).ok_or(Answer::NotFound)?;
        let mut names: Vec<&str> = keys.iter().map(VerifierKey::name).collect();
        names.sort_unstable();
        names.dedup();
        let mut signed = false;
        for name in names {
            let named = keys.iter().filter(|key| key.name() == name).map(VerifierKey::key);
            let named: Vec<PublicKey> = named.collect();
            match checkpoint.verify(name, &named) {
                Ok(_) => signed = true,
                Err(NoteError::Unsigned) => {}
                Err(error) => return Err(Answer::Forbidden(error.to_string())),
            }
        }
        if !signed {
            return Err(Answer::Forbidden(NoteError::Unsigned.to_string()));
        }
        let own = checkpoint.only(|line| keys.iter().any(|key| key.claims(line)));
        Ok(own)
    }

    fn stored(&mut self, origin: &str) -> io::Result<Option<TreeHead>> {
        let Some(note) = self.store.load(origin)? else { return Ok(None) };
        let head = TreeHead::parse(note.text()).filter(|head| head.origin == origin);
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "its state is of another log");
        head.map(Some).ok_or_else(damaged)
    }
}

fn bad_request(reason: &str) -> Answer {
    Answer::BadRequest(reason.to_owned())
}
