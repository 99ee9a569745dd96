//! Where `run` writes its JSON: a stream, or a file that is replaced in one step.
//!
//! Out of scope: what is written.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use carbon_ops::unsafe_calls;
use tempfile::{Builder, NamedTempFile};

/// Permissions of a new file, less what the user's mask takes.
const NEW: u32 = 0o666;

/// Where JSON goes.
pub(super) enum Target {
    Stream(Box<dyn Write>),
    /// What it held before goes only when there is something to put there.
    File(PathBuf),
}

impl Target {
    /// Looks at it before the command runs, so that a bad one costs nothing.
    pub(super) fn open(target: &str) -> Result<Self> {
        let Some(number) = target.strip_prefix("fd:") else {
            return Self::of_path(Path::new(target)).with_context(|| format!("--json={target}"));
        };
        let fd: i32 = number.parse().with_context(|| format!("--json={target}"))?;
        Ok(Self::Stream(match fd {
            1 => Box::new(io::stdout()),
            2 => Box::new(io::stderr()),
            _ => Box::new(unsafe_calls::writable(fd).map_err(|error| {
                anyhow!("--json={target}: cannot write to descriptor {fd}: {error}")
            })?),
        }))
    }

    fn of_path(path: &Path) -> io::Result<Self> {
        match fs::canonicalize(path) {
            Ok(path) => {
                let file = OpenOptions::new().write(true).open(&path)?;
                if !file.metadata()?.is_file() {
                    return Ok(Self::Stream(Box::new(file)));
                }
                // Whether a file can be put in its place shows now.
                beside(&path)?;
                Ok(Self::File(path))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                beside(path)?;
                Ok(Self::File(path.to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Stream(mut stream) => stream.write_all(line).and_then(|()| stream.flush()),
            Self::File(path) => {
                let mut file = beside(&path)?;
                file.write_all(line)?;
                file.persist(&path)?;
                Ok(())
            }
        }
    }
}

/// A new file that can take the place of another one, or of none.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let mode = fs::metadata(path).map_or(NEW, |there| there.permissions().mode());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = Builder::new();
    builder.permissions(Permissions::from_mode(mode));
    builder.tempfile_in(folder.unwrap_or(Path::new(".")))
}
