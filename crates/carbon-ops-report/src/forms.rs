//! Figures in the forms of others: data points of ESRS E1, product footprints of PACT, bills of materials of `CycloneDX`
//! and SPDX.
//!
//! | Form | Version | What it says of the figures |
//! |---|---|---|
//! | `esrs-e1` | EFRAG taxonomy 2023-12-22 | energy in MWh, scope 2 by both bases, scope 3 by category, in tCO2e |
//! | `pact` | 3.0 | kgCO2e of a declared unit of a product |
//! | `cyclonedx` | 1.6 | kWh and tCO2e of the activities of a model |
//! | `spdx` | 3.0.1, AI profile | kWh of training, fine-tuning and inference of a model |
//!
//! Rule: a form says what the records say, with its bounds where the form has a place for them, and from which ledger;
//! what they do not say is asked of whoever wants the form, and never made up.
//!
//! Out of scope: sums (`figures`); whether the ledgers are valid, which whoever calls has found.

mod bill;
mod esrs;
mod pact;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use carbon_ops_record::totals::{GroupBy, Sums, Totals};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Whose form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// European Sustainability Reporting Standards, climate change.
    EsrsE1,
    /// A product's footprint, as partners exchange it.
    Pact,
    /// A model in a bill of materials of `CycloneDX`.
    CycloneDx,
    /// A model in a document of SPDX.
    Spdx,
}

impl Form {
    /// All, by name.
    pub const NAMED: [(&str, Self); 4] = [
        ("esrs-e1", Self::EsrsE1),
        ("pact", Self::Pact),
        ("cyclonedx", Self::CycloneDx),
        ("spdx", Self::Spdx),
    ];

    /// What its sums are over; where the form leaves that open, as was asked.
    #[must_use]
    pub fn by(self, asked: GroupBy) -> GroupBy {
        match self {
            Self::EsrsE1 => GroupBy::Scope,
            Self::Pact => GroupBy::All,
            Self::CycloneDx | Self::Spdx => asked,
        }
    }

    /// What it asks for besides the figures.
    #[must_use]
    pub fn facts(self) -> &'static [Fact] {
        match self {
            Self::EsrsE1 => &[],
            Self::Pact => &pact::FACTS,
            Self::CycloneDx => &bill::CYCLONEDX_FACTS,
            Self::Spdx => &bill::SPDX_FACTS,
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMED.iter().find(|(_, form)| form == self).map_or("", |(name, _)| name))
    }
}

impl FromStr for Form {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::NAMED.into_iter().find(|(name, _)| *name == text);
        named.map(|(_, form)| form).ok_or("give esrs-e1, pact, cyclonedx, or spdx")
    }
}

/// What records do not say, and a form asks for.
#[derive(Debug, Clone, Copy)]
pub struct Fact {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a few words.
    pub what: &'static str,
    /// Whether the form is not complete without it.
    pub is_needed: bool,
    /// Whether there may be several.
    pub is_list: bool,
    /// Whether a text is one.
    accepts: fn(&str) -> bool,
}

impl Fact {
    const fn needed(name: &'static str, what: &'static str, accepts: fn(&str) -> bool) -> Self {
        Self { name, what, is_needed: true, is_list: false, accepts }
    }

    const fn optional(name: &'static str, what: &'static str, accepts: fn(&str) -> bool) -> Self {
        Self { is_needed: false, ..Self::needed(name, what, accepts) }
    }

    const fn list(name: &'static str, what: &'static str, accepts: fn(&str) -> bool) -> Self {
        Self { is_list: true, ..Self::needed(name, what, accepts) }
    }
}

fn is_text(text: &str) -> bool {
    !text.trim().is_empty()
}

/// Why there is no such form of the figures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Nothing to state.
    #[error("there are no records to state")]
    Empty,
    /// A fact that is missing.
    #[error("{form} needs {name}: {what}")]
    Missing {
        /// The form.
        form: Form,
        /// The fact.
        name: &'static str,
        /// What it is.
        what: &'static str,
    },
    /// A name that is no fact of the form.
    #[error("{form} has no fact {name:?}: it has {known}")]
    Unknown {
        /// The form.
        form: Form,
        /// The name.
        name: String,
        /// The names that it has.
        known: String,
    },
    /// A fact that is not what it has to be.
    #[error("{name}: {text:?} is not {what}")]
    Refused {
        /// The fact.
        name: &'static str,
        /// What was given.
        text: String,
        /// What it is.
        what: &'static str,
    },
    /// One fact, and several values.
    #[error("{name} is given {count} times, and has one value")]
    Several {
        /// The fact.
        name: &'static str,
        /// How many.
        count: usize,
    },
    /// The records count different things, and the form has one figure.
    #[error("the records count different things, which have no sum: {0}")]
    Differ(String),
    /// The form is of all gases.
    #[error("the records count CO2 alone, and {0} states CO2e")]
    Co2Alone(Form),
    /// An activity that the form has no place for.
    #[error("{form} has no place for the activity {name:?}: it has {known}")]
    Activity {
        /// The form.
        form: Form,
        /// The activity.
        name: String,
        /// The activities that it has.
        known: String,
    },
}

/// What whoever wants a form says, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About(BTreeMap<String, Vec<String>>);

impl About {
    /// Facts by name; one name may stand several times.
    pub fn of(facts: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut about = Self::default();
        for (name, value) in facts {
            about.0.entry(name).or_default().push(value);
        }
        about
    }

    fn check(&self, form: Form) -> Result<(), FormError> {
        let facts = form.facts();
        for (name, values) in &self.0 {
            let Some(fact) = facts.iter().find(|fact| fact.name == name) else {
                let names: Vec<_> = facts.iter().map(|fact| fact.name).collect();
                let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                return Err(FormError::Unknown { form, name: name.clone(), known });
            };
            if !fact.is_list && values.len() > 1 {
                return Err(FormError::Several { name: fact.name, count: values.len() });
            }
            if let Some(text) = values.iter().find(|value| !(fact.accepts)(value)) {
                let text = text.chars().take(60).collect();
                return Err(FormError::Refused { name: fact.name, text, what: fact.what });
            }
        }
        let missing = facts.iter().find(|of| of.is_needed && !self.0.contains_key(of.name));
        missing.map_or(Ok(()), |of| Err(FormError::Missing { form, name: of.name, what: of.what }))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.list(name).first().map(String::as_str)
    }

    fn list(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }
}

/// A ledger that was found valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Its id.
    pub ledger_id: String,
    /// How many entries.
    pub entries: u64,
    /// Root of the tree over them, in hex.
    pub root: String,
    /// Fingerprint of the key of its first record.
    pub key: String,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ledger_id, entries, root, key } = self;
        write!(f, "ledger {ledger_id}, {entries} entries, root {root}, key {key}")
    }
}

/// What a form is made of.
#[derive(Debug, Clone, Copy)]
pub struct Stated<'a> {
    /// The sums.
    pub sums: &'a Sums,
    /// The period that was asked for, from and before; where none was, that of the records.
    pub period: (Option<Timestamp>, Option<Timestamp>),
    /// The ledgers that the records are from; empty of files that nobody signed.
    pub proofs: &'a [Proof],
    /// What the records do not say.
    pub about: &'a About,
    /// When the form is made.
    pub at: Timestamp,
}

impl<'a> Stated<'a> {
    /// The figures in a form.
    ///
    /// # Errors
    /// [`FormError`]: what is missing, or has no place in the form.
    pub fn form(&self, form: Form) -> Result<Value, FormError> {
        self.about.check(form)?;
        if self.sums.groups.iter().all(|(_, totals)| totals.count == 0) {
            return Err(FormError::Empty);
        }
        match form {
            Form::EsrsE1 => Ok(esrs::form(self)),
            Form::Pact => pact::form(self),
            Form::CycloneDx => bill::cyclonedx(self),
            Form::Spdx => bill::spdx(self),
        }
    }

    /// The sum of all records, of all gases.
    fn all(&self, form: Form) -> Result<&'a Totals, FormError> {
        let Sums { all, counts, .. } = self.sums;
        let differ = || FormError::Differ(counts.join(", "));
        let all = all.as_ref().ok_or_else(differ)?;
        if counts.iter().any(|counts| !counts.ends_with("CO2e")) {
            return Err(FormError::Co2Alone(form));
        }
        Ok(all)
    }

    /// When the form is made, to the second.
    fn made(&self) -> String {
        self.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// First time and time after the last one.
    fn span(&self) -> (String, String) {
        let groups = || self.sums.groups.iter().map(|(_, totals)| totals);
        let (first, last) = (
            groups().map(|of| &of.start_ts).min().cloned().unwrap_or_default(),
            groups().map(|of| &of.end_ts).max().cloned().unwrap_or_default(),
        );
        let (from, to) = self.period;
        (from.map_or(first, |at| at.to_string()), to.map_or(last, |at| at.to_string()))
    }

    /// An id that is the same whenever the same is stated of the same records, as a UUID of version 8 (RFC 9562).
    fn id(&self, what: &str) -> String {
        let Self { sums, period, proofs, about, at: _ } = self;
        let text = format!("{what} {sums:?} {period:?} {proofs:?} {about:?}");
        let digest = Sha256::digest(text.as_bytes());
        let mut bits =
            digest.iter().take(16).fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
        bits &= !(0xf << 76 | 0x3 << 62);
        bits |= 0x8 << 76 | 0x2 << 62;
        let hex = format!("{bits:032x}");
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
        [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
    }

    fn proofs(&self) -> Vec<Value> {
        let proof = |of: &Proof| {
            json!({ "ledger_id": of.ledger_id, "entries": of.entries, "root": of.root,
                "genesis_key": of.key })
        };
        self.proofs.iter().map(proof).collect()
    }
}

/// A number with nine digits and without an exponent, which some forms ask for.
fn decimal(number: f64) -> String {
    format!("{number:.8e}")
        .parse()
        .map_or_else(|_| number.to_string(), |short: f64| short.to_string())
}

/// Bounds, in words.
fn bounds(level_pct: f64, low: f64, high: f64, unit: &str) -> String {
    format!("{} % between {} and {} {unit}", decimal(level_pct), decimal(low), decimal(high))
}
