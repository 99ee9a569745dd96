//! One file per verb, each with one `run` that returns the exit code.

pub(crate) mod agent;
pub(crate) mod aggregate;
pub(crate) mod anomaly;
pub(crate) mod calibrate;
pub(crate) mod compare;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod estimate;
pub(crate) mod intensity;
pub(crate) mod keys;
pub(crate) mod label;
pub(crate) mod ledger;
mod legacy;
pub(crate) mod monitor;
pub(crate) mod pages;
pub(crate) mod power_analysis;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod top;
pub(crate) mod verdict;
pub(crate) mod witness;
pub(crate) mod zones;
