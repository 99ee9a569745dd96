//! Who this machine is, without saying its name; and what kind of machine it is, for its PUE.

use carbon_ops_grid::cloud::{Cloud, Dmi, cloud_of_dmi};
use carbon_ops_meter::host_root::HostRoot;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What the machine's id is hashed with: it never leaves the machine, and two programs that hash it
/// get unrelated values (as systemd's application-specific machine ids do).
const PURPOSE: &[u8] = b"carbon-ops host_id v1";

/// DMI chassis types of desktops and laptops (SMBIOS 3.7, 7.4.1).
const PERSONAL: [u32; 15] = [3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16, 30, 31, 32];

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// 16 hex digits.
    pub id: String,
    /// The machine has no id, so that its name was hashed instead.
    pub id_from_name: bool,
    /// The kernel's id of this boot, without hyphens; `None` where there is none.
    pub boot_id: Option<String>,
    /// A desktop or laptop, not a guest: nobody cools its room for it.
    pub personal: bool,
    /// The cloud whose machine it is, by its firmware.
    pub cloud: Option<Cloud>,
}

impl Host {
    /// The machine whose files these are.
    pub fn identify(host: &HostRoot, virtual_machine: bool) -> Self {
        let text = |path: &str| host.text(path).ok().filter(|text| !text.is_empty());
        let machine = text("/etc/machine-id").or_else(|| text("/var/lib/dbus/machine-id"));
        let name = || text("/proc/sys/kernel/hostname").unwrap_or_default();
        let boot_id = text("/proc/sys/kernel/random/boot_id").map(|id| id.replace('-', ""));
        let chassis = text("/sys/class/dmi/id/chassis_type").and_then(|t| t.parse().ok());
        let dmi = |name: &str| text(&format!("/sys/class/dmi/id/{name}")).unwrap_or_default();
        let (vendor, product) = (dmi("sys_vendor"), dmi("product_name"));
        let (bios_version, chassis_asset_tag) = (dmi("bios_version"), dmi("chassis_asset_tag"));
        let cloud = cloud_of_dmi(&Dmi {
            vendor: &vendor,
            product: &product,
            bios_version: &bios_version,
            chassis_asset_tag: &chassis_asset_tag,
        });
        Self {
            cloud,
            id_from_name: machine.is_none(),
            id: keyed_hash(&machine.unwrap_or_else(name)),
            boot_id,
            personal: !virtual_machine
                && cloud.is_none()
                && chassis.is_some_and(|t: u32| PERSONAL.contains(&t)),
        }
    }
}

fn keyed_hash(secret: &str) -> String {
    // A key of any length is accepted, so that the error cannot occur; nothing is hashed if it did.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(PURPOSE);
    let bytes = mac.finalize().into_bytes();
    let number = bytes.iter().take(8).fold(0u64, |number, &byte| (number << 8) | u64::from(byte));
    format!("{number:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_a_keyed_hash_and_not_the_machine_id() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/machine-id"), "0123456789abcdef\n").unwrap();
        let host = Host::identify(&HostRoot::at(dir.path()), true);
        // printf 'carbon-ops host_id v1' | openssl dgst -sha256 -hmac 0123456789abcdef
        assert_eq!(host.id, "8cae5aeb13605efe");
        assert!(!host.id_from_name && !host.personal);
    }
}
