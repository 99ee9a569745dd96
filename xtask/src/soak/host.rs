//! A simulated host and the governor on it: started, killed, stopped, and asked what is true.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use super::seen::{Client, Snapshot};

/// Time to mount, to start and to answer: a machine under load is slow.
const PATIENCE: Duration = Duration::from_secs(20);

/// Time between samples, the governor's default.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

/// A host of the soak.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    /// Options of `raplsim.rs`.
    pub(crate) options: &'static [&'static str],
    /// The zones and the most power of each, in W.
    pub(crate) zones: &'static [(&'static str, u64)],
    /// Energy after which its counters begin again, in J.
    pub(crate) range_j: f64,
}

impl Plan {
    /// The most power of a zone.
    pub(crate) fn peak(&self, zone: &str) -> u64 {
        self.zones.iter().find(|(id, _)| *id == zone).map_or(1, |(_, peak)| *peak)
    }
}

/// A simulator that is mounted.
#[derive(Debug)]
pub(crate) struct Sim {
    child: Child,
    pub(crate) mount: PathBuf,
    /// What is to be added to boot time for the simulator's Unix time, in ns, and how far off that
    /// can be.
    offset_ns: i128,
    pub(crate) unsure_ns: u64,
}

impl Sim {
    pub(crate) fn start(program: &Path, room: &Path, plan: &Plan) -> Result<Self> {
        let mount = room.join(format!("{}-sim", plan.name));
        fs::create_dir(&mount)?;
        let mut command = Command::new(program);
        command.arg(&mount).args(plan.options).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().context("cannot start raplsim")?;
        let mut sim = Self { child, mount, offset_ns: 0, unsure_ns: u64::MAX };
        let start = Instant::now();
        while !sim.mount.join("truth").exists() {
            if let Some(status) = sim.child.try_wait()? {
                bail!("raplsim ended: {status}");
            }
            ensure!(start.elapsed() < PATIENCE, "raplsim mounts nothing");
            std::thread::sleep(Duration::from_millis(10));
        }
        sim.compare_clocks()?;
        Ok(sim)
    }

    /// The simulator counts from a Unix time of its own with the monotonic clock, so that one
    /// comparison with boot time holds until the end. The quickest of many is the sharpest.
    fn compare_clocks(&mut self) -> Result<()> {
        for _ in 0..200 {
            let before = boottime_ns()?;
            let text = fs::read_to_string(self.mount.join("truth"))?;
            let took = boottime_ns()? - before;
            let unix = text.lines().next().and_then(|line| line.strip_prefix("# unix_s "));
            let (seconds, micros) = unix.and_then(|unix| unix.split_once('.')).context("truth")?;
            let unix_ns = i128::from(seconds.parse::<u64>()?) * 1_000_000_000
                + micros.parse::<i128>()? * 1000;
            if took < self.unsure_ns {
                self.unsure_ns = took;
                self.offset_ns = unix_ns - i128::from(before + took / 2);
            }
        }
        // Half of it, and the microsecond to which the time is told.
        self.unsure_ns = self.unsure_ns / 2 + 1000;
        Ok(())
    }

    /// Energy of a zone since the start, in µJ, at a moment of boot time.
    pub(crate) fn energy_at(&self, zone: &str, boottime_ns: u64) -> Result<f64> {
        let unix = u64::try_from(i128::from(boottime_ns) + self.offset_ns)?;
        let name = format!("at/{}.{:09}", unix / 1_000_000_000, unix % 1_000_000_000);
        Ok(self.row(&name, zone)?.0)
    }

    /// Energy and reading of a zone now, in µJ.
    pub(crate) fn now(&self, zone: &str) -> Result<(f64, u64)> {
        self.row("truth", zone)
    }

    fn row(&self, file: &str, zone: &str) -> Result<(f64, u64)> {
        let text = fs::read_to_string(self.mount.join(file)).with_context(|| file.to_owned())?;
        let row = text.lines().find_map(|line| line.strip_prefix(&format!("intel-rapl:{zone} ")));
        let row = row.with_context(|| format!("the simulator knows no zone {zone}"))?;
        let mut words = row.split(' ').skip(1);
        let mut next = || words.next().context("a row of the simulator is short");
        Ok((next()?.parse()?, next()?.parse()?))
    }

    /// Tells the simulator what to do; see the head of `raplsim.rs`.
    pub(crate) fn ctl(&self, line: &str) -> Result<()> {
        fs::write(self.mount.join("ctl"), format!("{line}\n")).with_context(|| line.to_owned())
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        signal(&self.child, Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// A governor, through all its lives.
#[derive(Debug)]
pub(crate) struct Governor {
    binary: PathBuf,
    arguments: Vec<String>,
    pub(crate) socket: PathBuf,
    pub(crate) state: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Governor {
    pub(crate) fn start(binary: &Path, room: &Path, plan: &Plan, sim: &Sim) -> Result<Self> {
        let home = room.join(plan.name);
        fs::create_dir(&home)?;
        fs::set_permissions(&home, fs::Permissions::from_mode(0o755))?;
        let (socket, state) = (home.join("socket"), home.join("state"));
        let text = |path: &Path| path.display().to_string();
        let arguments = vec![
            "--rapl-mode=sysfs".to_owned(),
            "--no-nvml".to_owned(),
            format!("--powercap-root={}", text(&sim.mount.join("class/powercap"))),
            format!("--socket-path={}", text(&socket)),
            format!("--state-dir={}", text(&state)),
            // Those who attack it are no root.
            format!("--socket-group={}", super::STRANGER),
        ];
        let log = home.join("log");
        let mut governor =
            Self { binary: binary.to_owned(), arguments, socket, state, log, child: None };
        governor.run()?;
        Ok(governor)
    }

    /// Starts it again, and waits until it answers.
    pub(crate) fn run(&mut self) -> Result<()> {
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().context("cannot start the governor")?;
        let child = self.child.insert(child);
        let start = Instant::now();
        while Client::connect(&self.socket, PATIENCE).and_then(|mut c| c.snapshot()).is_err() {
            if let Some(status) = child.try_wait()? {
                bail!("the governor ended: {status}; its log: {}", self.last_words());
            }
            ensure!(start.elapsed() < PATIENCE, "the governor does not serve");
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    /// `kill -9`, and the end of it.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().context("kill")?;
            child.wait().context("wait")?;
        }
        Ok(())
    }

    /// Stands still for so long.
    pub(crate) fn stop(&self, time: Duration) -> Result<()> {
        let child = self.child.as_ref().context("no governor runs")?;
        signal(child, Signal::SIGSTOP);
        std::thread::sleep(time);
        signal(child, Signal::SIGCONT);
        Ok(())
    }

    pub(crate) fn snapshot(&self) -> Result<Snapshot> {
        Client::connect(&self.socket, PATIENCE)?.snapshot()
    }

    /// The first snapshot that was taken after `boottime_ns` with every domain read.
    pub(crate) fn snapshot_after(&self, boottime_ns: u64) -> Result<Snapshot> {
        let start = Instant::now();
        loop {
            let snapshot = self.snapshot()?;
            let fresh = |snapshot: &Snapshot| {
                snapshot.boottime_ns > boottime_ns
                    && snapshot
                        .domains
                        .values()
                        .all(|domain| domain.read_ns >= snapshot.boottime_ns)
            };
            if fresh(&snapshot) {
                return Ok(snapshot);
            }
            ensure!(start.elapsed() < PATIENCE, "no whole sample for {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Memory of its own in KiB, and its open descriptors.
    pub(crate) fn holds(&self) -> Result<(u64, usize)> {
        let pid = self.child.as_ref().context("no governor runs")?.id();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let anonymous = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        Ok((anonymous.context("no RssAnon")?, descriptors))
    }
}

impl Drop for Governor {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn signal(child: &Child, signal: Signal) {
    if let Ok(pid) = i32::try_from(child.id()) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Time since boot, suspend included.
pub(crate) fn boottime_ns() -> Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
    Ok(u64::try_from(time.tv_sec())? * 1_000_000_000 + u64::try_from(time.tv_nsec())?)
}
