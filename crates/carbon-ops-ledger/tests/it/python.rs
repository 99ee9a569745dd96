//! The Python package carbon-ops 0.1.1 itself: it validates what we write for it, we verify what it
//! writes, and it accepts just those of our faults that we say it accepts.
//!
//! Needs python3 (3.10 or later) with `cryptography`, pip, and the network once; skipped aloud
//! without, and `CARBON_OPS_REQUIRE=python` (or `pip`) turns that into a failure.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use carbon_ops_ledger::legacy::{Record, append, verify};
use carbon_ops_proof::verify::Status;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use sha2::{Digest as _, Sha256};

use crate::legacy::{attacks, frozen};
use crate::support::{key, trust};

fn data(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/ledgers/0.1")).join(name)
}

/// The output of a command, or why there is none.
fn output(command: &mut Command) -> Result<String, String> {
    let done = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr)))
}

/// Whether a file is one of those that `requirements.txt` names by their hashes.
fn is_the_package(path: &Path) -> bool {
    let requirements = std::fs::read_to_string(data("requirements.txt")).unwrap();
    std::fs::read(path).is_ok_and(|bytes| {
        let hash = Sha256::digest(bytes)
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        requirements.contains(&format!("sha256:{hash}"))
    })
}

/// Fetches the package, once for all tests and runs, and checks that it can be used.
fn fetch() -> Result<PathBuf, String> {
    let check = "import sys, cryptography; assert sys.version_info >= (3, 10), sys.version";
    output(Command::new("python3").args(["-c", check]))?;
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("carbon-ops-0.1.1");
    let wheel = dir.join("carbon_ops-0.1.1-py3-none-any.whl");
    if is_the_package(&wheel) {
        return Ok(wheel);
    }
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--no-deps", "--require-hashes", "--quiet"]);
    pip.args(["--only-binary", ":all:"]);
    pip.args(["--disable-pip-version-check", "--retries", "0", "--timeout", "10", "--dest"]);
    output(pip.arg(&dir).arg("-r").arg(data("requirements.txt")))?;
    if is_the_package(&wheel) { Ok(wheel) } else { Err(format!("no {}", wheel.display())) }
}

/// The package's wheel, or nothing where this machine cannot have it, said aloud.
fn wheel() -> Option<&'static Path> {
    static WHEEL: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match WHEEL.get_or_init(fetch) {
        Ok(path) => Some(path),
        Err(why) => {
            let required = std::env::var("CARBON_OPS_REQUIRE").unwrap_or_default();
            let required = required.split(',').any(|word| ["python", "pip"].contains(&word.trim()));
            assert!(!required, "python is required: {why}");
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            // To the stream itself, which the test harness does not capture.
            let why = why.trim().lines().last().unwrap_or_default();
            let _ = writeln!(std::io::stderr(), "SKIPPED: {test} needs python: {why}");
            None
        }
    }
}

/// What the package says of each ledger in a folder; none where it raises.
fn verdicts(wheel: &Path, dir: &Path) -> BTreeMap<String, Option<bool>> {
    let mut python = Command::new("python3");
    python.arg(data("validate.py")).arg(wheel).arg(key().public_key().to_hex()).arg(dir);
    serde_json::from_str(&output(&mut python).unwrap()).unwrap()
}

const PATIENCE: Duration = Duration::from_secs(30);

/// Numbers, texts and nestings that the two languages could write differently.
const RECORDS: [&str; 7] = [
    r#"{"i":0,"grams":210.0,"kind":"carbon_ops"}"#,
    "{\"é\":\"naïve 😀 \u{2028} \u{7f} \u{80}\",\"\u{fb33}\":1,\"😀\":2,\"escapes\":\"\\u0000\\u001f\\b\\t\\n\\f\\r\\\"\\\\\\/\"}",
    r#"{"x":[1e-05,0.00001,0.0001,100.0,1E2,1e16,9999999999999998.0,-0.0,0.0,5e-324,1e22,1.7976931348623157e308]}"#,
    r#"{"n":[0,-1,9007199254740993,18446744073709551616,-1180591620717411303424,-0]}"#,
    r#"{"z":{"b":[{"y":1,"x":[[],{},null,true,false]}],"a":{"c":{"d":{"e":{}}}}},"a":[]}"#,
    r#"{"inner":{"signature":"not ours","prev_hash":null,"signing_key":[]}}"#,
    "{}",
];

#[test]
fn the_package_validates_what_we_write() {
    let Some(wheel) = wheel() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ours");
    for record in RECORDS {
        append(&path, &Record::parse(record.as_bytes()).unwrap(), &key(), PATIENCE).unwrap();
    }
    let big = format!("{{\"big\":1{}}}", "0".repeat(4299));
    append(&path, &Record::parse(big.as_bytes()).unwrap(), &key(), PATIENCE).unwrap();
    assert_eq!(verify(&std::fs::read(&path).unwrap()[..], &trust()).unwrap().records, 8);
    assert_eq!(verdicts(wheel, dir.path())["ours"], Some(true));
}

/// Lets the package append so many records.
fn theirs(wheel: &Path, path: &Path, count: u32) {
    let script = "import sys, pathlib; sys.path.insert(0, sys.argv[1])\n\
                  from carbon_ops.tools import Signer, append_signed_entry\n\
                  signer, path = Signer(bytes(range(32))), pathlib.Path(sys.argv[2])\n\
                  for n in range(int(sys.argv[3])):\n    \
                      append_signed_entry(path, {'é': 1e-05, 'n': 2**70 + n}, signer)";
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(wheel).arg(path).arg(count.to_string());
    output(&mut python).unwrap();
}

/// Each takes the other's lock: no record is lost and no chain is torn.
#[test]
fn writers_of_both_kinds_at_once_make_one_chain() {
    let Some(wheel) = wheel() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = &dir.path().join("shared");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| theirs(wheel, path, 20));
            scope.spawn(|| {
                for _ in 0..40 {
                    let record = Record::parse(RECORDS[0].as_bytes()).unwrap();
                    append(path, &record, &key(), PATIENCE).unwrap();
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
    });
    let report = verify(&std::fs::read(path).unwrap()[..], &trust()).unwrap();
    assert_eq!((report.status, report.records), (Status::Valid, 180), "{report:#?}");
}

#[test]
fn the_package_appends_to_ours_and_we_to_its() {
    let Some(wheel) = wheel() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shared");
    for record in RECORDS {
        append(&path, &Record::parse(record.as_bytes()).unwrap(), &key(), PATIENCE).unwrap();
        theirs(wheel, &path, 1);
    }
    let report = verify(&std::fs::read(&path).unwrap()[..], &trust()).unwrap();
    assert_eq!((report.status, report.records), (Status::Valid, 14), "{report:#?}");
    assert_eq!(verdicts(wheel, dir.path())["shared"], Some(true));
}

/// Our verdict on each fault, whether the package lets it pass, is the package's own.
#[test]
fn the_package_accepts_just_those_faults_that_we_say_it_accepts() {
    let Some(wheel) = wheel() else { return };
    let dir = tempfile::tempdir().unwrap();
    for (name, file, _) in attacks() {
        std::fs::write(dir.path().join(name), file).unwrap();
    }
    for name in ["not-finite.ndjson", "unlinked.ndjson"] {
        std::fs::write(dir.path().join(name), frozen(name)).unwrap();
    }
    let verdicts = verdicts(wheel, dir.path());
    assert_eq!(verdicts.len(), attacks().len() + 2);
    for (name, verdict) in verdicts {
        let file = std::fs::read(dir.path().join(&name)).unwrap();
        let report = verify(&file[..], &trust()).unwrap();
        let accepts = report.faults.iter().all(|fault| fault.python_accepts);
        assert_eq!(verdict == Some(true), accepts, "{name}: {verdict:?}, {:#?}", report.faults);
    }
}

/// Ten thousand doubles of all sizes and a thousand texts, in the lines of one ledger.
#[test]
fn the_package_validates_any_double_and_any_text_that_we_write() {
    let Some(wheel) = wheel() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut runner = TestRunner::new(Config::default());
    let (mut file, mut head) = (Vec::new(), None);
    let strategy = (prop::collection::vec(any::<u64>(), 100), prop::collection::vec(".*", 10));
    for _ in 0..100 {
        let (bits, texts) = strategy.new_tree(&mut runner).unwrap().current();
        let doubles: Vec<f64> =
            bits.into_iter().map(f64::from_bits).filter(|double| double.is_finite()).collect();
        let json = serde_json::json!({ "doubles": doubles, "texts": texts });
        let record = Record::parse(json.to_string().as_bytes()).unwrap();
        let signed = record.sign(head.as_ref(), &key()).unwrap();
        file.extend(signed.line);
        head = Some(signed.hash);
    }
    std::fs::write(dir.path().join("random"), &file).unwrap();
    assert_eq!(verify(&file[..], &trust()).unwrap().records, 100);
    assert_eq!(verdicts(wheel, dir.path())["random"], Some(true));
}
