//! Witnesses as their operators and clients meet them: served, asked, killed, and shown two histories.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Child;
use std::sync::Mutex;
use std::time::Duration;

use carbon_ops::ledger::append::{Ledger, WriterOptions};
use carbon_ops::ledger::keys::{Trust, load_secret};
use carbon_ops::ledger::storage::DirStorage;
use carbon_ops::ledger::tile::{DirTiles, TileTree};
use carbon_ops::ledger::witness::Request;
use carbon_ops::proof::canonical::Object;
use carbon_ops::proof::checkpoint::Checkpoint;
use carbon_ops::proof::merkle::consistency_proof;
use carbon_ops::proof::note::Note;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::home::{Home, done};

/// 2026-11-23T09:00:00Z.
const NOW: jiff::Timestamp = jiff::Timestamp::constant(1_795_424_400, 0);
pub(crate) const NAME: &str = "witness.example/w1";

/// A witness that runs; killed at the end, without warning.
pub(crate) struct Served {
    child: Child,
    address: SocketAddr,
    key: String,
}

impl Served {
    /// Starts a witness of the default ledger; its directory is `work/NAME`.
    pub(crate) fn start(home: &Home, dir: &str) -> Self {
        let done = home.does(&["witness", "init", "--dir", dir, "--name", NAME]);
        assert_eq!(done.code(), 0, "{}", done.stderr);
        let key = done.text().trim().to_owned();
        let log = home.does(&["ledger", "log-key"]).text();
        let listen = "127.0.0.1:0";
        let args = ["witness", "serve", "--dir", dir, "--listen", listen, "--log", log.trim()];
        let mut child = home.carbon_ops(&args).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), format!("witness {key}"));
        let address = lines
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("listening on http://")?.parse().ok());
        let Some(address) = address else {
            let mut text = String::new();
            child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
            panic!("{text}");
        };
        Self { child, address, key }
    }

    /// What a client names it by.
    pub(crate) fn spec(&self) -> String {
        format!("http://{}+{}", self.address, self.key)
    }

    pub(crate) fn url_and_key(&self) -> (String, String) {
        (format!("http://{}", self.address), self.key.clone())
    }

    pub(crate) fn policy(&self) -> String {
        format!("witness W {} http://{}\nquorum W\n", self.key, self.address)
    }

    fn post(&self, body: &[u8]) -> Option<(u16, String)> {
        post(self.address, "POST /add-checkpoint HTTP/1.1", body)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A request by hand; none when the connection ends without an answer.
fn post(address: SocketAddr, line: &str, body: &[u8]) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let head =
        format!("{line}\r\nHost: w\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).ok()?;
    // An answer may come, and the connection close, before all of a long body went out.
    let _ = stream.write_all(body);
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn with_records(count: usize) -> Home {
    let home = Home::new();
    for _ in 0..count {
        home.record(&["--", "true"]);
    }
    home
}

fn write(home: &Home, name: &str, text: &str) {
    fs::write(home.work(name), text).unwrap();
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let (path, name) = (item.as_ref().unwrap().path(), item.unwrap().file_name());
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

#[test]
fn a_checkpoint_is_cosigned_and_policies_ask_for_it() {
    let home = with_records(2);
    let witness = Served::start(&home, "w");
    let spec = witness.spec();
    let signed = home.does(&["ledger", "checkpoint", "--witness", &spec]);
    assert_eq!(signed.code(), 0, "{}", signed.stderr);
    assert!(signed.stderr.contains("witness.example/w1 cosigned"), "{}", signed.stderr);
    assert!(signed.text().contains(&format!("\n\u{2014} {NAME} ")), "{}", signed.text());
    assert_eq!(fs::read_to_string(home.ledger().join("checkpoint")).unwrap(), signed.text());
    write(&home, "good", &witness.policy());
    let stranger = home.does(&["witness", "init", "--dir", "other", "--name", "w2"]);
    write(&home, "bad", &format!("witness X {}\nquorum X\n", stranger.text().trim()));
    let verified = home.does(&["ledger", "verify", "--policy", "good"]);
    assert_eq!(verified.code(), 0, "{}", verified.text());
    assert!(
        verified.text().contains("  WITNESSED: of the checkpoint of 3 lines"),
        "{}",
        verified.text()
    );
    let lacking = home.does(&["ledger", "verify", "--policy", "bad"]);
    assert_eq!(lacking.code(), 2, "{}", lacking.text());
    assert!(lacking.text().contains("lacking witness X"), "{}", lacking.text());
    let json = home.does(&["ledger", "verify", "--policy", "good", "--json"]).text();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["witnessed"]["quorum_met"], true);
    assert_eq!(json["witnessed"]["cosigned"][0]["name"], "W");
    home.does(&["ledger", "prove", "1", "--out", "it"]);
    assert_eq!(home.does(&["ledger", "check-proof", "it", "--policy", "good"]).code(), 0);
    assert_eq!(home.does(&["ledger", "check-proof", "it", "--policy", "bad"]).code(), 2);
    // A later checkpoint that nobody cosigned leaves the earlier one what it is.
    home.record(&["--", "true"]);
    assert_eq!(home.does(&["ledger", "checkpoint"]).code(), 0);
    let verified = home.does(&["ledger", "verify", "--policy", "good"]);
    assert_eq!(verified.code(), 0, "{}", verified.text());
    assert!(
        verified.text().contains("  WITNESSED: of the checkpoint of 3 lines"),
        "{}",
        verified.text()
    );
    // From a policy with an address, and from where the witness was.
    let signed = home.does(&["ledger", "checkpoint", "--policy", "good", "--json"]);
    let json: Value = serde_json::from_str(&signed.text()).unwrap();
    assert_eq!((signed.code(), &json["quorum_met"]), (0, &Value::Bool(true)), "{json:#}");
    assert!(json["checkpoint"].as_str().unwrap().contains("\n4\n"), "{json:#}");
    // A false cosignature is no missing one.
    let path = home.ledger().join("checkpoint");
    let mut lines: Vec<String> =
        fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    let last = lines.last_mut().unwrap();
    let at = last.len() - 9;
    let other = if last.as_bytes()[at] == b'A' { "B" } else { "A" };
    last.replace_range(at..=at, other);
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let spoilt = home.does(&["ledger", "verify", "--policy", "good"]);
    assert_eq!(spoilt.code(), 1, "{}", spoilt.text());
}

#[test]
fn of_two_histories_the_witness_takes_one_also_after_it_was_killed() {
    let home = with_records(2);
    let witness = Served::start(&home, "w");
    let spec = witness.spec();
    let asks =
        |ledger: &str, spec: &str| home.does(&["ledger", "checkpoint", ledger, "--witness", spec]);
    let ours = home.ledger().display().to_string();
    assert_eq!(asks(&ours, &spec).code(), 0);
    copy(&home.ledger(), &home.work("copy"));
    home.record(&["--ledger", &ours, "--", "true"]);
    home.does(&["run", "--ledger", "copy", "--", "false"]);
    assert_eq!(asks(&ours, &spec).code(), 0);
    drop(witness);
    let witness = Served::start(&home, "w");
    let spec = witness.spec();
    let forked = asks("copy", &spec);
    assert_eq!(forked.code(), 3, "{}", forked.stderr);
    assert!(
        forked.stderr.contains("REFUSES THIS HISTORY: it cosigned 4 other lines"),
        "{}",
        forked.stderr
    );
    assert_eq!(fs::read_dir(home.work("w/evidence")).unwrap().count(), 1);
    home.does(&["run", "--ledger", "copy", "--", "false"]);
    let longer = asks("copy", &spec);
    assert_eq!(longer.code(), 3, "{}", longer.stderr);
    assert!(longer.stderr.contains("are not the first 4 here"), "{}", longer.stderr);
    assert!(fs::read_to_string(home.work("copy/checkpoint")).unwrap().contains("\n5\n"));
    assert_eq!(asks(&ours, &spec).code(), 0);
    // A copy that was cut is smaller than what was cosigned.
    let old = with_records(0);
    copy(&home.ledger(), &old.work("cut"));
    for name in ["checkpoint", "signer.state", "checkpoints.log"] {
        fs::remove_file(old.work("cut").join(name)).unwrap();
    }
    let text = fs::read_to_string(old.work("cut/ledger.ndjson")).unwrap();
    let kept: Vec<&str> = text.split_inclusive('\n').take(2).collect();
    fs::write(old.work("cut/ledger.ndjson"), kept.concat()).unwrap();
    let cut = asks(&old.work("cut").display().to_string(), &spec);
    assert_eq!(cut.code(), 3, "{}", cut.stderr);
    assert!(
        cut.stderr.contains("it cosigned 4 lines of this ledger, and there are 2"),
        "{}",
        cut.stderr
    );
}

#[test]
fn witnesses_that_are_gone_or_do_not_know_the_ledger_leave_the_checkpoint_as_it_is() {
    let home = with_records(1);
    let witness = Served::start(&home, "w");
    let stranger = with_records(1);
    let unknown = stranger.does(&["ledger", "checkpoint", "--witness", &witness.spec()]);
    assert_eq!(unknown.code(), 1);
    assert!(unknown.stderr.contains("it does not know this ledger"), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("lacking witness witness.example/w1"), "{}", unknown.stderr);
    let spec = witness.spec();
    drop(witness);
    let gone = home.does(&["ledger", "checkpoint", "--witness", &spec]);
    assert_eq!(gone.code(), 1);
    assert!(gone.stderr.contains("it cannot be reached"), "{}", gone.stderr);
    assert_eq!(home.does(&["ledger", "verify"]).code(), 0);
    assert!(home.ledger().join("checkpoint").exists());
    assert_eq!(home.does(&["ledger", "checkpoint", "--witness", "nonsense"]).code(), 2);
    // A directory that is lost is not begun anew.
    fs::remove_file(home.work("w/witness")).unwrap();
    let lost = home.does(&["witness", "serve", "--dir", "w", "--log", "x"]);
    assert_eq!(lost.code(), 2);
    let log = home.does(&["ledger", "log-key"]).text();
    let lost = home.does(&["witness", "serve", "--dir", "w", "--name", NAME, "--log", log.trim()]);
    assert_eq!(lost.code(), 2);
    assert!(lost.stderr.contains("is not the directory of a witness"), "{}", lost.stderr);
}

#[test]
fn what_is_no_request_is_refused_and_idle_clients_are_in_nobodys_way() {
    let home = with_records(1);
    let witness = Served::start(&home, "w");
    let idle: Vec<TcpStream> =
        (0..40).map(|_| TcpStream::connect(witness.address).unwrap()).collect();
    let status = |line: &str, body: &[u8]| post(witness.address, line, body).unwrap().0;
    assert_eq!(status("GET /add-checkpoint HTTP/1.1", b""), 405);
    assert_eq!(status("POST / HTTP/1.1", b""), 404);
    assert_eq!(status("POST /add-checkpoint/ HTTP/1.1", b""), 404);
    assert_eq!(witness.post(b"").unwrap().0, 400);
    assert_eq!(witness.post(b"old 0\n\nx\n").unwrap().0, 400);
    assert_eq!(witness.post(&vec![b'x'; 1 << 18]).unwrap().0, 400);
    assert_eq!(witness.post(&vec![b'x'; (1 << 18) + 1]).unwrap().0, 413);
    assert_eq!(home.does(&["ledger", "checkpoint", "--witness", &witness.spec()]).code(), 0);
    drop(idle);
}

#[test]
fn a_witness_that_lost_its_memory_is_found_out() {
    let home = with_records(2);
    let witness = Served::start(&home, "w");
    assert_eq!(home.does(&["ledger", "checkpoint", "--witness", &witness.spec()]).code(), 0);
    copy(&home.work("w"), &home.work("backup"));
    home.record(&["--", "true"]);
    assert_eq!(home.does(&["ledger", "checkpoint", "--witness", &witness.spec()]).code(), 0);
    drop(witness);
    fs::remove_dir_all(home.work("w")).unwrap();
    copy(&home.work("backup"), &home.work("w"));
    home.record(&["--", "true"]);
    let witness = Served::start(&home, "w");
    let forgot = home.does(&["ledger", "checkpoint", "--witness", &witness.spec()]);
    assert_eq!(forgot.code(), 1, "{}", forgot.stderr);
    assert!(
        forgot.stderr.contains("cosigned 4 lines of this ledger and now says 3"),
        "{}",
        forgot.stderr
    );
}

/// A ledger of `lines` lines with a checkpoint at each of its sizes.
fn checkpoints(home: &Home, lines: u64) -> BTreeMap<u64, Note> {
    home.record(&["--", "true"]);
    let key = load_secret(&home.key()).unwrap();
    let options = WriterOptions { tool: "test 1".into(), patience: Duration::from_secs(5) };
    let trust = Trust::from_iter([key.public_key()]);
    let storage = DirStorage::new(home.ledger());
    let mut ledger = Ledger::open_for_append(storage, &key, &trust, NOW, options).unwrap();
    let mut notes = BTreeMap::new();
    for _ in 2..lines {
        let payload = Object::from_members([("kind", "filler".into())]).unwrap();
        ledger.append(payload, NOW).unwrap();
        let note = ledger.checkpoint(NOW).unwrap().note;
        notes.insert(Checkpoint::of_note(&note).unwrap().size, note);
    }
    notes
}

fn request(home: &Home, old: u64, size: u64, note: &Note) -> Vec<u8> {
    let tiles = DirTiles::open(Some(&home.ledger()), &home.ledger_file()).unwrap();
    let proof = consistency_proof(old, size, &mut TileTree::new(tiles, size)).unwrap();
    let proof = proof.unwrap_or_default();
    Request { old, proof, checkpoint: note.clone() }.to_string().into_bytes()
}

#[test]
fn fifty_requests_at_once_make_one_history() {
    let home = Home::new();
    let notes = checkpoints(&home, 52);
    assert_eq!(notes.len(), 50);
    let witness = Served::start(&home, "w");
    let steps = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (&size, note) in &notes {
            let (steps, witness, home) = (&steps, &witness, &home);
            scope.spawn(move || {
                let mut old = 0;
                while old <= size {
                    let (status, body) = witness.post(&request(home, old, size, note)).unwrap();
                    match status {
                        200 => return steps.lock().unwrap().push((old, size)),
                        409 => old = body.trim().parse().unwrap(),
                        other => panic!("{other}: {body}"),
                    }
                }
            });
        }
    });
    let mut steps = steps.into_inner().unwrap();
    steps.sort_unstable();
    assert_eq!(steps.last().unwrap().1, 52, "the largest was cosigned");
    // From nothing to the largest, and each from where the one before ended.
    assert_eq!(steps[0].0, 0);
    for pair in steps.windows(2) {
        assert_eq!(pair[0].1, pair[1].0, "{steps:?}");
    }
}

#[test]
fn what_was_cosigned_is_remembered_however_often_the_witness_is_killed() {
    let home = Home::new();
    let notes = checkpoints(&home, 60);
    let mut seen = 0;
    let mut sizes = notes.iter().peekable();
    for _ in 0..12 {
        let witness = Served::start(&home, "w");
        let address = witness.address;
        // What was answered before the kill is the least that is known after it.
        let (size, note) = sizes.peek().copied().unwrap();
        let (status, body) = witness.post(&request(&home, 0, *size, note)).unwrap();
        let known = if seen == 0 && status == 200 { *size } else { body.trim().parse().unwrap() };
        assert!(known >= seen, "{known} after {seen}");
        seen = known;
        let killer = std::thread::spawn(move || drop(witness));
        for (size, note) in sizes.by_ref() {
            if *size <= seen {
                continue;
            }
            let body = request(&home, seen, *size, note);
            match post(address, "POST /add-checkpoint HTTP/1.1", &body) {
                Some((200, _)) => seen = *size,
                Some(other) => panic!("{other:?}"),
                None => break,
            }
        }
        killer.join().unwrap();
        if sizes.peek().is_none() {
            break;
        }
    }
    assert!(seen > 2, "{seen}");
}

#[test]
fn a_run_asks_configured_witnesses_when_it_signs_and_does_not_fail_by_them() {
    let home = Home::new();
    let fill = |home: &Home, until: u64| {
        let key = load_secret(&home.key()).unwrap();
        let options = WriterOptions { tool: "test 1".into(), patience: Duration::from_secs(5) };
        let trust = Trust::from_iter([key.public_key()]);
        let storage = DirStorage::new(home.ledger());
        let mut ledger = Ledger::open_for_append(storage, &key, &trust, NOW, options).unwrap();
        while ledger.head().seq + 1 < until {
            let payload = Object::from_members([("kind", "filler".into())]).unwrap();
            ledger.append(payload, NOW).unwrap();
        }
    };
    home.record(&["--", "true"]);
    let witness = Served::start(&home, "w");
    fs::create_dir_all(home.path("config/carbon-ops")).unwrap();
    let config = format!("[ledger]\nwitnesses = [\"{}\"]\n", witness.spec());
    fs::write(home.path("config/carbon-ops/config.toml"), config).unwrap();
    let shown = home.does(&["config", "show"]).text();
    assert!(shown.contains("ledger.witnesses"), "{shown}");
    let run = || home.does(&["run", "--", "true"]);
    fill(&home, 1023);
    let done = run();
    assert_eq!((done.code(), done.stderr.contains("cosign")), (0, false), "{}", done.stderr);
    let checkpoint = fs::read_to_string(home.ledger().join("checkpoint")).unwrap();
    assert!(checkpoint.contains("\n1024\n") && checkpoint.contains(NAME), "{checkpoint}");
    drop(witness);
    fill(&home, 2047);
    let done = run();
    assert_eq!(done.code(), 0);
    assert!(done.stderr.contains("did not cosign: it cannot be reached"), "{}", done.stderr);
    let checkpoint = fs::read_to_string(home.ledger().join("checkpoint")).unwrap();
    assert!(checkpoint.contains("\n2048\n") && !checkpoint.contains(NAME), "{checkpoint}");
}

#[test]
fn appending_many_asks_configured_witnesses_too_and_does_not_fail_by_them() {
    let home = with_records(1);
    let witness = Served::start(&home, "w");
    let append = |records: &str| {
        let line = r#"printf %s "$0" | "$CARBON_OPS" ledger append"#;
        let mut command = home.bash(line);
        done(command.arg(records).env("CARBON_OPS_WITNESSES", witness.spec()))
    };
    let appended = append("{\"n\":1}\n{\"n\":2}\n");
    assert_eq!((appended.code(), appended.stderr.as_str()), (0, ""));
    let checkpoint = || fs::read_to_string(home.ledger().join("checkpoint")).unwrap();
    assert!(checkpoint().contains("\n4\n") && checkpoint().contains(NAME), "{}", checkpoint());
    kill(Pid::from_raw(i32::try_from(witness.child.id()).unwrap()), Signal::SIGSTOP).unwrap();
    let appended = append("{\"n\":3}\n");
    assert_eq!(appended.code(), 0);
    assert!(appended.stderr.contains("did not cosign"), "{}", appended.stderr);
    assert!(checkpoint().contains("\n5\n") && !checkpoint().contains(NAME), "{}", checkpoint());
    assert_eq!(home.does(&["ledger", "verify"]).code(), 0);
}
