//! The command from outside: what a user, a script and a crash make of it.
//!
//! Each test has a home of its own. What a machine cannot show is skipped aloud, and
//! `CARBON_OPS_REQUIRE` (a list of `sim`, `namespaces`, `nobody`, `cgroup`) turns the skip into a failure.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, also in its helpers"
)]

mod accounting;
mod agent;
mod aggregate;
mod append;
mod calibrate;
mod cases;
mod cgroup;
mod checkpoint;
mod continues;
mod docs;
mod doctor;
mod drivers;
mod estimate;
mod faces;
mod fake_host;
mod filtered;
mod forms;
mod frozen;
mod governed;
mod gpu;
mod home;
mod hourly;
mod hwmon;
mod intensity;
mod interop;
mod json;
mod ledger;
mod legacy;
mod monitor;
mod monitor_gpu;
mod outlive;
mod pack;
mod priced;
mod python;
mod record;
mod records;
mod report;
mod run;
mod segments;
mod shutdown;
mod simulated_rapl;
mod simulator;
mod states;
mod terminal;
mod top;
mod trust;
mod unit;
mod upstream;
mod verdicts;
mod voice;
mod width;
mod witness;
mod writer;
mod writers;
mod zones;
