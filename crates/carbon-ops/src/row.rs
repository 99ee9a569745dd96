//! One span of a stream: a JSON object on a line, or a line of CSV with a heading of the same names.
//!
//! | Member | Meaning |
//! |---|---|
//! | `start`, `end` | RFC 3339, or a day in UTC; the end is not counted |
//! | `energy` | a text with unit, and a distribution if need be: `1.2kWh ± 2%` |
//! | `energy_kwh`, `energy_wh`, `energy_j`, `energy_uj` | a number, instead of `energy` |
//! | `power_w` | a mean power over the span, instead of an energy |
//! | `series` | JSON only, instead of all of these: a list of `{"end": …, "kwh": …}` |
//! | `zone`, `pue`, `id`, `host` | as the options of the same names |
//! | `labels` | an object; in CSV one column `label.NAME` for each |
//!
//! Members that are not known are refused: a misspelt zone would be priced as another.
//!
//! Out of scope: what a span costs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use carbon_ops_estimate::decimal::round9;
use carbon_ops_estimate::span::{Load, Part};
use carbon_ops_estimate::uncertainty::Distribution;
use carbon_ops_estimate::uncertainty::text::Quantity;
use carbon_ops_grid::Interval;
use carbon_ops_units::Watts;

use crate::fault::Fault;
use crate::text::instant;
use serde::Deserialize;

/// Longest line.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// A span as it stands in the stream.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Row<'a> {
    #[serde(borrow, alias = "start_ts")]
    start: Cow<'a, str>,
    #[serde(borrow, alias = "end_ts")]
    end: Cow<'a, str>,
    #[serde(borrow)]
    energy: Option<Text<'a>>,
    energy_kwh: Option<f64>,
    energy_wh: Option<f64>,
    energy_j: Option<f64>,
    energy_uj: Option<f64>,
    power_w: Option<f64>,
    #[serde(borrow)]
    series: Option<Vec<RowPart<'a>>>,
    #[serde(borrow, alias = "region")]
    zone: Option<Text<'a>>,
    #[serde(borrow)]
    pue: Option<NumberOrText<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow, alias = "host_id")]
    host: Option<Text<'a>>,
    /// Labels of its own.
    pub labels: Option<BTreeMap<String, String>>,
}

/// A text that stays where it is in the line, where it has no escapes: within an `Option`, serde would
/// copy a `Cow`.
#[derive(Debug, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowPart<'a> {
    #[serde(borrow)]
    end: Cow<'a, str>,
    kwh: f64,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum NumberOrText<'a> {
    Number(f64),
    Text(#[serde(borrow)] Cow<'a, str>),
}

/// A span with its values understood.
#[derive(Debug)]
pub struct Read {
    /// When it was used.
    pub interval: Interval,
    /// How much, in kWh.
    pub energy: Distribution,
    /// How it is spread over the time.
    pub load: Load,
}

impl<'a> Row<'a> {
    /// From a line of JSON.
    pub fn of_json(line: &'a [u8]) -> Result<Self> {
        // Serde would take a list for the members in their order.
        ensure!(
            line.trim_ascii_start().first() == Some(&b'{'),
            "no span: expected a JSON object on each line"
        );
        serde_json::from_slice(line).map_err(|error| anyhow!("no span: {error}"))
    }

    /// The zone's name.
    pub fn zone(&self) -> Option<&str> {
        text(self.zone.as_ref())
    }

    /// The span's own name.
    pub fn id(&self) -> Option<&str> {
        text(self.id.as_ref())
    }

    /// The host's name.
    pub fn host(&self) -> Option<&str> {
        text(self.host.as_ref())
    }

    /// PUE as a text.
    pub fn pue(&self) -> Option<Cow<'_, str>> {
        self.pue.as_ref().map(|pue| match pue {
            NumberOrText::Number(number) => Cow::Owned(number.to_string()),
            NumberOrText::Text(text) => Cow::Borrowed(text.as_ref()),
        })
    }

    /// Understands times and energy.
    pub fn read(&self) -> Result<Read> {
        ensure!(!self.start.is_empty() && !self.end.is_empty(), "start or end is missing");
        let interval = Interval::new(instant(&self.start)?, instant(&self.end)?)?;
        if let Some(series) = &self.series {
            ensure!(self.energies() == 0, "an energy beside a series");
            let load = load(interval, series)?;
            let mean = round9(load.kwh());
            return Ok(Read { interval, energy: Distribution::Point { mean }, load });
        }
        let energy = self.energy(interval)?;
        Ok(Read { interval, load: Load::Even(energy.mean()), energy })
    }

    fn energies(&self) -> usize {
        let numbers =
            [self.energy_kwh, self.energy_wh, self.energy_j, self.energy_uj, self.power_w];
        numbers.iter().flatten().count() + usize::from(self.energy.is_some())
    }

    fn energy(&self, interval: Interval) -> Result<Distribution> {
        match self.energies() {
            0 => bail!(Fault::NoEnergy),
            1 => {}
            _ => bail!("more than one energy"),
        }
        if let Some(text) = text(self.energy.as_ref()) {
            return Ok(Quantity::Energy.read(text)?);
        }
        if let Some(watts) = self.power_w {
            let energy = Watts::new(watts)?.kilowatt_hours_over(interval.as_seconds())?;
            return Ok(Distribution::Point { mean: energy.as_kilowatt_hours() });
        }
        // Divided, not multiplied by a reciprocal: 1500 Wh are 1.5 kWh to the last digit.
        let kwh = self
            .energy_kwh
            .or(self.energy_wh.map(|wh| wh / 1e3))
            .or(self.energy_j.map(|joules| joules / 3.6e6))
            .or(self.energy_uj.map(|uj| uj / 3.6e12))
            .unwrap_or(f64::NAN);
        ensure!(kwh.is_finite() && kwh >= 0.0, Fault::NotAnEnergy(kwh));
        Ok(Distribution::Point { mean: kwh + 0.0 })
    }
}

fn text<'t>(text: Option<&'t Text<'_>>) -> Option<&'t str> {
    text.map(|Text(text)| text.as_ref())
}

fn load(interval: Interval, series: &[RowPart<'_>]) -> Result<Load> {
    let mut at = interval.start();
    let mut parts = Vec::with_capacity(series.len());
    for part in series {
        let end = instant(&part.end)?;
        let interval = Interval::new(at, end).context("a part of the series")?;
        parts.push(Part { interval, kwh: round9(part.kwh) });
        at = end;
    }
    Ok(Load::Series(parts))
}

/// The columns of a CSV file.
#[derive(Debug)]
pub struct Columns(Vec<Column>);

#[derive(Debug)]
enum Column {
    Start,
    End,
    Energy,
    EnergyKwh,
    EnergyWh,
    EnergyJ,
    EnergyUj,
    PowerW,
    Zone,
    Pue,
    Id,
    Host,
    Label(String),
}

impl Columns {
    /// From the heading.
    pub fn of(heading: &csv::StringRecord) -> Result<Self> {
        let column = |name: &str| {
            Ok(match name.trim() {
                "start" | "start_ts" => Column::Start,
                "end" | "end_ts" => Column::End,
                "energy" => Column::Energy,
                "energy_kwh" => Column::EnergyKwh,
                "energy_wh" => Column::EnergyWh,
                "energy_j" => Column::EnergyJ,
                "energy_uj" => Column::EnergyUj,
                "power_w" => Column::PowerW,
                "zone" | "region" => Column::Zone,
                "pue" => Column::Pue,
                "id" => Column::Id,
                "host" | "host_id" => Column::Host,
                other => match other.strip_prefix("label.").filter(|name| !name.is_empty()) {
                    Some(name) => Column::Label(name.to_owned()),
                    None => bail!(Fault::UnknownColumn(other.to_owned())),
                },
            })
        };
        heading.iter().map(column).collect::<Result<_>>().map(Self)
    }

    /// A line; empty fields are absent.
    pub fn row<'r>(&self, record: &'r csv::StringRecord) -> Result<Row<'r>> {
        let mut row = Row::default();
        let number = |text: &str| {
            text.trim().parse::<f64>().map(Some).map_err(|_| anyhow!("{text:?} is no number"))
        };
        for (column, field) in self.0.iter().zip(record.iter()) {
            if field.is_empty() {
                continue;
            }
            let text = Cow::Borrowed(field);
            match column {
                Column::Start => row.start = text,
                Column::End => row.end = text,
                Column::Energy => row.energy = Some(Text(text)),
                Column::EnergyKwh => row.energy_kwh = number(field)?,
                Column::EnergyWh => row.energy_wh = number(field)?,
                Column::EnergyJ => row.energy_j = number(field)?,
                Column::EnergyUj => row.energy_uj = number(field)?,
                Column::PowerW => row.power_w = number(field)?,
                Column::Zone => row.zone = Some(Text(text)),
                Column::Pue => row.pue = Some(NumberOrText::Text(text)),
                Column::Id => row.id = Some(Text(text)),
                Column::Host => row.host = Some(Text(text)),
                Column::Label(name) => {
                    let labels = row.labels.get_or_insert_default();
                    labels.insert(name.clone(), field.to_owned());
                }
            }
        }
        Ok(row)
    }
}
