//! `ledger doctor` and `ledger repair`: what is the matter with a ledger, the command that leads on, and putting
//! aside what is in the way.
//!
//! Out of scope: finding out, which is [`carbon_ops::checkup`].

use std::path::Path;

use anyhow::Result;
use carbon_ops::checkup::{self, Checkup, State};
use serde_json::{Value, json};

use crate::args::AtLedger;
use crate::context::Context;
use crate::layout::Page;
use crate::render::{counted, plain};

/// Exit code where something is to be done.
const TO_DO: u8 = 1;

pub(super) fn doctor(at: &AtLedger, context: &mut Context<'_>) -> Result<u8> {
    let store = context.store(at.path.as_deref())?;
    let checkup = checkup::look(&store)?;
    let mut page = Page::default();
    let ledger = checkup.ledger.display();
    if checkup.states.is_empty() {
        page.title(&format!("{ledger}: in order"));
    }
    let mut found = Vec::new();
    for state in &checkup.states {
        let Way { name, words, commands } = way(state, &checkup);
        page.title(&format!("{ledger}: {}", plain(&words)));
        for command in &commands {
            page.title(&format!("  {}", shown(command)));
        }
        found.push(json!({ "state": name, "grave": state.is_grave(), "words": words, "commands": commands }));
    }
    let report = json!({ "ledger": ledger.to_string(), "key": checkup.key.display().to_string(), "states": found });
    context.answer(&at.output, report, page.text())?;
    Ok(if checkup.states.is_empty() { 0 } else { TO_DO })
}

pub(super) fn repair(at: &AtLedger, context: &mut Context<'_>) -> Result<u8> {
    let store = context.store(at.path.as_deref())?;
    let done = checkup::repair(&store)?;
    let mut page = Page::default();
    for (name, to) in &done.aside {
        page.title(&format!("{name} was not what it has to be; it is now {}", to.display()));
    }
    if let Some((bytes, evidence)) = &done.cut {
        page.title(&format!(
            "{bytes} bytes of damaged lines were set aside to {evidence}, and an entry tells of it"
        ));
    }
    if done.returned > 0 {
        page.title(&format!("{} among them appended again", counted(done.returned, "record")));
    }
    if done.left > 0 {
        page.title(&format!(
            "{} among them not in order, and left there",
            counted(done.left, "record")
        ));
    }
    done.notices.iter().for_each(|notice| page.title(notice));
    if page.text().is_empty() {
        page.title("nothing was in the way");
    }
    let aside: Vec<Value> = done
        .aside
        .iter()
        .map(|(name, to)| json!({ "name": name, "to": to.display().to_string() }))
        .collect();
    let cut =
        done.cut.as_ref().map(|(bytes, evidence)| json!({ "bytes": bytes, "evidence": evidence }));
    let report = json!({ "ledger": store.ledger.display().to_string(), "aside": aside, "cut": cut,
        "returned": done.returned, "left": done.left, "notices": done.notices });
    context.answer(&at.output, report, page.text())
}

/// What a state is called, what it means, and the commands that lead on, in turn.
struct Way {
    name: &'static str,
    words: String,
    commands: Vec<Vec<String>>,
}

#[expect(clippy::too_many_lines, reason = "a table: one row for each state")]
fn way(state: &State, checkup: &Checkup) -> Way {
    let at = |path: &Path| path.display().to_string();
    let (ledger, key) = (at(&checkup.ledger), at(&checkup.key));
    let argv = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let ours = |words: &[&str]| argv(&[&["carbon-ops"], words].concat());
    let go_on = || vec![ours(&["ledger", "init", "--continues", &ledger])];
    let repair = || vec![ours(&["ledger", "repair", &ledger])];
    let of = |name, words: &str, commands| Way { name, words: words.to_owned(), commands };
    match state {
        State::Absent => {
            of("absent", "there is no ledger", vec![ours(&["ledger", "init", &ledger])])
        }
        State::LinesGone => of(
            "lines_gone",
            "its lines are gone, and what stood beside them tells of it; restore them from a copy, or without one \
             go on in a new ledger",
            go_on(),
        ),
        State::Renamed(path) => of(
            "renamed",
            "the file has another name",
            vec![argv(&["mv", "-n", &at(path), &format!("{ledger}/ledger.ndjson")])],
        ),
        State::Replaced(names) => of(
            "replaced",
            &format!(
                "of another ledger: {}; one of the two was replaced, and the right one is to be restored from a copy",
                names.join(", ")
            ),
            Vec::new(),
        ),
        State::Empty(true) => of(
            "empty",
            "the file is empty, and checkpoints tell of lines; restore it from a copy, or without one go on in a new \
             ledger",
            go_on(),
        ),
        State::Empty(false) => of(
            "empty",
            "the file is empty, and nothing tells of lines",
            vec![ours(&["ledger", "repair", &ledger]), ours(&["ledger", "init", &ledger])],
        ),
        State::Legacy => of(
            "legacy",
            "it is a ledger of the Python package 0.1, which a new one continues",
            vec![ours(&[
                "ledger",
                "import",
                &format!("{ledger}/ledger.ndjson"),
                "--into",
                &format!("{ledger}.new"),
            ])],
        ),
        State::Other(what) => of("no_ledger", &format!("this is no ledger: {what}"), Vec::new()),
        State::Closed(true) => {
            of("closed", "another ledger continues it, and has not its place yet", go_on())
        }
        State::Closed(false) => of(
            "closed",
            "another ledger continues it, and is the one to write to; if that was never finished, this does it",
            go_on(),
        ),
        State::Misplaced(names) => of(
            "misplaced",
            &format!("not what the ledger puts there: {}", names.join(", ")),
            repair(),
        ),
        State::DamagedBeside(names) => of(
            "damaged_beside",
            &format!("no word of this ledger's: {}", names.join(", ")),
            repair(),
        ),
        State::Busy(holder) => {
            let who = holder.as_ref().map_or("another process".to_owned(), ToString::to_string);
            of("busy", &format!("{who} holds its lock; wait for it, or end it"), Vec::new())
        }
        State::NoLocks => of(
            "no_locks",
            "locks exclude nobody on this file system; go on in a new ledger on a local disk",
            vec![ours(&["ledger", "init", "LOCAL", "--continues", &ledger])],
        ),
        State::NotWritable(why) => of("not_writable", why, Vec::new()),
        State::NotReadable(why) => of("not_readable", why, Vec::new()),
        State::Returning => {
            of("returning", "records wait that stood among lines which were set aside", repair())
        }
        State::DamagedTail(line) => of(
            "damaged_tail",
            &format!(
                "damaged from line {line} on, which no checkpoint covers; it can be set aside"
            ),
            repair(),
        ),
        State::Damaged(line) => of(
            "damaged",
            &format!(
                "damaged from line {line} on; restore it from a copy, or without one go on in a new ledger, which takes \
                 what stands"
            ),
            go_on(),
        ),
        State::Rewritten => of(
            "rewritten",
            "it has fewer or other lines than were signed for, as after an old copy was restored; restore a later \
             one, or without one go on in a new ledger",
            go_on(),
        ),
        State::Torn => {
            of("torn", "a write was interrupted at its end; the next one sets that aside", repair())
        }
        State::Untrusted(fingerprint) => of(
            "untrusted",
            "its first key is not trusted here; if it is yours, or its owner told you this fingerprint, trust it",
            vec![ours(&["keys", "trust", fingerprint])],
        ),
        State::NotCompared => of(
            "not_compared",
            "a checkpoint could not be compared, by a key that is not known",
            vec![ours(&["ledger", "verify", &ledger])],
        ),
        State::KeyGone(Some(other)) => of(
            "key_gone",
            "the key file is gone, and another one here may write",
            vec![argv(&["cp", "-p", &at(other), &key])],
        ),
        State::KeyGone(None) => of(
            "key_gone",
            "the key file is gone; restore it from a copy, or without one go on in a new ledger with a new key",
            go_on(),
        ),
        State::KeyUnreadable(why) => of(
            "key_unreadable",
            &format!(
                "{why}; restore it from a copy, or without one go on in a new ledger with a new key"
            ),
            [vec![argv(&["mv", "-n", &key, &format!("{key}.unreadable")])], go_on()].concat(),
        ),
        State::KeyExposed => {
            of("key_exposed", "others can read the key", vec![argv(&["chmod", "600", &key])])
        }
        State::KeyLocked => of(
            "key_locked",
            "the key needs its passphrase: CARBON_OPS_KEY_PASSPHRASE_FILE names a file with it",
            Vec::new(),
        ),
        State::KeyStranger(true) => of(
            "key_stranger",
            "the key may not write to it, and another one here may, which lets this one join",
            vec![ours(&["keys", "rotate", &ledger])],
        ),
        State::KeyStranger(false) => of(
            "key_stranger",
            "no key here may write to it; restore one that may, or without one go on in a new ledger",
            go_on(),
        ),
        State::Waiting(count) => {
            of("waiting", &format!("{} to be appended", counted(*count as u64, "record")), repair())
        }
        State::Exposed(folder) => {
            of("exposed", "anybody may put files there", vec![argv(&["chmod", "o-w", &at(folder)])])
        }
        _ => of("unknown", "in a state that this version does not know", Vec::new()),
    }
}

/// A command as it is typed.
fn shown(command: &[String]) -> String {
    let is_plain = |word: &String| {
        !word.is_empty()
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+:=,@%~".contains(c))
    };
    let typed = command.iter().map(|word| {
        if is_plain(word) { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''")) }
    });
    typed.collect::<Vec<_>>().join(" ")
}
