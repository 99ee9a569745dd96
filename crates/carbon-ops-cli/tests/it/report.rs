//! `report` from outside: the sums are those of `aggregate`, and a page is green only as it was written, for a reader
//! who has the key by another way; by the judge natively, as WebAssembly in node, and in a browser.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64ct::{Base64, Encoding as _};
use carbon_ops_report::{Colour, Question, body, judge, page};
use carbon_ops_testkit::skip::{can, is_full, is_long, say, skip, stride};
use serde_json::{Value, json};

use crate::home::{Home, done};

/// A ledger of 24 records of two days and teams, one of them corrected and one retracted, under a checkpoint.
fn ledger(home: &Home) -> PathBuf {
    let mut spans = String::from("start,end,energy_kwh,host,label.team\n");
    for n in 0..24 {
        let (day, hour, team) = (1 + n / 12, 2 * (n % 12), ["a", "b"][n % 2]);
        let (start, end) = (format!("2026-03-{day:02}T{hour:02}:00Z"), hour + 1);
        let end = format!("2026-03-{day:02}T{end:02}:30Z");
        let _ = writeln!(spans, "{start},{end},{}.5,host-{},{team}", n % 5, n % 3);
    }
    fs::write(home.work("spans.csv"), spans).unwrap();
    let spans = || Stdio::from(fs::File::open(home.work("spans.csv")).unwrap());
    let of = |arguments: &[&str], stdin: Stdio| {
        let done = done(home.carbon_ops(arguments).stdin(stdin));
        assert_eq!(done.code(), 0, "{}", done.stderr);
        done.stdout
    };
    let records = of(&["estimate", "--records", "--region", "DE"], spans());
    fs::write(home.work("records.ndjson"), &records).unwrap();
    let path = home.work("ledger");
    let at = path.to_str().unwrap();
    of(&["ledger", "init", at], Stdio::null());
    let records = Stdio::from(fs::File::open(home.work("records.ndjson")).unwrap());
    of(&["ledger", "append", at], records);
    let shown = of(&["ledger", "show", at, "--last", "1", "--json"], Stdio::null());
    let mut other: Value = serde_json::from_slice(&shown).unwrap();
    other["labels"]["team"] = "c".into();
    fs::write(home.work("other.json"), other.to_string()).unwrap();
    let file = home.work("other.json");
    let with = ["--reason", "factor", "--replacement", file.to_str().unwrap()];
    of(&[&["ledger", "correct", "24", at][..], &with].concat(), Stdio::null());
    let retract = ["ledger", "correct", "7", at, "--reason", "factor", "--retract"];
    of(&retract, Stdio::null());
    of(&["ledger", "checkpoint", at], Stdio::null());
    path
}

/// What a page holds.
struct Parts {
    question: String,
    packs: Vec<Vec<u8>>,
    main: String,
}

fn between<'t>(text: &'t str, from: &str, to: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(from)?;
    Some(rest.split_once(to)?.0)
}

fn inflated(base64: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let deflated = Base64::decode_vec(base64).unwrap();
    flate2::read::ZlibDecoder::new(&*deflated).read_to_end(&mut bytes).unwrap();
    bytes
}

impl Parts {
    fn of(html: &str) -> Self {
        let packs = html.split("class=\"pack\">").skip(1);
        Self {
            question: between(html, "id=\"question\">", "</script>").unwrap().to_owned(),
            packs: packs.map(|rest| inflated(rest.split('<').next().unwrap())).collect(),
            main: between(html, "<main id=\"report\">", "</main>").unwrap().to_owned(),
        }
    }

    /// What the page's script comes to, with what its reader knows.
    fn colour(&self, known: &str) -> Colour {
        let Ok(question) = Question::parse(&self.question) else { return Colour::Red };
        let packs: Vec<&[u8]> = self.packs.iter().map(Vec::as_slice).collect();
        let finding = judge(&packs, &question, &|_| ());
        if body(&finding, &question) != self.main {
            return Colour::Red;
        }
        finding.verdict(known).colour
    }

    fn with(&self, pack: Vec<u8>) -> Self {
        Self { question: self.question.clone(), packs: vec![pack], main: self.main.clone() }
    }
}

/// The judge as it stands in pages, run by node.
struct Node {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Node {
    fn start(home: &Home) -> Option<Self> {
        if !can("node --version") {
            skip("node", "no `node` answers, so the module that pages hold was not tried");
            return None;
        }
        let module = home.work("judge.wasm");
        fs::write(&module, page::module().unwrap()).unwrap();
        let mut command = Command::new("node");
        command.arg(script("judge.js")).arg(module).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (to, from) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Some(Self { process, to, from: BufReader::new(from) })
    }

    fn colour(&mut self, page: &Parts, known: &str) -> Colour {
        let packs: Vec<_> = page.packs.iter().map(|pack| Base64::encode_string(pack)).collect();
        let asked = json!({ "question": page.question, "packs": packs, "known": known });
        writeln!(self.to, "{asked}").unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        if told["body"] != page.main.as_str() {
            return Colour::Red;
        }
        let colours = [Colour::Green, Colour::Yellow, Colour::Red];
        colours.into_iter().find(|colour| told["colour"] == colour.as_str()).unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../carbon-ops-report/tests/page").join(name)
}

fn report(home: &Home, arguments: &[&str]) -> Value {
    let done = home.does(&[&["report"], arguments, &["--json"]].concat());
    assert_eq!(done.code(), 0, "{}", done.stderr);
    serde_json::from_slice(&done.stdout).unwrap()
}

/// A page, the key behind it, and the ledger's checkpoint.
fn written(home: &Home) -> (Parts, String, String) {
    let path = ledger(home);
    let file = home.work("page.html");
    let wanted = ["--by", "label:team", "--html", file.to_str().unwrap()];
    let report = report(home, &[&[path.to_str().unwrap()][..], &wanted].concat());
    let key = report["verified"][0]["genesis_key"].as_str().unwrap().to_owned();
    let checkpoint = fs::read_to_string(path.join("checkpoint")).unwrap();
    let page = Parts::of(&fs::read_to_string(file).unwrap());
    // What is derived from the lines is what was reported.
    let question = Question::parse(&page.question).unwrap();
    let packs: Vec<&[u8]> = page.packs.iter().map(Vec::as_slice).collect();
    let figures = judge(&packs, &question, &|_| ()).figures.unwrap();
    assert_eq!(serde_json::to_value(&figures.sums.all).unwrap(), report["all"]);
    for (name, of) in &figures.sums.groups {
        assert_eq!(serde_json::to_value(of).unwrap(), report["groups"][name], "{name}");
    }
    (page, key, checkpoint)
}

#[test]
fn a_report_has_the_sums_of_aggregate_and_periods_add_up() {
    let home = Home::new();
    let path = ledger(&home);
    let path = path.to_str().unwrap();
    for by in ["all", "host", "label:team", "day"] {
        let report = report(&home, &[path, "--by", by]);
        let sums = home.does(&["aggregate", path, "--by", by, "--json"]);
        let sums: Value = serde_json::from_slice(&sums.stdout).unwrap();
        assert_eq!((&report["groups"], &report["all"]), (&sums["groups"], &sums["all"]), "{by}");
    }
    let whole = report(&home, &[path]);
    let first = report(&home, &[path, "--to", "2026-03-02"]);
    let second = report(&home, &[path, "--from", "2026-03-02", "--to", "2026-03-03"]);
    for member in ["count", "total_energy_kwh", "total_grams"] {
        let of = |report: &Value| report["all"][member].as_f64().unwrap();
        let sum = of(&first) + of(&second);
        assert!((sum - of(&whole)).abs() <= 1e-8 * sum, "{member}: {sum} of {}", of(&whole));
    }
    assert_eq!(second["before"]["count"], first["all"]["count"]);
    assert_eq!(second["not_counted"]["other_times"], first["records"]);
    // What a correction put in a record's place counts, in the group that it names.
    assert_eq!(whole["all"]["count"], 23);
    let team = report(&home, &[path, "--where", "team=c"]);
    assert_eq!((&team["records"], &team["not_counted"]["superseded"]), (&json!(1), &json!(2)));
}

#[test]
fn a_report_is_text_json_csv_and_markdown_and_no_records_are_a_no() {
    let home = Home::new();
    let path = ledger(&home);
    let path = path.to_str().unwrap();
    let of = |more: &[&str]| home.does(&[&["report", path, "--by", "host"], more].concat());
    let text = of(&[]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("valid, 27 entries, key") && text.contains("host-1"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let csv = String::from_utf8(of(&["--csv"]).stdout).unwrap();
    assert!(csv.starts_with("host,") && csv.lines().count() == 4, "{csv}");
    let markdown = String::from_utf8(of(&["--md"]).stdout).unwrap();
    assert!(markdown.contains("\n|---|") && markdown.contains("| host-2 |"), "{markdown}");
    assert_eq!(of(&["--from", "2027-01-01"]).code(), 1);
    // Nobody signed a file of records, and a page cannot show that it holds.
    let refused = home.does(&["report", "records.ndjson", "--html", "page.html"]);
    assert_eq!(refused.code(), 2, "{}", refused.stderr);
    assert!(!home.work("page.html").exists() && refused.stderr.contains("no proof"));
    let refused = of(&["--where", "team"]);
    assert_eq!(refused.code(), 2, "{}", refused.stderr);
}

#[test]
fn a_page_is_green_for_who_knows_the_key_or_the_checkpoint_and_for_nobody_else() {
    let home = Home::new();
    let (page, key, checkpoint) = written(&home);
    let mut node = Node::start(&home);
    // Its last letter holds fewer bits than it could.
    let other = key.replace(&key[10..12], if &key[10..12] == "AA" { "BB" } else { "AA" });
    let identity = format!("01{}", "0".repeat(62));
    let own = checkpoint.replacen(&checkpoint[60..64], "AAAA", 1);
    for (known, colour) in [
        (String::new(), Colour::Yellow),
        (key.clone(), Colour::Green),
        (format!("  {key} our build server\n"), Colour::Green),
        (checkpoint.clone(), Colour::Green),
        (other, Colour::Red),
        // A key of small order signs everything.
        (identity, Colour::Yellow),
        ("yes".to_owned(), Colour::Yellow),
        (own, Colour::Red),
    ] {
        assert_eq!(page.colour(&known), colour, "{known}");
        if let Some(node) = &mut node {
            assert_eq!(node.colour(&page, &known), colour, "{known}");
        }
    }
}

/// Rule: a key vouches for those that follow it, and not for those before it.
#[test]
fn a_key_that_joined_later_makes_no_page_green() {
    let home = Home::new();
    let path = ledger(&home);
    let at = path.to_str().unwrap();
    let first = report(&home, &[at])["verified"][0]["genesis_key"].as_str().unwrap().to_owned();
    let rotated = home.does(&["keys", "rotate", at]);
    assert_eq!(rotated.code(), 0, "{}", rotated.stderr);
    assert_eq!(home.does(&["ledger", "checkpoint", at]).code(), 0);
    let written = home.does(&["report", at, "--html", "page.html"]);
    assert_eq!(written.code(), 0, "{}", written.stderr);
    let page = Parts::of(&fs::read_to_string(home.work("page.html")).unwrap());
    let shown = String::from_utf8(home.does(&["keys", "show"]).stdout).unwrap();
    let now =
        shown.split_whitespace().find(|word| word.starts_with("SHA256:") && !word.contains(&first));
    assert_eq!(page.colour(&first), Colour::Green);
    assert_eq!(page.colour(now.unwrap()), Colour::Yellow, "{shown}");
}

/// Lines of a pack, with the hash of its end made anew.
fn pack(lines: &[Vec<u8>]) -> Vec<u8> {
    use sha2::Digest as _;
    let mut bytes: Vec<u8> =
        lines[..lines.len() - 1].iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
    let digest = sha2::Sha256::digest(&bytes);
    let hash = digest.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    bytes.extend(format!("{{\"pack\":\"end\",\"sha256\":\"{hash}\"}}\n").into_bytes());
    bytes
}

/// All ways to change a page that are tried: bytes, lines, keys, ends, questions.
fn mutants(page: &Parts) -> Vec<(String, Parts)> {
    let whole = &page.packs[0];
    let mut mutants = Vec::new();
    let step = if is_long() { whole.len() / 2000 } else { whole.len() / 40 };
    for at in (0..whole.len()).step_by(step.max(1)) {
        let mut pack = whole.clone();
        pack[at] ^= 1 << (at % 7);
        mutants.push((format!("byte {at}"), page.with(pack)));
    }
    let lines: Vec<Vec<u8>> = whole
        .strip_suffix(b"\n")
        .unwrap()
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    assert_eq!(pack(&lines), *whole);
    let few = stride(5);
    for n in (2..lines.len() - 1).step_by(few) {
        let mut swapped = lines.clone();
        swapped.swap(n, (n + 1).min(lines.len() - 2).max(2));
        let mut without = lines.clone();
        without.remove(n);
        let mut twice = lines.clone();
        twice.insert(n, lines[n].clone());
        // A member twice: readers differ in which of them they believe.
        let mut double = lines.clone();
        let text = String::from_utf8(double[n].clone()).unwrap();
        double[n] = text.replacen('{', "{\"energy_kwh\":1,", 1).into_bytes();
        for (what, lines) in
            [("swapped", swapped), ("without", without), ("twice", twice), ("double", double)]
        {
            let changed = pack(&lines);
            if changed != *whole {
                mutants.push((format!("{what} {n}"), page.with(changed)));
            }
        }
        let length = lines[..n].iter().map(|line| line.len() + 1).sum::<usize>();
        mutants.push((format!("cut {n}"), page.with(whole[..length].to_vec())));
    }
    // All signatures by a key that signs everything: the identity, with any message.
    let weak = lines.iter().map(|line| {
        let text = String::from_utf8(line.clone()).unwrap();
        let Some(key) = between(&text, "\"signing_key\":\"", "\"") else { return line.clone() };
        let signature = between(&text, "\"signature\":\"", "\"").unwrap_or("none").to_owned();
        let identity = format!("01{}", "0".repeat(62));
        let text = text.replace(key, &identity);
        text.replace(&signature, &format!("{identity}{}", "0".repeat(64))).into_bytes()
    });
    mutants.push(("small order".to_owned(), page.with(pack(&weak.collect::<Vec<_>>()))));
    for (from, to) in [
        ("label:team", "host"),
        ("hour", "month"),
        ("false", "true"),
        ("\"where\":[]", "\"where\":[\"host=host-1\"]"),
    ] {
        let question = page.question.replacen(from, to, 1);
        // Nothing here is of simulated sensors.
        if question != page.question && to != "true" {
            let (packs, main) = (page.packs.clone(), page.main.clone());
            mutants.push((format!("question {to}"), Parts { question, packs, main }));
        }
    }
    for at in (0..page.main.len())
        .step_by(stride(997).max(37))
        .filter(|at| page.main.is_char_boundary(*at))
    {
        let mut main = page.main.clone();
        main.insert(at, '1');
        let (question, packs) = (page.question.clone(), page.packs.clone());
        mutants.push((format!("shown {at}"), Parts { question, packs, main }));
    }
    mutants
}

#[test]
fn a_page_of_which_anything_was_changed_is_green_for_nobody() {
    let home = Home::new();
    let (page, key, checkpoint) = written(&home);
    let mut node = Node::start(&home);
    let mutants = mutants(&page);
    assert!(mutants.len() > if is_long() { 2000 } else { 60 });
    for (n, (what, mutant)) in mutants.iter().enumerate() {
        let known = if n % 2 == 0 { &key } else { &checkpoint };
        assert_ne!(mutant.colour(known), Colour::Green, "{what}");
        let Some(node) = &mut node else { continue };
        if is_long() || n % 3 == 0 {
            assert_ne!(node.colour(mutant, known), Colour::Green, "{what}");
        }
    }
}

/// A ledger of more records than an excerpt shows: the later, the larger, and one of them corrected.
fn many(home: &Home) -> PathBuf {
    let mut spans = String::from("start,end,energy_kwh\n");
    for n in 0..80 {
        let (day, hour) = (1 + n / 24, n % 24);
        let _ = writeln!(
            spans,
            "2026-03-{day:02}T{hour:02}:00Z,2026-03-{day:02}T{hour:02}:59Z,{}",
            n + 1
        );
    }
    fs::write(home.work("spans.csv"), spans).unwrap();
    let path = home.work("many");
    let at = path.to_str().unwrap();
    assert_eq!(home.does(&["ledger", "init", at]).code(), 0);
    let spans = Stdio::from(fs::File::open(home.work("spans.csv")).unwrap());
    let estimated = ["estimate", "--ledger", at, "--region", "DE"];
    let done = done(home.carbon_ops(&estimated).stdin(spans));
    assert_eq!(done.code(), 0, "{}", done.stderr);
    // The smallest becomes the largest.
    let shown = home.does(&["ledger", "show", at, "--last", "1", "--json"]);
    fs::write(home.work("largest.json"), shown.stdout).unwrap();
    let file = home.work("largest.json");
    let with = ["--reason", "factor", "--replacement", file.to_str().unwrap()];
    let correct = home.does(&[&["ledger", "correct", "1", at][..], &with].concat());
    assert_eq!(correct.code(), 0, "{}", correct.stderr);
    assert_eq!(home.does(&["ledger", "checkpoint", at]).code(), 0);
    path
}

/// Rule: an excerpt proves the records that it shows, states the sums, and says so; no key makes it green. What lies
/// beside it proves the sums.
#[test]
fn an_excerpt_proves_its_records_states_its_sums_and_is_green_for_nobody() {
    let home = Home::new();
    let path = many(&home);
    let at = path.to_str().unwrap();
    let whole = report(&home, &[at, "--by", "day"]);
    let told = report(&home, &[at, "--by", "day", "--html", "page.html", "--excerpt"]);
    assert_eq!((&told["groups"], &told["all"]), (&whole["groups"], &whole["all"]));
    let html = fs::read_to_string(home.work("page.html")).unwrap();
    let page = Parts::of(&html);
    let key = told["verified"][0]["genesis_key"].as_str().unwrap();
    assert_eq!(page.colour(key), Colour::Yellow);
    let other = key.replace(&key[10..12], if &key[10..12] == "AA" { "BB" } else { "AA" });
    assert_eq!(page.colour(&other), Colour::Red);
    let question = Question::parse(&page.question).unwrap();
    let packs: Vec<&[u8]> = page.packs.iter().map(Vec::as_slice).collect();
    let finding = judge(&packs, &question, &|_| ());
    assert!(finding.verdict(key).words.contains("it is a part"), "{:?}", finding.verdict(key));
    // Records 32 to 80, and the one that a correction made as large as record 80.
    let rows = finding.figures.as_ref().unwrap().course.as_ref().unwrap().rows.iter();
    let mut rows: Vec<u64> = rows.map(|row| row.at.1).collect();
    rows.sort_unstable();
    assert_eq!(rows, [1].into_iter().chain(32..=80).collect::<Vec<_>>());
    let stated = between(&html, "<section id=\"stated\"", "</section>\n<main").unwrap();
    for words in ["of 80 records", "does not prove", "page.html.pack"] {
        assert!(stated.contains(words), "{words}: {stated}");
    }
    let pack = &told["page"]["packs"][0];
    assert!(stated.contains(pack["sha256"].as_str().unwrap()), "{pack}");
    let verified = home.does(&["ledger", "verify-pack", "page.html.pack", "--trust", key]);
    assert_eq!(verified.code(), 0, "{}", verified.stderr);
    let bytes = fs::read(home.work("page.html.pack")).unwrap();
    let figures = judge(&[&bytes], &question, &|_| ()).figures.unwrap();
    assert_eq!(serde_json::to_value(&figures.sums.all).unwrap(), whole["all"]);
    assert_eq!(bytes.len() as u64, pack["bytes"].as_u64().unwrap());
    if let Some(mut node) = Node::start(&home) {
        assert_eq!(node.colour(&page, key), Colour::Yellow);
    }
}

/// A page is there whole or not at all: where nothing can be written, where it is written twice at once, and where
/// its name is that of no file.
#[test]
fn a_page_appears_whole_or_not_at_all() {
    let home = Home::new();
    let path = ledger(&home);
    let at = path.to_str().unwrap();
    assert_eq!(home.does(&["report", at, "--html", "page.html"]).code(), 0);
    let before = fs::read(home.work("page.html")).unwrap();
    let missing = home.does(&["report", at, "--html", "nowhere/page.html"]);
    assert_eq!(missing.code(), 2, "{}", missing.stderr);
    // A file system that is full is told, and what stood there stays.
    let full = home.does(&["report", at, "--html", "/dev/full"]);
    assert_eq!(full.code(), 2, "{}", full.stderr);
    assert!(
        Path::new("/dev/full").exists() && full.stderr.contains("/dev/full"),
        "{}",
        full.stderr
    );
    let two: Vec<_> = (0..2)
        .map(|_| home.carbon_ops(&["report", at, "--html", "page.html"]).spawn().unwrap())
        .collect();
    for child in two {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    assert_eq!(fs::read(home.work("page.html")).unwrap(), before);
    let left = fs::read_dir(home.path("work")).unwrap().map(|file| file.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("tmp")).collect();
    assert_eq!(left, Vec::<std::ffi::OsString>::new());
}

/// A killed writer leaves what stood there.
#[test]
fn a_page_that_is_killed_half_way_leaves_the_one_before() {
    let home = Home::new();
    let path = ledger(&home);
    let at = path.to_str().unwrap();
    assert_eq!(home.does(&["report", at, "--html", "page.html"]).code(), 0);
    let before = fs::read(home.work("page.html")).unwrap();
    // No more than a thousand bytes can be written to a file; the signal of that kills.
    let mut limited = home.program("bash");
    limited.args(["-c", "ulimit -f 1; exec \"$CARBON_OPS\" report \"$0\" --html page.html", at]);
    assert_ne!(done(&mut limited).code(), 0);
    assert_eq!(fs::read(home.work("page.html")).unwrap(), before);
}

/// In a browser, where there is one: from a disk, without a word on the console.
#[test]
fn a_browser_says_what_the_judge_says() {
    if !can("chromium --version") || !can("node --version") {
        return skip("chromium", "no `chromium` and `node` answer, so no page was opened");
    }
    let home = Home::new();
    let (_, key, _) = written(&home);
    let page = fs::read_to_string(home.work("page.html")).unwrap();
    assert_eq!(home.does(&["report", "--judge", "judge.html"]).code(), 0);
    // A digit of a figure, and a letter of a pack.
    let at = page.find("<b>").unwrap() + 3;
    let digit = if page[at..].starts_with('9') { "8" } else { "9" };
    let shown = format!("{}{digit}{}", &page[..at], &page[at + 1..]);
    let at = page.find("class=\"pack\">").unwrap() + 400;
    let letter = if page[at..].starts_with('A') { "B" } else { "A" };
    let packed = format!("{}{letter}{}", &page[..at], &page[at + 1..]);
    let more = page.replacen("<main", "<p>Audited by everybody.</p><main", 1);
    for (name, text) in [("shown", shown), ("packed", packed), ("more", more)] {
        fs::write(home.work(&format!("{name}.html")), text).unwrap();
    }
    let url = |name: &str| format!("file://{}", home.work(name).display());
    let open = |order: Value| -> Value {
        let mut node = Command::new("node");
        node.arg(script("browser.js")).arg("chromium").arg(order.to_string());
        let done = done(node.stdout(Stdio::piped()).stderr(Stdio::piped()));
        assert_eq!(done.code(), 0, "{} {}", String::from_utf8_lossy(&done.stdout), done.stderr);
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let told = open(json!({ "url": url("page.html"), "known": [key, "SHA256:x"], "width": 390 }));
    assert_eq!(told["colours"], json!(["yellow", "green", "yellow"]), "{told}");
    assert_eq!((&told["told"], &told["wide"]), (&json!([]), &json!(false)), "{told}");
    assert!(told["names"].as_array().unwrap().iter().all(|name| name != ""), "{told}");
    // What is stated beside whole packs makes a page green for nobody either.
    let stated =
        page.replacen("<main", "<section id=\"stated\">nothing was used</section><main", 1);
    fs::write(home.work("stated.html"), stated).unwrap();
    let told = open(json!({ "url": url("stated.html"), "known": [key] }));
    assert_eq!(told["colours"], json!(["yellow", "yellow"]), "{told}");
    if !is_long() {
        return;
    }
    for name in ["shown.html", "packed.html", "more.html"] {
        assert_eq!(open(json!({ "url": url(name) }))["colours"], json!(["red"]), "{name}");
    }
    for (chosen, colours) in
        [("page.html", json!(["yellow", "green"])), ("shown.html", json!(["red"]))]
    {
        let order =
            json!({ "url": url("judge.html"), "choose": home.work(chosen), "known": [key] });
        let told = open(order);
        assert_eq!((&told["colours"], &told["told"]), (&colours, &json!([])), "{chosen} {told}");
    }
}

/// The same in a browser of another maker, which also prints it.
#[test]
fn another_browser_says_the_same() {
    if !is_full() {
        return say("firefox opens the page of a report in the full run alone");
    }
    if !can("firefox --version") || !can("node --version") {
        return skip("firefox", "no `firefox` and `node` answer, so no page was opened");
    }
    let home = Home::new();
    let (_, key, _) = written(&home);
    let url = format!("file://{}", home.work("page.html").display());
    let pdf = home.work("page.pdf");
    let order = json!({ "url": url, "known": [key, "SHA256:x"], "pdf": pdf });
    let mut node = Command::new("node");
    node.arg(script("firefox.js")).arg("firefox").arg(order.to_string());
    let opened = done(node.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let told: Value = serde_json::from_slice(&opened.stdout).unwrap();
    assert_eq!(told["colours"], json!(["yellow", "green", "yellow"]), "{told} {}", opened.stderr);
    assert_eq!((&told["told"], &told["wide"]), (&json!([]), &json!(false)), "{told}");
    let names = told["names"].as_array().unwrap();
    assert!(!names.is_empty() && names.iter().all(|name| name != ""), "{told}");
    assert!(fs::read(pdf).unwrap().starts_with(b"%PDF"));
}
