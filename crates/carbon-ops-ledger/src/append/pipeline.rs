//! Many submitters, one ledger: entries are numbered and linked in the order in which they come in,
//! signed in parallel, written and synced in batches, and acknowledged when they are durable.
//!
//! Several processes may each have a pipeline on one ledger, beside writers of single entries. They
//! take turns: a pipeline holds the lock while it has work, for a tenth of a second at most while
//! others wait.
//!
//! **What an acknowledgement means** is what the genesis says: with `sync` and `group`, that the entry
//! is on the disk; with `async`, that it was written and will be synced soon.
//!
//! **Errors.** After any error of the disk or the signer the pipeline is stopped: what was not
//! acknowledged gets the error, nothing is acknowledged any more, and opening the ledger again runs the
//! recovery. A batch that could not be written whole, for want of room perhaps, is cut off again before
//! that, so that its entries are certainly not in the ledger; what followed would link to it, so
//! going on would mean to number and sign everything again, for a disk that is full.
//!
//! **Keys.** When the ledger has retired the key of a pipeline, between two turns, the pipeline asks
//! its signer for the [`successor`](Signer::successor), and goes on with that if the ledger permits it.
//! Otherwise it stops with [`Error::KeyNotInRoster`]; what it had not acknowledged is not in the ledger.
//!
//! **What follows is told apart.** An entry that is stored is acknowledged, whatever fails behind it: that no
//! checkpoint could be signed is in [`Stored::no_checkpoint`] and stops nothing, unless it shows that the
//! ledger was rewritten.
//!
//! **Checkpoints.** As long as it lives, a pipeline signs one when an entry has been without for a
//! second, earlier when 1,024 have been, but ten a second at most, and one at the end. They are further
//! apart where signing one takes more than a hundredth of a second.
//!
//! Out of scope: the environment (the clock is passed in), and threads that do not belong to one pipeline.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use carbon_ops_ledger::append::pipeline::{Clock, Pipeline, PipelineOptions};
//! use carbon_ops_ledger::append::{Ledger, WriterOptions};
//! use carbon_ops_ledger::storage::DirStorage;
//! use carbon_ops_proof::canonical::Object;
//! use carbon_ops_proof::keys::{SecretKey, Trust};
//! use jiff::Timestamp;
//!
//! struct Stopped;
//! impl Clock for Stopped {
//!     fn utc(&self) -> Timestamp {
//!         Timestamp::constant(1_795_424_400, 0)
//!     }
//!     fn monotonic(&self) -> Duration {
//!         Duration::ZERO
//!     }
//! }
//!
//! let dir = tempfile::tempdir().unwrap();
//! let storage = || DirStorage::new(dir.path());
//! let key = SecretKey::from_seed(&[7; 32]);
//! let writer = WriterOptions { tool: "example 1.0".into(), patience: Duration::from_secs(1) };
//! Ledger::create(storage(), &key, [1; 16], Stopped.utc(), writer.clone()).unwrap();
//!
//! let trust = Trust::from_iter([key.public_key()]);
//! let options = PipelineOptions::new(writer);
//! let pipeline = Pipeline::open(storage(), Arc::new(key), trust, Stopped, options).unwrap();
//! let submitter = pipeline.submitter();
//! let payload = Object::from_members([("kind", "greeting".into())]).unwrap();
//! let tickets: Vec<_> = (0..3).map(|_| submitter.submit(&payload).unwrap()).collect();
//! for (ticket, seq) in tickets.into_iter().zip(1..) {
//!     assert_eq!(ticket.wait().unwrap().seq, seq);
//! }
//! let stored = pipeline.close().unwrap();
//! assert_eq!((stored.entries, stored.checkpoints), (3, 1));
//! ```

use std::io;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use carbon_ops_proof::entry::{Durability, LedgerId};
use carbon_ops_proof::keys::{Signer, Trust};

use super::ledger::{Ledger, Repair, WriterOptions};
use super::seal::SEGMENT_BYTES;
use crate::error::{Error, Result};
use crate::storage::Storage;

mod intake;
mod signers;
mod succession;
mod writer;

use intake::Intake;
pub use intake::{Acknowledged, Submitter, Ticket};
use signers::{ChunkSigner, Signers};
use succession::Succession;
pub use writer::{Clock, Stored};
use writer::{SigningContext, Writer};

/// How many entries of one submitter may be under way unless it is told otherwise.
const IN_FLIGHT: usize = 1024;

/// How a pipeline works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineOptions {
    /// Name and patience. An entry that waits for the lock of another process for longer is refused
    /// with [`Error::Busy`].
    pub writer: WriterOptions,
    /// How many threads sign; none for as many as there are processors.
    pub signers: Option<usize>,
    /// How many entries of each submitter may be under way, at least one; a submitter waits beyond.
    /// 1,024 without another wish.
    pub in_flight: usize,
    /// How large the active file grows before it is sealed; [`SEGMENT_BYTES`] without another wish.
    pub segment_bytes: u64,
}

impl PipelineOptions {
    /// As many signers as processors, 1,024 entries in flight.
    #[must_use]
    pub fn new(writer: WriterOptions) -> Self {
        Self { writer, signers: None, in_flight: IN_FLIGHT, segment_bytes: SEGMENT_BYTES }
    }
}

/// What was found on opening.
struct Found {
    id: LedgerId,
    durability: Durability,
    repairs: Vec<Repair>,
}

/// What a pipeline has done, and what stopped it.
type Ending = (Stored, Result<(), Arc<Error>>);

/// A ledger that many threads append to.
#[derive(Debug)]
pub struct Pipeline {
    intake: Arc<Intake>,
    thread: Option<JoinHandle<Ending>>,
    id: LedgerId,
    durability: Durability,
    repairs: Vec<Repair>,
}

impl Pipeline {
    /// Opens a ledger as [`Ledger::open_for_append`] does, recovery included, and starts the threads.
    ///
    /// # Errors
    ///
    /// As [`Ledger::open_for_append`], and [`Error::Io`] when no thread can be started.
    pub fn open<S, C>(
        storage: S,
        signer: Arc<dyn Signer>,
        trust: Trust,
        clock: C,
        options: PipelineOptions,
    ) -> Result<Self>
    where
        S: Storage + Send + 'static,
        C: Clock + 'static,
    {
        let path = storage.path();
        let no_thread =
            |source| Error::Io { action: "start a thread for", path: path.clone(), source };
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        let count = options.signers.unwrap_or_else(processors);
        let succession = Arc::new(Succession::new(signer));
        let signers = Signers::start(&succession, count).map_err(no_thread)?;
        let intake = Arc::new(Intake::new(path.clone(), options.in_flight));
        let (tell, told) = mpsc::sync_channel(1);
        let work = {
            let intake = Arc::clone(&intake);
            move || {
                let _guard = PanicGuard(Arc::clone(&intake));
                let now = clock.utc();
                let opened =
                    Ledger::open_for_append(storage, &*succession, &trust, now, options.writer);
                let ledger = match opened {
                    Ok(ledger) => ledger,
                    Err(error) => {
                        let _ = tell.send(Err(error));
                        return (Stored::default(), Ok(()));
                    }
                };
                let (id, durability) = (ledger.id, ledger.durability);
                let repairs = ledger.repairs.clone();
                let _ = tell.send(Ok(Found { id, durability, repairs }));
                let chunk_signer = ChunkSigner::new(Arc::clone(&succession));
                let context = SigningContext { succession: &succession, signers, chunk_signer };
                Writer::new(ledger, intake, context, clock, options.segment_bytes).run()
            }
        };
        let thread = std::thread::Builder::new().name("ledger-writer".to_owned());
        let thread = thread.spawn(work).map_err(no_thread)?;
        let gone = || io::Error::other("its thread ended while opening");
        let found = told.recv().map_err(|_| no_thread(gone()))??;
        let Found { id, durability, repairs } = found;
        Ok(Self { intake, thread: Some(thread), id, durability, repairs })
    }

    /// A new submitter.
    #[must_use]
    pub fn submitter(&self) -> Submitter {
        Submitter::new(Arc::clone(&self.intake))
    }

    /// The ledger's name.
    #[must_use]
    pub fn ledger_id(&self) -> LedgerId {
        self.id
    }

    /// What an acknowledgement of this ledger means.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// What opening the ledger had to repair.
    #[must_use]
    pub fn repairs(&self) -> &[Repair] {
        &self.repairs
    }

    /// Takes no more, finishes what was submitted, signs a checkpoint and ends the threads. Dropping a
    /// pipeline does the same, and tells nobody whether it worked.
    ///
    /// # Errors
    ///
    /// [`Error::Ended`] when the pipeline had stopped, or does so now. What became of each entry its
    /// [`Ticket`] says.
    pub fn close(mut self) -> Result<Stored> {
        let path = self.intake.path();
        match self.end() {
            Some(Ok((stored, Ok(())))) => Ok(stored),
            Some(Ok((stored, Err(cause)))) => {
                Err(Error::Ended { path, stored: stored.entries, cause })
            }
            Some(Err(_)) | None => Err(Error::Poisoned { path }),
        }
    }

    /// What the thread ended with; none when it was asked before.
    fn end(&mut self) -> Option<std::thread::Result<Ending>> {
        self.intake.close();
        Some(self.thread.take()?.join())
    }
}

/// Lets nobody wait for ever when the writer's thread panics.
struct PanicGuard(Arc<Intake>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(&Arc::new(Error::Poisoned { path: self.0.path() }));
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
