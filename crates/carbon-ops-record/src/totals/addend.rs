//! What sums need of a record, which is a small part of it: made of each on any thread, and added on one.
//!
//! Out of scope: adding.

use std::hash::{DefaultHasher, Hasher as _};

use super::figure::of_products;
use super::group_by::{Counts, GroupBy};
use super::hosted::{Accounts, Measured, Nested, Of};
use super::market::{Load, Own};
use crate::{Error, Part, Quality, Record, rule};
use carbon_ops_estimate::intensity::Factor;

/// A record as an [`Adder`](super::Adder) takes it.
#[derive(Debug)]
pub struct Addend {
    pub(super) id: u128,
    pub(super) parent: Option<u128>,
    /// Of all of its text, so that copies that differ are told.
    pub(super) digest: u64,
    pub(super) host: Option<String>,
    pub(super) measured: Option<Measured>,
    pub(super) kind: Kind,
    /// In microseconds since 1970.
    pub(super) start: i64,
    pub(super) end: i64,
    /// None where there is one only.
    pub(super) group: Option<String>,
    pub(super) counts: Option<Counts>,
    /// Whether it is known only for what is a part of it, and in no sum.
    pub(super) is_beside: bool,
    pub(super) one: Box<One>,
    /// The record, where trials draw its inputs.
    pub(super) record: Option<Record>,
}

/// Whose energy of a host a record has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// Which part of it, as a number: what nobody measured is taken for a workload.
    pub(super) part: u8,
    /// One unit of work of those that a window was shared among.
    pub(super) is_piece: bool,
}

/// What one record adds to a sum.
#[derive(Debug)]
pub(super) struct One {
    pub(super) grams: f64,
    pub(super) standard: f64,
    pub(super) effects: Vec<(String, f64)>,
    pub(super) own: (f64, f64),
    pub(super) energy_kwh: f64,
    pub(super) with_pue_kwh: f64,
    pub(super) coverage_pct: f64,
    pub(super) is_upstream: bool,
    pub(super) quality: Quality,
    pub(super) start_ts: String,
    pub(super) end_ts: String,
    pub(super) hardware: Option<Hardware>,
    /// What is to be matched by the market, where that is asked for.
    pub(super) load: Option<Box<Load>>,
    /// What it states by the market itself; what is upstream of electricity has no such figure.
    pub(super) market: Option<Own>,
    /// The record, if it has hardware.
    pub(super) single: Option<Box<Record>>,
}

/// The same of its hardware.
#[derive(Debug)]
pub(super) struct Hardware {
    pub(super) grams: f64,
    pub(super) standard: f64,
    pub(super) effects: Vec<(String, f64)>,
    pub(super) own: (f64, f64),
}

impl Addend {
    /// Of a record and its canonical text, for sums over such groups; `drawn` where they are to be by trials.
    ///
    /// # Errors
    /// When an input of the record is no distribution, or an id or time is none, which its check would have found.
    pub fn of(record: Record, text: &[u8], by: &GroupBy, drawn: bool) -> Result<Self, Error> {
        let mut digest = DefaultHasher::new();
        digest.write(text);
        let id = |text: &str| {
            u128::from_str_radix(text, 16).map_err(|_| rule("record_id", "128 bits in hex"))
        };
        let span = record.interval()?;
        Ok(Self {
            id: id(&record.record_id)?,
            parent: record.parent.as_deref().map(id).transpose()?,
            digest: digest.finish(),
            host: record.host_id.clone(),
            measured: Measured::of(&record),
            kind: Kind {
                part: record.measurement.as_ref().map_or(Part::Workload, |of| of.part) as u8,
                is_piece: record.partial == Some(true) && record.measurement.is_some(),
            },
            start: span.start().as_microsecond(),
            end: span.end().as_microsecond(),
            group: by.key(&record),
            counts: Counts::of(&record),
            is_beside: false,
            record: drawn.then(|| record.clone()),
            one: Box::new(One::of(record)?),
        })
    }
}

impl Addend {
    /// In no sum, and what is a part of it is in none either: its energy counts elsewhere, with that of this record.
    #[must_use]
    pub fn beside(mut self) -> Self {
        (self.is_beside, self.record) = (true, None);
        self
    }

    /// What accounts of its host have of it already; `of` says in which sum it is.
    pub(super) fn nested(&self, accounts: &Accounts, of: &Of) -> Option<Nested> {
        let (host, measured) = self.host.as_deref().zip(self.measured.as_ref())?;
        accounts.nested(host, (self.start, self.end), measured, of)
    }

    /// With the load that is to be matched by the market; what is upstream of electricity has none of its own.
    #[must_use]
    pub fn with_load(mut self, load: Option<Load>) -> Self {
        self.one.load = load.filter(|_| !self.one.is_upstream).map(Box::new);
        self
    }
}

impl One {
    pub(super) fn of(record: Record) -> Result<Self, Error> {
        let owned = |effects: Vec<(&str, f64)>, by: f64| -> Vec<_> {
            effects.into_iter().map(|(key, effect)| (key.to_owned(), by * effect)).collect()
        };
        let grams = record.grams;
        let errors = record.shared_errors()?;
        let product = of_products(&errors).map(|(key, cv)| (key, grams * cv));
        let hardware = match &record.embodied {
            None => None,
            Some(embodied) => Some(Hardware {
                grams: embodied.grams,
                standard: embodied.grams * embodied.uncertainty_pct / 100.0,
                effects: owned(embodied.shared_effects()?, 1.0),
                own: (embodied.ci_lower_g, embodied.ci_upper_g),
            }),
        };
        let market = Own::of(&record)?;
        let counts = Counts::of(&record);
        let is_upstream = counts.is_some_and(|of| of.factor == Some(Factor::Upstream));
        Ok(Self {
            grams,
            standard: grams * record.uncertainty_pct / 100.0,
            effects: owned(errors, grams).into_iter().chain(product).collect(),
            own: (record.meta.ci_lower_g, record.meta.ci_upper_g),
            energy_kwh: record.energy_kwh,
            with_pue_kwh: record.total_energy_with_pue_kwh,
            coverage_pct: record.coverage_pct,
            is_upstream,
            quality: record.quality_flag,
            start_ts: record.start_ts.clone(),
            end_ts: record.end_ts.clone(),
            single: hardware.is_some().then(|| Box::new(record)),
            hardware,
            load: None,
            market: Some(market).filter(|_| !is_upstream),
        })
    }
}
