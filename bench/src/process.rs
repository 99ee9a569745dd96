//! Runs a command to its end and says what it took.
//!
//! Wall time is from before the spawn until after the wait. CPU time is what the kernel adds to our
//! `RUSAGE_CHILDREN` at that wait: of the command and of all that it had waited for itself, exact
//! to the microsecond, however short. One command runs at a time, so that the difference is its own.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};

/// What a command took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    pub(crate) wall: Duration,
    /// User and system time.
    pub(crate) cpu: Duration,
}

/// A command in surroundings that are the same on every machine: no variable but `PATH` and a `HOME`
/// without configuration, nothing to read, and output that costs nobody anything.
///
/// (`cargo run` sets a library path, for one, which every dynamically linked program then searches.)
pub(crate) fn command(program: impl AsRef<OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Runs a command that must succeed.
pub(crate) fn time(command: &mut Command) -> Result<Took> {
    let before = cpu_time(UsageWho::RUSAGE_CHILDREN)?;
    let start = Instant::now();
    let status = command.spawn().and_then(|mut child| child.wait());
    let wall = start.elapsed();
    let status = status.with_context(|| format!("cannot run {}", shown(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", shown(command));
    }
    let cpu = cpu_time(UsageWho::RUSAGE_CHILDREN)?.saturating_sub(before);
    Ok(Took { wall, cpu })
}

/// User and system time.
pub(crate) fn cpu_time(who: UsageWho) -> Result<Duration> {
    let usage: Usage = getrusage(who).context("getrusage")?;
    let microseconds = |time: TimeVal| u64::try_from(time.num_microseconds()).unwrap_or(0);
    Ok(Duration::from_micros(microseconds(usage.user_time()) + microseconds(usage.system_time())))
}

/// In milliseconds, the unit of every time that is printed.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_is_no_measurement() {
        let home = std::env::temp_dir();
        assert!(time(&mut command("true", &home)).unwrap().wall > Duration::ZERO);
        assert!(time(&mut command("false", &home)).unwrap_err().to_string().contains("false"));
        assert!(time(&mut command("/no/such/program", &home)).is_err());
    }
}
