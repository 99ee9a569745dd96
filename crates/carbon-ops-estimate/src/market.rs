//! Scope 2 by the market: which part of a load the certificates and contracts of its owner match, hour by hour and
//! within one market, and what is taken for the rest.
//!
//! Rules. In each hour of a market no more is matched than the lesser of load and certificates; no watt-hour of a
//! certificate is used twice; the rest has the residual mix of its market, else a fossil factor, and never an average of
//! the grid; energy that has neither is named, and then there is no total. Energy is counted in whole µJ.
//!
//! Certificates of an hour come first, in the order in which they are given; then those of a longer time, the shortest
//! first, each spread over the hours within it as these have load left; then contracts, which are a part of the load;
//! then the rest. Hours are those of UTC, or begin where the certificates of a market do (30 minutes past in India).
//!
//! Sources: GHG Protocol Scope 2 Guidance (2015), table 6.3 (the order) and chapter 7 (quality criteria; certificates
//! are of the market in which the load is); hourly matching and deliverability as in the draft revision of October 2025;
//! whole Wh and an hour at most as in the `EnergyTag` Granular Certificate scheme standard (2024).
//!
//! Out of scope: reading files; which records count.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::intensity::{Digest, Factor, Gases, Interval};
use crate::uncertainty::Distribution;
use carbon_ops_units::KilowattHours;

/// µJ of a Wh.
const UJ_PER_WH: u128 = 3_600_000_000;

/// µJ of a kWh.
const UJ_PER_KWH: f64 = 3.6e12;

/// Seconds of an hour.
const HOUR: i64 = 3600;

/// Where an hour of a market may begin after one of UTC, in seconds: zones of time differ by quarters of an hour.
const OFFSETS: [i64; 4] = [0, 1800, 2700, 900];

/// Parts of a million.
const MILLION: u128 = 1_000_000;

/// Longest time of certificates and loads: as far apart as two instants of a table of hours may lie.
const HOURS_MAX: i64 = 150 * 8766;

/// What an instrument covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// So many Wh that were generated within its time, which nobody else claims.
    Certificate {
        /// Whole Wh.
        wh: u64,
    },
    /// A part of the load, by contract with a supplier; all of it for the supplier's own factor.
    Contract {
        /// In parts of a million.
        share_ppm: u32,
    },
    /// What nothing else covers: the mix of the market without what others claim.
    Residual,
    /// What nothing else covers, where no residual mix is published.
    Fossil,
}

impl Claim {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificate { .. } => "certificate",
            Self::Contract { .. } => "contract",
            Self::Residual => "residual",
            Self::Fossil => "fossil",
        }
    }
}

/// A certificate, a contract, or a factor of the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Instrument {
    /// Its name; of a certificate that of its issuer.
    pub id: String,
    /// The market in which it counts.
    pub market: String,
    /// When; always, unless it is a certificate.
    pub interval: Option<Interval>,
    /// What it covers.
    pub claim: Claim,
    /// Its factor in g/kWh.
    pub g_per_kwh: Distribution,
}

impl Instrument {
    /// Whether it holds for the hour that begins so.
    fn holds(&self, start: i64) -> bool {
        let within = |interval: &Interval| {
            interval.start().as_second() <= start && start < interval.end().as_second()
        };
        self.interval.as_ref().is_none_or(within)
    }
}

/// The key of the error of a factor: that of all certificates, of a contract, of what a market has for the rest.
pub fn shared_key(kind: &str, id: &str, market: &str) -> String {
    match kind {
        "certificate" => "instrument:certificates".to_owned(),
        "contract" => format!("instrument:contract:{id}"),
        _ => format!("instrument:{kind}:{market}"),
    }
}

/// What a file of instruments claims.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    /// The instruments.
    pub instruments: Instruments,
    /// What their factors count.
    pub factor: Factor,
    /// Of which gases.
    pub gases: Gases,
    /// Of the file.
    pub sha256: Digest,
}

/// The same without certificates: what holds for any load of its market, however small.
#[derive(Debug, Clone, PartialEq)]
pub struct Rates {
    /// Contracts, and the factors for the rest.
    pub claims: Claims,
    /// Whether there are certificates besides, of which each Wh is used once.
    pub certificates: bool,
}

impl Claims {
    /// What holds for any load.
    pub fn rates(&self) -> Rates {
        let is_rate = |of: &&Instrument| !matches!(of.claim, Claim::Certificate { .. });
        let all: Vec<_> = self.instruments.all.iter().filter(is_rate).cloned().collect();
        let certificates = all.len() < self.instruments.all.len();
        let markets = self.instruments.markets.clone();
        let instruments = Instruments { all, markets, offsets: BTreeMap::new() };
        Rates { claims: Self { instruments, ..self.clone() }, certificates }
    }
}

/// What is wrong with instruments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Invalid {
    /// Which one, in their order.
    pub index: usize,
    /// Why.
    pub reason: String,
}

/// What an owner claims.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Instruments {
    all: Vec<Instrument>,
    /// The market of a place, where it has another name.
    markets: BTreeMap<String, String>,
    /// Where hours begin after those of UTC, in seconds.
    offsets: BTreeMap<String, i64>,
}

impl Instruments {
    /// Of a list, and of the markets in which places lie; a place that is not named is a market of its own.
    ///
    /// # Errors
    /// A certificate without a time, or of an hour that is none of its market's; two with one name; two factors for the
    /// rest at one time.
    pub fn new(all: Vec<Instrument>, markets: BTreeMap<String, String>) -> Result<Self, Invalid> {
        let mut ids = BTreeMap::new();
        let mut rests = BTreeMap::<_, Vec<_>>::new();
        let mut hours: BTreeMap<&str, Vec<(usize, Interval)>> = BTreeMap::new();
        for (index, instrument) in all.iter().enumerate() {
            let invalid = |reason: String| Invalid { index, reason };
            if let Claim::Certificate { .. } = instrument.claim {
                let name = &instrument.id;
                if ids.insert(name, index).is_some() {
                    return Err(invalid(format!("a second certificate {name:?}")));
                }
                let Some(interval) = instrument.interval else {
                    return Err(invalid("a certificate has a start and an end".to_owned()));
                };
                if is_of_an_hour(&interval) {
                    hours.entry(&instrument.market).or_default().push((index, interval));
                }
            }
            if matches!(instrument.claim, Claim::Residual | Claim::Fossil) {
                let always = (Timestamp::MIN, Timestamp::MAX);
                let (start, end) = instrument.interval.map_or(always, |of| (of.start(), of.end()));
                let of = (instrument.market.as_str(), instrument.claim.as_str());
                rests.entry(of).or_default().push((start, end, index));
            }
        }
        for ((market, kind), mut times) in rests {
            times.sort_unstable();
            for (first, second) in times.iter().zip(times.iter().skip(1)) {
                if second.0 < first.1 {
                    let reason = format!("a second {kind} factor of {market} for one time");
                    return Err(Invalid { index: second.2.max(first.2), reason });
                }
            }
        }
        let mut offsets = BTreeMap::new();
        for (market, hours) in hours {
            let in_one = |offset: i64| {
                move |(_, interval): &&(usize, Interval)| {
                    hour(interval.start().as_second(), offset)
                        == hour(interval.end().as_second() - 1, offset)
                }
            };
            let offset =
                OFFSETS.into_iter().find(|offset| hours.iter().all(|of| in_one(*offset)(&of)));
            let Some(offset) = offset else {
                let index = hours.iter().find(|of| !in_one(0)(of)).map_or(0, |(index, _)| *index);
                let reason = format!("it lies in no single hour of {market}, as others do");
                return Err(Invalid { index, reason });
            };
            offsets.insert(market.to_owned(), offset);
        }
        Ok(Self { all, markets, offsets })
    }

    /// Those that were given, in their order.
    pub fn list(&self) -> &[Instrument] {
        &self.all
    }

    /// The market of a place.
    pub fn market<'a>(&'a self, place: &'a str) -> &'a str {
        self.markets.get(place).map_or(place, String::as_str)
    }

    /// What is matched of a load, which has all that they are claimed for.
    ///
    /// # Errors
    /// A load that is beyond what can be counted.
    pub fn matched(&self, load: &Loads) -> Result<Matching<'_>, TooMuch> {
        let mut markets = BTreeMap::new();
        for (market, hours) in &load.markets {
            if hours.cells.contains(&u64::MAX) {
                return Err(TooMuch { market: market.clone() });
            }
            markets.insert(market.clone(), Market::of(self, market, hours));
        }
        Ok(Matching { instruments: self, markets })
    }

    fn offset(&self, market: &str) -> i64 {
        self.offsets.get(market).copied().unwrap_or_default()
    }
}

/// Whether a certificate is of at most an hour.
fn is_of_an_hour(interval: &Interval) -> bool {
    interval.as_nanos() <= i128::from(HOUR) * 1_000_000_000
}

/// The hour of an instant; hours begin `offset` seconds after those of UTC.
fn hour(second: i64, offset: i64) -> i64 {
    (second - offset).div_euclid(HOUR)
}

/// More energy than can be counted in an hour of a market.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{market}: more than 5 GWh in an hour, or hours of more than 150 years")]
pub struct TooMuch {
    /// Where.
    pub market: String,
}

/// Energy by market and hour.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Loads {
    markets: BTreeMap<String, Hours>,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Hours {
    first: i64,
    /// µJ of each hour; the largest number stands for what cannot be counted.
    cells: Vec<u64>,
}

impl Hours {
    fn add(&mut self, at: i64, energy: u64) {
        if self.cells.is_empty() {
            self.first = at;
        }
        let before = self.first - at;
        let length = i64::try_from(self.cells.len()).unwrap_or(i64::MAX);
        if before.max(at - self.first).saturating_add(length) > HOURS_MAX {
            self.cells.iter_mut().take(1).for_each(|cell| *cell = u64::MAX);
            return;
        }
        if let Ok(before @ 1..) = usize::try_from(before) {
            self.cells.splice(..0, std::iter::repeat_n(0, before));
            self.first = at;
        }
        let index = usize::try_from(at - self.first).unwrap_or_default();
        if self.cells.len() <= index {
            self.cells.resize(index + 1, 0);
        }
        self.cells
            .iter_mut()
            .skip(index)
            .take(1)
            .for_each(|cell| *cell = cell.saturating_add(energy));
    }
}

impl Loads {
    /// Adds energy that was used evenly over a time at a place. Its hours sum to it to the µJ.
    pub fn add(
        &mut self,
        instruments: &Instruments,
        place: &str,
        interval: &Interval,
        energy: KilowattHours,
    ) {
        let market = instruments.market(place);
        if !self.markets.contains_key(market) {
            self.markets.insert(market.to_owned(), Hours::default());
        }
        let Some(hours) = self.markets.get_mut(market) else { return };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "no energy is negative, and the largest number stands for what is beyond it"
        )]
        let whole = (energy.as_kilowatt_hours() * UJ_PER_KWH).round() as u64;
        let offset = instruments.offset(market);
        let (start, end) = (interval.start().as_microsecond(), interval.end().as_microsecond());
        let (first, last) = (
            hour(start.div_euclid(1_000_000), offset),
            hour((end - 1).div_euclid(1_000_000), offset),
        );
        let length = u128::from(end.abs_diff(start)).max(1);
        let mut before = 0;
        for at in first..=last {
            let until = ((at + 1) * HOUR + offset).saturating_mul(1_000_000).clamp(start, end);
            let part = u128::from(whole) * u128::from(until.abs_diff(start)) / length;
            let part = if at == last { whole } else { u64::try_from(part).unwrap_or(u64::MAX) };
            // One that is beyond counting is so in each of its hours.
            hours.add(at, if whole == u64::MAX { whole } else { part - before });
            before = part;
        }
    }

    /// Adds another.
    pub fn merge(&mut self, other: &Self) {
        for (market, more) in &other.markets {
            let hours = self.markets.entry(market.clone()).or_default();
            for (at, energy) in (more.first..).zip(&more.cells) {
                hours.add(at, *energy);
            }
        }
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.markets.is_empty()
    }
}

/// What is matched of a load.
#[derive(Debug, Clone)]
pub struct Matching<'i> {
    instruments: &'i Instruments,
    markets: BTreeMap<String, Market>,
}

/// What is matched in a market.
#[derive(Debug, Clone)]
struct Market {
    first: i64,
    offset: i64,
    hours: Vec<Hour>,
    /// Load, and that part of it which the certificates of a year match, in µJ.
    years: BTreeMap<i16, (u128, u128)>,
}

#[derive(Debug, Clone, Default)]
struct Hour {
    year: i16,
    load: u64,
    rest: u64,
    /// What certificates of an hour match.
    certified: u64,
    /// Energy by instrument, in µJ.
    uses: Vec<(usize, u64)>,
    /// Factor of another µJ of load, in g/kWh.
    margin: f64,
}

impl Hour {
    /// Uses so much of an instrument, as far as there is load left.
    fn take(&mut self, instrument: usize, most: u128) -> u64 {
        let taken = u64::try_from(most).map_or(self.rest, |most| most.min(self.rest));
        if taken > 0 {
            self.rest -= taken;
            self.uses.push((instrument, taken));
        }
        taken
    }
}

impl Market {
    fn of(instruments: &Instruments, market: &str, load: &Hours) -> Self {
        let of_market: Vec<(usize, &Instrument)> = instruments
            .all
            .iter()
            .enumerate()
            .filter(|(_, instrument)| instrument.market == market)
            .collect();
        let offset = instruments.offset(market);
        let hours = (load.first..).zip(&load.cells).map(|(at, load)| {
            let year = year(at * HOUR + offset);
            Hour { year, load: *load, rest: *load, ..Hour::default() }
        });
        let hours = hours.collect();
        let mut market = Self { first: load.first, offset, hours, years: BTreeMap::new() };
        market.certificates(&of_market);
        market.rest(&of_market);
        market
    }

    /// Seconds since 1970 at which the hour of an index begins.
    fn start(&self, index: usize) -> i64 {
        (self.first + i64::try_from(index).unwrap_or_default()) * HOUR + self.offset
    }

    /// The hours within an interval, or the one in which it lies.
    fn range(&self, interval: &Interval) -> std::ops::Range<usize> {
        let index = |second: i64| {
            usize::try_from(second.max(0)).unwrap_or(usize::MAX).min(self.hours.len())
        };
        let (start, end) = (interval.start().as_second(), interval.end().as_second());
        let first = hour(start, self.offset) - self.first;
        if is_of_an_hour(interval) {
            return if first < 0 { 0..0 } else { index(first)..index(first + 1) };
        }
        // Those that begin in it and end in it.
        let first = hour(start + HOUR - 1, self.offset) - self.first;
        let end = hour(end, self.offset) - self.first;
        index(first)..index(end).max(index(first))
    }

    fn certificates(&mut self, of_market: &[(usize, &Instrument)]) {
        let mut long = Vec::new();
        let mut issued: BTreeMap<i16, u128> = BTreeMap::new();
        for (at, instrument) in of_market {
            let (Claim::Certificate { wh }, Some(interval)) =
                (instrument.claim, instrument.interval)
            else {
                continue;
            };
            let energy = u128::from(wh) * UJ_PER_WH;
            *issued.entry(year(interval.start().as_second())).or_default() += energy;
            if !is_of_an_hour(&interval) {
                long.push((interval.as_nanos(), *at, interval, energy));
                continue;
            }
            let range = self.range(&interval);
            for hour in self.hours.get_mut(range).into_iter().flatten() {
                hour.certified += hour.take(*at, energy);
            }
        }
        long.sort_by_key(|(length, at, ..)| (*length, *at));
        for (_, at, interval, energy) in long {
            self.spread(at, &interval, energy);
        }
        for hour in &self.hours {
            self.years.entry(hour.year).or_default().0 += u128::from(hour.load);
        }
        for (year, (load, matched)) in &mut self.years {
            *matched = issued.get(year).map_or(0, |issued| (*load).min(*issued));
        }
    }

    /// A certificate of a longer time: as much in each hour as its part of the load that is left.
    fn spread(&mut self, at: usize, interval: &Interval, energy: u128) {
        let range = self.range(interval);
        let Some(hours) = self.hours.get_mut(range) else { return };
        let rest: u128 = hours.iter().map(|hour| u128::from(hour.rest)).sum();
        let mut left = energy.min(rest);
        // Both are cut to where a product of them and of a rest is a number; what is lost follows below.
        let cut = (u128::BITS - rest.leading_zeros()).saturating_sub(u64::BITS - 1);
        let (part, whole) = (left >> cut, (rest >> cut) + u128::from(cut > 0));
        for hour in hours.iter_mut() {
            let most = u128::from(hour.rest) * part / whole.max(1);
            left -= u128::from(hour.take(at, most.min(left)));
        }
        for hour in hours {
            left -= u128::from(hour.take(at, left));
        }
    }

    /// Contracts, and what is taken for the rest.
    fn rest(&mut self, of_market: &[(usize, &Instrument)]) {
        let certified = |claim| matches!(claim, Claim::Certificate { .. });
        let others = || of_market.iter().filter(|(_, of)| !certified(of.claim));
        for index in 0..self.hours.len() {
            let start = self.start(index);
            let Some(hour) = self.hours.get_mut(index) else { continue };
            let holding = || others().filter(|(_, instrument)| instrument.holds(start));
            // Of another µJ of load, contracts cover their part as long as something is left.
            let (mut margin, mut free) = (0.0, 1.0_f64);
            for (at, instrument) in holding() {
                if let Claim::Contract { share_ppm } = instrument.claim {
                    hour.take(*at, u128::from(hour.load) * u128::from(share_ppm) / MILLION);
                    let part = (f64::from(share_ppm) / 1e6).min(free);
                    margin += part * instrument.g_per_kwh.mean();
                    free -= part;
                }
            }
            let of = |claim: Claim| holding().find(|(_, of)| of.claim == claim);
            let rest = of(Claim::Residual).or_else(|| of(Claim::Fossil));
            if hour.rest > 0 {
                if let Some((at, instrument)) = rest {
                    hour.take(*at, u128::from(hour.rest));
                    margin += free * instrument.g_per_kwh.mean();
                }
                hour.margin = margin;
            } else if let Some((last, _)) = hour.uses.last() {
                let last = of_market.iter().find(|(at, _)| at == last);
                hour.margin = last.map_or(0.0, |(_, instrument)| instrument.g_per_kwh.mean());
            }
        }
    }
}

/// The calendar year of an instant in UTC.
fn year(second: i64) -> i16 {
    let at = Timestamp::from_second(second).unwrap_or_default();
    jiff::tz::Offset::UTC.to_datetime(at).year()
}

/// What is stated of a load, or of a part of it. Energy in kWh, grams in gCO2e as the factors count them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Statement {
    /// The load.
    pub load_kwh: f64,
    /// What certificates and contracts match.
    pub matched_kwh: f64,
    /// What certificates of an hour match in their hours.
    pub by_hour_kwh: f64,
    /// What all certificates would match if only the year counted.
    pub by_year_kwh: f64,
    /// What has neither an instrument nor a factor of the rest.
    pub unpriced_kwh: f64,
    /// Emissions of what is priced.
    pub grams: f64,
    /// By how much the grams grow with the load: for a relative error of it.
    pub grams_at_margin: f64,
    /// What was used, by the place of each instrument in its list.
    pub uses: BTreeMap<usize, Use>,
    /// Standard uncertainties of factors, those of one key off together.
    pub effects: BTreeMap<String, f64>,
}

/// What was used of an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Use {
    /// Energy.
    pub kwh: f64,
    /// Emissions.
    pub grams: f64,
}

impl Matching<'_> {
    /// What is stated of a part of the load; certificates are shared in each hour as the load is.
    pub fn of(&self, part: &Loads) -> Statement {
        let mut stated = Statement::default();
        for (name, load) in &part.markets {
            let Some(market) = self.markets.get(name) else { continue };
            let mut years: BTreeMap<i16, f64> = BTreeMap::new();
            for (at, energy) in (load.first..).zip(&load.cells) {
                let index = usize::try_from(at - market.first).ok();
                let Some(hour) = index.and_then(|at| market.hours.get(at)) else { continue };
                let share = if hour.load == 0 { 0.0 } else { kwh(*energy) / kwh(hour.load) };
                *years.entry(hour.year).or_default() += kwh(*energy);
                stated.load_kwh += kwh(*energy);
                stated.by_hour_kwh += share * kwh(hour.certified);
                stated.unpriced_kwh += share * kwh(hour.rest);
                stated.grams_at_margin += kwh(*energy) * hour.margin;
                for (instrument, used) in &hour.uses {
                    stated.uses.entry(*instrument).or_default().kwh += share * kwh(*used);
                }
            }
            for (year, load) in years {
                let (all, matched) = market.years.get(&year).copied().unwrap_or_default();
                if all > 0 {
                    stated.by_year_kwh += load * kwh(matched) / kwh(all);
                }
            }
        }
        for (instrument, used) in &mut stated.uses {
            let Some(Instrument { id, market, claim, g_per_kwh, .. }) =
                self.instruments.all.get(*instrument)
            else {
                continue;
            };
            used.grams = used.kwh * g_per_kwh.mean();
            stated.grams += used.grams;
            let key = shared_key(claim.as_str(), id, market);
            if matches!(claim, Claim::Certificate { .. } | Claim::Contract { .. }) {
                stated.matched_kwh += used.kwh;
            }
            let standard = used.kwh * g_per_kwh.variance().sqrt();
            if standard > 0.0 {
                *stated.effects.entry(key).or_default() += standard;
            }
        }
        stated
    }
}

#[expect(clippy::cast_precision_loss, reason = "what is told has fewer digits")]
fn kwh(energy: impl Into<u128>) -> f64 {
    energy.into() as f64 / UJ_PER_KWH
}

#[cfg(test)]
mod tests;
