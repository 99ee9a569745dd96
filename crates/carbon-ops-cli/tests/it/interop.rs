//! Witnesses of two makers: a Python package cosigns our checkpoints and refuses our forged history,
//! and its client has ours cosign.
//!
//! Needs Python 3.12 or later with pip, and the network once; skipped aloud without, and
//! `CARBON_OPS_REQUIRE=witness` turns that into a failure.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use crate::home::{Done, Home, done};
use crate::python::environment;
use crate::witness::{Served, copy};
use carbon_ops_testkit::skip::skip;

fn data(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/witness")).join(name)
}

/// An environment with the package in it, made once for all tests and runs.
fn fetch() -> Result<PathBuf, String> {
    let requirements = data("requirements.txt");
    let requirements = requirements.to_str().ok_or("a path that is no text")?;
    let installs: [&[&str]; 2] =
        [&["--no-deps", "--require-hashes", "-r", requirements], &["cryptography>=50.0.2"]];
    environment("aics-witness-0.1.0", &installs, "import aics_witness").map(|home| home.join("bin"))
}

/// The folder of the package's programs, or nothing where this machine cannot have it, said aloud.
fn package() -> Option<&'static Path> {
    static PACKAGE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match PACKAGE.get_or_init(fetch) {
        Ok(path) => Some(path),
        Err(why) => {
            skip("witness", why.trim().lines().last().unwrap_or_default());
            None
        }
    }
}

/// Their witness, for a ledger of ours.
struct Theirs {
    child: Child,
    spec: String,
    policy: String,
}

impl Theirs {
    fn start(bin: &Path, home: &Home) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}");
        let program = |args: &[&str]| {
            let mut command = home.program(bin.join("aics-witness"));
            command.args(args);
            command
        };
        let does = |args: &[&str]| {
            let done = done(&mut program(args));
            assert_eq!(done.code(), 0, "{} {}", done.text(), done.stderr);
            done.text()
        };
        let made =
            does(&["init", "-c", "w.json", "--name", "witness.example/py", "--listen", &listen]);
        let key = made.split_whitespace().find(|word| word.starts_with("witness.example/py+"));
        let key = key.unwrap_or_else(|| panic!("no key in {made}")).to_owned();
        let log = home.does(&["ledger", "log-key"]).text();
        let origin = log.split('+').next().unwrap();
        does(&["add-log", "-c", "w.json", "--origin", origin, "--vkey", log.trim()]);
        let mut serve = program(&["serve", "-c", "w.json"]);
        let mut child = serve.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let up = (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            std::net::TcpStream::connect(&listen).is_ok() || child.try_wait().unwrap().is_some()
        });
        if !up || child.try_wait().unwrap().is_some() {
            child.kill().unwrap();
            let mut text = String::new();
            child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
            panic!("their witness did not start: {text}");
        }
        let url = format!("http://{listen}");
        let policy = format!("witness P {key} {url}\nquorum P\n");
        Self { child, spec: format!("{url}+{key}"), policy }
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn asks(home: &Home, ledger: &str, spec: &str) -> Done {
    home.does(&["ledger", "checkpoint", ledger, "--witness", spec])
}

#[test]
fn a_witness_of_another_maker_cosigns_our_ledger_and_refuses_its_forged_history() {
    let Some(bin) = package() else { return };
    let home = Home::new();
    home.record(&["--", "true"]);
    let theirs = Theirs::start(bin, &home);
    let ours = home.ledger().display().to_string();
    let first = asks(&home, &ours, &theirs.spec);
    assert_eq!(first.code(), 0, "{}", first.stderr);
    assert!(first.text().contains("\n\u{2014} witness.example/py "), "{}", first.text());
    copy(&home.ledger(), &home.work("forged"));
    for _ in 0..5 {
        home.record(&["--", "true"]);
        home.does(&["run", "--ledger", "forged", "--", "false"]);
    }
    assert_eq!(asks(&home, &ours, &theirs.spec).code(), 0);
    fs::write(home.work("policy"), &theirs.policy).unwrap();
    let verified = home.does(&["ledger", "verify", "--policy", "policy"]);
    assert_eq!(verified.code(), 0, "{}", verified.text());
    // Another history of the same length, and of a greater one.
    for _ in 0..2 {
        let forged = asks(&home, "forged", &theirs.spec);
        assert_eq!(forged.code(), 3, "{}", forged.stderr);
        assert!(forged.stderr.contains("REFUSES THIS HISTORY"), "{}", forged.stderr);
        home.does(&["run", "--ledger", "forged", "--", "false"]);
    }
    home.record(&["--", "true"]);
    assert_eq!(asks(&home, &ours, &theirs.spec).code(), 0);
}

#[test]
fn a_client_of_another_maker_has_our_witness_cosign_and_is_refused_a_forged_history() {
    let Some(bin) = package() else { return };
    let home = Home::new();
    home.record(&["--", "true"]);
    let ours = Served::start(&home, "w");
    let (url, key) = ours.url_and_key();
    let asks = |ledger: &Path| {
        home.does(&["ledger", "checkpoint", &ledger.display().to_string()]);
        let mut python = home.program(bin.join("python3"));
        python.arg(data("submit.py")).args([&url, &key]);
        done(python.args([ledger.join("ledger.ndjson"), ledger.join("checkpoint")]))
    };
    let first = asks(&home.ledger());
    assert_eq!(first.code(), 0, "{}", first.stderr);
    copy(&home.ledger(), &home.work("forged"));
    for _ in 0..3 {
        home.record(&["--", "true"]);
        home.does(&["run", "--ledger", "forged", "--", "false"]);
    }
    let second = asks(&home.ledger());
    assert_eq!(second.code(), 0, "{}", second.stderr);
    // What it merged is what our policies accept.
    fs::write(home.ledger().join("checkpoint"), &second.stdout).unwrap();
    fs::write(home.work("policy"), ours.policy()).unwrap();
    let verified = home.does(&["ledger", "verify", "--policy", "policy"]);
    assert_eq!(verified.code(), 0, "{}", verified.text());
    for _ in 0..2 {
        let forged = asks(&home.work("forged"));
        assert_eq!(forged.code(), 1, "{}", forged.text());
        let refused = ["WitnessConflict", "WitnessRejected", "409", "422"];
        assert!(refused.iter().any(|word| forged.stderr.contains(word)), "{}", forged.stderr);
        home.does(&["run", "--ledger", "forged", "--", "false"]);
    }
}
