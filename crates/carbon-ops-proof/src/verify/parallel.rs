//! Examining all lines of a stream on several threads, and handing on what they tell in the order of
//! lines.
//!
//! The calling thread reads, and takes results in the order in which it gave pieces out; the others
//! examine. So many pieces are under way at most that memory does not depend on the length of the
//! stream.
//!
//! Out of scope: what is done with the results.

use std::collections::VecDeque;
use std::io::{self, BufRead};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::chunk::{Chunk, Chunks};
use super::line::{Check, Examined, Examiner};
use super::report::{Progress, Settings};

/// A piece that was examined, with what its lines told.
struct Done<T> {
    chunk: Chunk,
    lines: Vec<Examined<T>>,
}

/// A piece to examine, and who waits for the result.
struct Job<T> {
    chunk: Chunk,
    reply: Sender<Done<T>>,
}

/// Examines all lines of a stream and calls `judge` with each, in order, on this thread.
pub(super) fn examine_all<T: Send>(
    reader: impl BufRead,
    settings: &Settings<'_>,
    check: &Check<'_, T>,
    judge: &mut dyn FnMut(Examined<T>),
) -> io::Result<()> {
    let mut chunks = Chunks::new(reader);
    let mut chunk = Chunk::default();
    chunks.read(&mut chunk)?;
    let since = settings.compared();
    let mut counter = ProgressCounter::default();
    let mut judge = |lines: Vec<Examined<T>>| counter.judge(lines, settings, judge);
    if settings.threads.get() == 1 || chunks.done() {
        let mut examiner = Examiner::new(check, since);
        loop {
            judge(examiner.examine_all(chunk.lines()));
            if chunks.done() {
                return Ok(());
            }
            chunks.read(&mut chunk)?;
        }
    }
    let (jobs, queue) = channel::<Job<T>>();
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        // Moved in, so that the workers' queue ends when this returns, for whatever reason.
        let jobs = jobs;
        for started in 0..settings.threads.get() {
            let work = || work(&queue, Examiner::new(check, since));
            let spawned =
                thread::Builder::new().name("verify".to_owned()).spawn_scoped(scope, work);
            match spawned {
                Ok(_) => {}
                // Fewer do the same.
                Err(_) if started > 0 => break,
                Err(error) => return Err(error),
            }
        }
        let mut under_way = VecDeque::new();
        let mut idle = vec![];
        give(&jobs, &mut under_way, chunk);
        loop {
            while !chunks.done() && under_way.len() < 2 * settings.threads.get() + 1 {
                let mut chunk = idle.pop().unwrap_or_default();
                chunks.read(&mut chunk)?;
                give(&jobs, &mut under_way, chunk);
            }
            let Some(next) = under_way.pop_front() else { return Ok(()) };
            let Ok(done) = next.recv() else { return Err(io::Error::other("a thread died")) };
            judge(done.lines);
            idle.push(done.chunk);
        }
    })
}

/// Gives a piece out, and notes where its result will come from.
fn give<T>(jobs: &Sender<Job<T>>, under_way: &mut VecDeque<Receiver<Done<T>>>, chunk: Chunk) {
    let (reply, result) = channel();
    // If nobody takes it, neither does anybody reply, which is noticed there.
    drop(jobs.send(Job { chunk, reply }));
    under_way.push_back(result);
}

/// What each thread does, until there is nothing more to do.
fn work<T>(queue: &Mutex<Receiver<Job<T>>>, mut examiner: Examiner<'_, T>) {
    loop {
        // The others wait for the lock instead of for the next piece.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { chunk, reply }) = job else { return };
        let lines = examiner.examine_all(chunk.lines());
        if reply.send(Done { chunk, lines }).is_err() {
            // Reading failed meanwhile, and nobody waits.
            return;
        }
    }
}

/// Counts what was judged, for whoever follows the progress.
#[derive(Default)]
struct ProgressCounter {
    lines: u64,
    bytes: u64,
}

impl ProgressCounter {
    fn judge<T>(
        &mut self,
        lines: Vec<Examined<T>>,
        settings: &Settings<'_>,
        judge: &mut dyn FnMut(Examined<T>),
    ) {
        for line in lines {
            self.lines += 1;
            self.bytes += line.bytes;
            judge(line);
        }
        if let Some(progress) = settings.progress {
            progress(Progress { lines: self.lines, bytes: self.bytes });
        }
    }
}
