//! What people read of an estimate, in the manner of the summary of a run.

use std::fmt::Write as _;
use std::io::Write;

use anyhow::Result;
use carbon_ops::estimate::embodied::YEAR_HOURS;
use carbon_ops::estimate::span::Bucket;
use carbon_ops::estimate::taxonomy::Regime;
use carbon_ops::record::v2::{Basis, Figure, Input, MethodName, Record, Scope};

use crate::render::{bounded, plain, si};

pub(super) fn summary(record: &Record, has_times: bool, out: &mut impl Write) -> Result<()> {
    let wh = |kwh: f64| si(kwh * 1e3, "Wh");
    let when = if has_times {
        format!(", {} to {}", record.start_ts, record.end_ts)
    } else {
        String::new()
    };
    let place = plain(&record.region);
    writeln!(out, "carbon-ops: {} in {place}{when}", wh(record.energy_kwh))?;
    let mut line = |name: &str, rest: String| writeln!(out, "  {name:<8} {rest}");
    let meta = &record.meta;
    let interval = (record.grams > 0.0).then_some((
        meta.ci_lower_g,
        meta.ci_upper_g,
        meta.confidence_level_pct / 100.0,
    ));
    line("carbon", bounded(&si(record.grams, "gCO2e"), interval, "gCO2e"))?;
    for (name, text) in beyond(record)? {
        line(name, text)?;
    }
    let input = |name: &str| record.inputs.iter().find(|input| input.name == name);
    line("energy", format!("{:<15} {}", wh(record.energy_kwh), energy(record)))?;
    line("PUE", format!("{:<15.2} {}", record.pue_used, stated(input("pue"))))?;
    let intensity = format!("{:.0} g/kWh", record.intensity_g_per_kwh);
    line("grid", format!("{intensity:<15} {}", stated(input("intensity"))))?;
    if record.grid.slots.count > 0 {
        line("", slots(record))?;
    }
    for other in record
        .inputs
        .iter()
        .filter(|input| ["grid", "slot_noise", "coverage", "upstream"].contains(&&*input.name))
    {
        line("", format!("{}: {} ({})", other.name, other.dist, plain(&other.source)))?;
    }
    line("method", method(record))?;
    let budget = record.budget.iter().map(|share| format!("{} {:.1} %", share.name, share.pct));
    line("budget", budget.collect::<Vec<_>>().join(", "))?;
    line("counts", scopes(record))?;
    let notes = record.notes.join(", ");
    line(
        "quality",
        format!(
            "{}{}{notes}",
            record.quality_flag.as_str(),
            if notes.is_empty() { "" } else { ": " }
        ),
    )?;
    Ok(())
}

/// Hardware, its part in the whole, and the score.
fn beyond(record: &Record) -> Result<Vec<(&'static str, String)>> {
    let mut lines = Vec::new();
    if let Some(embodied) = &record.embodied {
        let ends =
            (embodied.ci_lower_g, embodied.ci_upper_g, embodied.confidence_level_pct / 100.0);
        let interval = (embodied.grams > 0.0).then_some(ends);
        lines.push(("hardware", bounded(&si(embodied.grams, "gCO2e"), interval, "gCO2e")));
        for item in &embodied.items {
            let years = item.lifetime_hours / YEAR_HOURS;
            let share = 100.0 * item.share;
            let (name, source) = (plain(&item.name), plain(&item.source));
            lines.push((
                "",
                format!(
                    "{name}: {:.0} kg over {years:.1} a, {share:.3} % of it ({source})",
                    item.total_kg
                ),
            ));
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
        lines.push(("theta", text));
    }
    if let (Some(sci), Some(unit)) = (&record.sci, &record.functional_unit) {
        let each = format!("gCO2e per {}", plain(&unit.name));
        let (low, high) = (sci.ci_lower_g_per_unit, sci.ci_upper_g_per_unit);
        let signal = plain(&record.signal);
        lines.push((
            "SCI",
            format!("{:.4} {each}, {low:.4} to {high:.4} (95 %), by {signal}", sci.g_per_unit),
        ));
    }
    Ok(lines)
}

fn stated(input: Option<&Input>) -> String {
    input.map_or_else(String::new, |input| format!("{} ({})", input.dist, plain(&input.source)))
}

fn energy(record: &Record) -> String {
    match record.inputs.iter().find(|input| input.name == "energy_error") {
        Some(error) => plain(&error.source),
        None => "exact, as stated".to_owned(),
    }
}

fn slots(record: &Record) -> String {
    let grid = &record.grid;
    let sources = grid
        .sources
        .iter()
        .map(|source| format!("{} {}", plain(&source.provider), plain(&source.zone_returned)));
    let mut text = format!(
        "{} {} of {}, coverage {:.1} %",
        grid.slots.count,
        if grid.slots.count == 1 { "slot" } else { "slots" },
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

/// What a figure of a record counts as: `scope 2, location-based with scope 3, category 3`.
pub(crate) fn scopes_of(record: &Record, figure: Figure) -> String {
    let named = |scope: &Scope| match (scope.basis, scope.category) {
        (Some(Basis::Location), _) => "scope 2, location-based".to_owned(),
        (Some(Basis::Market), _) => "scope 2, market-based".to_owned(),
        (None, Some(category)) => format!("scope {}, category {category}", scope.scope),
        (None, None) => format!("scope {}", scope.scope),
    };
    let tags = record.scopes.iter().filter(|scope| scope.figure == figure).map(named);
    tags.collect::<Vec<_>>().join(" with ")
}

fn scopes(record: &Record) -> String {
    let of = |figure| scopes_of(record, figure);
    let source = record.scopes.first().map_or("", |scope| &scope.source);
    let hardware = match of(Figure::Embodied) {
        tags if tags.is_empty() => tags,
        tags => format!("; hardware {tags}"),
    };
    format!("{}{hardware} ({source})", of(Figure::Operational))
}

pub(super) fn buckets(buckets: &[Bucket], out: &mut impl Write) -> Result<()> {
    writeln!(
        out,
        "  {:<21} {:<21} {:>12} {:>9} {:>9}",
        "from", "to", "energy", "g/kWh", "covered"
    )?;
    for bucket in buckets {
        writeln!(
            out,
            "  {:<21} {:<21} {:>12} {:>9.1} {:>7.1} %",
            bucket.interval.start(),
            bucket.interval.end(),
            si(bucket.kwh * 1e3, "Wh"),
            bucket.g_per_kwh,
            100.0 * bucket.coverage
        )?;
    }
    Ok(())
}
