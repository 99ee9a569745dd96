//! Asking witnesses while `ledger append` goes on: now and then about the last checkpoint that its
//! pipeline signed, and once more about the one at the end.
//!
//! A thread of its own, since no record waits for a witness. Nothing hangs on what they answer; what they
//! refuse is told. Left out: whom to ask and what to do with the answers, which is `witnessed.rs`.

use std::fs;
use std::io::Write as _;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use carbon_ops::ledger::storage::LEDGER_FILE;
use carbon_ops::proof::checkpoint::{CHECKPOINT_FILE, Checkpoint};
use carbon_ops::proof::note::{MAX_NOTE_BYTES, Note};

use super::witnessed::{Witnesses, notices};
use carbon_ops::store::Store;
use carbon_ops::witnesses::Signed;

/// How often witnesses are asked at most while records come in. A pipeline signs up to ten checkpoints a
/// second, and each cosignature stands for all the lines before it. A prior: seldom enough for a public
/// witness, often enough that little is open to a rewriting.
const EVERY: Duration = Duration::from_secs(10);

/// The thread that asks.
pub(super) struct Witnessing {
    ended: Sender<()>,
    thread: JoinHandle<()>,
}

impl Witnessing {
    /// Starts asking about a ledger's checkpoints.
    ///
    /// # Errors
    ///
    /// When there is no thread left.
    pub(super) fn start(store: &Store, witnesses: Witnesses) -> Result<Self> {
        let (ended, end) = channel::<()>();
        let store = store.clone();
        let ask_on = move || {
            let mut asked = 0;
            while end.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                ask(&store, &witnesses, &mut asked);
            }
            ask(&store, &witnesses, &mut asked);
        };
        let thread = std::thread::Builder::new().name("witnesses".to_owned()).spawn(ask_on);
        Ok(Self { ended, thread: thread.context("cannot start a thread")? })
    }

    /// Asks about the last checkpoint and ends; to be called when that was signed.
    pub(super) fn finish(self) {
        drop(self.ended);
        // It has told what it had to tell.
        let _ = self.thread.join();
    }
}

/// Asks about the checkpoint as it stands, unless it was asked about; what is not well goes to the user.
fn ask(store: &Store, witnesses: &Witnesses, asked: &mut u64) {
    let told = asked_about(store, witnesses, asked);
    let told = told.unwrap_or_else(|error| vec![format!("no witness was asked: {error:#}")]);
    for notice in told {
        let _ = writeln!(std::io::stderr(), "carbon-ops: {notice}");
    }
}

fn asked_about(store: &Store, witnesses: &Witnesses, asked: &mut u64) -> Result<Vec<String>> {
    let path = store.ledger.join(CHECKPOINT_FILE);
    let Ok(bytes) = fs::read(&path) else {
        // None was signed yet.
        return Ok(Vec::new());
    };
    let cannot = || format!("cannot use {}", path.display());
    let bytes = bytes.get(..MAX_NOTE_BYTES).unwrap_or(&bytes);
    let note = Note::parse(bytes).with_context(cannot)?;
    let checkpoint = Checkpoint::of_note(&note).with_context(cannot)?;
    if checkpoint.size == *asked {
        return Ok(Vec::new());
    }
    // The key of now: another may have taken its place.
    let keyring = store.keyring()?;
    let mut opened = store.open(&keyring)?;
    *asked = checkpoint.size;
    let signed = Signed { ledger: store.ledger.join(LEDGER_FILE), checkpoint, note };
    Ok(notices(&mut opened, &signed, witnesses))
}
