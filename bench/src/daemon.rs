//! A program that runs on while it is watched: what it takes per second, and what it holds.
//!
//! CPU time is the scheduler's own, of all threads, in nanoseconds (`/proc/PID/task/TID/schedstat`,
//! first field; Linux `Documentation/scheduler/sched-stats.rst`): a program that works for 20 µs and
//! then sleeps is not seen by the ticks of `/proc/PID/stat`.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Time for a command to become the program that it starts.
const PATIENCE: Duration = Duration::from_secs(10);

/// A program that runs, and is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
}

/// What a program holds, in KiB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Memory {
    /// All that is resident, the files and pages that it shares included.
    pub(crate) resident: f64,
    /// What is its own.
    pub(crate) anonymous: f64,
}

impl Daemon {
    /// Starts a command that turns into `program`.
    pub(crate) fn start(command: &mut Command, program: &Path) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
        let mut daemon = Self { child };
        let start = Instant::now();
        while fs::read_link(daemon.file("exe")).ok().as_deref() != Some(program) {
            daemon.must_run(program)?;
            ensure!(start.elapsed() < PATIENCE, "{} does not start", program.display());
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(daemon)
    }

    /// An error when it has ended.
    pub(crate) fn must_run(&mut self, program: &Path) -> Result<()> {
        if let Some(status) = self.child.try_wait().context("waiting for a program")? {
            bail!("{} ended: {status}", program.display());
        }
        Ok(())
    }

    /// CPU time of all its threads since they began.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut all = 0;
        for thread in fs::read_dir(self.file("task")).context("the program has ended")? {
            let path = thread?.path().join("schedstat");
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let first = text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
            all += first.with_context(|| format!("{} holds no number", path.display()))?;
        }
        Ok(Duration::from_nanos(all))
    }

    /// What it holds now.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let text = fs::read_to_string(self.file("status")).context("the program has ended")?;
        memory(&text).context("no VmRSS and RssAnon in /proc/PID/status")
    }

    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.child.id())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = self.child.wait();
    }
}

fn memory(status: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    Some(Memory { resident: field("VmRSS")?, anonymous: field("RssAnon")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_by_its_names() {
        let status = "VmHWM:\t    9000 kB\nVmRSS:\t    3416 kB\nRssAnon:\t     236 kB\n";
        assert_eq!(memory(status), Some(Memory { resident: 3416.0, anonymous: 236.0 }));
        assert_eq!(memory("VmRSS:\t 1 kB\n"), None);
    }

    #[test]
    fn a_sleeping_program_takes_next_to_nothing_and_a_dead_one_is_noticed() {
        let sleep = fs::canonicalize("/bin/sleep").unwrap();
        let mut daemon = Daemon::start(Command::new(&sleep).arg("60"), &sleep).unwrap();
        assert!(daemon.cpu().unwrap() < Duration::from_secs(1));
        assert!(daemon.memory().unwrap().resident > 0.0);
        daemon.child.kill().unwrap();
        daemon.child.wait().unwrap();
        assert!(daemon.must_run(&sleep).is_err());
    }
}
