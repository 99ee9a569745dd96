//! The rules that no compiler checks: who may depend on whom, what a file must and must not hold, what a
//! library must not say.
//!
//! Each rule is a small function from what it looks at to a list of complaints, with a test that
//! shows that it can complain. Only `run` touches the disk.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

mod audit;
mod circles;
mod licences;
pub(crate) mod pure;
mod speech;

/// Whether a change of the governor's dependencies is complained of or blessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Check,
    Bless,
}

/// Which of our crates may depend on which others of ours. A crate that is not named here may not
/// exist: whoever adds one decides its arrows.
const ARROWS: [(&str, &[&str]); 19] = [
    ("carbon-ops-units", &[]),
    ("carbon-ops-meter", &["carbon-ops-units"]),
    ("carbon-ops-governor", &["carbon-ops-meter", "carbon-ops-units"]),
    ("carbon-ops-estimate", &["carbon-ops-units"]),
    ("carbon-ops-proof", &[]),
    ("carbon-ops-ledger", &["carbon-ops-proof"]),
    ("carbon-ops-grid", &["carbon-ops-estimate", "carbon-ops-units"]),
    // Tests price with the built-in table.
    (
        "carbon-ops-record",
        &["carbon-ops-estimate", "carbon-ops-grid", "carbon-ops-proof", "carbon-ops-units"],
    ),
    (
        "carbon-ops",
        &[
            "carbon-ops-estimate",
            "carbon-ops-grid",
            "carbon-ops-ledger",
            "carbon-ops-meter",
            "carbon-ops-proof",
            "carbon-ops-record",
            "carbon-ops-units",
        ],
    ),
    ("carbon-ops-report", &["carbon-ops-proof", "carbon-ops-record", "carbon-ops-units"]),
    ("verify-wasm", &["carbon-ops-report"]),
    ("carbon-ops-verify", &["carbon-ops-proof", "carbon-ops-record"]),
    ("carbon-ops-export", &["carbon-ops"]),
    ("carbon-ops-words", &["carbon-ops"]),
    ("carbon-ops-top", &["carbon-ops", "carbon-ops-words"]),
    (
        "carbon-ops-cli",
        &[
            "carbon-ops",
            "carbon-ops-export",
            "carbon-ops-report",
            "carbon-ops-top",
            "carbon-ops-words",
        ],
    ),
    (FOR_TESTS, &["carbon-ops-meter", "carbon-ops-units"]),
    ("aliasing", &["carbon-ops-meter", "carbon-ops-units"]),
    ("xtask", &[]),
];

/// Whose tests need it may depend on this one, and nothing else may.
const FOR_TESTS: &str = "carbon-ops-testkit";

/// A larger file belongs into a release or a package, not into every clone.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Written in two halves each, so that this file passes its own rule.
const UNFINISHED: [&str; 3] =
    [concat!("to", "do!("), concat!("unim", "plemented!("), concat!("db", "g!(")];

/// A file of the repository.
#[derive(Debug)]
struct File {
    path: String,
    bytes: u64,
    /// Nothing where the file is not UTF-8.
    text: Option<String>,
}

pub(crate) fn run(root: &Path, mode: Mode) -> Result<()> {
    let files = files(root)?;
    let metadata = metadata(root, &["--no-deps"])?;
    if mode == Mode::Bless {
        std::fs::write(root.join(audit::LIST), audit::list(&audit::tree(root)?))
            .with_context(|| format!("writing {}", audit::LIST))?;
        return run(root, Mode::Check);
    }
    let mut complaints = arrows(&metadata);
    complaints.extend(circles::complaints(&files));
    complaints.extend(opening_comments(&files));
    complaints.extend(speech::complaints(&files));
    complaints.extend(large_files(&files));
    complaints.extend(unfinished_code(&files));
    complaints.extend(unfinished_merges(&files));
    complaints.extend(pure::complaints(&files, &pure::linked(root)?));
    complaints.extend(changelog(&files, &version(&metadata)?));
    complaints.extend(audit::complaints(&audit::tree(root)?, text_of(&files, audit::LIST)));
    let deny = text_of(&files, "deny.toml").context("deny.toml is missing")?;
    complaints.extend(licences::complaints(&self::metadata(root, &["--locked"])?, deny)?);
    complaints.extend(stale_locks(root, &files));
    if complaints.is_empty() {
        println!("tidy: {} files, nothing to complain of", files.len());
        return Ok(());
    }
    bail!("{} complaints\n  {}", complaints.len(), complaints.join("\n  "));
}

/// The SHA-256 of some bytes in lower-case hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// What `cargo metadata` says.
pub(crate) fn metadata(root: &Path, flags: &[&str]) -> Result<Value> {
    let mut command = Command::new("cargo");
    command.args(["metadata", "--format-version", "1"]).args(flags).current_dir(root);
    let output = command.output().context("running cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("reading cargo metadata")
}

/// Workspaces of their own whose `Cargo.lock` does not hold what their manifests ask for: a new
/// dependency of the product is one of theirs too, and they build with `--locked`.
fn stale_locks(root: &Path, files: &[File]) -> Vec<String> {
    let folders = files.iter().filter_map(|file| file.path.strip_suffix("/Cargo.lock"));
    let refused = folders.filter_map(|folder| {
        let error = metadata(&root.join(folder), &["--locked"]).err()?;
        Some(format!("{folder}/Cargo.lock: {error:#}"))
    });
    refused.collect()
}

/// The files that git tracks or would track.
fn files(root: &Path) -> Result<Vec<File>> {
    let mut command = Command::new("git");
    // The checkout may belong to another user than the one who runs this, as in a container.
    command.args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others"]);
    command.arg("--exclude-standard").current_dir(root);
    let output = command.output().context("running git ls-files")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let mut files = Vec::new();
    for path in String::from_utf8_lossy(&output.stdout).split_terminator('\0') {
        // A file that is deleted and not yet committed is listed and is not there.
        let Ok(bytes) = std::fs::read(root.join(path)) else { continue };
        let length = u64::try_from(bytes.len())?;
        files.push(File {
            path: path.to_owned(),
            bytes: length,
            text: String::from_utf8(bytes).ok(),
        });
    }
    ensure!(!files.is_empty(), "git lists no files");
    Ok(files)
}

fn text_of<'a>(files: &'a [File], path: &str) -> Option<&'a str> {
    files.iter().find(|file| file.path == path).and_then(|file| file.text.as_deref())
}

/// The files of a kind, with their text.
fn texts<'a>(files: &'a [File], ending: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    files.iter().filter_map(move |file| {
        let text = file.text.as_deref()?;
        file.path.ends_with(ending).then_some((file.path.as_str(), text))
    })
}

/// The array under a key; empty where there is none.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The text under a key; nothing where there is none, or null.
pub(crate) fn string<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn version(metadata: &Value) -> Result<String> {
    let ours = |package: &&Value| string(package, "name") == Some("carbon-ops-cli");
    let cli = list(metadata, "packages").iter().find(ours).context("no carbon-ops-cli")?;
    Ok(string(cli, "version").context("no version")?.to_owned())
}

/// Dependencies between our crates, of every kind, run along `ARROWS` only; those of tests to `FOR_TESTS` too.
fn arrows(metadata: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in list(metadata, "packages") {
        let name = string(package, "name").unwrap_or_default();
        let Some((_, allowed)) = ARROWS.iter().find(|(ours, _)| *ours == name) else {
            complaints.push(format!("{name}: say in ARROWS of xtask/src/tidy.rs what it may use"));
            continue;
        };
        for dependency in list(package, "dependencies") {
            let target = string(dependency, "name").unwrap_or_default();
            let of_tests = string(dependency, "kind") == Some("dev") && target == FOR_TESTS;
            // Only our own crates are named by path.
            let ours = string(dependency, "path").is_some();
            if ours && !of_tests && !allowed.contains(&target) {
                complaints.push(format!("{name} must not depend on {target}"));
            }
        }
    }
    complaints
}

/// Every source file opens with what it is for.
fn opening_comments(files: &[File]) -> Vec<String> {
    texts(files, ".rs")
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| format!("{path}: opens without a `//!` comment"))
        .collect()
}

fn large_files(files: &[File]) -> Vec<String> {
    files
        .iter()
        .filter(|file| file.bytes > FILE_BYTES_MAX)
        .map(|file| format!("{}: {} bytes, over 1 MiB", file.path, file.bytes))
        .collect()
}

/// No macro that stands for code to come.
fn unfinished_code(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in texts(files, ".rs") {
        for (number, line) in (1..).zip(text.lines()) {
            for name in UNFINISHED.iter().filter(|name| line.contains(**name)) {
                complaints.push(format!("{path}:{number}: {name}"));
            }
        }
    }
    complaints
}

/// Places where a merge left both sides.
fn unfinished_merges(files: &[File]) -> Vec<String> {
    let marks = ["<<<<<<< ", ">>>>>>> "];
    let both =
        |text: &str| text.lines().any(|line| marks.iter().any(|mark| line.starts_with(mark)));
    let merged = texts(files, "").filter(|(_, text)| both(text));
    merged.map(|(path, _)| format!("{path}: a merge is unfinished")).collect()
}

/// The change log, where there is one, has an entry for the current version.
fn changelog(files: &[File], version: &str) -> Vec<String> {
    match text_of(files, "CHANGELOG.md") {
        Some(text) if !text.contains(version) => {
            vec![format!("CHANGELOG.md: no entry for {version}")]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    pub(super) fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), bytes: text.len() as u64, text: Some(text.to_owned()) }
    }

    fn package(name: &str, dependency: &str) -> Value {
        package_with(name, dependency, &Value::Null)
    }

    fn package_with(name: &str, dependency: &str, kind: &Value) -> Value {
        json!({ "packages": [{ "name": name, "dependencies": [
            { "name": dependency, "path": "somewhere", "kind": kind },
            { "name": "serde", "path": null, "kind": null },
        ] }] })
    }

    #[test]
    fn only_the_drawn_arrows_are_allowed() {
        assert_eq!(arrows(&package("carbon-ops-meter", "carbon-ops-units")), [""; 0]);
        assert_eq!(
            arrows(&package("carbon-ops-ledger", "carbon-ops-units")),
            ["carbon-ops-ledger must not depend on carbon-ops-units"]
        );
        assert_eq!(arrows(&package("carbon-ops-cli", "xtask")).len(), 1);
        assert_eq!(arrows(&package("carbon-ops-common", "carbon-ops-units")).len(), 1);
    }

    #[test]
    fn a_lock_that_its_manifest_has_left_behind_is_complained_of() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["other/src", "wanted/src"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
            std::fs::write(root.path().join(folder).join("lib.rs"), "").unwrap();
        }
        let package = |name: &str, rest: &str| {
            let text = format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n{rest}");
            std::fs::write(root.path().join(name).join("Cargo.toml"), text).unwrap();
        };
        package("wanted", "[workspace]\n");
        package("other", "[workspace]\n");
        metadata(&root.path().join("other"), &["--offline"]).unwrap();
        let locks = [file("other/Cargo.lock", ""), file("Cargo.lock", "")];
        assert_eq!(stale_locks(root.path(), &locks), [""; 0]);
        package("other", "[workspace]\n[dependencies]\nwanted = { path = \"../wanted\" }\n");
        assert_eq!(stale_locks(root.path(), &locks).len(), 1);
    }

    #[test]
    fn what_is_for_tests_is_a_dependency_of_tests_only() {
        let uses = |kind: Value| arrows(&package_with("carbon-ops-ledger", FOR_TESTS, &kind));
        assert_eq!(uses(json!("dev")), [""; 0]);
        for kind in [Value::Null, json!("build")] {
            assert_eq!(uses(kind), ["carbon-ops-ledger must not depend on carbon-ops-testkit"]);
        }
        // Nor may tests go round the arrows otherwise.
        let dev = package_with("carbon-ops-ledger", "carbon-ops-units", &json!("dev"));
        assert_eq!(arrows(&dev).len(), 1);
    }

    #[test]
    fn a_source_without_an_opening_comment_is_found() {
        assert_eq!(opening_comments(&[file("a.rs", "//! A.\n"), file("b.md", "b")]), [""; 0]);
        assert_eq!(opening_comments(&[file("a.rs", "// A.\nfn a() {}\n")]).len(), 1);
    }

    #[test]
    fn both_sides_of_a_merge_are_found() {
        let sides = format!("a\n{} HEAD\nb\n=======\n", "<".repeat(7));
        assert_eq!(unfinished_merges(&[file("a.md", &sides)]), ["a.md: a merge is unfinished"]);
        assert_eq!(unfinished_merges(&[file("a.md", "=======\n <<<<<<< quoted\n")]), [""; 0]);
    }

    #[test]
    fn large_files_are_found() {
        let of = |bytes| [File { path: "a.bin".to_owned(), bytes, text: None }];
        assert_eq!(large_files(&of(FILE_BYTES_MAX)), [""; 0]);
        assert_eq!(large_files(&of(FILE_BYTES_MAX + 1)).len(), 1);
    }

    #[test]
    fn unfinished_code_is_found() {
        assert_eq!(unfinished_code(&[file("a.rs", "//! Does it all.\n")]), [""; 0]);
        for name in UNFINISHED {
            assert_eq!(unfinished_code(&[file("a.rs", &format!("fn a() {{ {name}) }}"))]).len(), 1);
        }
    }

    #[test]
    fn a_change_log_without_the_version_is_found() {
        assert_eq!(changelog(&[], "0.2.0"), [""; 0]);
        assert_eq!(changelog(&[file("CHANGELOG.md", "## 0.2.0\n")], "0.2.0"), [""; 0]);
        assert_eq!(changelog(&[file("CHANGELOG.md", "## 0.1.1\n")], "0.2.0").len(), 1);
    }

    #[test]
    fn hashes_are_in_hex() {
        assert!(sha256_hex(b"").starts_with("e3b0c44298fc1c14"));
    }
}
