//! `carbon-ops calibrate`: the power of this machine at rest, and how to keep it.
//!
//! Out of scope: writing configuration files, which are their owner's.

use anyhow::Result;
use carbon_ops::env::Clocks;
use carbon_ops::{EnergyLogger, HostRoot, IdlePower, LoggerSettings};
use serde_json::json;

use crate::args::Calibrate;
use crate::context::Context;
use crate::layout::Page;

/// A machine at rest is busy for less of its processors' time.
const BUSY: f64 = 0.05;

pub(crate) fn run(args: &Calibrate, context: &mut Context<'_>) -> Result<u8> {
    let mut settings = LoggerSettings::of(&context.settings);
    if let Some(root) = &args.counters.powercap_root {
        // Whoever names other counters wants those to be read.
        settings.host = HostRoot::real().with_powercap(root);
        settings.governor = None;
    }
    let time = args.duration.as_secs();
    if !args.output.json {
        writeln!(context.err, "measuring for {time} s; leave the machine alone meanwhile")?;
    }
    let idle = EnergyLogger::new(settings).calibrate_idle(args.duration, &Clocks)?;
    let is_busy = idle.utilisation.is_some_and(|busy| busy > BUSY);
    let report = json!({ "idle_watts": idle.mean.as_watts(), "spread_watts": idle.spread.as_watts(),
        "samples": idle.samples, "utilisation": idle.utilisation, "source": idle.source });
    context.answer(&args.output, report, text(&idle, is_busy).text())?;
    Ok(u8::from(is_busy))
}

fn text(idle: &IdlePower, is_busy: bool) -> Page {
    let (mean, spread) = (idle.mean.as_watts(), idle.spread.as_watts());
    let mut page = Page::default();
    page.title(&format!("idle power {mean:.2} W, standard deviation {spread:.2} W"));
    let samples = format!("{} intervals, energy from {}", idle.samples, idle.source);
    page.item(&match idle.utilisation {
        Some(busy) => format!("{samples}, processors busy for {:.1} % of the time", 100.0 * busy),
        None => samples,
    });
    if is_busy {
        page.item("the machine was not at rest: this is more than its idle power");
        page.hint("stop what runs, and calibrate again");
        return page;
    }
    page.hint(&format!(
        "to use it, write `idle_baseline_watts = {mean:.2}` under `[power]` of the configuration file, or \
         set IDLE_BASELINE_WATTS={mean:.2}"
    ));
    page
}
