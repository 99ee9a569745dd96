//! The judge of a report, built for a browser anew and held against the bytes that are committed.
//!
//! Rule: the same sources and compiler give the same bytes in any folder; paths of the machine are mapped away.
//!
//! Out of scope: what the judge does (`carbon-ops-report`).

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::Write as _;

use crate::tidy::{pure, sha256_hex};

/// Where the bytes are committed, deflated, and their hash.
const BYTES: &str = "crates/carbon-ops-report/judge/judge.wasm.z";
const HASH: &str = "crates/carbon-ops-report/judge/judge.wasm.sha256";

/// Whether the bytes are written or compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Check,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Fine,
    /// Why nothing was compared.
    NotChecked(String),
}

pub(crate) fn run(root: &Path, mode: Mode) -> Result<Outcome> {
    if !pure::is_installed(root)? {
        return Ok(Outcome::NotChecked(format!("{} is not installed", pure::TARGET)));
    }
    let wasm = build(root)?;
    let hash = sha256_hex(&wasm);
    println!("wasm: {} bytes, sha256 {hash}", wasm.len());
    if mode == Mode::Check {
        let kept = std::fs::read_to_string(root.join(HASH)).with_context(|| HASH.to_owned())?;
        ensure!(
            kept.trim() == hash,
            "the committed judge has sha256 {}; `cargo xtask wasm` writes this one",
            kept.trim()
        );
        return Ok(Outcome::Fine);
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&wasm)?;
    let deflated = encoder.finish()?;
    println!("wasm: {} bytes deflated", deflated.len());
    std::fs::write(root.join(BYTES), deflated).with_context(|| BYTES.to_owned())?;
    std::fs::write(root.join(HASH), format!("{hash}\n")).with_context(|| HASH.to_owned())?;
    Ok(Outcome::Fine)
}

fn build(root: &Path) -> Result<Vec<u8>> {
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")),
        |home| Some(home.into()),
    );
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    let map = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let flags = [map(root, "/src"), map(&home, "/cargo")].join("\x1f");
    let folder = root.join("target/judge");
    let mut command = Command::new("cargo");
    command
        .args(["build", "--locked", "--package", "verify-wasm", "--profile", "wasm"])
        .args(["--target", pure::TARGET, "--target-dir"])
        .arg(&folder)
        .current_dir(root)
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env_remove("RUSTFLAGS");
    if !command.status().context("running cargo build")?.success() {
        bail!("the judge could not be built");
    }
    let file = folder.join(pure::TARGET).join("wasm/verify_wasm.wasm");
    std::fs::read(&file).with_context(|| file.display().to_string())
}
