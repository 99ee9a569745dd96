//! A measured command priced with the grid of its own hour: a record of v1 becomes one of v2.
//!
//! Only where somebody asked for a provider. A provider that fails never fails the command: the yearly
//! table stands in, and record, summary and a notice say so, with the reason.
//!
//! Deliberately absent: the measurement, and its uncertainties, which are the same in both versions.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use carbon_ops_estimate::span::{Load, Missing};
use carbon_ops_estimate::uncertainty::Distribution;
use carbon_ops_grid::cache::Mode;
use carbon_ops_grid::table::YearlyTable;
use carbon_ops_grid::zones;
use carbon_ops_grid::{Chain, Factor, Fallback, Interval};
use carbon_ops_record::v2::{
    self, Embodied, Input, Method, Relative, Reserved, Stated, grid_inputs, grid_of,
};
use carbon_ops_record::{self as record, Quality, Record};

use crate::price::{Zone, listed};
use crate::settings::{Origin, Settings};
use crate::sources::{self, Grid, Name};

/// For how long one request may take: the command has ended, and somebody waits for it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// For how long all of them may take, pauses and second attempts included.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whom to ask, and about where.
#[derive(Debug)]
pub struct Hourly {
    names: Vec<Name>,
    settings: sources::Settings,
    region: String,
    missing: Missing,
    /// Hardware that the command has for itself while it runs.
    reserved: Vec<Reserved>,
}

/// A record that was priced so.
#[derive(Debug)]
pub struct Priced {
    pub record: v2::Record,
    /// Why the yearly table, or another provider, stands in.
    pub instead: Option<String>,
}

impl Hourly {
    /// `None` when nobody asked for a provider.
    ///
    /// # Errors
    /// A name that is no provider's; hardware without a provider, as a record of version 1 has no place
    /// for it, or two pieces of it that contradict each other.
    pub fn of(
        settings: &Settings,
        named: &[String],
        reserved: Vec<Reserved>,
    ) -> Result<Option<Self>> {
        let configured = !matches!(settings.grid.order.origin, Origin::Default);
        let mut names: Vec<Name> =
            named.iter().map(|name| Name::parse(name)).collect::<Result<_>>()?;
        if names.is_empty() && configured {
            names.clone_from(&settings.grid.order.value);
        } else if names.is_empty() && settings.grid.file.value.is_some() {
            names.push(Name::File);
        }
        if names.is_empty() && !reserved.is_empty() {
            bail!(
                "--embodied: a record of version 1 has no place for hardware\nhint: add --provider static for the \
                 yearly average, or a provider that has hours; both give records of version 2"
            );
        }
        if names.iter().all(|name| *name == Name::Static) && reserved.is_empty() {
            return Ok(None);
        }
        if !reserved.is_empty() {
            // What would fail after the command fails before it.
            let any = Interval::parse("1970-01-01T00:00Z", "1970-01-01T01:00Z")?;
            Embodied::of(&reserved, any).context("--embodied")?;
        }
        let mut grid = settings.grid.clone();
        grid.timeout.value = grid.timeout.value.min(TIMEOUT);
        Ok(Some(Self {
            names,
            settings: grid,
            region: settings.region.value.clone().unwrap_or_default(),
            missing: settings.missing_policy.value.unwrap_or_default(),
            reserved,
        }))
    }

    /// Whether the record is to have hardware.
    pub fn has_hardware(&self) -> bool {
        !self.reserved.is_empty()
    }

    /// Prices what was measured.
    ///
    /// # Errors
    /// When even the yearly table cannot; that is a defect, or a time without length.
    pub fn price(&self, measured: &Record) -> Result<Priced> {
        let span = Interval::parse(&measured.start_ts, &measured.end_ts)?;
        let load = Load::Even(measured.energy_kwh);
        let asked = self.ask(span).and_then(|zone| {
            // What was answered may hold nothing of this time.
            zone.tariff(span)?.price(span, &load, self.missing)?;
            Ok(zone)
        });
        let zone = asked.or_else(|error| self.yearly(span, &error))?;
        let record = self.record(measured, &zone, span, &load)?;
        record
            .check()
            .context("the record breaks its own rules; this is a defect of carbon-ops")?;
        Ok(Priced { record, instead: zone.moved().map(str::to_owned) })
    }

    /// Asks on a thread of its own, which nobody waits for when it takes too long.
    fn ask(&self, span: Interval) -> Result<Zone> {
        let grid = Grid::new(&self.settings, &self.names, Mode::Online)?;
        let mut zone = Zone::find(&self.region)?;
        let (answer, answered) = mpsc::channel();
        std::thread::Builder::new().name("grid".into()).spawn(move || {
            let loaded = zone.load(&grid.chain, span).map(|()| zone);
            let _ = answer.send(loaded);
        })?;
        answered
            .recv_timeout(PATIENCE)
            .map_err(|_| anyhow!("no answer within {} s", PATIENCE.as_secs()))?
    }

    /// The yearly table, as what it is.
    fn yearly(&self, span: Interval, error: &anyhow::Error) -> Result<Zone> {
        let asked: Vec<_> = self.names.iter().map(ToString::to_string).collect();
        let reason = error.to_string();
        let reason = reason.lines().next().unwrap_or_default().trim_end_matches(':');
        // A provider's own id means nothing to the table.
        let known = zones::resolve(&self.region).is_ok();
        let mut zone = Zone::find(if known { &self.region } else { "" })?;
        zone.load(&Chain::new(vec![Arc::new(YearlyTable)], Fallback::Equal), span)?;
        zone.standing_in(format!("instead of {}: {reason}", asked.join(", ")));
        Ok(zone)
    }

    fn record(
        &self,
        measured: &Record,
        zone: &Zone,
        span: Interval,
        load: &Load,
    ) -> Result<v2::Record> {
        let (slots, tariff) = (zone.slots(span), zone.tariff(span)?);
        let priced = tariff.price(span, load, self.missing)?;
        let energy = Distribution::Point { mean: measured.energy_kwh };
        let mut inputs = vec![Input::new("energy", energy, "measured")];
        let factors = measured.inputs.iter().filter(|input| input.name != "intensity");
        for factor in factors {
            inputs.push(as_v2(factor)?);
        }
        let (intensity, source) = zone.intensity();
        inputs.extend(grid_inputs(&priced, &tariff, intensity, &source));
        let factor = slots.first().map_or(Factor::Lifecycle, |slot| slot.meta.signal.factor);
        let grid = listed(grid_of(span, &priced, &slots, self.missing))?;
        let relative = Relative::of(&inputs, Method::Analytical)?;
        let (deployment, decided) = zone.deployment();
        let record = v2::Record::new(
            span,
            inputs,
            grid,
            None,
            &relative,
            Stated {
                host_id: Some(measured.host_id.clone()),
                id: None,
                labels: measured.labels.clone(),
                notes: notes(measured, zone, &priced, self.missing, &relative),
                quality_flag: quality(measured, zone, &priced),
                region: zone.region().to_owned(),
                scopes: v2::scopes(deployment, factor, self.has_hardware(), decided),
                signal: zone.signal().to_owned(),
                simulated: measured.simulated == Some(true),
                source: zone.source(),
                tool: measured.tool.clone(),
            },
        )?;
        let mut record = with_measurement(record, measured);
        if self.has_hardware() {
            record.reserve(&self.reserved).context("--embodied")?;
        }
        Ok(record)
    }
}

fn as_v2(input: &record::Input) -> Result<Input> {
    let mut again = Input::new(&input.name, input.distribution()?, input.source.clone());
    again.shared.clone_from(&input.shared);
    again.sign = input.sign;
    Ok(again)
}

/// Those of the measurement, without those of v1's grid, and what is to be known of this one.
fn notes(
    measured: &Record,
    zone: &Zone,
    priced: &carbon_ops_estimate::span::Priced,
    missing: Missing,
    relative: &Relative,
) -> Vec<String> {
    let of_grid = ["region_unset", "cloud_region_by_country"];
    let kept = measured.notes.iter().filter(|note| !of_grid.contains(&note.as_str()));
    let mut notes: Vec<String> = kept.cloned().chain(zone.notes()).collect();
    if relative.instead.is_some() {
        notes.push("no_closed_form".to_owned());
    }
    if priced.filled.seconds > 0.0 {
        notes.push(
            match missing {
                Missing::Drop => "slots_dropped",
                Missing::Interpolate => "slots_interpolated",
                Missing::Step => "slots_stepped",
            }
            .to_owned(),
        );
    }
    notes
}

/// The weakest link: what was filled in, forecast or substituted is no measurement of the grid.
fn quality(measured: &Record, zone: &Zone, priced: &carbon_ops_estimate::span::Priced) -> Quality {
    let whole = priced.coverage >= 1.0 && priced.estimated <= 0.0 && priced.forecast <= 0.0;
    let of_grid = match zone.quality() {
        Quality::Fallback => Quality::Fallback,
        _ if whole && zone.moved().is_none() => Quality::Measured,
        _ => Quality::Estimated,
    };
    measured.quality_flag.max(of_grid)
}

fn with_measurement(record: v2::Record, measured: &Record) -> v2::Record {
    let measured = measured.clone();
    v2::Record {
        allocation_ratio: Some(measured.allocation_ratio),
        attribution_mode: Some(measured.attribution_mode),
        boot_id: measured.boot_id,
        coverage_pct: record.coverage_pct.min(measured.coverage_pct),
        cpu: measured.cpu,
        domains: Some(measured.domains),
        elapsed_ns: Some(measured.elapsed_ns),
        energy: Some(measured.energy),
        excluded: Some(measured.excluded),
        gaps: Some(measured.gaps),
        idle_policy: Some(measured.idle_policy),
        model: measured.model,
        sensors: Some(measured.sensors),
        workload: Some(measured.workload),
        ..record
    }
}
