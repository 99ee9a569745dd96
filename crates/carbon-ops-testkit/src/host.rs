//! Folders that stand for a host: kernel files made of plain files, so that what they tell is known on
//! any machine and without privilege.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// What the kernel prints as the range of most Intel packages: 2³²−1 ticks of 2⁻¹⁴ J.
pub const INTEL_RANGE_UJ: u64 = 262_143_328_850;

/// Writes a file below a host's root, with the folders above it.
pub fn file(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A powercap zone.
#[derive(Debug, Clone, Copy)]
pub struct Zone<'t> {
    /// Its folder, such as `intel-rapl:0:1`.
    pub id: &'t str,
    /// What it counts, such as `dram`.
    pub name: &'t str,
    /// What its counter shows.
    pub energy_uj: u64,
    /// After what its counter starts anew.
    pub range_uj: u64,
    /// The largest power limit.
    pub limit_uw: u64,
}

impl Zone<'_> {
    /// Writes it below a host's root as the kernel lays it out: a flat class directory of links into the
    /// tree of devices, with links back that make a recursion over them endless. Its folder.
    pub fn write(&self, root: &Path) -> PathBuf {
        let (class, folder) = (class(root), zone(root, self.id));
        fs::create_dir_all(&class).unwrap();
        fs::create_dir_all(&folder).unwrap();
        let device = |place: &Path| {
            let below = place.strip_prefix(root.join("sys")).unwrap();
            let _ = symlink(Path::new("../..").join(below), class.join(place.file_name().unwrap()));
        };
        device(&folder);
        // Control types stand in the class directory too, and have neither name nor counter.
        device(&zone(root, self.id.split(':').next().unwrap()));
        let _ = symlink(&class, folder.join("subsystem"));
        let _ = symlink("..", folder.join("device"));
        for (file, text) in [
            ("name", self.name.to_owned()),
            ("energy_uj", self.energy_uj.to_string()),
            ("max_energy_range_uj", self.range_uj.to_string()),
            ("constraint_0_name", "long_term".into()),
            ("constraint_0_max_power_uw", self.limit_uw.to_string()),
            ("enabled", "1".into()),
        ] {
            fs::write(folder.join(file), text + "\n").unwrap();
        }
        folder
    }
}

/// The class directory of powercap below a host's root.
pub fn class(root: &Path) -> PathBuf {
    root.join("sys/class/powercap")
}

/// The folder of a zone (`intel-rapl:0:1`) or of a control type (`intel-rapl`) below a host's root.
pub fn zone(root: &Path, id: &str) -> PathBuf {
    let ends = id.match_indices(':').map(|(at, _)| at).chain([id.len()]);
    let parents = ends.filter_map(|end| id.get(..end));
    parents.fold(root.join("sys/devices/virtual/powercap"), |path, parent| path.join(parent))
}

/// A node of hardware monitoring.
#[derive(Debug, Clone, Copy)]
pub struct Node<'t> {
    /// Its device below `sys/devices`, such as `pci0000:00/0000:03:00.0`.
    pub device: &'t str,
    /// Its number, which changes from boot to boot.
    pub number: u32,
    /// What its file `name` says.
    pub driver: &'t str,
    /// Its other files with what they show.
    pub files: &'t [(&'t str, &'t str)],
}

impl Node<'_> {
    /// Writes it below a host's root as the kernel lays it out: a link in the class directory to a folder below the
    /// device, with links back to both. The folder of its files.
    pub fn write(&self, root: &Path) -> PathBuf {
        let device = root.join("sys/devices").join(self.device);
        let hwmon = format!("hwmon{}", self.number);
        let folder = device.join("hwmon").join(&hwmon);
        fs::create_dir_all(&folder).unwrap();
        let _ = symlink("../..", folder.join("device"));
        let class = root.join("sys/class/hwmon");
        fs::create_dir_all(&class).unwrap();
        let below = Path::new("../../devices").join(self.device).join("hwmon").join(&hwmon);
        let _ = fs::remove_file(class.join(&hwmon));
        symlink(below, class.join(&hwmon)).unwrap();
        let _ = symlink(&class, folder.join("subsystem"));
        // ACPI meters have all their files at the device.
        let place = if self.driver == "power_meter" { device } else { folder };
        for (file, text) in self.files.iter().chain([&("name", self.driver)]) {
            fs::write(place.join(file), format!("{text}\n")).unwrap();
        }
        place
    }
}
