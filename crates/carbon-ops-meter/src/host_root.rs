//! The seam between the meter and the machine: every kernel file is opened through here, so that a
//! folder can stand in for a whole host.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Kernel text files are small; a larger one is not what it claims to be.
const TEXT_MAX: usize = 4 << 20;

/// Where `/proc`, `/sys` and `/etc` are read from.
#[derive(Debug, Clone)]
pub struct HostRoot {
    root: PathBuf,
    powercap: Option<PathBuf>,
    hwmon: Option<PathBuf>,
}

impl HostRoot {
    /// This machine.
    pub fn real() -> Self {
        Self::at("/")
    }

    /// A host whose kernel files stand below `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), powercap: None, hwmon: None }
    }

    /// The same host with another powercap class directory. What it yields is not this machine's
    /// energy, so [`HostRoot::is_simulated`] becomes true.
    #[must_use]
    pub fn with_powercap(mut self, class_dir: impl Into<PathBuf>) -> Self {
        self.powercap = Some(class_dir.into());
        self
    }

    /// The same with another class directory of hardware monitoring, which is as foreign.
    #[must_use]
    pub fn with_hwmon(mut self, class_dir: impl Into<PathBuf>) -> Self {
        self.hwmon = Some(class_dir.into());
        self
    }

    /// Whether energy read through here belongs to a real machine.
    pub fn is_simulated(&self) -> bool {
        self.root != Path::new("/")
            || self.hwmon.is_some()
            || self.powercap.as_deref().is_some_and(|p| p != Path::new("/sys/class/powercap"))
    }

    /// Whether powercap zones are those of the host whose other kernel files are read.
    pub fn has_own_powercap(&self) -> bool {
        self.powercap_class() == self.path("/sys/class/powercap")
    }

    /// Whether kernel files are those of the machine that this program runs on.
    pub fn is_this_machine(&self) -> bool {
        self.root == Path::new("/")
    }

    /// The directory of powercap zones (flat, and all symlinks, on a real host).
    pub fn powercap_class(&self) -> PathBuf {
        self.powercap.clone().unwrap_or_else(|| self.path("/sys/class/powercap"))
    }

    /// The directory of nodes of hardware monitoring; none next to zones of another machine, of which it would tell
    /// nothing.
    pub fn hwmon_class(&self) -> Option<PathBuf> {
        let own = || self.has_own_powercap().then(|| self.path("/sys/class/hwmon"));
        self.hwmon.clone().or_else(own)
    }

    /// An absolute path of the host, below the root.
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// The trimmed text of a small kernel file; bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    /// As the read fails, and for a file beyond 4 MiB.
    pub fn text(&self, absolute: &str) -> io::Result<String> {
        read_text(&self.path(absolute))
    }
}

pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    let bytes = fs::read(path)?;
    if bytes.len() > TEXT_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "not a kernel text file"));
    }
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}
