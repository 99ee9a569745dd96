//! What people read: the summary of a run, and quantities with three digits and a fitting unit.
//!
//! No colour: nothing here needs it.

use std::fmt::Write as _;

use carbon_ops::record::{AttributionMode, Record, Sensor, SensorStatus, v2};
pub(crate) use carbon_ops::text::plain;
use carbon_ops::units::{KilowattHours, Microjoules};

use carbon_ops::gpus::Gpu;
use carbon_ops::measure::Note;

/// A number with an SI prefix and three significant digits; never `0` for what is not zero.
pub(crate) fn si(value: f64, unit: &str) -> String {
    const PREFIXES: [(f64, &str); 7] =
        [(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n")];
    if value == 0.0 {
        return format!("0 {unit}");
    }
    // 999.6 rounds to 1000, which belongs to the next prefix.
    let prefix = PREFIXES.iter().find(|(scale, _)| value.abs() >= 0.9995 * scale);
    let Some((scale, prefix)) = prefix else { return format!("{value:.2e} {unit}") };
    let value = value / scale;
    let digits = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {prefix}{unit}")
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn uj(microjoules: u64) -> String {
    si(microjoules as f64 / 1e6, "J")
}

/// A number of things: `1 record`, `2 records`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// An error with its causes, none said twice, and its hints after everything else.
pub(crate) fn describe(error: &anyhow::Error) -> String {
    let (mut text, mut hints) = (String::new(), String::new());
    for cause in error.chain().map(ToString::to_string) {
        let (message, hint) = cause.split_once("\nhint:").map_or((&*cause, ""), |(m, h)| (m, h));
        if !text.contains(message) {
            let _ = write!(text, "{}{message}", if text.is_empty() { "" } else { ": " });
        }
        if !hint.is_empty() && !hints.contains(hint) {
            let _ = write!(hints, "\nhint:{hint}");
        }
    }
    if let Some(hint) = crate::hints_grid::hint(error).filter(|hint| !hints.contains(hint)) {
        let _ = write!(hints, "\nhint: {hint}");
    }
    text + &hints
}

/// Where the record went.
pub(crate) enum Stored<'a> {
    /// Entry number, ledger, fingerprint of the key.
    Entry { seq: u64, ledger: String, fingerprint: &'a str },
    /// On request.
    Nowhere,
    /// It could not be written.
    Failed,
}

/// The summary of a run, with the grid of its own hour where that was asked for.
pub(crate) fn summary(
    record: &Record,
    priced: Option<&v2::Record>,
    gpus: &[Gpu],
    stored: &Stored<'_>,
) -> String {
    let mut text = String::new();
    let mut line = |name: &str, rest: String| {
        let _ = writeln!(text, "  {name:<8} {rest}");
    };
    line("energy", energy(record));
    line("carbon", priced.map_or_else(|| carbon(record), carbon_of_hour));
    if let Some(embodied) = priced.and_then(|record| record.embodied.as_ref()) {
        line("hardware", hardware(embodied));
    }
    line("host", host(record));
    if !gpus.is_empty() {
        line("GPU", of_gpus(record, gpus));
    }
    line("quality", quality(record));
    for reason in why_not_better(record) {
        line("", reason);
    }
    if is_noted(record, Note::EnergyFiltered) {
        line(
            "",
            "the processor blurs its energies (filtering is on); short spans may be far off".into(),
        );
    }
    if !record.gaps.is_empty() || record.coverage_pct < 100.0 {
        line("gaps", gaps(record));
    }
    line("grid", priced.map_or_else(|| grid(record), grid_of_hour));
    if let Some(slots) = priced.map(slots) {
        line("", slots);
    }
    line("PUE", pue(record));
    match stored {
        Stored::Entry { seq, ledger, fingerprint } => {
            line("record", format!("#{seq} in {ledger}"));
            line("", format!("signed by {fingerprint}"));
        }
        Stored::Nowhere => line("record", "none (--no-ledger)".into()),
        Stored::Failed => line("record", "NOT STORED, see above".into()),
    }
    format!("{}\n{text}", heading(record))
}

fn heading(record: &Record) -> String {
    let workload = &record.workload;
    let simulated = if record.simulated == Some(true) { ", SIMULATED sensors" } else { "" };
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let seconds = |ns: u64| si(ns as f64 / 1e9, "s");
    format!(
        "carbon-ops: {} took {}, {} of CPU time, exit code {}{simulated}",
        plain(&workload.program),
        seconds(record.elapsed_ns.0),
        seconds(workload.cpu_time_ns.0),
        workload.exit_code,
    )
}

/// A value in a column of its own, and its interval beside it.
pub(crate) fn bounded(value: &str, interval: Option<(f64, f64, f64)>, unit: &str) -> String {
    let interval = interval.map_or("no interval".into(), |(low, high, level)| {
        format!("{:.0} % between {} and {}", 100.0 * level, si(low, unit), si(high, unit))
    });
    format!("{value:<15} {interval}")
}

fn energy(record: &Record) -> String {
    let joules = |energy: KilowattHours| energy.as_kilowatt_hours() * 3.6e6;
    let of = record.workload_energy();
    let interval = of.map(|of| (joules(of.low()), joules(of.high()), of.level()));
    bounded(&uj(record.energy.workload_uj), interval, "J")
}

fn carbon(record: &Record) -> String {
    let of = record.carbon();
    let interval = of.map(|of| (of.low().as_grams(), of.high().as_grams(), of.level()));
    bounded(&si(record.grams, "gCO2e"), interval, "gCO2e")
}

fn host(record: &Record) -> String {
    let energy = record.energy;
    // Other processes that used less than the kernel's ticks can tell are not nothing.
    let others =
        if energy.others_uj == 0 { "too little to tell".into() } else { uj(energy.others_uj) };
    format!(
        "{} in all: {} {}, others {others}, idle {}",
        uj(energy.host_uj),
        plain(&record.workload.program),
        uj(energy.workload_uj),
        uj(energy.idle_uj)
    )
}

/// What the workload used of each GPU; of many, those that it used.
fn of_gpus(record: &Record, gpus: &[Gpu]) -> String {
    let program = plain(&record.workload.program);
    let energy = |energy: Microjoules| uj(energy.as_microjoules());
    let (used, unused): (Vec<_>, Vec<_>) =
        gpus.iter().partition(|gpu| gpu.shares.workload > Microjoules::ZERO || gpus.len() == 1);
    let mut parts: Vec<_> = used
        .into_iter()
        .map(|gpu| {
            let (shares, name) = (gpu.shares, &gpu.domain.name);
            let [host, workload, others, idle] =
                [shares.host, shares.workload, shares.others, shares.idle].map(energy);
            format!("{name} {host}: {program} {workload}, others {others}, idle {idle}")
        })
        .collect();
    if !unused.is_empty() {
        let whole: Microjoules = unused.iter().map(|gpu| gpu.shares.host).sum();
        parts.push(format!("{} that {program} did not use {}", unused.len(), energy(whole)));
    }
    let unknown = if is_noted(record, Note::GpuUnattributed) {
        " (whose it was is not known of some, which is among the others)"
    } else {
        ""
    };
    parts.join("; ") + unknown
}

/// The flag, and what it rests on.
fn quality(record: &Record) -> String {
    let names = |of_gpu: bool| {
        let domains = record.domains.iter();
        let domains = domains.filter(|domain| (domain.backend == "nvml") == of_gpu);
        domains.map(|domain| domain.name.as_str()).collect::<Vec<_>>().join(" + ")
    };
    let gpus = names(true);
    let gpus = if gpus.is_empty() { gpus } else { format!(", NVML {gpus}") };
    let energy = match &record.model {
        Some(model) => {
            let family = model.family.as_deref().unwrap_or("an unknown processor");
            format!("energy from a model of {} CPUs of {family}", model.vcpus)
        }
        None if record.attribution_mode == AttributionMode::GovernorCpuTime => {
            format!("energy from the governor's totals of {}", names(false))
        }
        None => format!("energy from RAPL {}", names(false)),
    };
    let unset = if is_noted(record, Note::RegionUnset) { ", no region set" } else { "" };
    format!("{}: {energy}{gpus}{unset}", record.quality_flag.as_str())
}

fn is_noted(record: &Record, note: Note) -> bool {
    record.notes.iter().any(|word| word == note.as_str())
}

/// One line per better sensor that was not used.
fn why_not_better(record: &Record) -> Vec<String> {
    let better = record.sensors.iter().take_while(|sensor| sensor.status != SensorStatus::Used);
    // The governor is optional where counters can be read.
    let used_counters = record.model.is_none();
    // A GPU that could not be read is missing, whatever else was.
    let unread = |sensor: &&Sensor| sensor.name == "nvml" && sensor.reason.is_some();
    let gpus = record.sensors.iter().filter(unread);
    better
        .chain(gpus)
        .filter(|sensor| !(used_counters && sensor.name == "governor"))
        .map(|sensor| {
            let reason = sensor.reason.as_deref().unwrap_or("no reason given");
            let name = match sensor.name.as_str() {
                "sysfs" => "RAPL",
                "nvml" => "GPU",
                name => name,
            };
            format!("no {name}: {reason}")
        })
        .collect()
}

fn grid(record: &Record) -> String {
    let (intensity, cited) = (record.intensity_g_per_kwh, cited(record, "intensity"));
    if is_noted(record, Note::RegionUnset) {
        return format!("world average, {intensity:.0} g/kWh ({cited}); set --region, e.g. DE");
    }
    format!("{}, yearly average, {intensity:.0} g/kWh ({cited})", record.region)
}

fn carbon_of_hour(record: &v2::Record) -> String {
    let (low, high) = (record.meta.ci_lower_g, record.meta.ci_upper_g);
    let level = record.meta.confidence_level_pct / 100.0;
    bounded(&si(record.grams, "gCO2e"), Some((low, high, level)), "gCO2e")
}

/// The carbon of making the hardware, which is not in that of the command, and what it is of.
fn hardware(embodied: &v2::Embodied) -> String {
    let level = embodied.confidence_level_pct / 100.0;
    let ends = (embodied.ci_lower_g, embodied.ci_upper_g, level);
    let interval = (embodied.grams > 0.0).then_some(ends);
    let names: Vec<_> = embodied.items.iter().map(|item| plain(&item.name)).collect();
    let text = bounded(&si(embodied.grams, "gCO2e"), interval, "gCO2e");
    format!("{text} (besides, for making {})", names.join(", "))
}

/// Where the intensity is from, and what it counts.
fn grid_of_hour(record: &v2::Record) -> String {
    let input = record.inputs.iter().find(|input| input.name == "intensity");
    let source = input.map_or("", |input| input.source.as_str());
    format!(
        "{}, {:.0} g/kWh, {} of {} ({})",
        plain(&record.region),
        record.intensity_g_per_kwh,
        record.signal.replace('_', " "),
        record.source,
        plain(source)
    )
}

/// Times and quality of the slots.
fn slots(record: &v2::Record) -> String {
    let grid = &record.grid;
    let list = grid.slots.list.as_deref().unwrap_or_default();
    let mut classes: Vec<_> = list.iter().map(|slot| slot.class.as_str()).collect();
    classes.dedup();
    let times = match (list.first(), list.last()) {
        (Some(first), Some(last)) => {
            let minute = |time: &str| time.get(..16).unwrap_or(time).replace('T', " ");
            format!("{} to {} UTC", minute(&first.start), minute(&last.end))
        }
        _ => "times not listed".to_owned(),
    };
    let classes = if classes.is_empty() { String::new() } else { classes.join(", ") + ", " };
    let count = grid.slots.count;
    let slots = if count == 1 { "slot" } else { "slots" };
    format!("{count} {slots}, {times}: {classes}{:.0} % of the energy covered", grid.coverage_pct)
}

fn cited<'r>(record: &'r Record, name: &str) -> &'r str {
    let input = record.inputs.iter().find(|input| input.name == name);
    input.map_or("", |input| input.source.as_str())
}

fn pue(record: &Record) -> String {
    format!("{:.2} ({})", record.pue_used, cited(record, "pue"))
}

fn gaps(record: &Record) -> String {
    let mut parts: Vec<String> = Vec::new();
    for gap in &record.gaps {
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let length = si(gap.duration_ns.0 as f64 / 1e9, "s");
        let fate = if gap.bridged { "bridged" } else { "filled in" };
        parts.push(format!("{} {} for {length} ({fate})", gap.domain, gap.reason));
    }
    format!("{}; coverage {:.1} %", parts.join(", "), record.coverage_pct)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_keep_three_digits_and_never_vanish() {
        for (value, expected) in [
            (0.0, "0 J"),
            (519.4, "519 J"),
            (0.000_054_3, "54.3 µJ"),
            (999.6, "1.00 kJ"),
            (99.96, "100 J"),
            (9.996, "10.0 J"),
            (1.0, "1.00 J"),
            (12_345_678.0, "12.3 MJ"),
            (3e-13, "3.00e-13 J"),
        ] {
            assert_eq!(si(value, "J"), expected);
        }
    }
}
