//! `cargo xtask soak`: everything at once, on simulated hosts whose energy is known exactly.
//!
//! Governors at 10 Hz over varying power, on counters that wrap after hours, after seconds with a
//! known unit, and after seconds with an unknown one. They are killed and stopped, their counters
//! fail, stand still and start anew, and clients without manners are at them all the while; a client
//! that behaves checks that nothing said once becomes untrue. In the end each domain's energy is held
//! against the truth: what is missing must lie within the gaps that were declared.
//!
//! The seed decides what is done; when exactly, the machine decides.
//!
//! Out of scope: real counters; suspend; the client library, which has its own tests.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::geteuid;

use self::chaos::{Chaos, Tally};
use self::host::{Governor, Plan, Sim, boottime_ns};
use self::random::Random;
use self::seen::Snapshot;
use self::watch::{Demand, Watcher};

mod chaos;
mod host;
pub(crate) mod hostile;
mod random;
mod seen;
mod watch;

/// `nobody` on Linux, by the kernel's overflow user id: someone without rights.
pub(crate) const STRANGER: u32 = 65_534;

/// Length unless told otherwise, and the shortest that has room for all phases.
const SECONDS: u64 = 600;
const SECONDS_MIN: u64 = 20;

/// Without anybody but clients in the way, and at the end.
const CALM: Duration = Duration::from_secs(3);

/// A round of hostile clients alone, then of all else with them.
const ROUND_S: u64 = 90;

/// Connections of a stranger who holds as many as he gets, and of root, whom more is granted.
const CONNECTIONS: usize = 1000;
const CONNECTIONS_OF_ROOT: usize = 60;

/// What the governor may have grown by.
const GROWTH_KIB: u64 = 256;

/// A governor serves 256 clients, and needs few descriptors beside.
const DESCRIPTORS_MAX: usize = 256 + 64;

/// One step of the simulated counters.
const STEP_NS: u64 = 1_000_000;

/// A sleeper that is not the governor came late by half an interval: the machine was too busy for the
/// governor's samples to say anything.
const BUSY: Duration = Duration::from_millis(50);

/// Where nothing but clients is in the way, an answer comes within this.
const PROMPT: Duration = Duration::from_secs(1);

/// The hosts. Powers are those for which the zones publish their limits; a ceiling is four times that.
const PLANS: [Plan; 3] = [
    Plan {
        name: "slow",
        options: &[
            "-d",
            "0=package-0@sine:65:30:3",
            "-d",
            "0:0=core@square:60:5:0.7",
            "-d",
            "0:1=dram@8",
            "-d",
            "1=psys@120",
        ],
        zones: &[("0", 95), ("0:0", 60), ("0:1", 8), ("1", 120)],
        range_j: 262_143.328_850,
    },
    // 2^32 of the smallest units that the kernel can print, 2^-19 J: the unit is known.
    Plan {
        name: "quick",
        options: &[
            "--esu",
            "19",
            "--max",
            "8190502631",
            "-d",
            "0=package-0@sine:1000:400:2",
            "-d",
            "0:0=dram@square:1200:300:1.3",
        ],
        zones: &[("0", 1400), ("0:0", 1200)],
        range_j: 8_190.502_631,
    },
    // A range of no known shape: counted in uJ as they are printed.
    Plan {
        name: "unknown-unit",
        options: &[
            "--max",
            "650000000",
            "-d",
            "0=package-0@square:100:20:0.9",
            "-d",
            "0:0=core@sine:50:30:5",
            "-d",
            "0:1=dram@30",
        ],
        zones: &[("0", 100), ("0:0", 80), ("0:1", 30)],
        range_j: 650.0,
    },
];

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Options {
    seconds: u64,
    seed: u64,
    binary: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        // Any number will do, as long as it is told.
        let seed = u64::from(std::process::id()) ^ boottime_ns()?;
        let mut options = Self { seconds: SECONDS, seed: seed % 1_000_000, binary: None };
        let mut words = words.iter();
        while let Some(flag) = words.next() {
            let value = words.next().with_context(|| format!("{flag} needs a value"))?;
            let number = || value.parse::<u64>().with_context(|| format!("{flag} {value}"));
            match *flag {
                "--seconds" => options.seconds = number()?,
                "--seed" => options.seed = number()?,
                "--binary" => options.binary = Some(fs::canonicalize(value)?),
                other => bail!("cargo xtask soak knows no {other}"),
            }
        }
        ensure!(options.seconds >= SECONDS_MIN, "a soak takes at least {SECONDS_MIN} s");
        Ok(options)
    }

    /// A request without an end: 64 MiB in a minute, 1 GiB where there is time.
    fn endless_mib(&self) -> u64 {
        if self.seconds < 300 { 64 } else { 1024 }
    }
}

/// Why no soak can be done here, if so.
pub(crate) fn obstacle() -> Option<&'static str> {
    if !geteuid().is_root() {
        return Some("not root");
    }
    (!Path::new("/dev/fuse").exists()).then_some("no /dev/fuse")
}

/// What went wrong, as it happens.
#[derive(Debug, Default)]
pub(crate) struct Violations(Mutex<Vec<String>>);

impl Violations {
    /// Enough to see what is wrong.
    const TOLD_MAX: usize = 40;

    pub(crate) fn add(&self, host: &str, what: &str) {
        let line = format!("{host}: {what}");
        if let Ok(mut all) = self.0.lock() {
            if all.len() < Self::TOLD_MAX {
                eprintln!("soak: VIOLATION: {line}");
            }
            all.push(line);
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().map_or(usize::MAX, |all| all.len())
    }

    /// The first of them, for who sees the end of a log alone.
    fn first(&self) -> String {
        let all = self.0.lock().map(|all| all.iter().take(3).cloned().collect::<Vec<_>>());
        all.unwrap_or_default().join("; ")
    }
}

/// One host with all that is known of it.
struct Host<'v> {
    plan: &'static Plan,
    sim: Sim,
    governor: Governor,
    watcher: Watcher<'v>,
    random: Random,
    tally: Tally,
    first: Snapshot,
    /// KiB at the start.
    anonymous: u64,
    descriptors_most: usize,
}

/// A phase: what is done in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Calm,
    Hostile,
    Chaos,
}

/// Runs it.
///
/// # Errors
/// When anything was violated, with the seed; or when it could not be done.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    if let Some(why) = obstacle() {
        bail!(
            "a soak needs simulated counters: {why}\nhint: run it as root on Linux with /dev/fuse"
        );
    }
    println!("soak: {} s, seed {}", options.seconds, options.seed);
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most.min(8192), most)?;
    let room = Room::new(&std::env::temp_dir())?;
    // The socket and the pages lie in memory, as in `/run`: a disk that is busy stops a writer of a mapped file.
    let shared = Path::new("/dev/shm");
    let run = Room::new(if shared.is_dir() { shared } else { &room.0 })?;
    let simulator = room.0.join("raplsim");
    let source = root.join("testdata/sim/raplsim.rs");
    must(
        Command::new("rustc").args(["--edition", "2021", "-O", "-o"]).args([&simulator, &source]),
    )?;
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => build(root)?,
    };
    // Where a stranger may run it.
    let ourselves = room.0.join("xtask");
    fs::copy(std::env::current_exe()?, &ourselves)?;
    let violations = Violations::default();
    let mut random = Random::new(options.seed);
    let mut hosts = Vec::new();
    for plan in &PLANS {
        hosts.push(Host::start(plan, &run.0, &simulator, &binary, &violations, &mut random)?);
    }
    for (phase, length) in phases(options.seconds) {
        let attack = Attack { ourselves: &ourselves, mib: options.endless_mib() };
        one_phase(&mut hosts, phase, length, &attack, &violations)?;
    }
    for host in &mut hosts {
        host.end(&violations)?;
    }
    let count = violations.count();
    ensure!(
        count == 0,
        "{count} violations: {}\nhint: cargo xtask soak --seconds {} --seed {}",
        violations.first(),
        options.seconds,
        options.seed
    );
    println!("soak: nothing was violated");
    Ok(())
}

/// Calm, rounds of hostile clients without and with chaos, calm.
fn phases(seconds: u64) -> Vec<(Phase, Duration)> {
    let rest = Duration::from_secs(seconds).saturating_sub(2 * CALM);
    let rounds = u32::try_from(rest.as_secs() / ROUND_S).unwrap_or(1).max(1);
    let third = rest / rounds / 3;
    let mut all = vec![(Phase::Calm, CALM)];
    for _ in 0..rounds {
        all.extend([(Phase::Hostile, third), (Phase::Chaos, 2 * third)]);
    }
    all.push((Phase::Calm, CALM));
    all
}

/// How clients attack.
struct Attack<'a> {
    ourselves: &'a Path,
    mib: u64,
}

impl Attack<'_> {
    fn start(&self, host: &mut Host<'_>, length: Duration) -> Result<Vec<Child>> {
        let mut attackers = Vec::new();
        for (user, connections) in [(STRANGER, CONNECTIONS), (0, CONNECTIONS_OF_ROOT)] {
            let mut command = Command::new(self.ourselves);
            command.arg(hostile::COMMAND).arg(&host.governor.socket);
            command.args([length.as_secs_f64().to_string(), connections.to_string()]);
            command.args([self.mib.to_string(), host.random.next().to_string()]);
            command.uid(user).gid(user).stdin(Stdio::null()).stdout(Stdio::null());
            attackers.push(command.spawn().context("cannot start an attacker")?);
        }
        Ok(attackers)
    }
}

fn one_phase(
    hosts: &mut [Host<'_>],
    phase: Phase,
    length: Duration,
    attack: &Attack<'_>,
    violations: &Violations,
) -> Result<()> {
    let tallies: Vec<Tally> = hosts.iter().map(|host| host.tally).collect();
    let start = Instant::now();
    // It beats from before the first sample that is looked at until after the last one.
    let beat = Metronome::default();
    let (before, now) = std::thread::scope(|scope| {
        scope.spawn(|| beat.run());
        let seen = scoped(hosts, phase, length, attack, &beat, violations);
        beat.over.store(true, Ordering::Relaxed);
        seen
    })?;
    let seen = before.iter().zip(&now);
    for ((host, (before, now)), tally) in hosts.iter_mut().zip(seen).zip(&tallies) {
        host.after(phase, before, now, tally, &beat, violations)?;
    }
    let looks = |of: fn(&Host<'_>) -> u64| hosts.iter().map(of).sum::<u64>();
    println!(
        "soak: {:<8} {:>5.1} s: {} answers, {} unanswered, {} kills, {} stops ({} unprovable), \
         {} faults, {} resets; the machine was late by {:.1} ms at most; {} violations so far",
        format!("{phase:?}").to_lowercase(),
        start.elapsed().as_secs_f64(),
        looks(|host| host.watcher.looks.answers),
        looks(|host| host.watcher.looks.unanswered),
        looks(|host| host.tally.kills),
        looks(|host| host.tally.stops),
        looks(|host| host.tally.unprovable),
        looks(|host| host.tally.faults),
        looks(|host| host.tally.resets),
        beat.latest().as_secs_f64() * 1e3,
        violations.count(),
    );
    Ok(())
}

/// What is done in a phase; what every governor said just before it and just after it.
fn scoped(
    hosts: &mut [Host<'_>],
    phase: Phase,
    length: Duration,
    attack: &Attack<'_>,
    beat: &Metronome,
    violations: &Violations,
) -> Result<(Vec<Snapshot>, Vec<Snapshot>)> {
    let before = hosts.iter().map(|host| host.governor.snapshot()).collect::<Result<_>>()?;
    let until = Instant::now() + length;
    let mut attackers = Vec::new();
    if phase != Phase::Calm {
        for host in &mut *hosts {
            attackers.extend(attack.start(host, length)?);
        }
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = hosts
            .iter_mut()
            .flat_map(|host| host.work(scope, phase, until, beat, violations))
            .collect();
        for worker in workers {
            let _ = worker.join();
        }
    });
    for mut attacker in attackers {
        attacker.wait()?;
    }
    let after = hosts.iter().map(|host| host.governor.snapshot_after(boottime_ns()?));
    Ok((before, after.collect::<Result<_>>()?))
}

/// Sleeps as a sampler does, and tells how late it came: a control for what is the machine's fault.
#[derive(Debug, Default)]
pub(crate) struct Metronome {
    latest_ns: AtomicU64,
    /// When it last came so late that the machine was too busy, in boot time.
    stalled_ns: AtomicU64,
    over: AtomicBool,
}

impl Metronome {
    fn run(&self) {
        let beat = Duration::from_millis(10);
        let mut deadline = Instant::now();
        while !self.over.load(Ordering::Relaxed) {
            deadline += beat;
            std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
            let late = Instant::now().saturating_duration_since(deadline);
            let ns = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
            self.latest_ns.fetch_max(ns, Ordering::Relaxed);
            if late >= BUSY {
                self.stalled_ns.store(boottime_ns().unwrap_or(u64::MAX), Ordering::Relaxed);
            }
            deadline += late;
        }
    }

    fn latest(&self) -> Duration {
        Duration::from_nanos(self.latest_ns.load(Ordering::Relaxed))
    }

    /// Whether the machine had time for everybody since a moment of boot time.
    pub(crate) fn was_quiet_since(&self, boottime_ns: u64) -> bool {
        self.stalled_ns.load(Ordering::Relaxed) < boottime_ns
    }
}

impl<'v> Host<'v> {
    fn start(
        plan: &'static Plan,
        room: &Path,
        simulator: &Path,
        binary: &Path,
        violations: &'v Violations,
        random: &mut Random,
    ) -> Result<Self> {
        let sim = Sim::start(simulator, room, plan)?;
        let governor = Governor::start(binary, room, plan, &sim)?;
        // What a start costs is over by then.
        std::thread::sleep(Duration::from_secs(1));
        let first = governor.snapshot_after(boottime_ns()?)?;
        let found = first.domains.len();
        ensure!(found == plan.zones.len(), "{}: {found} domains", plan.name);
        let (socket, state) = (governor.socket.clone(), governor.state.clone());
        let (anonymous, descriptors) = governor.holds()?;
        Ok(Self {
            plan,
            sim,
            watcher: Watcher::new(plan.name, socket, state, violations),
            governor,
            random: random.split(),
            tally: Tally::default(),
            first,
            anonymous,
            descriptors_most: descriptors,
        })
    }

    /// Starts the threads of a phase.
    fn work<'scope, 'env>(
        &'env mut self,
        scope: &'scope std::thread::Scope<'scope, 'env>,
        phase: Phase,
        until: Instant,
        beat: &'env Metronome,
        violations: &'env Violations,
    ) -> Vec<std::thread::ScopedJoinHandle<'scope, ()>> {
        let demand = if phase == Phase::Chaos { Demand::Truth } else { Demand::All };
        let watcher = &mut self.watcher;
        let watching = scope.spawn(move || watcher.watch(until, demand));
        let descriptors_most = &mut self.descriptors_most;
        let working = if phase == Phase::Chaos {
            let mut chaos = Chaos {
                plan: self.plan,
                sim: &self.sim,
                governor: &mut self.governor,
                random: &mut self.random,
                violations,
                tally: &mut self.tally,
                beat,
            };
            scope.spawn(move || chaos.run(until))
        } else {
            let governor = &self.governor;
            scope.spawn(move || {
                while Instant::now() < until {
                    let held = governor.holds().map_or(usize::MAX, |(_, descriptors)| descriptors);
                    *descriptors_most = held.max(*descriptors_most);
                    std::thread::sleep(Duration::from_millis(100));
                }
            })
        };
        vec![watching, working]
    }

    /// What must hold after a phase.
    fn after(
        &mut self,
        phase: Phase,
        before: &Snapshot,
        now: &Snapshot,
        tally: &Tally,
        beat: &Metronome,
        violations: &Violations,
    ) -> Result<()> {
        let blame = |what: &str| violations.add(self.plan.name, what);
        let quiet = beat.was_quiet_since(before.boottime_ns);
        let slowest = std::mem::take(&mut self.watcher.slowest);
        if phase != Phase::Chaos && slowest > PROMPT && quiet {
            blame(&format!("{phase:?}: an answer took {slowest:?}"));
        }
        let missed = now.missed.saturating_sub(before.missed);
        let explained = self.tally.missed_most - tally.missed_most;
        if missed > explained && quiet {
            blame(&format!("{phase:?}: {missed} samples missed, {explained} are explained"));
        }
        if phase != Phase::Chaos {
            for (key, domain) in &now.domains {
                let gaps = before.domains.get(key).map_or(0, |old| domain.gaps - old.gaps);
                if gaps > 0 && quiet {
                    blame(&format!("{phase:?}: {key} has {gaps} gaps"));
                }
            }
        }
        // Those whose clients are gone are closed at once.
        std::thread::sleep(Duration::from_millis(200));
        let (anonymous, descriptors) = self.governor.holds()?;
        if anonymous > self.anonymous + GROWTH_KIB {
            let grown = anonymous - self.anonymous;
            blame(&format!("{phase:?}: its own memory has grown by {grown} KiB to {anonymous}"));
        }
        if self.descriptors_most > DESCRIPTORS_MAX || descriptors > 64 {
            let most = self.descriptors_most;
            blame(&format!("{phase:?}: {most} descriptors at most, {descriptors} afterwards"));
        }
        self.balance(now, violations, false)
    }

    /// The whole account.
    fn end(&mut self, violations: &Violations) -> Result<()> {
        let now = self.governor.snapshot_after(boottime_ns()?)?;
        self.balance(&now, violations, true)?;
        let looks = self.watcher.looks;
        for (what, number) in [("exact", looks.same_as_page), ("public", looks.same_as_public)] {
            if number == 0 {
                violations.add(self.plan.name, &format!("the {what} page was never compared"));
            }
        }
        let (anonymous, _) = self.governor.holds()?;
        println!(
            "soak: {}: {} answers, {} as in the exact page, {} domains as in the public \
             one; own memory {} to {anonymous} KiB; at most {} descriptors; {} changes of power",
            self.plan.name,
            looks.answers,
            looks.same_as_page,
            looks.same_as_public,
            self.anonymous,
            self.descriptors_most,
            self.tally.powers,
        );
        Ok(())
    }

    /// Holds what was counted since the start against what passed.
    ///
    /// A counter is read between the sample's moment and `read_ns`, and shows what had passed at its
    /// last step; each end may be off by that much. Where the unit is not known, the kernel's
    /// rounding (2.56 ppm) and at most one unit (62 uJ) for each wrap are on top.
    fn balance(&self, now: &Snapshot, violations: &Violations, is_told: bool) -> Result<()> {
        for (key, end) in &now.domains {
            let Some(start) = self.first.domains.get(key) else { continue };
            let zone = key.split_once(":intel-rapl:").context("a key names its zone")?.1;
            let passed = |at_ns: u64| self.sim.energy_at(zone, at_ns);
            let blur = |snapshot: &Snapshot, read_ns: u64| -> Result<f64> {
                let before = snapshot.boottime_ns - STEP_NS - self.sim.unsure_ns;
                Ok(passed(read_ns + self.sim.unsure_ns)? - passed(before)?)
            };
            let (low, high) = (blur(&self.first, start.read_ns)?, blur(now, end.read_ns)?);
            let truth = passed(end.read_ns)? - passed(start.read_ns)?;
            let gaps = float(end.gap_most_uj - start.gap_most_uj);
            let rounding = if end.exact {
                2.0
            } else {
                2.0 + 2.56e-6 * truth + 62.0 * float(end.wraps - start.wraps)
            };
            let counted = float(end.total_uj - start.total_uj);
            let lost = truth - counted;
            let (least, most) = (-low - rounding, gaps + high + rounding);
            let holds = (least..=most).contains(&lost);
            if is_told || !holds {
                println!(
                    "soak: {:<13} {key:<24} {:>12.3} J true, {:>12.3} J counted, {:>9.3} J lost, allowed \
                     {:.3} to {:.3}; {} wraps, {} gaps, {} skipped{}",
                    self.plan.name,
                    truth / 1e6,
                    counted / 1e6,
                    lost / 1e6,
                    least / 1e6,
                    most / 1e6,
                    end.wraps - start.wraps,
                    end.gaps - start.gaps,
                    end.skipped - start.skipped,
                    if holds { "" } else { "  <-- WRONG" },
                );
            }
            if !holds {
                violations.add(self.plan.name, &format!("{key}: {lost:.0} uJ are lost"));
            }
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "energies of minutes in uJ have fewer than 53 bits")]
fn float(number: u64) -> f64 {
    number as f64
}

/// A folder that strangers may enter; gone afterwards.
#[derive(Debug)]
struct Room(PathBuf);

impl Room {
    fn new(within: &Path) -> Result<Self> {
        let path = within.join(format!("carbon-ops-soak-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self(path))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn must(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// The governor of this checkout; cargo says where it put it.
fn build(root: &Path) -> Result<PathBuf> {
    let mut command = Command::new("cargo");
    command.args(["build", "--quiet", "--locked", "--bin", "carbon-governor"]);
    command.arg("--message-format=json-render-diagnostics").current_dir(root);
    let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "the governor cannot be built");
    let text = String::from_utf8_lossy(&output.stdout);
    let executable = text.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        (message.pointer("/target/name")? == "carbon-governor")
            .then(|| Some(PathBuf::from(message.get("executable")?.as_str()?)))?
    });
    executable.context("cargo named no carbon-governor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_fill_the_time_and_begin_and_end_calmly() {
        for seconds in [SECONDS_MIN, 60, 600, 3600] {
            let all = phases(seconds);
            let sum: Duration = all.iter().map(|(_, length)| *length).sum();
            assert!(sum.abs_diff(Duration::from_secs(seconds)) < Duration::from_millis(1));
            assert_eq!(all.first().unwrap().0, Phase::Calm);
            assert_eq!(all.last().unwrap().0, Phase::Calm);
            assert!(all.iter().any(|(phase, _)| *phase == Phase::Chaos));
        }
    }

    #[test]
    fn options_are_read_strictly() {
        let options = Options::parse(&["--seconds", "60", "--seed", "7"]).unwrap();
        assert_eq!((options.seconds, options.seed, options.endless_mib()), (60, 7, 64));
        for wrong in [&["--seconds", "5"][..], &["--seed"], &["--fast", "1"]] {
            assert!(Options::parse(wrong).is_err());
        }
    }
}
