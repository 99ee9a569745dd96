//! A record as people read it: the same lines for a command that was measured, an energy that was stated, and an
//! entry of a ledger.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use carbon_ops::budget::{Judged, Standing};
use carbon_ops::estimate::embodied::YEAR_HOURS;
use carbon_ops::estimate::span::Bucket;
use carbon_ops::estimate::taxonomy::Regime;
use carbon_ops::estimate::uncertainty::LEVEL;
use carbon_ops::estimate::uncertainty::text::Quantity;
use carbon_ops::gpus::Gpu;
use carbon_ops::meter::sensor::Exclusion;
use carbon_ops::meter::sensor::model::TdpBasis;
use carbon_ops::record::{
    AttributionMode, Domain, Figure, Input, Market, Measurement, MethodName, Note, Record, Sensor,
    SensorStatus,
};
use carbon_ops::units::{KilowattHours, Microjoules};

use crate::layout::{Page, Table};
use crate::render::{between, counted, plain, si};

/// The region of a record whose intensity was given as a number.
const UNSTATED: &str = "unstated";

/// Where the record went.
#[derive(Debug)]
pub enum Stored<'a> {
    /// In a ledger.
    Entry {
        /// The entry's number.
        seq: u64,
        /// Where the ledger is.
        ledger: &'a Path,
        /// Of the key that signed.
        fingerprint: String,
    },
    /// On request.
    Nowhere,
    /// It is kept beside the ledger, which could not be written.
    Later,
    /// It could not be written.
    Failed,
}

/// A record as people read it. `gpus` tell what the record does not: who used each GPU. `level`: the coverage probability of
/// the intervals, where it is not the record's own.
///
/// # Errors
/// When the record's parts contradict each other.
pub fn summary(
    record: &Record,
    gpus: &[Gpu],
    stored: Option<&Stored<'_>>,
    has_times: bool,
    level: Option<f64>,
) -> Result<String> {
    let mut page = Summary::default();
    page.0.line("carbon-ops: ", &heading(record, has_times));
    page.figure("energy", energy(record, level));
    page.figure("carbon", carbon(record, level));
    if let Some(market) = &record.market {
        page.figure("market", by_market(market));
        page.line("", &uses(market));
    }
    beyond(record, &mut page)?;
    if let Some(measured) = &record.measurement {
        page.line("host", &host(measured));
        if !gpus.is_empty() {
            page.line("GPU", &of_gpus(record, measured, gpus));
        }
    }
    page.line("quality", &quality(record));
    let missing = record.measurement.iter().filter_map(missing);
    let reasons = record.measurement.iter().flat_map(why_not_better);
    for note in missing.chain(reasons).chain(remarks(record)) {
        page.line("", &note);
    }
    if let Some(measured) = &record.measurement
        && (!measured.gaps.is_empty() || measured.coverage_pct < 100.0)
    {
        page.line("gaps", &gaps(measured));
    }
    page.figure("grid", grid(record));
    if record.grid.slots.count > 0 {
        page.line("", &slots(record));
    }
    let others = ["grid", "slot_noise", "coverage", "upstream"];
    let others: Vec<_> =
        record.inputs.iter().filter(|input| others.contains(&&*input.name)).collect();
    // The noise of hours is an input for each, and the first of them tells of all.
    for same in others.chunk_by(|a, b| a.name == b.name && a.source == b.source) {
        let Some(first) = same.first() else { continue };
        let more =
            if same.len() > 1 { format!(", of {} hours", same.len()) } else { String::new() };
        page.line("", &format!("{}: {}{more}", first.name, stated(Some(first))));
    }
    page.figure("PUE", (format!("{:.2}", record.pue_used), stated(record.input("pue"))));
    // How an estimate came about is asked for more often than of a command that has just ended.
    if record.measurement.is_none() {
        page.line("method", &method(record));
        let budget = record.budget.chunk_by(|a, b| a.name == b.name && a.name == "slot_noise");
        let budget = budget.filter_map(|same| {
            let pct: f64 = same.iter().map(|share| share.pct).sum();
            Some(format!("{} {pct:.1} %", same.first()?.name))
        });
        page.line("budget", &budget.collect::<Vec<_>>().join(", "));
        page.line("counts", &scopes(record));
        if !record.notes.is_empty() {
            let notes: Vec<_> = record.notes.iter().map(Note::as_str).collect();
            page.line("notes", &notes.join(", "));
        }
    }
    match stored {
        Some(Stored::Entry { seq, ledger, fingerprint }) => {
            page.line("record", &format!("#{seq} in {}", ledger.display()));
            page.line("", &format!("signed by {fingerprint}"));
        }
        Some(Stored::Nowhere) => page.line("record", "none (--no-ledger)"),
        Some(Stored::Later) => page.line("record", "not in the ledger yet, see above"),
        Some(Stored::Failed) => page.line("record", "NOT STORED, see above"),
        None => {}
    }
    Ok(page.0.text().to_owned())
}

/// How each part of a budget was kept, as lines of the same summary.
pub fn of_budget(parts: &[Judged]) -> String {
    let mut page = Summary::default();
    for part in parts {
        let (scale, unit) = match part.quantity {
            Quantity::Energy => (3.6e6, "J"),
            _ => (1.0, "gCO2e"),
        };
        let ends = between(Some((scale * part.low, scale * part.high, LEVEL)), unit);
        let words = match part.standing {
            Standing::Under => "kept",
            Standing::Unclear => "CANNOT TELL",
            Standing::Over => "EXCEEDED",
        };
        page.figure("budget", (si(scale * part.most, unit), format!("{words}: {ends}")));
    }
    page.0.text().to_owned()
}

/// The lines of a summary: a name, and what there is to say of it.
#[derive(Default)]
struct Summary(Page);

impl Summary {
    fn line(&mut self, name: &str, words: &str) {
        self.0.line(&format!("  {name:<8} "), words);
    }

    /// A value in a column of its own, and what belongs to it beside it.
    fn figure(&mut self, name: &str, (value, words): (String, String)) {
        self.0.line(&format!("  {name:<8} {value:<15} "), &words);
    }
}

/// How the work ended, as far as is known.
fn ended(exit_code: Option<u64>) -> String {
    exit_code.map_or("interrupted".to_owned(), |code| format!("exit code {code}"))
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn seconds(nanoseconds: u64) -> String {
    si(nanoseconds as f64 / 1e9, "s")
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn uj(microjoules: u64) -> String {
    si(microjoules as f64 / 1e6, "J")
}

/// What was run, or when and where energy was used.
fn heading(record: &Record, has_times: bool) -> String {
    let simulated = if record.is_simulated() { ", SIMULATED sensors" } else { "" };
    let measured = record.measurement.as_ref();
    if let Some((measured, workload)) = measured.and_then(|m| Some((m, m.workload.as_ref()?))) {
        return format!(
            "{} took {}, {} of CPU time, {}{simulated}",
            plain(&workload.program),
            seconds(measured.elapsed_ns.0),
            seconds(workload.cpu_time_ns.0),
            ended(workload.exit_code),
        );
    }
    let when = if has_times {
        format!(", {} to {}", short(&record.start_ts), short(&record.end_ts))
    } else {
        String::new()
    };
    let energy = si(record.energy_kwh * 1e3, "Wh");
    let place = match record.region.as_str() {
        UNSTATED => String::new(),
        region => format!(" in {}", plain(region)),
    };
    format!("{energy}{place}{when}{simulated}")
}

/// A time without a fraction of nothing.
fn short(time: &str) -> String {
    time.replace(".000000Z", "Z")
}

/// In joules, as counters have it, of a measurement; in watt-hours of a stated energy.
fn energy_unit(record: &Record) -> (f64, &'static str) {
    if record.measurement.is_some() { (3.6e6, "J") } else { (1e3, "Wh") }
}

fn energy(record: &Record, level: Option<f64>) -> (String, String) {
    let (scale, unit) = energy_unit(record);
    let value = si(record.energy_kwh * scale, unit);
    if record.measurement.is_none() {
        let source = record.input("energy_error").map(|error| plain(&error.source));
        return (value, source.unwrap_or_else(|| "exact, as stated".to_owned()));
    }
    let interval = level.map_or_else(|| record.energy(), |level| record.energy_at(level));
    let interval = interval.map(|of| {
        let scaled = |energy: KilowattHours| energy.as_kilowatt_hours() * scale;
        (scaled(of.low()), scaled(of.high()), of.level())
    });
    (value, between(interval, unit))
}

fn carbon(record: &Record, level: Option<f64>) -> (String, String) {
    let of = level.map_or_else(|| record.carbon(), |level| record.carbon_at(level));
    let interval = of.map(|of| (of.low().as_grams(), of.high().as_grams(), of.level()));
    let unit = if record.gases.is_some() { "gCO2" } else { "gCO2e" };
    (si(record.grams, unit), between(interval, unit))
}

/// The same by the market: beside the figure by location, and no part of it.
fn by_market(market: &Market) -> (String, String) {
    let unit = format!("g{}", market.gases);
    let ends = (market.ci_lower_g, market.ci_upper_g, market.confidence_level_pct / 100.0);
    let words = between(Some(ends).filter(|(low, high, _)| low < high), &unit);
    (si(market.grams, &unit), format!("{words}; scope 2, {}", market.factor))
}

/// What of the energy was bought with what.
fn uses(market: &Market) -> String {
    let whole: f64 = market.uses.iter().map(|of| of.kwh).sum();
    let uses = market.uses.iter().map(|of| {
        let (percent, kind) = (100.0 * of.kwh / whole, of.kind.as_str());
        let name = of.id.as_deref().map(|id| format!(" {}", plain(id))).unwrap_or_default();
        format!("{percent:.0} % {kind}{name} of {}, {}", plain(&of.market), of.dist)
    });
    uses.collect::<Vec<_>>().join("; ")
}

/// Notes that change what the numbers mean.
fn remarks(record: &Record) -> Vec<String> {
    let mut remarks = Vec::new();
    if record.has_note(&Note::EnergyFiltered) {
        remarks.push("RAPL energy filtering is enabled; short intervals are unreliable".to_owned());
    }
    if record.has_note(&Note::AverageOfAnotherTime) {
        let year = record.grid.sources.first().and_then(|source| source.model_version.as_deref());
        let year = plain(year.unwrap_or("another time"));
        remarks.push(format!("the grid is the average of {year}, years away from this span"));
    }
    if record.has_note(&Note::MarketUnpriced) {
        remarks.push(
            "no figure by the market: some energy has no contract and no residual mix".into(),
        );
    }
    if record.has_note(&Note::CertificatesInSums) {
        remarks
            .push("certificates are of the hours of all loads: aggregate matches them".to_owned());
    }
    if record.has_note(&Note::CeilingRaised) {
        remarks.push(
            "a counter showed more power than was thought possible; it is believed".to_owned(),
        );
    }
    if record.has_note(&Note::CpuTimeUnreaped) {
        remarks.push(
            "a process ignores the end of its children, whose CPU time is counted in part"
                .to_owned(),
        );
    }
    let workload = record.measurement.as_ref().and_then(|measured| measured.workload.as_ref());
    if let Some(running) = workload.and_then(|workload| workload.running) {
        let processes = match running {
            1 => "process still runs; what it uses",
            _ => "processes still run; what they use",
        };
        remarks.push(format!("{running} {processes} from now on is not counted"));
    }
    for stand_in in &record.stand_ins {
        let used = plain(&stand_in.used);
        let asked = plain(&stand_in.asked);
        remarks.extend(match Note::of(&stand_in.why) {
            Note::RegionUnset => None,
            Note::ProviderSubstituted => {
                let reason = stand_in.reason.as_deref().map(plain).unwrap_or_default();
                Some(format!("the grid is that of {used}, instead of {asked}: {reason}"))
            }
            _ => Some(format!("the grid of {used} stands in for that of {asked}")),
        });
    }
    remarks
}

/// The intensity, where it is from, and what it counts.
fn grid(record: &Record) -> (String, String) {
    let stated = stated(record.input("intensity"));
    let words = if record.has_note(&Note::RegionUnset) {
        format!("world average; set --region, e.g. DE: {stated}")
    } else if record.region == UNSTATED {
        format!("as stated: {stated}")
    } else {
        let signal = record.signal.replace('_', " ");
        let (region, source) = (plain(&record.region), plain(&record.source));
        format!("{region}, {signal} by {source}: {stated}")
    };
    (format!("{:.0} g/kWh", record.intensity_g_per_kwh), words)
}

fn host(measured: &Measurement) -> String {
    let energy = measured.energy;
    // Other processes that used less than the kernel's ticks can tell are not nothing.
    let others =
        if energy.others_uj == 0 { "too little to measure".into() } else { uj(energy.others_uj) };
    format!(
        "{} in all: {} {}, others {others}, idle {}",
        uj(energy.host_uj),
        program(measured),
        uj(energy.workload_uj),
        uj(energy.idle_uj)
    )
}

/// What the workload used of each GPU; of many, those that it used.
fn of_gpus(record: &Record, measured: &Measurement, gpus: &[Gpu]) -> String {
    let program = program(measured);
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
    let unknown = if record.has_note(&Note::GpuUnattributed) {
        " (includes energy that could not be attributed to a process)"
    } else {
        ""
    };
    parts.join("; ") + unknown
}

/// The flag, and what it rests on.
fn quality(record: &Record) -> String {
    let flag = record.quality_flag.as_str();
    let Some(measured) = &record.measurement else { return format!("{flag}: energy as stated") };
    let names = |which: &dyn Fn(&Domain) -> bool| {
        let domains = measured.domains.iter().filter(|domain| which(domain));
        domains.map(|domain| domain.name.as_str()).collect::<Vec<_>>().join(" + ")
    };
    let of_gpus = |backend: &str, word| {
        let gpus = names(&|domain| domain.is_gpu() && domain.backend == backend);
        if gpus.is_empty() { gpus } else { format!(", {word} {gpus}") }
    };
    let gpus = of_gpus("nvml", "NVML") + &of_gpus("hwmon", "hwmon");
    let hosts = names(&|domain| !domain.is_gpu());
    let by_hwmon = measured.domains.iter().any(|it| !it.is_gpu() && it.backend == "hwmon");
    let energy = match &measured.model {
        Some(model) => {
            let name = Some(&*model.cpu).filter(|cpu| !cpu.is_empty());
            let family = model.family.as_deref().or(name).unwrap_or("an unknown processor");
            let (n, tdp, basis) = (model.vcpus, model.tdp_watts, TdpBasis::words(&model.tdp_basis));
            format!("energy from a model of {n} CPUs of {family}, TDP {tdp:.3} W ({basis})")
        }
        None if measured.attribution_mode == AttributionMode::GovernorCpuTime => {
            format!("energy from the governor's totals of {hosts}")
        }
        None if by_hwmon => format!("energy from hwmon {hosts}"),
        None => format!("energy from RAPL {hosts}"),
    };
    let unset = if record.has_note(&Note::RegionUnset) { "; no region is set" } else { "" };
    format!("{flag}: {energy}{gpus}{unset}")
}

fn program(measured: &Measurement) -> String {
    let workload = measured.workload.as_ref();
    workload.map_or_else(|| measured.part.as_str().to_owned(), |of| plain(&of.program))
}

/// What should have been counted and was not, of an energy that was.
fn missing(measured: &Measurement) -> Option<String> {
    let of = |it: &&Exclusion| it.loses_energy();
    let lost: Vec<_> = Exclusion::ALL.iter().filter(of).map(|it| it.as_str()).collect();
    let zones = measured.excluded.iter().filter(|zone| lost.contains(&&*zone.reason));
    let zones =
        zones.map(|zone| format!("{} ({})", plain(&zone.name), zone.reason.replace('_', " ")));
    let zones = zones.collect::<Vec<_>>().join(", ");
    let is_some = !zones.is_empty() && measured.model.is_none();
    is_some.then(|| format!("MISSING from it: {zones}"))
}

/// One line per better sensor that was not used.
fn why_not_better(measured: &Measurement) -> Vec<String> {
    let better = measured.sensors.iter().take_while(|sensor| sensor.status != SensorStatus::Used);
    // The governor is optional where counters can be read.
    let used_counters = measured.model.is_none();
    let better = better.filter(|sensor| !(used_counters && sensor.name == "governor"));
    // A GPU that could not be read is missing, whatever else was.
    let unread = |sensor: &&Sensor| sensor.name == "nvml" && sensor.reason.is_some();
    let lines = better.chain(measured.sensors.iter().filter(unread)).map(|sensor| {
        let reason = sensor.reason.as_deref().unwrap_or("no reason given");
        let name = match sensor.name.as_str() {
            "sysfs" => "RAPL",
            "nvml" => "GPU",
            name => name,
        };
        format!("no {name}: {reason}")
    });
    lines.collect()
}

fn gaps(measured: &Measurement) -> String {
    let parts = measured.gaps.iter().map(|gap| {
        let fate = if gap.bridged { "bridged" } else { "filled in" };
        format!("{} {} for {} ({fate})", gap.domain, gap.reason, seconds(gap.duration_ns.0))
    });
    let parts = parts.collect::<Vec<_>>().join(", ");
    format!("{parts}; coverage {:.1} %", measured.coverage_pct)
}

/// Hardware, its part in the whole, and the score.
fn beyond(record: &Record, page: &mut Summary) -> Result<()> {
    if let Some(embodied) = &record.embodied {
        let ends =
            (embodied.ci_lower_g, embodied.ci_upper_g, embodied.confidence_level_pct / 100.0);
        let interval = (embodied.grams > 0.0).then_some(ends);
        let value = si(embodied.grams, "gCO2e");
        page.figure("hardware", (value, between(interval, "gCO2e")));
        for item in &embodied.items {
            let (years, share) = (item.lifetime_hours / YEAR_HOURS, 100.0 * item.share);
            let (name, source, kg) = (plain(&item.name), plain(&item.source), item.total_kg);
            let words =
                format!("{name}: {kg:.0} kg over {years:.1} years, {share:.3} % of it ({source})");
            page.line("", &words);
        }
    }
    if let Some(theta) = record.theta()? {
        let percent = |part: f64| 100.0 * part;
        let mut text = format!(
            "{:.1} % of the whole, {:.1} to {:.1} %: {}",
            percent(theta.theta),
            percent(theta.low),
            percent(theta.high),
            theta.regime().class()
        );
        if theta.straddles() {
            let each = Regime::ALL.map(|regime| {
                format!("{} {:.0} %", regime.as_str(), percent(theta.probability(regime)))
            });
            let _ = write!(text, " ({})", each.join(", "));
        }
        page.line("theta", &text);
    }
    if let (Some(sci), Some(unit)) = (&record.sci, &record.functional_unit) {
        let [score, low, high] = [sci.g_per_unit, sci.ci_lower_g_per_unit, sci.ci_upper_g_per_unit]
            .map(|grams| si(grams, "gCO2e"));
        let (name, signal) = (plain(&unit.name), plain(&record.signal).replace('_', " "));
        page.line("SCI", &format!("{score} per {name}, {low} to {high} (95 %), by {signal}"));
        let (scale, unit_of) = energy_unit(record);
        let each = si(record.energy_kwh * scale / unit.count, unit_of);
        page.line("", &format!("{each} per {name}"));
    }
    Ok(())
}

fn stated(input: Option<&Input>) -> String {
    input.map_or_else(String::new, |input| format!("{} ({})", input.dist, plain(&input.source)))
}

fn slots(record: &Record) -> String {
    let grid = &record.grid;
    let sources = grid
        .sources
        .iter()
        .map(|source| format!("{} {}", plain(&source.provider), plain(&source.zone_returned)));
    let mut text = format!(
        "{} of {}, coverage {:.1} %",
        counted(grid.slots.count, "slot"),
        sources.collect::<Vec<_>>().join(" and "),
        grid.coverage_pct
    );
    for (what, percent) in [("estimated", grid.estimated_pct), ("forecast", grid.forecast_pct)] {
        if percent > 0.0 {
            let _ = write!(text, ", {percent:.1} % {what}");
        }
    }
    if let Some(filled) = &grid.filled {
        let _ = write!(
            text,
            "; {} without a slot priced at {:.0} g/kWh ({})",
            si(filled.energy_kwh * 1e3, "Wh"),
            filled.g_per_kwh,
            grid.missing_policy
        );
    }
    text
}

fn method(record: &Record) -> String {
    let meta = &record.meta;
    let interval = meta.interval.as_str();
    match (&meta.monte_carlo, meta.method) {
        (Some(sampling), MethodName::MonteCarlo) => format!(
            "monte_carlo, {interval} interval, {} trials, seed {}, {}",
            sampling.trials, sampling.seed.0, sampling.generator
        ),
        _ => format!("{}, {interval} interval", meta.method.as_str()),
    }
}

fn scopes(record: &Record) -> String {
    let of = |figure| record.scopes_of(figure);
    let source = record.scopes.first().map_or("", |scope| &scope.source);
    let hardware = match of(Figure::Embodied) {
        tags if tags.is_empty() => tags,
        tags => format!("; hardware {tags}"),
    };
    format!("{}{hardware} ({source})", of(Figure::Operational))
}

/// The price of a span in buckets, as a table.
pub fn buckets(buckets: &[Bucket]) -> String {
    let mut table = Table::new(&["  from", "to", ">energy", ">g/kWh", ">covered"]);
    for bucket in buckets {
        table.row([
            format!("  {}", bucket.interval.start()),
            bucket.interval.end().to_string(),
            si(bucket.kwh * 1e3, "Wh"),
            format!("{:.1}", bucket.g_per_kwh),
            format!("{:.1} %", 100.0 * bucket.coverage),
        ]);
    }
    table.fitted()
}
