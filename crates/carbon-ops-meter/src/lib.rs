//! Energy of a Linux host and of a workload on it: from kernel files to monotone totals and shares.
//!
//! A window over a host whose kernel files stand in a folder, as they would on a machine:
//!
//! ```
//! use std::cell::Cell;
//! use std::fs;
//! use std::time::{Duration, Instant};
//!
//! use carbon_ops_meter::clock::Moment;
//! use carbon_ops_meter::host_root::HostRoot;
//! use carbon_ops_meter::sensor::Availability;
//! use carbon_ops_meter::window::Window;
//! use carbon_ops_units::Microjoules;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let zone = folder.path().join("sys/class/powercap/intel-rapl:0");
//! fs::create_dir_all(&zone)?;
//! for (file, text) in [("name", "package-0"), ("max_energy_range_uj", "262143328850")] {
//!     fs::write(zone.join(file), text)?;
//! }
//! // 50 W, as the kernel prints ticks of 2^-14 J.
//! let counter = zone.join("energy_uj");
//! let set = |ms: u64| {
//!     let ticks = 1_000_000 + ms * 819_200 / 1000;
//!     fs::write(&counter, (ticks * 61_035 / 1000).to_string())
//! };
//! set(0)?;
//!
//! // Clocks and pauses are the caller's: here an hour passes in no time.
//! let (began, passed) = (Instant::now(), Cell::new(Duration::ZERO));
//! let clock = || began + passed.get();
//! let boot = || Moment::from_nanos(3_600_000_000_000);
//! let (availability, window) = Window::open(&HostRoot::at(folder.path()), &clock, boot);
//! assert_eq!(availability, Availability::Present);
//! let mut window = window.expect("a package");
//! for second in 1..=3600 {
//!     passed.set(Duration::from_secs(second));
//!     set(1000 * second)?;
//!     window.sample(&clock);
//! }
//! window.end(&clock);
//! let mut pause = |time| {
//!     passed.set(passed.get() + time);
//!     set(u64::try_from(passed.get().as_millis()).unwrap_or(u64::MAX)).expect("a folder of ours");
//! };
//! let counted = window.close(Duration::from_secs(3600), &clock, &mut pause).expect("it moved");
//! assert_eq!(counted.host(), Microjoules::new(180_000_000_000));
//! assert!(counted.is_measured());
//! # Ok(())
//! # }
//! ```
//!
//! # Where to begin
//!
//! [`window::Window`] measures by counters of its own, [`governed::GovernedWindow`] by the totals of a
//! governor that [`client::Governor`] asks; both end in a [`window::Counted`], which
//! [`attribution::split`] shares between the workload and the others.
//!
//! # Modules
//!
//! What is read:
//!
//! * [`host_root`]: where kernel files are read from; a folder can stand in for a machine.
//! * [`sensor`]: what can be read here: counters by powercap, registers, perf, NVML or hardware monitoring, or
//!   else a model of the processor.
//! * [`proc`], [`cpu_time`], [`processes`], [`cgroups`], [`groups`]: processes and the memory, busy time of the
//!   machine, every process and every cgroup again and again, trees and cgroups of them.
//! * [`diagnosis`]: what can be read here, why not more, and what would allow it.
//!
//! What becomes of it:
//!
//! * [`clock`]: points in time that processes of one boot share.
//! * [`counter`]: the only subtraction of raw counters, with its derivation.
//! * [`accumulator`]: one domain over one window, its gaps and how sharp its ends are.
//! * [`twins`]: whether two counters are one.
//! * [`window`]: all counted domains of a host over one window, and [`governed`] the same by a governor.
//! * `gpu` (feature `nvml`): the GPUs of a host over one window, and whose processes used them.
//! * [`attribution`] and [`shares`]: who used the energy, so that the parts sum to the whole.
//!
//! What a governor keeps and tells:
//!
//! * [`totals`]: all domains over the life of a daemon: gaps, epochs, restarts.
//! * [`snapshot`]: what it knows at an instant; [`page`]: the same as a mapped file.
//! * [`protocol`]: its messages; [`client`]: asking it.
//!
//! Measured, modelled and unmeasurable are different types: [`window::Counted`],
//! [`sensor::model::Modelled`] and [`sensor::Availability`].
//!
//! Out of scope: carbon, records, wall clocks, threads, and system calls other than file reads,
//! but for opening a perf event and, with the feature `nvml`, a process that calls NVIDIA's library.

pub mod accumulator;
pub mod attribution;
pub mod cgroups;
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
pub mod twins;
pub mod window;
