//! One span of a stream: a JSON object on a line, or a line of CSV with a heading of the same names.
//!
//! | Member | Meaning |
//! |---|---|
//! | `start`, `end` | RFC 3339, or a day in UTC; the end is not counted |
//! | `energy` | a text with unit, and a distribution if need be: `1.2kWh ± 2%` |
//! | `energy_kwh`, `energy_wh`, `energy_j`, `energy_uj` | a number or a distribution such as `1.2 ± 2%`, instead of `energy` |
//! | `power_w` | the same of a mean power over the span, instead of an energy |
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
use carbon_ops_grid::file::other_separator;

use crate::fault::Fault;
use crate::records::output;
use carbon_ops_estimate::intensity::instant;
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
    #[serde(borrow)]
    energy_kwh: Option<NumberOrText<'a>>,
    #[serde(borrow)]
    energy_wh: Option<NumberOrText<'a>>,
    #[serde(borrow)]
    energy_j: Option<NumberOrText<'a>>,
    #[serde(borrow)]
    energy_uj: Option<NumberOrText<'a>>,
    #[serde(borrow)]
    power_w: Option<NumberOrText<'a>>,
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
            "not a span: expected a JSON object on each line"
        );
        serde_json::from_slice(line).map_err(|error| match output(line) {
            Some(own) => Fault::OwnOutput(own).into(),
            None => anyhow!("not a span: {error}"),
        })
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

    /// What is given, with the unit that its name has and how many of it are a kWh or a W.
    fn amounts(&self) -> impl Iterator<Item = (&'static str, f64, &NumberOrText<'a>)> {
        let amounts = [
            ("kWh", 1.0, &self.energy_kwh),
            ("Wh", 1e3, &self.energy_wh),
            ("J", 3.6e6, &self.energy_j),
            ("uJ", 3.6e12, &self.energy_uj),
            ("W", 1.0, &self.power_w),
        ];
        amounts.into_iter().filter_map(|(unit, over, amount)| Some((unit, over, amount.as_ref()?)))
    }

    fn energies(&self) -> usize {
        self.amounts().count() + usize::from(self.energy.is_some())
    }

    fn energy(&self, interval: Interval) -> Result<Distribution> {
        ensure!(self.energies() <= 1, "more than one energy");
        if let Some(text) = text(self.energy.as_ref()) {
            return Ok(Quantity::Energy.read(text)?);
        }
        let (unit, over, amount) = self.amounts().next().ok_or(Fault::NoEnergy)?;
        let quantity = if unit == "W" { Quantity::Power } else { Quantity::Energy };
        let amount = match amount {
            // Divided, not multiplied by a reciprocal: 1500 Wh are 1.5 kWh to the last digit.
            NumberOrText::Number(number) => {
                let mean = number / over;
                ensure!(mean.is_finite() && mean >= 0.0, Fault::NotAnEnergy(mean));
                Distribution::Point { mean: mean + 0.0 }
            }
            NumberOrText::Text(text) => quantity.read_in(unit, text)?,
        };
        if quantity == Quantity::Power { energy_of(&amount, interval) } else { Ok(amount) }
    }
}

/// The energy of a mean power over a time.
///
/// # Errors
/// When it is too large for a number.
pub fn energy_of(power: &Distribution, interval: Interval) -> Result<Distribution> {
    let energy = power.scaled(interval.as_seconds() / 3.6e6);
    energy.context("a mean power over this time is too large an energy for a number")
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
    /// What spreadsheets put a comma for.
    Unnamed,
}

impl Columns {
    /// From the heading.
    pub fn of(heading: &csv::StringRecord) -> Result<Self> {
        if let Some(other) = other_separator(heading.iter()) {
            bail!("the columns are separated by {other:?}, and not by commas");
        }
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
                "" => Column::Unnamed,
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
        let (fields, columns) = (record.len(), self.0.len());
        let is_more = record.iter().skip(columns).any(|field| !field.is_empty());
        ensure!(!is_more && fields >= columns, Fault::Fields { fields, columns });
        let mut row = Row::default();
        let number = |text: &'r str| {
            let text = text.trim();
            Some(match text.parse() {
                Ok(number) => NumberOrText::Number(number),
                Err(_) => NumberOrText::Text(Cow::Borrowed(text)),
            })
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
                Column::EnergyKwh => row.energy_kwh = number(field),
                Column::EnergyWh => row.energy_wh = number(field),
                Column::EnergyJ => row.energy_j = number(field),
                Column::EnergyUj => row.energy_uj = number(field),
                Column::PowerW => row.power_w = number(field),
                Column::Zone => row.zone = Some(Text(text)),
                Column::Pue => row.pue = Some(NumberOrText::Text(text)),
                Column::Id => row.id = Some(Text(text)),
                Column::Host => row.host = Some(Text(text)),
                Column::Label(name) => {
                    let labels = row.labels.get_or_insert_default();
                    labels.insert(name.clone(), field.to_owned());
                }
                Column::Unnamed => bail!("{field:?} stands in a column without a name"),
            }
        }
        Ok(row)
    }
}
