//! Many writers on one ledger, killed and stopped at random: no acknowledged record is lost, every
//! writer's records are in its order, and no two checkpoints contradict each other.
//!
//! Half of them append one record after the other; the others are `carbon-ops ledger append`, with
//! hundreds of records under way and a batch at a time on the disk.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use carbon_ops::ledger::files::{Files as _, RealFiles};
use carbon_ops::ledger::keys::create_secret;
use carbon_ops::proof::checkpoint::Checkpoint;
use carbon_ops::proof::note::Note;
use carbon_ops_testkit::skip::{say, stride};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::home::Home;
use crate::writer::{KEY_SEED, NOW, Random, Told, World, check, create, opened, payload, start};

const WRITERS: u32 = 32;
const LASTS: Duration = Duration::from_secs(20);
/// What part of that it lasts, and of what it must have seen by then, unless it may take its time.
const SAMPLED: usize = 4;
const SEED: u64 = 20_261_124;
/// How many records a pipeline is given at a time, at most.
const BURST: u64 = 400;
/// How long the next acknowledgement of a pipeline is waited for, so that it is killed in its turn:
/// most of the time it waits for the lock, and a kill then proves little.
const TURN_COMES: Duration = Duration::from_millis(400);
/// How large the pipelines let the active file grow: the least that may be set, so that
/// segments are sealed all the time.
const SEGMENT_BYTES: &str = "1048576";

fn signal(child: &Child, signal: Signal) {
    let _ = kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal);
}

/// One of many.
struct Running {
    child: Child,
    number: u32,
    stopped: bool,
    /// What a pipeline says beside its acknowledgements.
    errors: Option<PathBuf>,
}

/// Where the writers are and what they said.
struct Crowd<'h> {
    home: &'h Home,
    dir: PathBuf,
    world: World,
    random: Random,
    begun: u32,
    pipelines: BTreeSet<u32>,
}

impl Crowd<'_> {
    /// A writer with a new number.
    fn begin(&mut self, pipeline: bool) -> Running {
        let (number, seed) = (self.begun, u32::try_from(self.random.below(1 << 31)).unwrap());
        self.begun += 1;
        if pipeline {
            self.pipelines.insert(number);
            return self.pipeline(number, seed);
        }
        let child = start(&self.dir, number, seed, &self.world);
        Running { child, number, stopped: false, errors: None }
    }

    /// `carbon-ops ledger append`, fed by a thread and heard by another; both end with the pipes.
    fn pipeline(&self, number: u32, seed: u32) -> Running {
        let errors = self.home.path(&format!("errors-{number}"));
        let mut child = self
            .home
            .carbon_ops(&["ledger", "append", "--json"])
            .arg(&self.dir)
            .env("CARBON_OPS_KEY", self.home.path("key.pem"))
            .env("CARBON_OPS_SEGMENT_BYTES", SEGMENT_BYTES)
            .stdin(Stdio::piped())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        std::thread::spawn(move || feed(input, number, Random(seed.into())));
        let world = self.world.clone();
        std::thread::spawn(move || hear(output, number, &world));
        Running { child, number, stopped: false, errors: Some(errors) }
    }

    /// Kills a writer, which has to have been alive until then.
    fn end(&self, mut writer: Running) {
        signal(&writer.child, Signal::SIGKILL);
        let status = writer.child.wait().unwrap();
        if status.signal() != Some(Signal::SIGKILL as i32) {
            let said = writer.errors.map(|path| std::fs::read_to_string(path).unwrap());
            self.world.lock().unwrap().stopped.push(format!("{status}: {said:?}"));
        }
    }

    /// Waits until a writer is acknowledged something, or not for much longer.
    fn await_turn(&self, writer: &Running) {
        let acknowledged = || self.world.lock().unwrap().acknowledged.get(&writer.number).copied();
        signal(&writer.child, Signal::SIGCONT);
        let (before, began) = (acknowledged(), Instant::now());
        while acknowledged() == before && began.elapsed() < TURN_COMES {
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Takes a look at the checkpoint as anybody may at any time.
    fn look_at_checkpoint(&self) {
        let Ok(bytes) = std::fs::read(self.dir.join("checkpoint")) else { return };
        // It is replaced as a whole, so it is never seen torn.
        let checkpoint = Checkpoint::of_note(&Note::parse(&bytes).unwrap()).unwrap();
        let seen = (checkpoint.size, checkpoint.root);
        let mut told = self.world.lock().unwrap();
        if told.signed.last() != Some(&seen) {
            told.signed.push(seen);
        }
    }
}

/// Records without end, in bursts; what does not fit into the pipe waits there.
fn feed(mut input: ChildStdin, writer: u32, mut random: Random) {
    let mut n = 0_u64;
    loop {
        let burst = 1 + random.below(BURST);
        let lines = (n..n + burst)
            .map(|n| format!("{{\"kind\":\"test\",\"n\":{n},\"writer\":{writer}}}\n"));
        if input.write_all(lines.collect::<String>().as_bytes()).is_err() {
            return;
        }
        n += burst;
        std::thread::sleep(Duration::from_millis(random.below(1500)));
    }
}

/// Acknowledgements, which come in the order of the lines.
fn hear(output: ChildStdout, writer: u32, world: &World) {
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        // A line that a kill cut off was not told.
        let Ok(told) = serde_json::from_slice::<Value>(&line) else { continue };
        let count = u32::try_from(told["line"].as_u64().unwrap()).unwrap();
        let mut world = world.lock().unwrap();
        let before = world.acknowledged.insert(writer, count).unwrap_or(0);
        if count != before + 1 {
            world.stopped.push(format!("{writer}: line {count} was acknowledged after {before}"));
        }
    }
}

/// How many records were acknowledged, to single writers or to pipelines.
fn acknowledged(told: &Told, pipelines: &BTreeSet<u32>, pipelined: bool) -> u32 {
    let these = told.acknowledged.iter().filter(|(of, _)| pipelines.contains(of) == pipelined);
    these.map(|(_, count)| count).sum()
}

/// How many ends of crashed writers were set aside.
fn torn_ends(dir: &Path) -> usize {
    let files = std::fs::read_dir(dir).unwrap().flatten();
    files.filter(|file| file.file_name().to_string_lossy().contains(".torn-")).count()
}

#[test]
fn writers_and_pipelines_that_are_killed_and_stopped_at_random_lose_nothing() {
    let home = Home::new();
    let dir = home.work("ledger");
    create(&dir);
    create_secret(&home.path("key.pem"), &KEY_SEED).unwrap();
    let (world, random) = (World::default(), Random(SEED));
    let mut crowd = Crowd {
        home: &home,
        dir: dir.clone(),
        world: world.clone(),
        random,
        begun: 0,
        pipelines: BTreeSet::new(),
    };
    let is_pipeline = |at: usize| at.is_multiple_of(2);
    let mut writers: Vec<Running> =
        (0..WRITERS as usize).map(|at| crowd.begin(is_pipeline(at))).collect();
    let (mut kills, mut stops) = ([0, 0], 0);
    let began = Instant::now();
    let part = u32::try_from(stride(SAMPLED)).unwrap();
    while began.elapsed() < LASTS / part {
        std::thread::sleep(Duration::from_millis(10 + crowd.random.below(30)));
        crowd.look_at_checkpoint();
        let at = usize::try_from(crowd.random.below(WRITERS.into())).unwrap();
        match crowd.random.below(4) {
            // Whoever is stopped may hold the lock, so not for long.
            0 | 1 if !writers[at].stopped => {
                signal(&writers[at].child, Signal::SIGSTOP);
                (writers[at].stopped, stops) = (true, stops + 1);
            }
            2 => {
                if is_pipeline(at) && crowd.random.below(2) == 0 {
                    crowd.await_turn(&writers[at]);
                }
                signal(&writers[at].child, Signal::SIGKILL);
                let next = crowd.begin(is_pipeline(at));
                crowd.end(std::mem::replace(&mut writers[at], next));
                kills[usize::from(is_pipeline(at))] += 1;
            }
            _ => {
                for writer in &mut writers {
                    signal(&writer.child, Signal::SIGCONT);
                    writer.stopped = false;
                }
            }
        }
    }
    for writer in writers {
        crowd.end(writer);
    }
    // The threads that listen end with the pipes.
    let Crowd { begun, pipelines, world: heard, .. } = crowd;
    drop(heard);
    while Arc::strong_count(&world) > 1 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let told = world.lock().unwrap();
    let lines = check(&dir, &told);
    assert_eq!(told.stopped, [""; 0], "no writer met an error");
    let acknowledged = [false, true].map(|pipelined| acknowledged(&told, &pipelines, pipelined));
    let torn = torn_ends(&dir);
    say(&format!(
        "{begun} writers, {kills:?} kills of single writers and of pipelines, {stops} stops, \
         {acknowledged:?} acknowledged records of {lines} lines, {torn} torn ends, {} checkpoints \
         heard of",
        told.signed.len()
    ));
    assert!(kills.iter().all(|kills| *kills > 15 / part), "{kills:?} kills");
    assert!(
        acknowledged[0] > 20 / part && acknowledged[1] > 1000 / part,
        "{acknowledged:?} acknowledged"
    );
}

#[test]
fn a_lock_that_a_child_inherited_is_given_back_by_the_writer() {
    let home = Home::new();
    let files = RealFiles::new(home.path("work"));
    let lock = files.lock("lock", Duration::ZERO).unwrap().unwrap();
    // What a fork makes: another descriptor of the same open file.
    let inherited = lock.try_clone().unwrap();
    assert!(files.lock("lock", Duration::ZERO).unwrap().is_none());
    files.unlock(lock);
    assert!(files.lock("lock", Duration::ZERO).unwrap().is_some());
    drop(inherited);
}

#[test]
fn a_lock_file_that_a_dead_writer_left_locks_nobody_out() {
    let home = Home::new();
    let dir = home.work("ledger");
    create(&dir);
    for content in ["", "x", "4711\n"] {
        std::fs::write(dir.join("lock"), content).unwrap();
        opened(&dir, |ledger| ledger.append(payload(0, 0), NOW)).unwrap();
        assert_eq!(dir.join("lock").metadata().unwrap().len(), 0, "nothing is in doubt any more");
    }
}
