//! `snapshot-read`: what it costs to read the governor's totals from its mapped page.
//!
//! CPU time of this thread over a million reads, in batches. The governor goes on writing meanwhile,
//! as it does in life.

use std::hint::black_box;

use anyhow::{Context as _, Result, ensure};
use carbon_ops_meter::page::PageReader;
use carbon_ops_meter::snapshot::Snapshot;
use nix::time::{ClockId, clock_gettime};

use crate::Options;
use crate::figure::Figure;
use crate::governor::{SIX_ZONES, Serving};
use crate::sim::{self, Sim};
use crate::stats::Summary;
use crate::subject::{Room, Subject};

/// Most that a read may take, in ns.
const LIMIT_NS: f64 = 1000.0;

/// Reads of a batch, and batches: a million in all.
const READS: u32 = 10_000;
const BATCHES: usize = 100;
/// Batches with `--quick`.
const BATCHES_QUICK: usize = 1;

/// Batches that are not counted.
const WARM_UP: usize = 5;

pub(crate) fn measure(options: &Options, subject: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    sim::demand()?;
    let room = Room::new()?;
    let sim = Sim::mount(&room, "sim", &SIX_ZONES)?;
    let serving = Serving::start(&sim, &room, subject, 10)?;
    let mut page = PageReader::open(&serving.page)?;
    let mut snapshot = Snapshot::default();
    page.read(&mut snapshot)?;
    let domains = snapshot.domains.len();
    ensure!(domains == 6, "the page holds {domains} domains and not 6");

    let mut taken = Vec::new();
    for batch in 0..WARM_UP + options.many(BATCHES, BATCHES_QUICK) {
        let start = cpu_ns()?;
        for _ in 0..READS {
            page.read(black_box(&mut snapshot))?;
        }
        if batch >= WARM_UP {
            taken.push((cpu_ns()? - start) / f64::from(READS));
        }
    }
    let figure = Figure {
        name: "CPU time of a read from the mapped page [6 domains]".to_owned(),
        baseline: format!("batches of {READS} reads"),
        unit: "ns",
        summary: Summary::of(taken),
        limit: Some(LIMIT_NS),
    };
    Ok(("snapshot-read", vec![figure]))
}

/// CPU time of this thread.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of minutes have fewer than 53 bits")]
pub(crate) fn cpu_ns() -> Result<f64> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("the thread's clock")?;
    Ok(time.tv_sec() as f64 * 1e9 + time.tv_nsec() as f64)
}
