//! A pipeline on the simulated disk: rounds of records that three submitters hand over by turns, so
//! that each round is one batch, with checkpoints and sealed segments between them.
//!
//! The clock is the conductor. A pipeline asks it for the time on its one writing thread, and when
//! all of a round is answered it hands over the next, before that thread looks for work. So the same
//! script makes the same calls in each run, whatever the threads do. Only whether the end takes a turn
//! of its own depends on them, and that changes nothing on the disk.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

use carbon_ops_ledger::append::pipeline::{
    Clock, Pipeline, PipelineOptions, Stored, Submitter, Ticket,
};
use carbon_ops_ledger::storage::DirStorage;
use carbon_ops_ledger::{Error, Result};
use jiff::Timestamp;

use crate::power::{Random, Session, World, padded};
use crate::support::{LATER, options, trust};

/// With it a checkpoint is due between every second round and the next.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(600);
const SUBMITTERS: usize = 3;

/// What a pipeline is given to do.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// The sizes of the records of each round, about so many bytes beside what each has.
    pub(crate) rounds: Vec<Vec<usize>>,
    pub(crate) segment_bytes: u64,
}

impl Script {
    pub(crate) fn of(rounds: &[&[usize]], segment_bytes: u64) -> Self {
        Self { rounds: rounds.iter().map(|round| round.to_vec()).collect(), segment_bytes }
    }

    /// One to three rounds of two to five records.
    pub(crate) fn drawn(random: &mut Random) -> Self {
        let rounds = 1 + random.below(3);
        let mut round = || (0..2 + random.below(4)).map(|_| random.below(400)).collect();
        let rounds = (0..rounds).map(|_| round()).collect();
        Self { rounds, segment_bytes: [1000, 4000, u64::MAX][random.below(3)] }
    }
}

/// What a session's pipeline was given and has not answered, in the order of submission, and what was
/// answered with an error.
#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    tickets: VecDeque<(u32, Ticket)>,
    refused: Vec<(u32, Error)>,
}

impl UnderWay {
    /// Tells the world of all answers that there are.
    pub(crate) fn hear(&mut self, world: &Mutex<World>) {
        while self.tickets.front().is_some_and(|(_, ticket)| ticket.is_answered()) {
            let Some((n, ticket)) = self.tickets.pop_front() else { return };
            match ticket.wait() {
                Ok(_) => {
                    assert!(self.refused.is_empty(), "{n} was acknowledged after {self:?}");
                    let mut world = world.lock().unwrap();
                    world.acknowledged = world.acknowledged.max(n + 1);
                }
                Err(error) => self.refused.push((n, error)),
            }
        }
    }
}

/// Where records are handed over.
struct Entrance {
    submitters: OnceLock<Vec<Submitter>>,
    next: AtomicU32,
    under_way: Arc<Mutex<UnderWay>>,
    world: Arc<Mutex<World>>,
}

impl Entrance {
    fn submit(&self, bytes: usize) {
        let n = self.next.fetch_add(1, Ordering::SeqCst);
        // Nobody hears the answer before it is known whose it is.
        let mut under_way = self.under_way.lock().unwrap();
        {
            let mut world = self.world.lock().unwrap();
            world.submitted = world.submitted.max(n + 1);
        }
        let submitters = self.submitters.get().unwrap();
        match submitters[n as usize % SUBMITTERS].submit(&padded(n, bytes)) {
            Ok(ticket) => under_way.tickets.push_back((n, ticket)),
            Err(error) => under_way.refused.push((n, error)),
        }
    }
}

struct Conductor {
    entrance: Arc<Entrance>,
    /// What is left to be played, but for the very first record.
    rounds: RefCell<VecDeque<Vec<usize>>>,
    begun: Cell<bool>,
    now: Cell<Duration>,
    ended: mpsc::Sender<()>,
}

impl Clock for Conductor {
    fn utc(&self) -> Timestamp {
        LATER
    }

    fn monotonic(&self) -> Duration {
        let answered = {
            let mut under_way = self.entrance.under_way.lock().unwrap();
            under_way.hear(&self.entrance.world);
            under_way.tickets.is_empty()
        };
        if !self.begun.replace(true) || answered {
            match self.rounds.borrow_mut().pop_front() {
                Some(round) => round.into_iter().for_each(|bytes| self.entrance.submit(bytes)),
                None => drop(self.ended.send(())),
            }
            if answered {
                self.now.set(self.now.get() + BETWEEN_ROUNDS);
            }
        }
        self.now.get()
    }
}

/// What came of a script.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) end: Result<Stored>,
    /// Which records were answered with an error.
    pub(crate) refused: Vec<(u32, Error)>,
}

/// Opens a pipeline, plays the script as far as it goes, and closes it.
pub(crate) fn play(session: &Session, script: &Script) -> Played {
    let mut rounds: VecDeque<_> = script.rounds.clone().into();
    let first = rounds[0].remove(0);
    let (ended, end) = mpsc::channel();
    let entrance = Arc::new(Entrance {
        submitters: OnceLock::new(),
        next: AtomicU32::new(0),
        under_way: Arc::clone(&session.under_way),
        world: session.notary.world(),
    });
    let conductor = Conductor {
        entrance: Arc::clone(&entrance),
        rounds: RefCell::new(rounds),
        begun: Cell::new(false),
        now: Cell::new(Duration::ZERO),
        ended,
    };
    let writer = PipelineOptions::new(options());
    let segment_bytes = script.segment_bytes;
    let writer = PipelineOptions { signers: Some(1), segment_bytes, ..writer };
    let storage = DirStorage::over(session.files.clone());
    let notary = Arc::new(session.notary.clone());
    let pipeline = match Pipeline::open(storage, notary, trust(), conductor, writer) {
        Ok(pipeline) => pipeline,
        Err(error) => return Played { end: Err(error), refused: Vec::new() },
    };
    entrance.next.store(session.found(), Ordering::SeqCst);
    let submitters = (0..SUBMITTERS).map(|_| pipeline.submitter()).collect();
    entrance.submitters.set(submitters).unwrap();
    entrance.submit(first);
    // An error here: the writer is gone, and the conductor with it.
    let _ = end.recv();
    let end = pipeline.close();
    let mut under_way = session.under_way.lock().unwrap();
    under_way.hear(&session.notary.world());
    assert!(under_way.tickets.is_empty(), "without an answer: {under_way:?}");
    Played { end, refused: std::mem::take(&mut under_way.refused) }
}
