//! `carbon-ops label`: a rating and equivalents of a figure of carbon, in the shape of carbon-ops 0.1 with `--json`.
//!
//! Of a record with hardware, the label is of operation and hardware together. A record's rules are checked, its
//! signature is not (`ledger verify`).
//!
//! Out of scope: what a figure is per; see `estimate --functional-unit`.

use anyhow::{Context as _, Result, bail};
use carbon_ops::estimate::decimal::round9;
use carbon_ops::estimate::label::Label;
use carbon_ops::estimate::uncertainty::LEVEL;
use carbon_ops::estimate::uncertainty::text::Quantity;
use carbon_ops::record::Record;
use serde_json::{Value, json};

use crate::args;
use crate::commands::estimate::read_record;
use crate::context::Context;
use crate::layout::Page;
use crate::render::add;
use crate::render::{between, plain, si};

/// Exit code 0.
pub(crate) fn run(args: &args::Label, context: &mut Context<'_>) -> Result<u8> {
    let record = args.record.as_deref().map(|of| read_record(of, &context.settings)).transpose()?;
    let label = match (&args.grams, &record) {
        (Some(text), _) => of_text(text)?,
        (None, Some(record)) => {
            let (grams, ends) = record.whole_g()?;
            Label::new(grams, ends)?
        }
        (None, None) => bail!("nothing to label\nhint: give a record, LEDGER:SEQ, or --grams"),
    };
    context.answer(&args.output, report(&label, record.as_ref()), &text(&label, record.as_ref()))
}

/// A number alone is in g, as the option's name says.
fn of_text(text: &str) -> Result<Label> {
    if let Ok(grams) = text.trim().parse::<f64>() {
        let grams = round9(grams);
        return Label::new(grams, (grams, grams)).context("--grams");
    }
    let figure = Quantity::Carbon.read(text).context("--grams")?;
    let tail = (1.0 - LEVEL) / 2.0;
    // A normal of something that cannot be negative ends at 0.
    let ends = [tail, 1.0 - tail].map(|p| round9(figure.quantile(p).max(0.0)));
    let mean = round9(figure.mean());
    let ends = if figure.is_point() { [mean; 2] } else { ends };
    Label::new(mean, ends.into()).context("--grams")
}

/// The members of 0.1's label, with numbers where it had texts, and with intervals and sources.
fn report(label: &Label, record: Option<&Record>) -> Value {
    let (low, high) = label.interval_g;
    let (best, worst) = label.ratings();
    let mut estimates = json!({
        "carbon_emissions_gco2": label.grams,
        "carbon_emissions_kgco2": round9(label.grams / 1e3),
        "carbon_emissions_tonnes": round9(label.grams / 1e6),
        "ci_lower_g": low, "ci_upper_g": high, "confidence_level_pct": round9(100.0 * LEVEL),
    });
    if let Some(record) = record {
        let with_pue = ("total_energy_with_pue_kwh", record.total_energy_with_pue_kwh.into());
        add(&mut estimates, [("energy_consumed_kwh", record.energy_kwh.into()), with_pue]);
    }
    if let Some((operational, embodied)) = record.and_then(parts) {
        let embodied = ("embodied_gco2", embodied.into());
        add(&mut estimates, [("operational_gco2", operational.into()), embodied]);
    }
    let mut counts = json!({ "carbon_kgco2": round9(label.grams / 1e3) });
    let mut sources = json!({ "rating": "carbon-ops 0.1: a convention" });
    let mut ends = json!({});
    for (each, count, (low, high)) in label.equivalents() {
        let source =
            json!({ "what": each.what, "g_each": round9(each.g_each), "source": each.source });
        add(&mut counts, [(each.name, round9(count).into())]);
        add(&mut ends, [(each.name, json!([round9(low), round9(high)]))]);
        add(&mut sources, [(each.name, source)]);
    }
    json!({ "carbon_label": {
        "rating": label.rating(), "rating_interval": [best, worst],
        "region": record.map(|record| &record.region),
        "estimates": estimates, "equivalents": counts, "equivalent_intervals": ends,
        "sources": sources, "timestamp": record.map(|record| &record.end_ts),
    } })
}

fn text(label: &Label, record: Option<&Record>) -> String {
    let (low, high) = label.interval_g;
    let interval = (low < high).then_some((low, high, LEVEL));
    let (best, worst) = label.ratings();
    let range = if best == worst { String::new() } else { format!(" ({best} to {worst})") };
    let mut page = Page::default();
    page.title(&format!("rating {}{range}, by the bounds of carbon-ops 0.1", label.rating()));
    let grams = si(label.grams, "gCO2e");
    page.line("  carbon  ", &format!("{grams}, {}", between(interval, "gCO2e")));
    if let Some(record) = record {
        if let Some((operational, embodied)) = parts(record) {
            let [operational, embodied] = [operational, embodied].map(|grams| si(grams, "gCO2e"));
            page.line("          ", &format!("operation {operational}, hardware {embodied}"));
        }
        let (start, end) = (&record.start_ts, &record.end_ts);
        page.line("  of      ", &format!("{}, {start} to {end}", plain(&record.region)));
    }
    for (each, count, (low, high)) in label.equivalents() {
        let ends = format!(" ({} to {})", short(low), short(high));
        let ends = if low < high { ends } else { String::new() };
        page.line("  as      ", &format!("{}{ends} {}", short(count), each.what));
    }
    let source = "US EPA, Greenhouse Gas Equivalencies Calculator, 2024; --json has each factor";
    page.line("  source  ", source);
    page.text().to_owned()
}

/// Operation and hardware apart, where there is hardware.
fn parts(record: &Record) -> Option<(f64, f64)> {
    record.embodied.as_ref().map(|embodied| (record.grams, embodied.grams))
}

/// Three digits.
fn short(x: f64) -> String {
    let x: f64 = format!("{x:.2e}").parse().unwrap_or(x);
    x.to_string()
}
