//! A ledger that can be appended to, one entry at a time, and what is done about the end of its file.
//!
//! Out of scope: the ledger's own records (`control.rs`), and checkpoints (`sign.rs`).

use std::io;
use std::time::Duration;

use carbon_ops_proof::canonical::Object;
use carbon_ops_proof::entry::{
    self, Before, Control, Durability, Entry, EntryHash, Fault, Head, LedgerId, MAX_LINE_BYTES,
    check_payload, evidence_name, genesis_payload, parse_evidence_name, recovery_payload,
};
use carbon_ops_proof::keys::{Signer, Trust};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::known::Known;
use super::tree::{TreeState, signed_size};
use crate::error::{Error, Result};
use crate::names::{CONTINUED_FILE, LOCK_FILE, ROSTER_STATE_FILE, left_behind};
use crate::storage::Storage;
use crate::tail::{Tail, WINDOW_BYTES, Window};

/// How a writer presents itself and how long it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterOptions {
    /// Name and version of the program, for records that the ledger writes about itself.
    pub tool: String,
    /// How long to wait for another writer before giving up with [`Error::Busy`].
    pub patience: Duration,
}

/// What a genesis settles for the life of its ledger, beside the key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenesisOptions {
    /// When an entry counts as acknowledged.
    pub durability: Durability,
    /// The ledger that this one continues.
    pub before: Option<Before>,
}

/// What was done about the end of the file before anything was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repair {
    /// The last entry was whole but for its newline, which was added.
    Completed {
        /// The entry's number.
        seq: u64,
    },
    /// An interrupted write was set aside.
    SetAside {
        /// How many bytes were cut off.
        removed_bytes: usize,
        /// The file beside the ledger that holds them.
        evidence: String,
    },
    /// A signed record now tells of evidence.
    Recorded {
        /// The number of the recovery record.
        seq: u64,
        /// The evidence that it names.
        evidence: String,
    },
}

/// An acknowledged entry: it is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// Its number.
    pub seq: u64,
    /// What the next entry will carry as `prev_hash`.
    pub hash: EntryHash,
    /// The line, without its newline.
    pub line: Vec<u8>,
    /// What had to be done first; usually nothing.
    pub repairs: Vec<Repair>,
}

/// A ledger that can be appended to. It holds no lock between calls, so several processes may have
/// one open; each append stands on whatever the others have written meanwhile.
pub struct Ledger<'k, S> {
    pub(super) storage: S,
    pub(super) signer: &'k dyn Signer,
    pub(super) options: WriterOptions,
    pub(super) id: LedgerId,
    /// Who may sign, as far as this writer has looked.
    pub(super) known: Known,
    /// When an entry counts as acknowledged, by the genesis.
    pub(super) durability: Durability,
    /// Where the ledger ended when this writer last looked.
    pub(super) head: Head,
    /// The end of the file as this writer left it.
    pub(super) end: Option<KnownEnd>,
    /// The tree as this writer last signed it.
    pub(super) tree: Option<TreeState>,
    /// How many entries were signed for when this writer last looked: the ledger has at least these.
    pub(super) signed_size: u64,
    /// What [`Ledger::open_for_append`] had to do.
    pub(super) repairs: Vec<Repair>,
    /// Set by a fatal error, never unset.
    pub(super) poisoned: bool,
}

/// The end of a ledger of which a writer knows that it is in order and durable.
#[derive(Debug)]
pub(super) struct KnownEnd {
    /// How long the file was.
    pub(super) len: u64,
    /// Its last line, without the newline.
    pub(super) line: Vec<u8>,
}

impl<S> std::fmt::Debug for Ledger<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger")
            .field("id", &self.id)
            .field("head", &self.head)
            .field("poisoned", &self.poisoned)
            .finish_non_exhaustive()
    }
}

impl<'k, S: Storage> Ledger<'k, S> {
    /// Makes a ledger that the signer's key may write to. `created` is the time, and
    /// `ledger_id` 16 random bytes.
    ///
    /// # Errors
    ///
    /// [`Error::LedgerExists`] or [`Error::EmptyLedger`] when there is a ledger file. After an
    /// [`Error::Io`] there may be a complete ledger or none; nothing else is possible, and trying
    /// again tells.
    pub fn create(
        storage: S,
        signer: &'k dyn Signer,
        ledger_id: [u8; 16],
        created: Timestamp,
        options: WriterOptions,
    ) -> Result<Self> {
        let genesis_options = GenesisOptions::default();
        Self::create_as(storage, signer, ledger_id, created, options, &genesis_options)
    }

    /// As [`Ledger::create`], for a ledger that promises another class of durability than `sync`,
    /// continues another, or both: its genesis says so.
    ///
    /// # Errors
    ///
    /// As [`Ledger::create`], and [`Error::InvalidEntry`] when what it says of the other breaks the
    /// format.
    pub fn create_as(
        mut storage: S,
        signer: &'k dyn Signer,
        ledger_id: [u8; 16],
        created: Timestamp,
        options: WriterOptions,
        genesis_options: &GenesisOptions,
    ) -> Result<Self> {
        let (tool, key) = (&options.tool, signer.public_key());
        let GenesisOptions { durability, before } = genesis_options.clone();
        let payload =
            genesis_payload(created, tool, key, durability, before).map_err(Error::InvalidEntry)?;
        let (genesis, mut line) = entry::sign(&payload, LedgerId(ledger_id), None, signer)?;
        line.push(b'\n');
        locked(&mut storage, options.patience, true, |storage| {
            match storage.size() {
                Ok(None) => lines_gone(storage).map_or(Ok(()), Err)?,
                Ok(Some(0)) => return Err(Error::EmptyLedger { path: storage.path() }),
                Ok(Some(_)) => return Err(Error::LedgerExists { path: storage.path() }),
                Err(e) => return Err(io_error(storage, "look at", e)),
            }
            // Crash here: no ledger, perhaps a temporary file, which the next attempt overwrites.
            storage.create(&line).map_err(|e| io_error(storage, "create", e))
            // Crash here: a ledger with its genesis. Nothing was acknowledged, so if the name was
            // not durable and is lost, nothing of worth is.
        })?;
        let known = Known::of_genesis(&genesis, line.len() as u64).map_err(Error::InvalidEntry)?;
        Self::from_genesis(storage, signer, options, &genesis, known)
    }

    /// A ledger of which the genesis is known and where it was searched for keys.
    fn from_genesis(
        storage: S,
        signer: &'k dyn Signer,
        options: WriterOptions,
        genesis: &Entry,
        known: Known,
    ) -> Result<Self> {
        let Some(Control::Genesis(promises)) = genesis.control().map_err(Error::InvalidEntry)?
        else {
            return Err(Error::InvalidEntry(Fault::NoGenesis));
        };
        Ok(Self {
            storage,
            signer,
            options,
            id: genesis.ledger_id(),
            known,
            durability: promises.durability,
            head: genesis.head(),
            end: None,
            tree: None,
            signed_size: 0,
            repairs: Vec::new(),
            poisoned: false,
        })
    }

    /// Makes sure that appending will work, and recovers from a crash if there was one: takes the
    /// lock, checks the genesis and the end of the file, repairs a torn end, gives the lock back.
    /// To be called before a long job whose result is to be appended. Costs two reads however long
    /// the ledger is. `now` is the time, for a recovery record.
    ///
    /// # Errors
    ///
    /// When there is no ledger, it is damaged at one of its ends or shorter than what was signed
    /// for, its genesis key is not trusted, the signer's key is not on its list, it is locked for too long, or the disk fails.
    pub fn open_for_append(
        storage: S,
        signer: &'k dyn Signer,
        trust: &Trust,
        now: Timestamp,
        options: WriterOptions,
    ) -> Result<Self> {
        let mut ledger = Self::found(storage, signer, trust, options)?;
        ledger.repairs = ledger.check_writable(now)?;
        Ok(ledger)
    }

    /// As [`Ledger::open_for_append`], of a ledger that is damaged from the offset `keep` on: all from there is set
    /// aside first, as an interrupted write is, and a recovery record tells of it. What stands before has to be in
    /// order, and all that was signed for has to stand there.
    ///
    /// # Errors
    ///
    /// As [`Ledger::open_for_append`].
    pub fn open_setting_aside(
        storage: S,
        signer: &'k dyn Signer,
        trust: &Trust,
        now: Timestamp,
        options: WriterOptions,
        keep: u64,
    ) -> Result<Self> {
        let mut ledger = Self::found(storage, signer, trust, options)?;
        let set_aside = ledger.with_lock(|ledger| {
            let len = length(&mut ledger.storage)?;
            // What was kept of the roster may tell of lines that go.
            ledger.known.forget();
            let window = read_end(&mut ledger.storage, keep.min(len))?;
            let tail = ledger.examine(&window, keep.min(len))?;
            ledger.refuse_if_cut(&tail)?;
            let Tail::Whole(head) = tail else {
                return Err(damaged(
                    &ledger.storage,
                    "the end of what is kept",
                    Fault::Unterminated,
                ));
            };
            let rest = usize::try_from(len.saturating_sub(keep)).unwrap_or(usize::MAX);
            let removed = ledger.storage.read(keep.min(len), rest);
            let removed = removed.map_err(|e| io_error(&ledger.storage, "read", e))?;
            ledger.set_aside(&head, keep, &removed)
        })?;
        ledger.repairs = vec![set_aside];
        let more = ledger.check_writable(now)?;
        ledger.repairs.extend(more);
        Ok(ledger)
    }

    /// A ledger whose first entry is trusted, of whose end nothing is known yet.
    fn found(
        mut storage: S,
        signer: &'k dyn Signer,
        trust: &Trust,
        options: WriterOptions,
    ) -> Result<Self> {
        let (genesis, known, signed_size) =
            locked(&mut storage, options.patience, false, |storage| {
                let names = storage.names();
                refuse_if_continued(storage, &names.map_err(|e| io_error(storage, "look at", e))?)?;
                let (genesis, known) = read_genesis(storage)?;
                let signed_size = signed_size(storage, genesis.ledger_id())?;
                Ok::<_, Error>((genesis, known, signed_size))
            })?;
        let path = storage.path();
        if !trust.contains(genesis.signing_key()) {
            let fingerprint = genesis.signing_key().fingerprint();
            return Err(Error::UntrustedLedger { path, fingerprint });
        }
        let mut ledger = Self::from_genesis(storage, signer, options, &genesis, known)?;
        ledger.signed_size = signed_size;
        Ok(ledger)
    }

    /// From now on, another writer is waited for so long.
    pub fn set_patience(&mut self, patience: Duration) {
        self.options.patience = patience;
    }

    /// Looks at the end of the file again, and repairs it if a writer crashed meanwhile.
    ///
    /// # Errors
    ///
    /// As [`Ledger::append`].
    pub fn check_writable(&mut self, now: Timestamp) -> Result<Vec<Repair>> {
        self.with_lock(|ledger| {
            let mut repairs = Vec::new();
            ledger.recover(now, &mut repairs)?;
            Ok(repairs)
        })
    }

    /// Appends one entry. When this returns `Ok`, the entry is durable. `now` is the time; it is only
    /// written if a recovery record has to be.
    ///
    /// # Errors
    ///
    /// After [`Error::Fatal`] the state is unknown and this writer refuses further work; after any
    /// other error the entry is not in the ledger and the writer goes on.
    #[expect(clippy::needless_pass_by_value, reason = "what is appended belongs to the ledger")]
    pub fn append(&mut self, payload: Object, now: Timestamp) -> Result<Appended> {
        // Before the lock is taken: a bad payload must not make others wait.
        check_payload(&payload).map_err(Error::InvalidEntry)?;
        self.append_in_turn(now, |ledger, len| ledger.put(&payload, len))
    }

    /// A turn in which one line is appended: `put` makes it durable at the end, which is at the length
    /// that it is given, and returns its number and bytes.
    pub(super) fn append_in_turn(
        &mut self,
        now: Timestamp,
        put: impl FnOnce(&mut Self, u64) -> Result<(u64, Vec<u8>)>,
    ) -> Result<Appended> {
        self.with_lock(|ledger| {
            let mut repairs = Vec::new();
            // Crash here: nothing of this entry exists yet, and a repair can be repeated.
            let len = ledger.recover(now, &mut repairs)?;
            let (seq, line) = put(ledger, len)?;
            Ok(Appended { seq, hash: ledger.head.hash, line, repairs })
            // Crash here: the entry is durable and its submitter does not know. It stays.
        })
    }

    /// The ledger's name.
    #[must_use]
    pub fn ledger_id(&self) -> LedgerId {
        self.id
    }

    /// Where the ledger ended when this writer last looked.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// What opening the ledger had to repair.
    #[must_use]
    pub fn repairs(&self) -> &[Repair] {
        &self.repairs
    }

    /// Runs `work` under the lock, unless this writer has met a fatal error; notes one if it does.
    pub(super) fn with_lock<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.poisoned {
            return Err(Error::Poisoned { path: self.storage.path() });
        }
        // Crash here: the kernel drops the lock of a dead process, and nothing was changed.
        take_lock(&mut self.storage, self.options.patience, false)?;
        let result = work(self);
        self.storage.unlock();
        self.poisoned = result.as_ref().is_err_and(Error::is_fatal);
        result
    }

    /// Brings the end of the file into order and returns the file's length. Idempotent: it begins
    /// anew after each thing that it did, as another process would after a crash at that point.
    pub(super) fn recover(&mut self, now: Timestamp, repairs: &mut Vec<Repair>) -> Result<u64> {
        loop {
            let len = length(&mut self.storage)?;
            let (tail, line) = if self.is_as_left(len)? {
                (Tail::Whole(self.head), None)
            } else {
                let window = read_end(&mut self.storage, len)?;
                (self.examine(&window, len)?, Some(window.last().to_vec()))
            };
            self.refuse_if_cut(&tail)?;
            match tail {
                Tail::Whole(head) => {
                    self.head = head;
                    if let Some(line) = line {
                        self.accept(len, line)?;
                    }
                    self.refuse_if_retired()?;
                    let Some((torn_seq, removed)) = self.unrecorded_evidence(len)? else {
                        return Ok(len);
                    };
                    // Crash here: the evidence is still there and this record is not: the next
                    // writer finds the same.
                    let payload = recovery_payload(now, &self.options.tool, torn_seq, &removed)
                        .map_err(Error::InvalidEntry)?;
                    let evidence = evidence_name(torn_seq, &Sha256::digest(&removed).into());
                    let (seq, _) = self.put(&payload, len)?;
                    repairs.push(Repair::Recorded { seq, evidence });
                }
                Tail::Complete(head) => {
                    // Crash here: still complete but for the newline, for the next writer to add.
                    self.write(b"\n", len)?;
                    repairs.push(Repair::Completed { seq: head.seq });
                }
                Tail::Torn { head, keep, removed } => {
                    repairs.push(self.set_aside(&head, keep, &removed)?);
                }
            }
        }
    }

    /// Whether the file ends as this writer left it. The last line links to all before it, so nothing
    /// else needs to be looked at again.
    fn is_as_left(&mut self, len: u64) -> Result<bool> {
        let left = self.end.as_ref().map(|seen| seen.len);
        Ok(left == Some(len) && self.holds_what_was_left(len)?)
    }

    /// Whether the last line that this writer saw still stands where it stood, in a file of `len` bytes.
    fn holds_what_was_left(&mut self, len: u64) -> Result<bool> {
        let Some(seen) = self.end.as_ref().filter(|seen| seen.len <= len) else {
            return Ok(false);
        };
        let wanted = seen.line.len() + 1;
        let bytes = self.storage.read(seen.len.saturating_sub(wanted as u64), wanted);
        let bytes = bytes.map_err(|e| io_error(&self.storage, "read", e))?;
        Ok(bytes.strip_suffix(b"\n") == Some(&seen.line))
    }

    /// Takes over an end that others wrote. Who wrote it may have died before syncing it, and what is
    /// not durable must never be more than one batch.
    fn accept(&mut self, len: u64, line: Vec<u8>) -> Result<()> {
        self.sync()?;
        if self.tree.is_some() && !self.holds_what_was_left(len)? {
            // Another file under the same name, restored from a copy perhaps.
            self.tree = None;
        }
        self.end = Some(KnownEnd { len, line });
        Ok(())
    }

    /// A ledger that is shorter than what was signed for is evidence: nothing is written to it, no
    /// recovery record either.
    fn refuse_if_cut(&self, tail: &Tail) -> Result<()> {
        let (Tail::Whole(head) | Tail::Complete(head) | Tail::Torn { head, .. }) = tail;
        let entries = head.seq + 1;
        if entries < self.signed_size {
            return Err(self.truncated(entries, self.signed_size));
        }
        Ok(())
    }

    /// Moves what an interrupted write left to a file of its own.
    fn set_aside(&mut self, head: &Head, keep: u64, removed: &[u8]) -> Result<Repair> {
        let evidence = evidence_name(head.seq + 1, &Sha256::digest(removed).into());
        // Crash here: the torn end is untouched.
        self.storage
            .replace_beside(&evidence, removed)
            .map_err(|e| io_error(&self.storage, "keep the torn end of", e))?;
        // Crash here: the torn end exists twice; the next writer writes the same evidence again,
        // under the same name, which follows from the bytes.
        self.storage.truncate(keep).map_err(|e| fatal(&self.storage, "truncate", e))?;
        // Crash here: the ledger is whole, the evidence tells that a recovery record is owed.
        Ok(Repair::SetAside { removed_bytes: removed.len(), evidence })
    }

    /// Evidence of an entry torn at the place where the ledger now ends, that no record tells of:
    /// the entry's number and the bytes.
    fn unrecorded_evidence(&mut self, len: u64) -> Result<Option<(u64, Vec<u8>)>> {
        let names = self
            .storage
            .names()
            .map_err(|e| io_error(&self.storage, "list the files beside", e))?;
        refuse_if_continued(&self.storage, &names)?;
        let mut owed: Vec<(u64, String)> = names
            .into_iter()
            .filter_map(|name| Some((parse_evidence_name(&name)?, name)))
            .collect();
        if owed.is_empty() {
            return Ok(None);
        }
        let next = self.head.seq + 1;
        let (first, recorded) = read_end(&mut self.storage, len)?.trailing_recoveries(&self.head);
        owed.retain(|(seq, name)| (first..=next).contains(seq) && !recorded.contains(name));
        owed.sort();
        for (seq, name) in owed {
            let removed = self
                .storage
                .read_beside(&name)
                .map_err(|e| io_error(&self.storage, "read the evidence beside", e))?
                .unwrap_or_default();
            // A file that does not hash to its name is not what we wrote, and is left alone.
            if !removed.is_empty() && evidence_name(seq, &Sha256::digest(&removed).into()) == name {
                return Ok(Some((seq, removed)));
            }
        }
        Ok(None)
    }

    /// Signs an entry and makes it durable at the end, which is at `len`.
    pub(super) fn put(&mut self, payload: &Object, len: u64) -> Result<(u64, Vec<u8>)> {
        let (entry, line) = entry::sign(payload, self.id, Some(&self.head), self.signer)?;
        let (seq, line) = self.put_signed(&entry, line, len)?;
        self.known.appended(len, len + line.len() as u64 + 1);
        Ok((seq, line))
    }

    /// Makes a signed entry durable at the end, which is at `len`.
    pub(super) fn put_signed(
        &mut self,
        entry: &Entry,
        mut line: Vec<u8>,
        len: u64,
    ) -> Result<(u64, Vec<u8>)> {
        line.push(b'\n');
        self.write(&line, len)?;
        let len = len + line.len() as u64;
        line.pop();
        self.head = entry.head();
        self.end = Some(KnownEnd { len, line: line.clone() });
        Ok((entry.seq(), line))
    }

    /// Writes at the end, which is at `len`, and makes it durable.
    fn write(&mut self, bytes: &[u8], len: u64) -> Result<()> {
        self.write_unsynced(bytes, len)?;
        self.sync()
    }

    /// Writes at the end, which is at `len`.
    pub(super) fn write_unsynced(&mut self, bytes: &[u8], len: u64) -> Result<()> {
        // Crash here: the ledger is as it was.
        if let Err(source) = self.storage.append(bytes) {
            // Crash here: part of the bytes may be there: a torn end for the next writer.
            return Err(match self.storage.truncate(len) {
                Ok(()) => Error::NotStored { path: self.storage.path(), source },
                Err(e) => fatal(&self.storage, "undo a failed write to", e),
            });
        }
        // Crash here: the bytes may reach the disk whole, in part, with holes of zeros, or not at
        // all. Nobody was told that they are there.
        Ok(())
    }

    /// Makes durable what was written. A failed sync is never tried again: the kernel forgets which
    /// pages failed and the second call would succeed without them (Rebello et al., "Can Applications
    /// Recover from fsync Failures?", USENIX ATC 2020).
    pub(super) fn sync(&mut self) -> Result<()> {
        self.storage.sync().map_err(|e| fatal(&self.storage, "sync", e))
        // Crash here: the bytes are durable.
    }
}

pub(super) fn take_lock<S: Storage>(
    storage: &mut S,
    patience: Duration,
    create: bool,
) -> Result<()> {
    let path = storage.path().with_file_name(LOCK_FILE);
    match storage.lock(patience, create) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::Busy { path, waited: patience, holder: storage.holder() }),
        Err(source) => Err(Error::Io { action: "lock", path, source }),
    }
}

/// A ledger that another continues is written to no more: what would stand there is no part of what goes on.
fn refuse_if_continued<S: Storage>(storage: &S, names: &[String]) -> Result<()> {
    if names.iter().any(|name| name == CONTINUED_FILE) {
        return Err(Error::Continued { path: storage.path() });
    }
    Ok(())
}

/// Runs `work` while nobody else can write to a ledger, of which its lines may be gone.
///
/// # Errors
///
/// When the lock cannot be taken, and what `work` fails with.
pub fn while_held<S: Storage, T, E: From<Error>>(
    storage: &mut S,
    patience: Duration,
    work: impl FnOnce(&mut S) -> Result<T, E>,
) -> Result<T, E> {
    locked(storage, patience, false, work)
}

/// Runs `work` under the lock.
fn locked<S: Storage, T, E: From<Error>>(
    storage: &mut S,
    patience: Duration,
    create: bool,
    work: impl FnOnce(&mut S) -> Result<T, E>,
) -> Result<T, E> {
    take_lock(storage, patience, create)?;
    let result = work(storage);
    storage.unlock();
    result
}

/// Whether files beside the place of a ledger tell that its lines were there and are gone: what opens a ledger
/// to write, and what begins one, stops with this.
pub fn lines_gone<S: Storage>(storage: &mut S) -> Option<Error> {
    let left = match storage.names() {
        Ok(names) => left_behind(names),
        Err(e) => return Some(io_error(storage, "look at", e)),
    };
    (!left.is_empty()).then(|| Error::LinesGone { path: storage.path(), left })
}

pub(super) fn io_error<S: Storage>(storage: &S, action: &'static str, source: io::Error) -> Error {
    Error::Io { action, path: storage.path(), source }
}

pub(super) fn fatal<S: Storage>(storage: &S, action: &'static str, source: io::Error) -> Error {
    Error::Fatal { action, path: storage.path(), source }
}

pub(super) fn damaged<S: Storage>(storage: &S, place: &str, fault: Fault) -> Error {
    Error::Damaged { path: storage.path(), place: place.to_owned(), fault }
}

/// The length of a ledger that exists and is not empty.
fn length<S: Storage>(storage: &mut S) -> Result<u64> {
    match storage.size() {
        Ok(None) => {
            Err(lines_gone(storage).unwrap_or_else(|| Error::NoLedger { path: storage.path() }))
        }
        Ok(Some(0)) => Err(Error::EmptyLedger { path: storage.path() }),
        Ok(Some(len)) => Ok(len),
        Err(e) => Err(io_error(storage, "look at", e)),
    }
}

/// The last bytes of a file of this length.
fn read_end<S: Storage>(storage: &mut S, len: u64) -> Result<Window> {
    let wanted = usize::try_from(len).unwrap_or(usize::MAX).min(WINDOW_BYTES);
    let start = len - wanted as u64;
    let bytes = storage.read(start, wanted).map_err(|e| io_error(storage, "read", e))?;
    let active = storage.sealed().map_err(|e| io_error(storage, "look at", e))?;
    Ok(Window { bytes, start, active })
}

/// The first line, verified with the keys that it lists, and who may sign as far as it was kept.
fn read_genesis<S: Storage>(storage: &mut S) -> Result<(Entry, Known)> {
    let len = length(storage)?;
    let wanted = usize::try_from(len).unwrap_or(usize::MAX).min(MAX_LINE_BYTES + 1);
    let bytes = storage.read(0, wanted).map_err(|e| io_error(storage, "read", e))?;
    let (genesis, mut known) =
        check_genesis(&bytes).map_err(|fault| damaged(storage, "line 1", fault))?;
    // A file that cannot be read is as good as none: all is searched then.
    if let Ok(Some(state)) = storage.read_beside(ROSTER_STATE_FILE) {
        known
            .take_up(&state, len, &mut |offset, len| storage.read(offset, len))
            .map_err(|e| io_error(storage, "read", e))?;
    }
    Ok((genesis, known))
}

fn check_genesis(beginning: &[u8]) -> Result<(Entry, Known), Fault> {
    let end = beginning.iter().position(|b| *b == b'\n').ok_or(Fault::Unterminated)?;
    let entry = Entry::parse(beginning.get(..end).unwrap_or_default())?;
    let known = Known::of_genesis(&entry, end as u64 + 1)?;
    Ok((entry, known))
}
