//! Energy of a Linux host and of a workload on it: from kernel files to monotone totals and shares.
//!
//! * [`host_root`]: where kernel files are read from; a folder can stand in for a machine.
//! * [`sensor`]: what can be read here: counters by powercap, registers, perf or NVML, or else a model
//!   of the processor.
//! * [`clock`]: points in time that processes of one boot share.
//! * [`counter`]: the only subtraction of raw counters, with its derivation.
//! * [`accumulator`]: one domain over one window, its gaps and how sharp its ends are.
//! * [`diagnosis`]: what can be read here, why not more, and what would allow it.
//! * [`window`]: all counted domains of a host over one window.
//! * `gpu` (feature `nvml`): the GPUs of a host over one window, and whose processes used them.
//! * [`cpu_time`] and [`attribution`]: who used the energy, so that the parts sum to the whole.
//! * [`processes`], [`groups`] and [`shares`]: the same for every process of the host at once.
//!
//! Measured, modelled and unmeasurable are different types: [`window::Counted`],
//! [`sensor::model::Modelled`] and [`sensor::Availability`].
//!
//! Deliberately absent: carbon, records, wall clocks, threads, and system calls other than file reads,
//! but for opening a perf event and, with the feature `nvml`, calling NVIDIA's library.

pub mod accumulator;
pub mod attribution;
pub mod client;
pub mod clock;
mod codes;
pub mod counter;
pub mod cpu_time;
pub mod diagnosis;
pub mod governed;
#[cfg(feature = "nvml")]
pub mod gpu;
pub mod groups;
pub mod host_root;
mod mapped;
pub mod page;
pub mod proc;
pub mod processes;
pub mod protocol;
pub mod sensor;
pub mod shares;
pub mod snapshot;
pub mod totals;
pub mod window;
