//! Threads that sign, in parallel: what links an entry to the one before does not cover signatures.
//!
//! Chunks of entries go in with their numbers and come out in any order; the writer asks for them in
//! order. A faulty signer must not get into the file: of a signer that is a program or device of its
//! own every signature is verified. Where signing is a computation in this process, which
//! `Signer::signs_here` says, the first signature of each thread is, and then one in
//! [`CHECK_EVERY`]: the same code with the same key either works or does not, and verifying costs
//! twice what signing does.
//!
//! Out of scope: what is signed (`entry::Template`) and in which order (`writer.rs`).

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use carbon_ops_proof::entry::{EntryHash, Place, SIGNATURE_BYTES, SigningKey, Template};
use carbon_ops_proof::keys::Signer;
use carbon_ops_proof::merkle::{TreeHash, leaf_hash};

use super::intake::{PendingAck, lock, wait};
use super::succession::Succession;
use crate::error::{Error, Result};

/// Of how many signatures made in this process one is verified: two thousandths of their cost.
const CHECK_EVERY: u64 = 1024;

/// An entry that has its place and lacks its signature.
#[derive(Debug)]
pub(super) struct Unsigned {
    pub(super) template: Template,
    pub(super) place: Place,
    pub(super) signed_bytes: Vec<u8>,
    pub(super) hash: EntryHash,
    pub(super) ack: PendingAck,
}

/// An entry whose line stands in its chunk.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) seq: u64,
    pub(super) hash: EntryHash,
    pub(super) leaf: TreeHash,
    /// How much of the intake's room it takes.
    pub(super) pending_bytes: usize,
    pub(super) ack: PendingAck,
}

/// Lines in a row, each with its newline.
#[derive(Debug)]
pub(super) struct SignedChunk {
    pub(super) bytes: Vec<u8>,
    /// Where the last line begins.
    pub(super) last_line: usize,
    pub(super) entries: Vec<Signed>,
}

/// A chunk that could not be signed, and who waits for its entries.
#[derive(Debug)]
pub(super) struct NotSigned {
    pub(super) error: Error,
    pub(super) entries: Vec<PendingAck>,
}

/// What a signing thread needs.
pub(super) struct ChunkSigner {
    succession: Arc<Succession>,
    signer: Arc<dyn Signer>,
    key: SigningKey,
    until_check: u64,
}

impl std::fmt::Debug for ChunkSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkSigner").field("key", &self.key).finish_non_exhaustive()
    }
}

impl ChunkSigner {
    pub(super) fn new(succession: Arc<Succession>) -> Self {
        let signer = succession.current();
        let key = SigningKey::new(signer.public_key());
        Self { succession, signer, key, until_check: 0 }
    }

    /// Takes up another signer, if there is one since the last chunk. Signers change between turns,
    /// when nothing is being signed.
    fn follow(&mut self) {
        let current = self.succession.current();
        if !Arc::ptr_eq(&current, &self.signer) {
            self.key = SigningKey::new(current.public_key());
            (self.signer, self.until_check) = (current, 0);
        }
    }

    /// Signs a chunk.
    ///
    /// # Errors
    ///
    /// When the signer fails or signs badly.
    pub(super) fn sign(&mut self, chunk: Vec<Unsigned>) -> Result<SignedChunk, NotSigned> {
        self.follow();
        // Once, since growing would copy what is there.
        let mut bytes = Vec::with_capacity(
            chunk.iter().map(|entry| entry.signed_bytes.len() + SIGNATURE_BYTES).sum(),
        );
        let mut last_line = 0;
        let mut entries = Vec::with_capacity(chunk.len());
        let mut chunk = chunk.into_iter();
        while let Some(entry) = chunk.next() {
            let signature = match self.signature(&entry.signed_bytes) {
                Ok(signature) => signature,
                Err(error) => {
                    let signed = entries.into_iter().map(|entry: Signed| entry.ack);
                    let others = chunk.map(|entry| entry.ack);
                    let entries = signed.chain([entry.ack]).chain(others).collect();
                    return Err(NotSigned { error, entries });
                }
            };
            last_line = bytes.len();
            entry.template.line(&mut bytes, &entry.place, &self.key, &signature);
            let leaf = leaf_hash(bytes.get(last_line..).unwrap_or_default());
            bytes.push(b'\n');
            entries.push(Signed {
                seq: entry.place.seq(),
                hash: entry.hash,
                leaf,
                pending_bytes: entry.template.bytes(),
                ack: entry.ack,
            });
        }
        Ok(SignedChunk { bytes, last_line, entries })
    }

    fn signature(&mut self, message: &[u8]) -> Result<[u8; 64]> {
        let signature = self.signer.sign(message)?;
        if self.until_check > 0 && self.signer.signs_here() {
            self.until_check -= 1;
            return Ok(signature);
        }
        self.until_check = CHECK_EVERY - 1;
        if self.key.key.verifies(message, &signature) {
            return Ok(signature);
        }
        let reason = "its signature does not verify with its public key".to_owned();
        Err(carbon_ops_proof::Error::Signer { reason }.into())
    }
}

/// The threads and what they share.
#[derive(Debug)]
pub(super) struct Signers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There is a chunk to sign, or there will be no more.
    work: Condvar,
    /// A chunk was signed.
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(u64, Vec<Unsigned>)>,
    signed: BTreeMap<u64, Result<SignedChunk, NotSigned>>,
    /// The chunks that the writer waits for.
    wanted: Option<RangeInclusive<u64>>,
    closed: bool,
}

impl State {
    fn wanted_are_signed(&self) -> bool {
        let Some(wanted) = &self.wanted else { return false };
        let count = wanted.end() - wanted.start() + 1;
        self.signed.range(wanted.clone()).count() as u64 == count
    }
}

impl Signers {
    /// Starts so many threads.
    ///
    /// # Errors
    ///
    /// When the system has none left.
    pub(super) fn start(succession: &Arc<Succession>, count: usize) -> std::io::Result<Self> {
        // Dropping half of them on an error ends those that were started.
        let mut signers = Self { shared: Arc::default(), threads: Vec::new() };
        for _ in 0..count.max(1) {
            let (shared, mut chunk_signer) =
                (Arc::clone(&signers.shared), ChunkSigner::new(Arc::clone(succession)));
            let thread = std::thread::Builder::new().name("ledger-signer".to_owned());
            signers.threads.push(thread.spawn(move || shared.work(&mut chunk_signer))?);
        }
        Ok(signers)
    }

    pub(super) fn count(&self) -> usize {
        self.threads.len()
    }

    pub(super) fn put(&self, number: u64, chunk: Vec<Unsigned>) {
        lock(&self.shared.state).waiting.push_back((number, chunk));
        self.shared.work.notify_one();
    }

    /// The chunk with this number, if it has been signed.
    pub(super) fn take(&self, number: u64) -> Option<Result<SignedChunk, NotSigned>> {
        lock(&self.shared.state).signed.remove(&number)
    }

    /// Waits until all these chunks, which were put in, have been signed.
    pub(super) fn wait(&self, numbers: RangeInclusive<u64>) {
        let mut state = lock(&self.shared.state);
        state.wanted = Some(numbers);
        while !state.wanted_are_signed() {
            state = wait(&self.shared.done, state);
        }
        state.wanted = None;
    }
}

impl Signers {
    /// Ends the threads; gives back who waits for what they had not signed, or nobody had taken.
    pub(super) fn end(&mut self) -> Vec<PendingAck> {
        let mut state = lock(&self.shared.state);
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        let signed = std::mem::take(&mut lock(&self.shared.state).signed);
        let signed = signed.into_values().flat_map(|signed| match signed {
            Ok(chunk) => chunk.entries.into_iter().map(|entry| entry.ack).collect(),
            Err(not_signed) => not_signed.entries,
        });
        let waiting = waiting.into_iter().flat_map(|(_, chunk)| chunk);
        waiting.map(|entry| entry.ack).chain(signed).collect()
    }
}

impl Drop for Signers {
    fn drop(&mut self) {
        drop(self.end());
    }
}

impl Shared {
    fn work(&self, chunk_signer: &mut ChunkSigner) {
        let mut state = lock(&self.state);
        loop {
            if let Some((number, chunk)) = state.waiting.pop_front() {
                drop(state);
                let mut answer = Answer { shared: self, number, signed: None };
                answer.signed = Some(chunk_signer.sign(chunk));
                drop(answer);
                state = lock(&self.state);
            } else if state.closed {
                return;
            } else {
                state = wait(&self.work, state);
            }
        }
    }
}

/// Answers the writer also when signing panicked.
struct Answer<'s> {
    shared: &'s Shared,
    number: u64,
    signed: Option<Result<SignedChunk, NotSigned>>,
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        let signed = self.signed.take().unwrap_or_else(|| {
            let reason = "it panicked".to_owned();
            let error = carbon_ops_proof::Error::Signer { reason }.into();
            Err(NotSigned { error, entries: Vec::new() })
        });
        let mut state = lock(&self.shared.state);
        state.signed.insert(self.number, signed);
        let wake = state.wanted_are_signed();
        drop(state);
        if wake {
            self.shared.done.notify_one();
        }
    }
}
