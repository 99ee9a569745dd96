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
        let spawn = || {
            let work = || work(&queue, Examiner::new(check, since));
            thread::Builder::new().name("verify".to_owned()).spawn_scoped(scope, work)
        };
        spawn()?;
        for _ in 1..settings.threads.get() {
            // Fewer do the same.
            if spawn().is_err() {
                break;
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Read;

    use super::*;
    use crate::keys::Trust;

    /// Tells how much of it was taken.
    struct Counted<'c> {
        rest: &'c [u8],
        taken: &'c Cell<usize>,
    }

    impl Read for Counted<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let read = self.rest.read(out)?;
            self.taken.set(self.taken.get() + read);
            Ok(read)
        }
    }

    impl BufRead for Counted<'_> {
        fn fill_buf(&mut self) -> io::Result<&[u8]> {
            Ok(self.rest)
        }

        fn consume(&mut self, amount: usize) {
            self.rest = &self.rest[amount..];
            self.taken.set(self.taken.get() + amount);
        }
    }

    /// Of three threads each has a piece and another one that waits, and one is judged; so what is held does not
    /// depend on the length of the stream.
    #[test]
    fn so_many_pieces_are_read_ahead_as_keep_all_threads_at_work() {
        // A piece has 132 lines of 1000 bytes.
        let (file, piece) = ([vec![b'x'; 999], vec![b'\n']].concat().repeat(2000), 132_000);
        let check = |_: &crate::entry::Payload<'_>| Ok(());
        let trust = Trust::new();
        for (threads, ahead) in [(1, 1), (2, 5), (3, 7)] {
            let taken = Cell::new(0);
            let settings =
                Settings { threads: threads.try_into().unwrap(), ..Settings::new(&trust) };
            let (mut number, mut judged) = (0, 0);
            let mut judge = |line: Examined<()>| {
                number += 1;
                assert_eq!(line.number, number, "in the order of lines");
                let most = file.len().min((judged / piece + ahead) * piece);
                assert_eq!(taken.get(), most, "{threads} threads, line {number}");
                judged += 1000;
            };
            let reader = Counted { rest: &file, taken: &taken };
            examine_all(reader, &settings, &check, &mut judge).unwrap();
            assert_eq!((number, taken.get()), (2000, file.len()));
        }
    }
}
