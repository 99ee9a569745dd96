//! NVIDIA GPUs through NVML, NVIDIA's management library, loaded when it is there.
//!
//! # What is read
//!
//! The total-energy counter where a GPU has one (Volta and newer): mJ since the driver was loaded, in
//! 64 bits. Else its power, integrated by the trapezoid between the instants of reading; what that may
//! miss is kept beside it, as `Integral`, and is never silent. A GPU that tells neither, such as a
//! slice of one (MIG) seen from a container, is excluded with the reason. A GPU that is divided by MIG
//! is read as the whole that it is; its slices have no counters of their own.
//!
//! GPU time per process, for attribution, is what NVML samples of the multiprocessors' use
//! ([`Nvml::processes`]); where it samples none, the processes are listed and their [`Share`] is unknown.
//!
//! Loading a library runs its code with all our privileges. The path is the caller's, never the
//! environment's: a privileged process should pass an absolute one.
//!
//! A call of a driver may take seconds, never return, or end the process. So [`Nvml`] makes its calls in a
//! process of their own ([`Helper`]), which whoever measures asks by a [`Driver`] and does not wait for.
//!
//! Out of scope: other vendors' GPUs, switches between GPUs and host memory, setting anything.

use std::time::Duration;

use carbon_ops_units::Microjoules;

mod calls;
mod child;
mod driver;
mod helper;
mod library;

pub use calls::{Clock, Nvml};
pub use driver::{Driver, GpuLoad, Look, PATIENCE, Share, Users, Want};
pub use helper::Helper;

/// The name under which the driver installs the library.
pub const LIBRARY: &str = "libnvidia-ml.so.1";

/// The driver samples processes every 1/6 s to 1 s, by product (NVML API reference,
/// `nvmlUtilization_t`): where nobody is named for twice as long, nobody was there.
pub const SAMPLED_WITHIN: Duration = Duration::from_secs(2);

/// How often to read GPUs at least, and to look for their processes: each second, as the driver samples
/// them, and more often where a GPU tells its power only, which is `integrated`.
pub const fn longest_interval(integrated: bool) -> Duration {
    Duration::from_millis(if integrated { 100 } else { 1000 })
}

/// What an interval weighs when a GPU's energy is given to those who used it: its energy in J, and next to
/// nothing for its time, so that time counts only while the counter rests.
pub fn weight(energy: Microjoules, time: Duration) -> f64 {
    const REST_WATTS: f64 = 1e-9;
    energy.as_joules() + REST_WATTS * time.as_secs_f64()
}
