//! Samples as people read them: a line per row, which fits 80 columns, without colour.
//!
//! Out of scope: anything that JSON does not have.

use std::fmt::{self, Write};

use crate::layout::columns;
use crate::render::{plain, si};
use carbon_ops::record::Note;
use carbon_ops::watch::{Domain, Row, Sample};

/// Samples of one row each after which the heading is repeated.
const HEADING_EVERY: u32 = 20;

/// Clears the screen and goes to its top (ECMA-48, ED and CUP).
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Prints samples.
#[derive(Debug)]
pub struct Table {
    all: bool,
    is_terminal: bool,
    printed: u32,
    /// Whether the last heading had a column for GPUs.
    gpus: bool,
}

impl Table {
    /// Of all processes at a time, or of one row; on a terminal all processes take the place of those before.
    #[must_use]
    pub fn new(all: bool, is_terminal: bool) -> Self {
        Self { all, is_terminal, printed: 0, gpus: false }
    }

    /// Prints a sample.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&mut self, sample: &Sample, out: &mut impl Write) -> fmt::Result {
        if self.all {
            Self::write_all(sample, out)?;
        } else {
            self.write_one(sample, out)?;
        }
        self.printed = self.printed.saturating_add(1);
        Ok(())
    }

    /// What comes before a sample.
    #[must_use]
    pub fn before(&self) -> &'static str {
        match (self.all, self.is_terminal, self.printed) {
            (false, ..) | (true, false, 0) => "",
            (true, true, _) => CLEAR,
            (true, false, _) => "\n",
        }
    }

    fn write_all(sample: &Sample, out: &mut impl Write) -> fmt::Result {
        writeln!(out, "{}  {}", clock(sample), host(sample))?;
        for line in wrapped(&source(sample)).chain(wrapped(&emitted(sample))) {
            writeln!(out, "{line}")?;
        }
        let gpus = sample.gpu.is_some();
        let (width, name) = (if gpus { 17 } else { 18 }, "NAME");
        writeln!(out, "    PID {name:<width$} {}", heading(gpus))?;
        for row in &sample.rows {
            let pid = row.pid.map_or(String::new(), |pid| pid.to_string());
            let name = short(&row.name, width);
            writeln!(out, "{pid:>7} {name:<width$} {}", figures(row, gpus))?;
        }
        let residuals = &sample.residuals;
        for (name, energy) in [
            ("others", residuals.others_uj),
            ("ended", residuals.ended_uj),
            ("kernel", residuals.kernel_uj),
            ("unattributed", residuals.unattributed_uj),
            ("gpu unattributed", residuals.gpu_unattributed_uj),
            ("idle", residuals.idle_uj),
        ] {
            if energy > 0 {
                writeln!(
                    out,
                    "        ({name}){:>pad$}",
                    uj(energy),
                    pad = 23 + width - name.len()
                )?;
            }
        }
        Ok(())
    }

    fn write_one(&mut self, sample: &Sample, out: &mut impl Write) -> fmt::Result {
        let Some(row) = sample.rows.first() else { return Ok(()) };
        if self.printed == 0 {
            let source = format!("{}: {}", plain(&row.name), source(sample));
            for line in wrapped(&source).chain(wrapped(&emitted(sample))) {
                writeln!(out, "{line}")?;
            }
        }
        let gpus = sample.gpu.is_some();
        if self.printed.is_multiple_of(HEADING_EVERY) || gpus != self.gpus {
            writeln!(out, "TIME      {}      HOST PROCS", heading(gpus))?;
        }
        self.gpus = gpus;
        let host = si(sample.host.power_w, "W");
        let (clock, figures) = (clock(sample), figures(row, gpus));
        writeln!(out, "{clock:<9} {figures} {host:>9} {:>5}", row.processes)
    }
}

/// The time of day of a timestamp.
fn clock(sample: &Sample) -> String {
    let time = sample.timestamp.get(11..19).unwrap_or(&sample.timestamp);
    format!("{time}Z")
}

fn host(sample: &Sample) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let used = sample.memory.used_bytes.map(|bytes| si(bytes as f64, "B"));
    let memory = used.unwrap_or_else(|| "unknown".into());
    format!(
        "host {} ({}), CPU {:.0} % of {}, memory {memory}",
        si(sample.host.power_w, "W"),
        uj(sample.host.energy_uj),
        100.0 * sample.cpu.utilisation,
        sample.cpu.count,
    )
}

/// The flag, and what it rests on.
fn source(sample: &Sample) -> String {
    let is_gpu =
        |it: &Domain| it.source == "nvml" || it.source == "hwmon" && it.name.starts_with("gpu-");
    let names = |which: &dyn Fn(&Domain) -> bool| {
        let domains = sample.host.domains.iter().filter(|domain| which(domain));
        domains.map(|domain| domain.name.as_str()).collect::<Vec<_>>().join(" + ")
    };
    let of_gpus = |source: &str, word| {
        let gpus = names(&|domain| is_gpu(domain) && domain.source == source);
        if gpus.is_empty() { gpus } else { format!(", {word} {gpus}") }
    };
    let gpus = of_gpus("nvml", "NVML") + &of_gpus("hwmon", "hwmon");
    let simulated = if sample.simulated { ", SIMULATED" } else { "" };
    let said =
        |note: &str, words| if sample.notes.iter().any(|it| it == note) { words } else { "" };
    let filtered = said(
        Note::EnergyFiltered.as_str(),
        "; the processor blurs its energies, short spans may be far off",
    );
    let hidden =
        said("processes_hidden", "; processes of others are hidden, their energy has no name");
    let reason = match (sample.host.source, &sample.host.reason) {
        ("model", Some(reason)) => format!("; no RAPL: {reason}"),
        _ => String::new(),
    };
    // The weakest of energy and place.
    let quality = sample.price.as_ref().map_or(sample.quality, |it| it.quality.max(sample.quality));
    let no_gpu = sample.host.gpu_reason.as_ref();
    let no_gpu = no_gpu.map_or(String::new(), |reason| format!("; no GPU: {reason}"));
    let missing = sample.host.missing.iter();
    let missing =
        missing.map(|it| format!("; MISSING {}: {}", it.name, it.reason.replace('_', " ")));
    let missing: String = missing.collect();
    format!(
        "{}: energy of {} from {}{gpus}{simulated}{filtered}{reason}{no_gpu}{missing}{hidden}",
        quality.as_str(),
        names(&|domain| !is_gpu(domain)),
        sample.host.source,
    )
}

/// What the host's energy emitted, and at which price; empty where energy is not priced.
fn emitted(sample: &Sample) -> String {
    let (Some(carbon), Some(price)) = (&sample.host.carbon, &sample.price) else {
        return String::new();
    };
    format!(
        "host {} CO2e ({:.0} %: {} to {}); {} {:.0} g/kWh, PUE {:.3}",
        si(carbon.grams, "g"),
        100.0 * price.confidence_level,
        si(carbon.ci_lower_g, "g"),
        si(carbon.ci_upper_g, "g"),
        price.region,
        price.intensity_g_per_kwh,
        price.pue_used,
    )
}

/// At words, so that lines have 80 columns at most; what follows the first line is indented.
fn wrapped(text: &str) -> impl Iterator<Item = String> {
    let (columns, mut lines) = (columns(), Vec::<String>::new());
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) => lines.push(format!("  {word}")),
            None => lines.push(word.to_owned()),
        }
    }
    lines.into_iter()
}

/// Where there is a column for GPUs, there is none for shares, so that lines fit 80.
fn heading(gpus: bool) -> String {
    let of = if gpus { "      GPU" } else { "   SHARE" };
    format!("   CPU   MEMORY    ENERGY     POWER      CO2E{of}")
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn figures(row: &Row, gpus: bool) -> String {
    let of = if gpus {
        format!("{:>9}", uj(row.gpu_energy_uj.unwrap_or(0)))
    } else {
        format!("{:>6.1} %", 100.0 * row.allocation_ratio)
    };
    format!(
        "{:>4.0} % {:>8} {:>9} {:>9} {:>9}{of}",
        row.cpu_percent,
        si(row.memory_bytes as f64, "B"),
        uj(row.energy_uj),
        si(row.power_w, "W"),
        row.carbon.as_ref().map_or_else(|| "-".into(), |carbon| si(carbon.grams, "g")),
    )
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn uj(microjoules: u64) -> String {
    si(microjoules as f64 / 1e6, "J")
}

/// At most `width` characters of a name, its end where it is longer: paths differ there.
fn short(name: &str, width: usize) -> String {
    let name = plain(name);
    let length = name.chars().count();
    if length <= width {
        return name;
    }
    let end: String = name.chars().skip(length + 1 - width).collect();
    format!("…{end}")
}
