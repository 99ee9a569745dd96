//! GPUs of AMD and Intel, as those are asked who tell of GPUs.
//!
//! Out of scope: whose processes use them, which these files do not tell.

use std::time::Duration;

use super::{Channel, Hwmon, NAME};
use crate::host_root::read_text;
use crate::sensor::nvml::{Driver, GpuLoad, Look, Users, Want};
use crate::sensor::{Domain, Excluded, ReadFault};

impl Driver for Hwmon {
    fn source(&self) -> &'static str {
        NAME
    }

    fn gpus(&self) -> &[Domain] {
        &self.domains
    }

    fn left_out(&self) -> &[Excluded] {
        &self.excluded
    }

    fn look(&mut self, want: Want, _within: Duration) -> Option<Vec<Look>> {
        let is_asked = want == Want::All;
        let look = |channel: &mut Channel| {
            let from = (channel.clock)();
            let reading = channel.read();
            let at = (channel.clock)();
            let users = is_asked.then(|| Users {
                holders: Err(ReadFault::Retry),
                shares: Err(ReadFault::Retry),
                load: reading.map_or_else(|_| GpuLoad::default(), |_| load(channel)),
            });
            Look { reading, from, at, integral: channel.integral(), users }
        };
        Some(self.channels.iter_mut().map(look).collect())
    }

    fn is_late(&self) -> bool {
        false
    }
}

/// What `amdgpu` tells of a GPU that is awake; other drivers tell nothing here.
fn load(channel: &Channel) -> GpuLoad {
    let number = |file: &str| read_text(&channel.node.device.join(file)).ok()?.parse::<u64>().ok();
    let busy = number("gpu_busy_percent").and_then(|percent| u32::try_from(percent).ok());
    GpuLoad {
        utilisation_percent: busy,
        memory_used_bytes: number("mem_info_vram_used"),
        memory_total_bytes: number("mem_info_vram_total"),
    }
}
