//! [`CarbonEstimator`]: from energy to carbon, with the grid of a place and time and the PUE of a site, built
//! on the same prices as the command's own records.
//!
//! Out of scope: where intensities come from ([`crate::sources`]), and the arithmetic
//! ([`crate::estimate`]).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use carbon_ops_estimate::intensity::Interval;
use carbon_ops_estimate::span::{Load, Missing};
use carbon_ops_estimate::uncertainty::Distribution;
use carbon_ops_estimate::uncertainty::text::Quantity;
use carbon_ops_grid::cache::Mode;
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::sensor::model::{Overrides as ModelOverrides, PowerModel};
use carbon_ops_record::{Method, Note, Quality, Record};
use carbon_ops_units::{
    Bounded, GramsCo2e, GramsCo2ePerKilowattHour, KilowattHours, Microjoules, Watts,
};
use jiff::{SignedDuration, Timestamp};

use crate::compose::Measured;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::price::{self, Ids, Pricer, Shared, Span};
use crate::settings::{Overrides, Settings};
use crate::site::PueInput;
use crate::sources::{Grid, Name};

/// What is priced where no time is told: the hour up to now.
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// An energy as somebody states it: exact, or with what is not known of it.
///
/// ```
/// use carbon_ops::{Energy, KilowattHours};
///
/// let exact = Energy::from(KilowattHours::new(1.2)?);
/// let measured_elsewhere: Energy = "1.2 kWh ± 2%".parse()?;
/// assert_eq!(exact.mean(), measured_elsewhere.mean());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Energy(Distribution);

impl Energy {
    /// Its mean in kWh.
    pub fn mean(self) -> f64 {
        self.0.mean()
    }
}

impl From<KilowattHours> for Energy {
    fn from(energy: KilowattHours) -> Self {
        Self(Distribution::Point { mean: energy.as_kilowatt_hours() })
    }
}

impl From<Microjoules> for Energy {
    fn from(energy: Microjoules) -> Self {
        energy.to_kilowatt_hours().into()
    }
}

impl FromStr for Energy {
    type Err = Error;

    /// As the texts of quantities are: `1.2kWh`, `5 MJ ± 2%`.
    fn from_str(text: &str) -> Result<Self> {
        Ok(Self(Quantity::Energy.read(text)?))
    }
}

/// How energy is priced.
#[derive(Debug, Clone, Default)]
pub struct EstimatorSettings {
    /// Where energy was used that no place is given of: an ISO 3166 code or name, a cloud region, coordinates.
    /// `None` is the world, and estimates say that this is a fallback.
    pub place: Option<String>,
    /// Power usage effectiveness: a number, `cloud-hyperscale`, `enterprise`, `on-premise`, or a distribution
    /// such as `1.2 ± 0.1`. `None` is what is published of the place, else what such machines have.
    pub pue: Option<String>,
    /// Grid intensity in g/kWh, instead of that of a place: a number or a distribution such as `400 ± 10%`.
    pub intensity: Option<String>,
    /// Who is asked for the grid, in this order. Empty is the built-in table, which asks nobody.
    pub sources: Vec<Name>,
    /// With which value time without a slot is priced; `None` is as settings say.
    pub missing: Option<Missing>,
    /// How the interval is computed.
    pub method: Method,
    /// A file of contracts and residual mixes (`docs/formats/instruments-v1.md`): records of scope 2 state their figure by
    /// the market as well.
    pub market: Option<PathBuf>,
    /// The user's own labels, for records.
    pub labels: BTreeMap<String, String>,
    /// The record of the measurement that the work is a part of, as [`crate::identity::parent`] finds it: a
    /// sum counts the energy once.
    pub parent: Option<String>,
}

impl EstimatorSettings {
    fn overrides(&self) -> Overrides {
        let (region, market) = (self.place.clone(), self.market.clone());
        Overrides { region, market, ..Overrides::default() }
    }
}

/// Prices energy.
///
/// ```
/// use carbon_ops::{CarbonEstimator, EstimatorSettings, KilowattHours};
///
/// let settings = EstimatorSettings { pue: Some("1.2".into()), ..EstimatorSettings::default() };
/// let estimator = CarbonEstimator::new(settings)?;
/// let estimate = estimator.estimate_from_energy(KilowattHours::new(1.0)?, Some("FR"))?;
/// let carbon = estimate.carbon.expect("one kilowatt-hour emits something");
/// assert!(carbon.low() < carbon.central() && carbon.central() < carbon.high());
/// assert_eq!((estimate.region.as_str(), estimate.is_fallback()), ("FR", false));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct CarbonEstimator {
    settings: Settings,
    /// What all records have in common.
    shared: Shared,
    sources: Vec<Name>,
    machine: Host,
}

/// What an energy emits, where no time was told: without one it is no record.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// The energy.
    pub energy: KilowattHours,
    /// Carbon with its coverage interval; `None` where nothing is emitted.
    pub carbon: Option<Bounded<GramsCo2e>>,
    /// Of the grid.
    pub intensity: GramsCo2ePerKilowattHour,
    /// Power usage effectiveness, the mean.
    pub pue: f64,
    /// The place, as tables name it; `world` where none was given.
    pub region: String,
    /// Who knows the intensity.
    pub source: String,
    /// What stands behind the numbers.
    pub quality: Quality,
    /// What else a reader should know.
    pub notes: Vec<Note>,
}

impl Estimate {
    /// Whether something stands in for what was not told or is not known, such as the world for a place.
    pub fn is_fallback(&self) -> bool {
        self.quality == Quality::Fallback
    }

    fn of(record: Record) -> Result<Self> {
        Ok(Self {
            energy: KilowattHours::new(record.energy_kwh)?,
            carbon: record.carbon(),
            intensity: GramsCo2ePerKilowattHour::new(record.intensity_g_per_kwh)?,
            pue: record.pue_used,
            region: record.region,
            source: record.source,
            quality: record.quality_flag,
            notes: record.notes,
        })
    }
}

impl CarbonEstimator {
    /// With settings of the program's own: neither the environment nor a file is looked at.
    ///
    /// # Errors
    /// An unknown place ([`Error::is_unknown_place`]); a PUE that is none; a file of instruments that is none.
    pub fn new(settings: EstimatorSettings) -> Result<Self> {
        let stated = settings.overrides();
        Self::of(Settings::plain(&stated)?)?.stating(settings)
    }

    /// With settings of the program's own, and where these say nothing, those of environment and file, as the command has
    /// them.
    ///
    /// # Errors
    /// As [`CarbonEstimator::new`]; a file of settings, or a variable, that cannot be understood.
    pub fn over_environment(settings: EstimatorSettings, env: &Env) -> Result<Self> {
        let stated = settings.overrides();
        Self::of(Settings::resolve(env, None, &stated)?)?.stating(settings)
    }

    fn stating(self, settings: EstimatorSettings) -> Result<Self> {
        let EstimatorSettings { pue, intensity, sources, missing, method, labels, parent, .. } =
            settings;
        let missing = missing.unwrap_or(self.shared.missing);
        pue.as_deref().map(PueInput::stated).transpose()?;
        let intensity = intensity.as_deref().map(|text| Quantity::Intensity.read(text));
        let intensity = intensity.transpose().context("a grid intensity")?;
        let shared = Shared { pue, intensity, missing, method, parent, labels, ..self.shared };
        Ok(Self { shared, sources, ..self })
    }

    /// Of a place, with everything else as it is by default.
    ///
    /// # Errors
    /// An unknown place ([`Error::is_unknown_place`]).
    pub fn at(place: &str) -> Result<Self> {
        Self::new(EstimatorSettings {
            place: Some(place.to_owned()),
            ..EstimatorSettings::default()
        })
    }

    /// With settings as the command resolves them, from environment, file and options.
    ///
    /// ```no_run
    /// use carbon_ops::settings::{Overrides, Settings};
    /// use carbon_ops::{CarbonEstimator, Env};
    ///
    /// let settings = Settings::resolve(&Env::real(), None, &Overrides::default())?;
    /// let estimator = CarbonEstimator::of(settings)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// An unknown place ([`Error::is_unknown_place`]); a file of instruments that is none.
    pub fn of(settings: Settings) -> Result<Self> {
        let host = HostRoot::real();
        let guest = PowerModel::identify(&host, ModelOverrides::default()).virtual_machine;
        let machine = Host::identify(&host, guest);
        price::Zone::find(settings.region.value.as_deref().unwrap_or_default())?;
        let missing = settings.missing_policy.value.unwrap_or_default();
        let shared = Shared { missing, market: price::market(&settings)?, ..Shared::default() };
        Ok(Self { settings, shared, sources: Vec::new(), machine })
    }

    /// The record of an energy that was used evenly from one instant up to another, with the grid of that
    /// time. `place` is where, and `None` the settings' place.
    ///
    /// # Errors
    /// An unknown place ([`Error::is_unknown_place`]); no time between the instants; a source that does not
    /// answer.
    pub fn estimate_over_span(
        &self,
        energy: impl Into<Energy>,
        from: Timestamp,
        to: Timestamp,
        place: Option<&str>,
    ) -> Result<Record> {
        Ok(self.price(energy.into(), Interval::new(from, to).context("a span")?, place)?)
    }

    /// The grams, and the ends of their interval, of each of many energies in kWh over one span: what their records would
    /// say, without the records.
    ///
    /// # Errors
    /// An energy that is none; a source that does not answer.
    pub fn grams_of_each(&self, kwh: &[f64], span: Interval) -> Result<Vec<(f64, f64, f64)>> {
        let mut pricer = self.pricer(None)?;
        let mut grams = Vec::with_capacity(kwh.len());
        for kwh in kwh {
            let energy = Energy::from(KilowattHours::new(*kwh)?);
            let load = Load::Even(energy.mean());
            let span = stated(span, energy, &load);
            let known = pricer.quote(&span)?.map(|quote| quote.grams(*kwh)).transpose()?;
            if let Some(known) = known {
                grams.push(known);
                continue;
            }
            let record = pricer.records(&span)?.pop().context("a span has a record")?;
            grams.push((record.grams, record.meta.ci_lower_g, record.meta.ci_upper_g));
        }
        Ok(grams)
    }

    /// The carbon of an energy whose time nobody told, with the grid of the hour up to now.
    ///
    /// # Errors
    /// An unknown place ([`Error::is_unknown_place`]); a source that does not answer.
    pub fn estimate_from_energy(
        &self,
        energy: impl Into<Energy>,
        place: Option<&str>,
    ) -> Result<Estimate> {
        let now = Env::now();
        let hour = Interval::new(now - HOUR, now).context("the hour up to now")?;
        Estimate::of(self.price(energy.into(), hour, place)?)
    }

    /// The carbon of a power that is drawn for a time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use carbon_ops::{CarbonEstimator, EstimatorSettings, Watts};
    ///
    /// let estimator = CarbonEstimator::new(EstimatorSettings::default())?;
    /// let hour = Duration::from_secs(3600);
    /// let estimate = estimator.estimate_from_power_time(Watts::new(100.0)?, hour, None)?;
    /// assert_eq!(estimate.energy.as_kilowatt_hours(), 0.1);
    /// assert!(estimate.is_fallback() && estimate.region == "world");
    /// let year = 8760 * hour;
    /// let hall = estimator.estimate_from_power_time(Watts::new(1e6)?, year, None)?;
    /// assert_eq!(hall.energy.as_kilowatt_hours(), 8.76e6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`CarbonEstimator::estimate_from_energy`].
    pub fn estimate_from_power_time(
        &self,
        power: Watts,
        duration: Duration,
        place: Option<&str>,
    ) -> Result<Estimate> {
        self.estimate_from_energy(power.kilowatt_hours_over(duration.as_secs_f64())?, place)
    }

    /// The record of what was measured, with the grid of its own time. A source that does not answer within
    /// ten seconds never costs the measurement: the built-in table stands in, and the record says so.
    ///
    /// # Errors
    /// When even that has no price; that is a defect.
    pub fn estimate_measured(&self, measured: &Measured) -> Result<Record> {
        let (shared, ids) = (self.shared(None), Ids::new(Env::random()?));
        let machine = self.machine.clone();
        let priced =
            price::measured(measured, shared, &self.settings, &self.sources, machine, ids)?;
        Ok(priced.record)
    }

    fn shared(&self, place: Option<&str>) -> Shared {
        Shared { zone: place.map(str::to_owned), ..self.shared.clone() }
    }

    fn pricer(&self, place: Option<&str>) -> anyhow::Result<Pricer<'_>> {
        let grid = Grid::new(&self.settings.grid, &self.sources, Mode::Online)?;
        let (machine, ids) = (Some(self.machine.clone()), Ids::new(Env::random()?));
        Ok(Pricer::new(self.shared(place), &self.settings, grid, machine, ids))
    }

    fn price(
        &self,
        energy: Energy,
        interval: Interval,
        place: Option<&str>,
    ) -> anyhow::Result<Record> {
        let mut pricer = self.pricer(place)?;
        let load = Load::Even(energy.mean());
        let span = stated(interval, energy, &load);
        let record = pricer.records(&span)?.pop().context("a span has a record")?;
        record
            .check()
            .context("the record breaks its own rules; this is a defect of carbon-ops")?;
        Ok(record)
    }
}

/// The span of an energy that somebody states.
fn stated(interval: Interval, energy: Energy, load: &Load) -> Span<'_> {
    Span {
        interval,
        energy: energy.0,
        load,
        energy_source: "stated",
        zone: None,
        pue: None,
        id: None,
        host: None,
        labels: None,
        measured: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a program states comes before the environment, and the environment before defaults.
    #[test]
    fn what_is_stated_comes_before_the_environment() {
        let env = Env::fake(&[("DCL_DEFAULT_REGION", "FR"), ("DCL_PUE_DEFAULT", "1.7")]);
        let of = |settings| CarbonEstimator::over_environment(settings, &env).unwrap();
        let stated = EstimatorSettings {
            place: Some("DE".into()),
            pue: Some("1.1".into()),
            ..EstimatorSettings::default()
        };
        let one = KilowattHours::new(1.0).unwrap();
        for (settings, region, pue) in
            [(EstimatorSettings::default(), "FR", 1.7), (stated, "DE", 1.1)]
        {
            let estimate = of(settings).estimate_from_energy(one, None).unwrap();
            assert_eq!((estimate.region.as_str(), estimate.pue), (region, pue));
        }
    }
}
