//! What a stranger checks bytes with must run in a browser: it asks no system for anything, and nothing
//! that it depends on does. `ci` builds it for a browser where it can; this is checked everywhere.
//!
//! Out of scope: what else a browser lacks, such as threads, for which that build is.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{File, texts};

/// What is checked, and where it is.
const PACKAGE: &str = "carbon-ops-proof";
const SOURCE: &str = "crates/carbon-ops-proof/src/";

/// The target of a browser.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Whether the standard library for that target is there.
pub(crate) fn is_installed(root: &Path) -> Result<bool> {
    let mut command = Command::new("rustc");
    command.args(["--print", "target-libdir", "--target", TARGET]).current_dir(root);
    let output = command.output().context("asking rustc for a target")?;
    Ok(Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

/// Modules of the standard library that ask a system.
const MODULES: [&str; 5] = ["env", "fs", "net", "os", "process"];

/// Clocks, whatever path leads to them.
const CLOCKS: [&str; 3] = ["Instant", "SystemTime", "Timestamp::now"];

/// Crates that ask a system or a host of their own for something.
const CRATES: [&str; 9] = [
    "getrandom",
    "js-sys",
    "libc",
    "linux-raw-sys",
    "nix",
    "rustix",
    "tempfile",
    "wasm-bindgen",
    "windows-sys",
];

/// Features of crates that do so when asked for: the system's time zones, a clock of JavaScript.
const FEATURES: [(&str, &str); 2] = [("jiff", "tz-system"), ("jiff", "js")];

/// A crate that is linked, with its features.
#[derive(Debug)]
pub(super) struct Linked {
    name: String,
    features: Vec<String>,
}

/// What is linked for a browser.
pub(super) fn linked(root: &Path) -> Result<Vec<Linked>> {
    let mut command = Command::new("cargo");
    command.args(["tree", "--locked", "--package", PACKAGE, "--target", TARGET]);
    command.args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{lib} {f}"]);
    let output = command.current_dir(root).output().context("cargo tree")?;
    ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(Linked::parse).collect())
}

impl Linked {
    /// `memchr alloc,std`, with a star behind it where the crate was listed before.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let name = words.next()?.replace('_', "-");
        let features = words.next().unwrap_or_default().split(',').map(str::to_owned).collect();
        Some(Self { name, features })
    }
}

pub(super) fn complaints(files: &[File], linked: &[Linked]) -> Vec<String> {
    let sources = texts(files, ".rs").filter(|(path, _)| path.starts_with(SOURCE));
    let in_sources = sources.flat_map(|(path, text)| in_source(path, text));
    in_sources.chain(linked.iter().filter_map(in_dependency)).collect()
}

/// Also in tests and comments, which have no need of it either.
fn in_source(path: &str, text: &str) -> Vec<String> {
    let complaint = |at: usize, name: &str| {
        let number = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        format!("{path}:{number}: {name}, where no system is asked")
    };
    let mut complaints = Vec::new();
    for (at, std) in text.match_indices("std::") {
        let rest = text.get(at + std.len()..).unwrap_or_default();
        for module in MODULES.into_iter().filter(|module| names(rest, module)) {
            complaints.push(complaint(at, &format!("{std}{module}")));
        }
    }
    let clocks = CLOCKS.into_iter().flat_map(|clock| text.match_indices(clock));
    complaints.extend(clocks.map(|(at, clock)| complaint(at, clock)));
    complaints
}

/// Whether what follows `std::` is a module, or a group of imports with it.
fn names(rest: &str, module: &str) -> bool {
    let mut words = rest.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    if !rest.starts_with('{') {
        return words.next() == Some(module);
    }
    let group = rest.split(';').next().unwrap_or_default();
    group.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == module)
}

fn in_dependency(linked: &Linked) -> Option<String> {
    let name = linked.name.as_str();
    if CRATES.contains(&name) {
        return Some(format!("{PACKAGE} links {name}, which asks a system"));
    }
    let of_this = FEATURES.into_iter().filter(|(of, _)| *of == name).map(|(_, feature)| feature);
    let asked = of_this.filter(|feature| linked.features.iter().any(|has| has == feature));
    let asked: Vec<_> = asked.collect();
    (!asked.is_empty())
        .then(|| format!("{PACKAGE} links {name} with {}, which asks a system", asked.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::super::tests::file;
    use super::*;

    fn found(line: &str) -> Vec<String> {
        complaints(&[file(&format!("{SOURCE}a.rs"), &format!("//! A.\n{line}\n"))], &[])
    }

    #[test]
    fn a_system_that_is_asked_where_none_may_be_is_found() {
        for (line, what) in [
            ("use std::fs::File;", "std::fs"),
            ("use std::{env, fmt};", "std::env"),
            ("use std::{\n    fmt,\n    fs::{self, File},\n};", "std::fs"),
            ("let file = ::std::os::unix::fs::open(path);", "std::os"),
            ("fn f(a: std::net::IpAddr) {}", "std::net"),
            ("std::process::exit(1)", "std::process"),
            ("use std::time::{Duration, Instant};", "Instant"),
            ("let now = std::time::SystemTime::now();", "SystemTime"),
            ("jiff::Timestamp::now()", "Timestamp::now"),
        ] {
            let complaint = format!("{SOURCE}a.rs:2: {what}, where no system is asked");
            assert_eq!(found(line), [complaint], "{line}");
        }
    }

    #[test]
    fn other_modules_and_other_crates_are_left_alone() {
        for line in ["use std::{fmt, io};", "use std::env_of;", "a::fs::b(\"std\")", "// a process"]
        {
            assert_eq!(found(line), [""; 0], "{line}");
        }
        let of_ledger = file("crates/carbon-ops-ledger/src/a.rs", "//! A.\nuse std::fs;\n");
        assert_eq!(complaints(&[of_ledger], &[]), [""; 0]);
    }

    #[test]
    fn a_dependency_that_asks_a_system_is_found() {
        let of = |line| complaints(&[], &[Linked::parse(line).unwrap()]);
        for fine in
            ["memchr alloc,default,std", "jiff alloc,std (*)", "subtle", "carbon_ops_proof "]
        {
            assert_eq!(of(fine), [""; 0], "{fine}");
        }
        assert_eq!(of("libc std"), [format!("{PACKAGE} links libc, which asks a system")]);
        assert_eq!(of("js_sys").len(), 1);
        assert_eq!(
            of("jiff alloc,js,std,tz-system (*)"),
            [format!("{PACKAGE} links jiff with tz-system, js, which asks a system")]
        );
    }
}
