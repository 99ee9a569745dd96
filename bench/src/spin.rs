//! The job of `own-cpu`: keeps one CPU busy for a while, then writes down what CPU time it took.
//!
//! Its last act is the report, so that its own way out, some microseconds, counts as carbon-ops'.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::UsageWho;

use crate::process::cpu_time;

/// How this program is asked to be the job: `spin SECONDS FILE`.
pub(crate) const COMMAND: &str = "spin";

/// Between two looks at the clock: some 20 µs, so that looking costs nothing.
const ROUNDS: u64 = 50_000;

pub(crate) fn run(words: &[String]) -> Result<()> {
    let [length, file] = words else { bail!("usage: {COMMAND} SECONDS FILE") };
    let until = Instant::now() + seconds(length)?;
    let mut state = 1_u64;
    while Instant::now() < until {
        for round in 0..ROUNDS {
            state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round));
        }
    }
    let cpu = cpu_time(UsageWho::RUSAGE_SELF)?;
    std::fs::write(file, cpu.as_micros().to_string()).with_context(|| format!("writing {file}"))
}

/// What the job wrote.
pub(crate) fn report(file: &Path) -> Result<Duration> {
    let text = std::fs::read_to_string(file).context("the job left no report")?;
    Ok(Duration::from_micros(text.trim().parse().context("reading the job's report")?))
}

/// A length of time that a job can have.
pub(crate) fn seconds(text: &str) -> Result<Duration> {
    let number: f64 = text.parse().with_context(|| format!("{text:?} is not a number"))?;
    let length = Duration::try_from_secs_f64(number).ok().filter(|length| !length.is_zero());
    length.with_context(|| format!("{text:?} seconds is no length for a job"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_reports_its_own_cpu_time() {
        let file = std::env::temp_dir().join(format!("carbon-ops-spin-{}", std::process::id()));
        run(&["0.05".to_owned(), file.to_string_lossy().into_owned()]).unwrap();
        let cpu = report(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        // On a busy machine it gets less than it asks for, but never nothing.
        assert!(cpu > Duration::from_millis(1), "{cpu:?}");
    }
}
