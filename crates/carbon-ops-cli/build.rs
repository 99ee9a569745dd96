//! What `--version` says beside the version: which commit this is, and how it was built.
//!
//! The commit is `CARBON_OPS_COMMIT` of the environment, or what cargo wrote into a published package, or that of
//! the checkout. A build for development asks nobody: it would be made anew with each commit.
//!
//! Out of scope: anything that a build could decide by it.

use std::env;
use std::fs;
use std::process::Command;

/// The variable that names the commit.
const COMMIT: &str = "CARBON_OPS_COMMIT";

/// What cargo writes into a package that it makes of a checkout.
const OF_CARGO: &str = ".cargo_vcs_info.json";

/// Digits of a commit, as many as nobody confuses.
const DIGITS: usize = 12;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={COMMIT}");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let is_release = variable("PROFILE") == "release";
    let named = env::var(COMMIT).ok().filter(|commit| !commit.is_empty());
    let commit = named.or_else(of_package).or_else(|| is_release.then(of_checkout).flatten());
    let rustc = said(&variable("RUSTC"), &["--version"]).unwrap_or_default();
    let rustc = rustc.split(" (").next().unwrap_or_default();
    let (profile, target) = (variable("PROFILE"), variable("TARGET"));
    // `cargo run` hands these to the program as well, which would take names of ours for settings.
    println!("cargo:rustc-env=BUILT_FROM_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    println!("cargo:rustc-env=BUILT_AS={profile}, {target}, {rustc}");
}

fn of_package() -> Option<String> {
    let text = fs::read_to_string(OF_CARGO).ok()?;
    let (_, rest) = text.split_once("\"sha1\": \"")?;
    Some(rest.chars().take_while(char::is_ascii_hexdigit).take(DIGITS).collect())
}

/// Of the checkout that this package is a part of, and whether that was changed since.
fn of_checkout() -> Option<String> {
    said("git", &["ls-files", "--error-unmatch", "Cargo.toml"])?;
    let commit = said("git", &["rev-parse", &format!("--short={DIGITS}"), "HEAD"])?;
    let changed = said("git", &["status", "--porcelain", "--untracked-files=no"])?;
    let log = said("git", &["rev-parse", "--git-path", "logs/HEAD"])?;
    for watched in [log.as_str(), "../../Cargo.lock", "../../crates"] {
        println!("cargo:rerun-if-changed={watched}");
    }
    Some(if changed.is_empty() { commit } else { format!("{commit}, changed") })
}

/// What a program that succeeds prints.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = output.status.success().then_some(output.stdout)?;
    Some(String::from_utf8(text).ok()?.trim().to_owned())
}
