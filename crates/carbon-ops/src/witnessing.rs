//! Having checkpoints witnessed: whom to ask, what came of it, and asking on while many records are appended.
//!
//! Out of scope: the protocol with one witness (`witnesses`), what a policy says of a ledger that is verified
//! (`witnessed`), and how anything is told.

use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use carbon_ops_ledger::append::SignedCheckpoint;
use carbon_ops_ledger::files::RealFiles;
use carbon_ops_proof::checkpoint::{CHECKPOINT_FILE, Checkpoint};
use carbon_ops_proof::cosignature;
use carbon_ops_proof::note::{MAX_NOTE_BYTES, Note};
use carbon_ops_proof::policy::Policy;

use crate::settings::Settings;
use crate::store::{Opened, Store};
use crate::verify::read_policy;
use crate::witnesses::{Address, Answered, RUN_PATIENCE, Refusal, Signed, addresses, latest};

/// How often witnesses are asked at most while records come in. A pipeline signs up to ten checkpoints a
/// second, and each cosignature stands for all the lines before it. A prior: seldom enough for a public
/// witness, often enough that little is open to a rewriting.
const EVERY: Duration = Duration::from_secs(10);

/// Whom to ask: witnesses by address and key, and those of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witnesses {
    /// Each as its address, a plus sign and its verifier key.
    pub given: Vec<String>,
    /// The file of the policy that says which are enough.
    pub policy: Option<PathBuf>,
}

impl Witnesses {
    /// Those that are configured.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let given = settings.witnesses.value.clone().unwrap_or_default();
        Self { given, policy: settings.policy.value.clone() }
    }

    /// Whether there is nobody to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.given.is_empty() && self.policy.is_none()
    }

    /// Signs a checkpoint of the ledger as it is, and asks about it.
    ///
    /// # Errors
    /// When nothing could be signed, or one of those to ask is not named as one; then nobody is asked.
    pub fn sign(&self, opened: &mut Opened<'_>, patience: Duration) -> Result<Asked> {
        let (addresses, policy) = self.resolve()?;
        let SignedCheckpoint { checkpoint, note, not_logged, .. } = opened.checkpoint()?;
        let signed = opened.signed(checkpoint, note);
        let asked = ask(opened, &signed, &addresses, policy.as_ref(), patience)?;
        let not_stored = asked.not_stored.or_else(|| Some(not_logged?.into()));
        Ok(Asked { not_stored, ..asked })
    }

    /// Asks about a checkpoint that was signed.
    ///
    /// # Errors
    /// When one of those to ask is not named as one.
    pub fn ask(
        &self,
        opened: &mut Opened<'_>,
        signed: &Signed,
        patience: Duration,
    ) -> Result<Asked> {
        let (addresses, policy) = self.resolve()?;
        ask(opened, signed, &addresses, policy.as_ref(), patience)
    }

    fn resolve(&self) -> Result<(Vec<Address>, Option<Policy>)> {
        let policy = self.policy.as_deref().map(read_policy).transpose()?;
        Ok((addresses(&self.given, policy.as_ref())?, policy))
    }
}

/// What came of asking about a checkpoint, which is signed whatever that is.
#[derive(Debug)]
#[non_exhaustive]
pub struct Asked {
    /// The checkpoint, with all cosignatures that it has now.
    pub note: Note,
    /// Each witness that had not cosigned before, and what it answered.
    pub answered: Vec<Answered>,
    /// What is missing for the policy; without one, who did not cosign.
    pub missing: Vec<String>,
    /// Why the history of checkpoints lacks this one, or new cosignatures could not be kept.
    pub not_stored: Option<anyhow::Error>,
}

impl Asked {
    /// Whether a witness says that it cosigned another history.
    #[must_use]
    pub fn is_fork(&self) -> bool {
        self.answered.iter().any(|answered| matches!(answered.result, Err(Refusal::Fork(_))))
    }

    /// Who refused, and why.
    pub fn refusals(&self) -> impl Iterator<Item = (&str, &Refusal)> {
        self.answered.iter().filter_map(|a| Some((a.address.key.name(), a.result.as_ref().err()?)))
    }
}

fn ask(
    opened: &mut Opened<'_>,
    signed: &Signed,
    addresses: &[Address],
    policy: Option<&Policy>,
    patience: Duration,
) -> Result<Asked> {
    let answered = signed.ask(addresses, patience);
    let lines = answered.iter().filter_map(|a| Some(a.result.as_ref().ok()?.line.clone()));
    let lines: Vec<_> = lines.collect();
    let (mut note, mut not_stored) = (signed.note.clone(), None);
    if !lines.is_empty() {
        match opened.add_cosignatures(&signed.note, lines.clone()) {
            Ok(stored) => note = stored,
            // They count all the same: whoever is shown the checkpoint has them.
            Err(error) => {
                for line in lines {
                    note.add(line)?;
                }
                not_stored = Some(error);
            }
        }
    }
    let missing = missing(&note, addresses, policy)?;
    Ok(Asked { note, answered, missing, not_stored })
}

/// What keeps a checkpoint from being witnessed enough.
fn missing(note: &Note, asked: &[Address], policy: Option<&Policy>) -> Result<Vec<String>> {
    if let Some(policy) = policy {
        return Ok(policy.judge(note, latest()).context("the checkpoint")?.missing);
    }
    let lacks = |address: &&Address| {
        !cosignature::verify(note, &address.key)
            .is_ok_and(|time| time.is_some_and(|time| time <= latest()))
    };
    Ok(asked.iter().filter(lacks).map(|a| format!("witness {}", a.key.name())).collect())
}

/// A thread that asks about a ledger's checkpoints now and then, while records are appended by a pipeline: no
/// record waits for a witness.
#[derive(Debug)]
pub struct Witnessing {
    ended: Sender<()>,
    thread: JoinHandle<()>,
}

impl Witnessing {
    /// Starts asking. `tell` is called there with what came of it.
    ///
    /// # Errors
    /// When there is no thread left.
    pub fn start(
        store: &Store,
        witnesses: Witnesses,
        tell: impl Fn(Result<Asked>) + Send + 'static,
    ) -> Result<Self> {
        let (ended, end) = channel::<()>();
        let store = store.clone();
        let ask_on = move || {
            let mut asked = 0;
            let mut ask =
                || last(&store, &witnesses, &mut asked).transpose().into_iter().for_each(&tell);
            while end.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                ask();
            }
            ask();
        };
        let thread = std::thread::Builder::new().name("witnesses".to_owned()).spawn(ask_on);
        Ok(Self { ended, thread: thread.context("cannot start a thread")? })
    }

    /// Asks about the last checkpoint and ends; to be called when that was signed.
    pub fn finish(self) {
        drop(self.ended);
        // It has told what it had to tell.
        let _ = self.thread.join();
    }
}

/// Asks about the checkpoint as it stands, unless it was asked about or there is none yet.
fn last(store: &Store, witnesses: &Witnesses, asked: &mut u64) -> Result<Option<Asked>> {
    let cannot = || format!("cannot use {}", store.ledger.join(CHECKPOINT_FILE).display());
    let read = RealFiles::new(&store.ledger).read(CHECKPOINT_FILE, MAX_NOTE_BYTES + 1);
    let Some(bytes) = read.with_context(cannot)? else { return Ok(None) };
    let note = Note::parse(&bytes).with_context(cannot)?;
    let checkpoint = Checkpoint::of_note(&note).with_context(cannot)?;
    if checkpoint.size == *asked {
        return Ok(None);
    }
    // The key of now: another may have taken its place.
    let keyring = store.keyring()?;
    let mut opened = store.open(&keyring)?;
    *asked = checkpoint.size;
    let signed = opened.signed(checkpoint, note);
    witnesses.ask(&mut opened, &signed, RUN_PATIENCE).map(Some)
}
