//! Metrics as a file, for a collector of files such as Prometheus' node exporter.
//!
//! Rule: a reader sees one state or the next one, never a part.
//!
//! Out of scope: what is in it.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use tempfile::Builder;

/// Replaces a file in one step; everybody may read it.
///
/// # Errors
/// When its folder cannot be written; what was there stays.
pub fn replace(path: &Path, text: &str) -> Result<()> {
    let named = || format!("the file of metrics, {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // The collector takes what ends in `.prom`, and this does not.
    let mut file = Builder::new().suffix(".part").tempfile_in(folder).with_context(named)?;
    file.write_all(text.as_bytes()).with_context(named)?;
    file.as_file().set_permissions(Permissions::from_mode(0o644)).with_context(named)?;
    file.persist(path).with_context(named)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_stays_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("carbon.prom");
        for text in ["a 1\n", "b 2\n"] {
            replace(&path, text).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(replace(&dir.path().join("none/carbon.prom"), "").is_err());
    }
}
