//! The fake of NVIDIA's library of `testdata/nvml`: copied for each test, and told what to answer by a file
//! beside it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Puts a library that answers so into a folder; its path.
pub fn library(folder: &Path, answers: &str) -> PathBuf {
    let library = folder.join("libnvidia-ml.so.1");
    fs::create_dir_all(folder).unwrap();
    fs::copy(concat!(env!("OUT_DIR"), "/libfake_nvml.so"), &library).unwrap();
    answer(&library, answers);
    library
}

/// The file from which a library takes its answers. Who writes to it while the library is asked does so
/// under another name first: half a file is another answer.
pub fn answers(library: &Path) -> PathBuf {
    let mut path = OsString::from(library);
    path.push(".txt");
    path.into()
}

/// Makes a library answer so from now on.
pub fn answer(library: &Path, text: &str) {
    let path = answers(library);
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}
