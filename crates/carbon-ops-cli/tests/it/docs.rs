//! The documents as a test: from an empty home, every indented command of README and docs is typed as it stands there,
//! one after the other, and succeeds.
//!
//! What a reader has to fill in (`SHA256:…`, `URL+KEY`, `KEY`) is filled in; providers and witnesses answer on the
//! loopback. Commands that stand in fences with a prompt are those of `cargo xtask figures`, which checks what they
//! print, too.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use carbon_ops_testkit::http::{Reply, Request, Server};
use carbon_ops_testkit::skip::say;
use jiff::{SignedDuration, Timestamp};

use crate::home::{CARBON_OPS, Home, done};

/// Lines that no test of the command types, and who does.
const ELSEWHERE: [(&str, &str); 17] = [
    ("cargo ", "builds and tests: what runs this test, and the pipeline's examples"),
    ("cargo build ", "builds: what runs this test"),
    (".ci/run", "it runs this test"),
    ("sudo target/release/carbon-governor", "the governor's own tests start it"),
    ("carbon-governor &", "the governor's own tests start it"),
    ("sudo install ", "changes the machine"),
    ("sudo apt ", "changes the machine"),
    ("install ", "changes the machine"),
    ("groupadd ", "changes the machine"),
    ("sudo systemd-sysusers ", "changes the machine"),
    ("sudo systemctl ", "changes the machine"),
    ("sudo usermod ", "changes the machine"),
    ("docker ", "takes a container engine"),
    ("carbon-ops top", "takes a terminal; its own tests have one"),
    ("ssh ", "takes another machine"),
    ("carbon-ops intensity --zone DE --from ", "takes the reader's own providers"),
    ("/etc/systemd/", "goes on from the line before"),
];

/// Lines that go on until nobody reads them.
const ENDLESS: [&str; 1] = ["carbon-ops monitor "];

/// What begins a command, rather than a formula, a table or a file.
const PROGRAMS: [&str; 8] =
    ["carbon-ops", "carbon-governor", "cargo", "sudo", "install", "groupadd", "docker", ".ci/run"];

/// The key of the ledgers of version 0.1 that are kept as they were.
const OLD_KEY: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";

/// A reader at work, and the witness that he has started.
struct Reader {
    home: Home,
    witness: Option<Child>,
    /// Address and key of that.
    spec: String,
    _provider: Server,
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(witness) = &mut self.witness {
            let _ = witness.kill();
            let _ = witness.wait();
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Great Britain's half hours between the instants that the path names.
fn half_hours(request: &Request) -> Reply {
    let mut instants =
        request.line.split(['/', ' ']).filter_map(|part| part.parse::<Timestamp>().ok());
    let (Some(from), Some(to)) = (instants.next(), instants.next()) else {
        return Reply { status: 404, headers: "", body: String::new() };
    };
    let step = SignedDuration::from_mins(30);
    let (mut rows, mut at) = (Vec::new(), from);
    while at < to {
        let (begin, end) =
            (at.strftime("%Y-%m-%dT%H:%MZ"), (at + step).strftime("%Y-%m-%dT%H:%MZ"));
        let intensity = r#"{"forecast":266,"actual":263,"index":"moderate"}"#;
        rows.push(format!(r#"{{"from":"{begin}","to":"{end}","intensity":{intensity}}}"#));
        at += step;
    }
    Reply::ok(&format!(r#"{{"data":[{}]}}"#, rows.join(",")))
}

impl Reader {
    /// With nothing but what the text takes for granted: the programs it calls, and the files it names.
    fn new() -> Self {
        let (home, provider) = (Home::new(), Server::start(half_hours));
        home.configure(&format!("[providers]\ngb_url = \"{}\"\n", provider.url("")));
        let program = |name: &str, script: &str| {
            let path = home.path("bin").join(name);
            fs::create_dir_all(home.path("bin")).unwrap();
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        program("carbon-ops", &format!("exec {CARBON_OPS} \"$@\""));
        program("make", "exit 0");
        program("sudo", "[ \"$1\" = -u ] && shift 2\nexec \"$@\"");
        let span =
            r#"{"energy_kwh":1,"start":"2026-03-01T00:00Z","end":"2026-03-01T01:00Z","zone":"DE"}"#;
        fs::write(home.work("spans.ndjson"), format!("{span}\n")).unwrap();
        let old = root().join("testdata/ledgers/0.1/audit.ndjson");
        fs::copy(old, home.work("old.ndjson")).unwrap();
        Self { home, witness: None, spec: String::new(), _provider: provider }
    }

    fn shell(&self, line: &str) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut command = self.home.program("bash");
        command.args(["-o", "pipefail", "-c", line]);
        command.env("PATH", format!("{}:{path}", self.home.path("bin").display()));
        command.env("USER", "nobody");
        command
    }

    /// The line with what a reader fills in.
    fn filled(&self, line: &str) -> String {
        if line.contains("KEY") && !self.home.ledger_file().exists() {
            self.home.record(&["--", "true"]);
        }
        let own = done(&mut self.shell("carbon-ops keys show --json")).text();
        let fingerprint = own.split('"').find(|text| text.starts_with("SHA256:"));
        let log = done(&mut self.shell("carbon-ops ledger log-key 2>/dev/null")).text();
        let line = line
            .replace("SHA256:…", fingerprint.unwrap_or("SHA256:…"))
            .replace("URL+KEY", &self.spec)
            .replace("http://127.0.0.1:2026+witness.example/w1+HASH+BASE64", &self.spec)
            .replace("/var/lib/witness", "witness")
            .replace("127.0.0.1:2026", "127.0.0.1:0");
        let key = if line.contains("old.ndjson") { OLD_KEY } else { log.trim() };
        line.replace("KEY", key)
    }

    /// Types a line; what was wrong.
    fn types(&mut self, line: &str) -> Result<(), String> {
        if line.contains("copy.ndjson") {
            fs::copy(self.home.ledger_file(), self.home.work("copy.ndjson")).unwrap();
        }
        let filled = self.filled(line);
        if filled.contains("witness serve") {
            return self.serves(&filled);
        }
        let endless = ENDLESS.iter().any(|prefix| line.starts_with(prefix));
        // A comment ends with its line.
        let typed = if endless { format!("{{ {filled}\n}} | head -n 2") } else { filled };
        let done = done(&mut self.shell(&typed));
        // That nothing can be measured here is an answer, too.
        let doctors = ["carbon-ops doctor", "carbon-ops ledger doctor"];
        let is_answered = done.code() == 0 || doctors.iter().any(|doctor| line.starts_with(doctor));
        if is_answered && !(endless && done.text().is_empty()) {
            return Ok(());
        }
        Err(format!("{line}\n  typed {typed}\n  exit code {}\n  {}", done.code(), done.stderr))
    }

    fn serves(&mut self, line: &str) -> Result<(), String> {
        let (command, comment) = line.split_once('#').unwrap_or((line, ""));
        let command = command.replace("--listen 127.0.0.1:0", "");
        let line = format!("exec {} --listen 127.0.0.1:0 # {comment}", command.trim());
        let mut child = self.shell(&line).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let key = said.find_map(|line| Some(line.strip_prefix("witness ")?.to_owned()));
        let url = said.find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
        self.witness = Some(child);
        self.spec = format!("{}+{}", url.ok_or("no address")?, key.ok_or("no key")?);
        Ok(())
    }
}

/// The indented commands of a document, each with the lines that it goes on in.
fn commands(text: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let (mut is_fenced, mut goes_on) = (false, false);
    for line in text.lines() {
        is_fenced ^= line.starts_with("```");
        let Some(line) = line.strip_prefix("    ").filter(|_| !is_fenced) else {
            goes_on = false;
            continue;
        };
        let program = line.split_whitespace().next().unwrap_or_default();
        if goes_on {
            let command = commands.last_mut().unwrap();
            command.truncate(command.len() - 1);
            command.push_str(line.trim_start());
        } else if PROGRAMS.contains(&program) {
            commands.push(line.to_owned());
        } else {
            continue;
        }
        goes_on = line.ends_with('\\');
    }
    commands
}

fn documents() -> Vec<PathBuf> {
    let mut documents = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                documents.push(path);
            }
        }
    }
    documents
}

fn type_all(document: &Path) -> (usize, Vec<String>) {
    let text = fs::read_to_string(document).unwrap();
    let (mut reader, mut typed, mut wrong) = (Reader::new(), 0, Vec::new());
    for line in commands(&text) {
        if let Some((_, why)) = ELSEWHERE.iter().find(|(prefix, _)| line.starts_with(prefix)) {
            say(&format!("not typed: {line} ({why})"));
            continue;
        }
        typed += 1;
        wrong.extend(reader.types(&line).err());
    }
    (typed, wrong)
}

#[test]
fn every_command_of_the_documents_works_as_it_stands() {
    let (mut typed, mut wrong) = (0, Vec::new());
    for document in documents() {
        let (of_this, bad) = type_all(&document);
        typed += of_this;
        wrong.extend(bad.into_iter().map(|bad| format!("{}: {bad}", document.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(typed >= 40, "{typed} commands");
}

#[test]
fn commands_are_found_with_their_further_lines() {
    let text = "a\n\n    carbon-ops run -- a \\\n        b\n    x = 1\n\n```\n    cargo test\n```\n    cargo doc # c\n";
    assert_eq!(commands(text), ["carbon-ops run -- a b", "cargo doc # c"]);
}
