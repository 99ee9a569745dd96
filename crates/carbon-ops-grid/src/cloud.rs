//! Which cloud a guest runs in, by what its firmware says, and the power usage effectiveness of a whole cloud.
//!
//! Out of scope: reading the firmware's tables (`/sys/class/dmi/id`), and metadata services: the region of a
//! guest is known to those alone.

use std::fmt;

use carbon_ops_estimate::tables::fields;
use carbon_ops_units::Pue;

const FLEETS: &str = include_str!("../data/cloud-fleets.csv");

/// What Azure writes into the chassis of each of its guests. Hyper-V elsewhere has the same vendor and product.
const AZURE_CHASSIS: &str = "7783-7084-3265-9085-8269-3286-77";

/// A cloud that its firmware identifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cloud {
    /// Alibaba Cloud.
    Alibaba,
    /// Amazon Web Services.
    Amazon,
    /// `DigitalOcean`.
    DigitalOcean,
    /// Exoscale.
    Exoscale,
    /// Google Cloud.
    Google,
    /// Hetzner Cloud.
    Hetzner,
    /// Microsoft Azure.
    Microsoft,
    /// Oracle Cloud Infrastructure.
    Oracle,
    /// Scaleway.
    Scaleway,
    /// `UpCloud`.
    UpCloud,
    /// Vultr.
    Vultr,
}

impl Cloud {
    /// Its word in the tables: `aws`, `azure`, `gcp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alibaba => "alibaba",
            Self::Amazon => "aws",
            Self::DigitalOcean => "digitalocean",
            Self::Exoscale => "exoscale",
            Self::Google => "gcp",
            Self::Hetzner => "hetzner",
            Self::Microsoft => "azure",
            Self::Oracle => "oracle",
            Self::Scaleway => "scaleway",
            Self::UpCloud => "upcloud",
            Self::Vultr => "vultr",
        }
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the firmware says of a machine; a text that cannot be read is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dmi<'a> {
    /// `sys_vendor`.
    pub vendor: &'a str,
    /// `product_name`.
    pub product: &'a str,
    /// `bios_version`.
    pub bios_version: &'a str,
    /// `chassis_asset_tag`.
    pub chassis_asset_tag: &'a str,
}

/// The cloud that a machine's firmware names; `None` for a machine of one's own, and for a cloud whose firmware names
/// nothing.
///
/// Machines that are rented whole count as well as guests. Source of the texts: the clouds' documentation, as
/// collected in `ds-identify` of cloud-init and in `detect-virt` of systemd.
///
/// ```
/// use carbon_ops_grid::cloud::{Cloud, Dmi, cloud_of_dmi};
/// let dmi = Dmi { vendor: "Amazon EC2", product: "m7i.large", ..Dmi::default() };
/// assert_eq!(cloud_of_dmi(&dmi), Some(Cloud::Amazon));
/// ```
pub fn cloud_of_dmi(dmi: &Dmi<'_>) -> Option<Cloud> {
    let (vendor, product) = (dmi.vendor.trim(), dmi.product.trim());
    // Guests of Xen have the cloud in the version of their firmware alone: `4.11.amazon`.
    let xen_of_amazon = vendor == "Xen" && dmi.bios_version.trim().ends_with(".amazon");
    let azure = vendor == "Microsoft Corporation" && product == "Virtual Machine";
    match (vendor, dmi.chassis_asset_tag.trim()) {
        ("Amazon EC2", _) => Some(Cloud::Amazon),
        _ if xen_of_amazon => Some(Cloud::Amazon),
        (_, AZURE_CHASSIS) if azure => Some(Cloud::Microsoft),
        (_, "OracleCloud.com") => Some(Cloud::Oracle),
        ("DigitalOcean", _) => Some(Cloud::DigitalOcean),
        ("Exoscale", _) => Some(Cloud::Exoscale),
        ("Hetzner", _) => Some(Cloud::Hetzner),
        ("Scaleway", _) => Some(Cloud::Scaleway),
        ("UpCloud", _) => Some(Cloud::UpCloud),
        ("Vultr", _) => Some(Cloud::Vultr),
        _ => match product {
            "Google Compute Engine" => Some(Cloud::Google),
            "Alibaba Cloud ECS" => Some(Cloud::Alibaba),
            product if product.starts_with("Exoscale") => Some(Cloud::Exoscale),
            _ => None,
        },
    }
}

/// A published power usage effectiveness of all data centres of a cloud.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FleetPue {
    /// The ratio.
    pub pue: Pue,
    /// The year that it was published for.
    pub year: u16,
    /// Who says so.
    pub source: &'static str,
}

/// The power usage effectiveness of all data centres of a cloud together: for a guest whose region is not known.
///
/// ```
/// use carbon_ops_grid::cloud::{Cloud, fleet_pue};
/// let fleet = fleet_pue(Cloud::Amazon).ok_or("not published")?;
/// assert_eq!((fleet.pue.as_ratio(), fleet.year), (1.15, 2023));
/// assert_eq!(fleet_pue(Cloud::Hetzner), None);
/// # Ok::<(), &str>(())
/// ```
pub fn fleet_pue(cloud: Cloud) -> Option<FleetPue> {
    let [_, year, pue, source] = fields::<4>(FLEETS).find(|[name, ..]| *name == cloud.as_str())?;
    let pue = Pue::new(pue.parse().ok()?).ok()?;
    Some(FleetPue { pue, year: year.parse().ok()?, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_is_told_by_its_firmware_and_nothing_else_is_one() {
        for (vendor, product, bios_version, chassis_asset_tag, expected) in [
            ("Amazon EC2", "m7i.large", "1.0", "Amazon EC2", Some(Cloud::Amazon)),
            ("Amazon EC2\n", "c5.metal\n", "", "", Some(Cloud::Amazon)),
            ("Xen", "HVM domU", "4.11.amazon", "Not Specified", Some(Cloud::Amazon)),
            ("Xen", "HVM domU", "4.17.5", "", None),
            ("Google", "Google Compute Engine", "Google", "", Some(Cloud::Google)),
            ("Google", "Google", "", "", None),
            ("Microsoft Corporation", "Virtual Machine", "", AZURE_CHASSIS, Some(Cloud::Microsoft)),
            ("Microsoft Corporation", "Virtual Machine", "", "1234-5678", None),
            ("Microsoft Corporation", "Surface Pro", "", "", None),
            ("Alibaba Cloud", "Alibaba Cloud ECS", "", "", Some(Cloud::Alibaba)),
            (
                "QEMU",
                "Standard PC (i440FX + PIIX, 1996)",
                "",
                "OracleCloud.com",
                Some(Cloud::Oracle),
            ),
            ("DigitalOcean", "Droplet", "", "", Some(Cloud::DigitalOcean)),
            ("Exoscale", "Exoscale Compute Platform", "", "", Some(Cloud::Exoscale)),
            ("Hetzner", "vServer", "", "", Some(Cloud::Hetzner)),
            ("Scaleway", "SCW-DEV1-S", "", "", Some(Cloud::Scaleway)),
            ("UpCloud", "", "", "", Some(Cloud::UpCloud)),
            ("Vultr", "VHF", "", "", Some(Cloud::Vultr)),
            ("QEMU", "Standard PC (Q35 + ICH9, 2009)", "1.16.0", "", None),
            ("Dell Inc.", "PowerEdge R640", "2.19.1", "", None),
            ("", "", "", "", None),
        ] {
            let dmi = Dmi { vendor, product, bios_version, chassis_asset_tag };
            assert_eq!(cloud_of_dmi(&dmi), expected, "{dmi:?}");
        }
    }

    #[test]
    fn every_fleet_is_a_cloud_with_a_year_and_a_source() {
        let clouds = [Cloud::Amazon, Cloud::Microsoft, Cloud::Google];
        assert_eq!(fields::<4>(FLEETS).count(), clouds.len());
        for cloud in clouds {
            let fleet = fleet_pue(cloud).unwrap();
            assert!((1.05..1.3).contains(&fleet.pue.as_ratio()), "{cloud}: {fleet:?}");
            assert!((2023..=2026).contains(&fleet.year), "{cloud}: {fleet:?}");
            assert!(fleet.source.len() > 10, "{cloud}: {fleet:?}");
        }
    }
}
