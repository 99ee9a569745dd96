//! What is the matter with a ledger, in words, and the commands that lead on: one row for each state.
//!
//! Out of scope: finding out, which is [`carbon_ops::checkup`].

use std::path::Path;

use carbon_ops::checkup::{Checkup, State};

use crate::render::counted;

/// What a state is called, what it means, and the commands that lead on, in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// As a word for programs.
    pub name: &'static str,
    /// For people.
    pub words: String,
    /// Each by its words.
    pub commands: Vec<Vec<String>>,
}

/// The way on from a state.
#[must_use]
#[expect(clippy::too_many_lines, reason = "a table: one row for each state")]
pub fn way(state: &State, checkup: &Checkup) -> Way {
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
pub fn shown(command: &[String]) -> String {
    let is_plain = |word: &String| {
        !word.is_empty()
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+:=,@%~".contains(c))
    };
    let typed = command.iter().map(|word| {
        if is_plain(word) { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''")) }
    });
    typed.collect::<Vec<_>>().join(" ")
}
