//! Energy of a Linux host and of a workload on it: from kernel files to monotone totals and shares.
//!
//! * [`host_root`]: where kernel files are read from; a folder can stand in for a machine.
//! * [`sensor`]: what can be read here: powercap counters, or else a model of the processor.
//! * [`clock`]: points in time that processes of one boot share.
//! * [`counter`]: the only subtraction of raw counters, with its derivation.
//! * [`accumulator`]: one domain over one window, its gaps and how sharp its ends are.
//! * [`window`]: all counted domains of a host over one window.
//! * [`cpu_time`] and [`attribution`]: who used the energy, so that the parts sum to the whole.
//! * [`processes`], [`groups`] and [`shares`]: the same for every process of the host at once.
//!
//! Measured, modelled and unmeasurable are different types: [`window::Counted`],
//! [`sensor::model::Modelled`] and [`sensor::Availability`].
//!
//! Deliberately absent: carbon, records, system calls other than file reads, wall clocks, threads.

pub mod accumulator;
pub mod attribution;
pub mod clock;
pub mod counter;
pub mod cpu_time;
pub mod groups;
pub mod host_root;
pub mod processes;
pub mod sensor;
pub mod shares;
pub mod window;
