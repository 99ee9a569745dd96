//! Every mutant of a ledger of fifty lines whose checkpoint somebody kept: each is found, at the right
//! line, with the right exit code. The table of classes and codes is in `docs/formats/ledger-v1.md`.
//!
//! Lines that a mutant leaves alone are examined once per place and remembered; what depends on order
//! is judged anew for each mutant, by the same code that verifies a file.
//!
//! Of the kinds with thousands of mutants a sample is judged, which has some of every line; all of them
//! with `CARBON_OPS_LONG=1`.

use std::collections::HashMap;
use std::sync::LazyLock;

use carbon_ops_ledger::append::Ledger;
use carbon_ops_ledger::keys::{SecretKey, Signer as _, Trust};
use carbon_ops_proof::canonical::{Object, Value, object_to_canonical, parse};
use carbon_ops_proof::verify::{
    Anchor, AnchorKind, Examined, Examiner, Report, Sequence, Settings, StoredLine,
};
use carbon_ops_testkit::skip::stride;

use crate::support::{
    self, LEDGER_ID, MemoryDisk, NOW, key, ledger_of, lines, options, other_key, payload, trust,
};

/// Lines of the ledger, its genesis included.
const LINES: usize = 50;

/// Of bits, bytes and spellings, one in so many; coprime to 8, so that every bit of a byte has its turn.
const SAMPLED: usize = 13;

/// Found in order, with a fault.
const TAMPERED: u8 = 1;
/// Fits in itself, and not with the checkpoint.
const REWRITTEN: u8 = 3;

struct Kept {
    /// Those of the ledger, and then those of another one by the same key.
    lines: Vec<Vec<u8>>,
    anchors: [Anchor; 1],
    trust: Trust,
}

static KEPT: LazyLock<Kept> = LazyLock::new(|| {
    let (disk, key) = (MemoryDisk::default(), key());
    let mut ledger = Ledger::create(disk.clone(), &key, LEDGER_ID, NOW, options()).unwrap();
    for n in 1..u32::try_from(LINES).unwrap() {
        ledger.append(payload(n), NOW).unwrap();
    }
    let bytes = ledger.checkpoint(NOW).unwrap().note.to_string().into_bytes();
    let anchor = Anchor { source: "kept".into(), bytes, kind: AnchorKind::Checkpoint };
    let other = ledger_of(u32::try_from(LINES).unwrap() - 1, &key, [9; 16]);
    let lines = [lines(&disk.file()), lines(&other)].concat();
    Kept { lines, anchors: [anchor], trust: trust() }
});

/// A piece of a mutant.
#[derive(Clone)]
enum Part {
    /// A line as it was, by its index in [`Kept`].
    Line(usize),
    /// Anything else; a part that is not the last ends with a newline.
    Bytes(Vec<u8>),
}

/// Judges mutants.
struct Judge {
    /// Before each line of the ledger, as long as all before it are as they were.
    before: Vec<Sequence<'static>>,
    examiner: Examiner<'static, ()>,
    /// By line, number, and whether it is the last.
    examined: HashMap<(usize, u64, bool), Examined<()>>,
}

impl Judge {
    fn new() -> Self {
        let settings = Settings { anchors: &KEPT.anchors, ..Settings::new(&KEPT.trust) };
        let examiner = Examiner::new(&|_| Ok(()), 0);
        let before = vec![Sequence::new(&settings)];
        let mut judge = Self { before, examiner, examined: HashMap::new() };
        for line in 0..LINES - 1 {
            let mut next = judge.before[line].clone();
            judge.push(&mut next, &Part::Line(line), line as u64 + 1, false);
            judge.before.push(next);
        }
        judge
    }

    /// The report on a ledger that begins with so many lines as they were, and goes on with parts.
    fn report(&mut self, unchanged: usize, parts: &[Part]) -> Report {
        let mut sequence = self.before[unchanged].clone();
        let mut number = unchanged as u64;
        for (index, part) in parts.iter().enumerate() {
            let last = index == parts.len() - 1;
            match part {
                Part::Line(_) => {
                    number += 1;
                    self.push(&mut sequence, part, number, last);
                }
                Part::Bytes(bytes) => {
                    let pieces: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
                    for (at, piece) in pieces.iter().enumerate() {
                        number += 1;
                        let last = last && at == pieces.len() - 1;
                        self.push(&mut sequence, &Part::Bytes(piece.to_vec()), number, last);
                    }
                }
            }
        }
        sequence.finish()
    }

    fn push(&mut self, sequence: &mut Sequence<'_>, part: &Part, number: u64, last: bool) {
        let examiner = &mut self.examiner;
        let mut examine = |stored: &[u8]| {
            let bytes = stored.strip_suffix(b"\n").unwrap_or(stored);
            let terminated = bytes.len() < stored.len();
            let len = bytes.len() as u64;
            examiner.examine(&StoredLine { number, bytes, len, terminated, last })
        };
        let line = match part {
            Part::Line(at) => self
                .examined
                .entry((*at, number, last))
                .or_insert_with(|| examine(&KEPT.lines[*at]))
                .clone(),
            Part::Bytes(bytes) => examine(bytes),
        };
        sequence.push(line, &mut |_, ()| Ok(()));
    }

    /// Holds the report on a mutant against what is expected: exit code and line.
    fn expect(&mut self, what: &str, unchanged: usize, parts: &[Part], code: u8, line: usize) {
        let report = self.report(unchanged, parts);
        let found = (support::code(report.status), place(&report));
        assert_eq!(found, (code, line as u64), "{what}: {report:?}");
    }
}

/// The first line that is at fault or torn; the first that is missing, if lines are.
fn place(report: &Report) -> u64 {
    let fault = report.first_fault.as_ref().map(|fault| fault.line);
    fault.or(report.torn_tail.map(|torn| torn.line)).unwrap_or(report.lines + 1)
}

fn rest(from: usize) -> Vec<Part> {
    (from..LINES).map(Part::Line).collect()
}

/// Bits flipped in the bytes of some lines, and how many mutants there were.
fn flip_every_bit(judge: &mut Judge, of: impl Iterator<Item = usize>) -> usize {
    let mut mutants = 0;
    for at in of {
        let stored = &KEPT.lines[at];
        let bits = stored.len() * 8;
        // The bits of the newline always: with them a line runs on into the next, or is torn.
        for bit in (0..bits - 8).step_by(stride(SAMPLED)).chain(bits - 8..bits) {
            let mut bad = stored.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let mut follows = rest(at + 1);
            if !bad.ends_with(b"\n") && at + 1 < LINES {
                // It runs on into the next line.
                bad.extend(&KEPT.lines[at + 1]);
                follows.remove(0);
            }
            // What looks like an interrupted write, at the very end, is one line less.
            let torn = at + 1 == LINES && (!bad.ends_with(b"\n") || bad.contains(&0));
            let code = if torn { REWRITTEN } else { TAMPERED };
            follows.insert(0, Part::Bytes(bad));
            judge.expect(&format!("bit {bit} of line {}", at + 1), at, &follows, code, at + 1);
            mutants += 1;
        }
    }
    mutants
}

#[test]
fn every_flipped_bit_of_every_byte_is_found_at_its_line() {
    // Two threads, for machines that have them; each takes every other line.
    let mutants: usize = std::thread::scope(|scope| {
        let half = |odd: usize| move || flip_every_bit(&mut Judge::new(), (odd..LINES).step_by(2));
        let halves = [scope.spawn(half(0)), scope.spawn(half(1))];
        halves.into_iter().map(|half| half.join().unwrap()).sum()
    });
    let bits = KEPT.lines[..LINES].concat().len() * 8;
    assert!(
        mutants >= bits / stride(SAMPLED) && mutants <= bits,
        "{mutants} mutants of {bits} bits"
    );
}

#[test]
fn every_line_deleted_doubled_or_exchanged_with_any_other_is_found() {
    let mut judge = Judge::new();
    for at in 0..LINES {
        let line = at + 1;
        // Without its last line, it is a ledger that was cut.
        let code = if line == LINES { REWRITTEN } else { TAMPERED };
        judge.expect("deleted", at, &rest(at + 1), code, line);
        for place in 0..=LINES {
            let mut doubled = rest(0);
            doubled.insert(place, Part::Line(at));
            // Beside itself, the copy is the second of the two.
            let wrong = if place == at { place + 2 } else { place + 1 };
            judge.expect("doubled", 0, &doubled, TAMPERED, wrong);
        }
        for other in line..LINES {
            let mut exchanged = rest(0);
            exchanged.swap(at, other);
            judge.expect("exchanged", 0, &exchanged, TAMPERED, line);
        }
    }
}

#[test]
fn every_cut_at_any_byte_below_the_checkpoint_is_found() {
    let mut judge = Judge::new();
    for at in 0..LINES {
        let stored = &KEPT.lines[at];
        for cut in (0..stored.len()).step_by(stride(SAMPLED)) {
            let end = if cut == 0 { vec![] } else { vec![Part::Bytes(stored[..cut].to_vec())] };
            let line = if at == 0 { 1 } else { at + 1 };
            judge.expect("the end cut off", at, &end, REWRITTEN, line);
            if (at, cut) != (0, 0) {
                let mut begun = rest(at + 1);
                begun.insert(0, Part::Bytes(stored[cut..].to_vec()));
                judge.expect("the beginning cut off", 0, &begun, TAMPERED, 1);
            }
        }
    }
}

#[test]
fn every_line_of_another_ledger_by_the_same_key_is_found_wherever_it_is_put() {
    let mut judge = Judge::new();
    for stranger in LINES..2 * LINES {
        for at in 0..LINES {
            // A genesis may well begin a ledger; what follows is then not its own.
            let begins = at == 0 && stranger == LINES;
            let line = at + 1 + usize::from(begins);
            let mut instead = rest(at + 1);
            instead.insert(0, Part::Line(stranger));
            judge.expect("instead of a line", at, &instead, TAMPERED, line);
            let mut between = rest(at);
            between.insert(0, Part::Line(stranger));
            judge.expect("between lines", at, &between, TAMPERED, line);
        }
        let mut behind = rest(0);
        behind.push(Part::Line(stranger));
        judge.expect("behind the end", 0, &behind, TAMPERED, LINES + 1);
    }
    // The other ledger as a whole is in order; the checkpoint is not of it.
    let whole: Vec<_> = (LINES..2 * LINES).map(Part::Line).collect();
    judge.expect("another ledger", 0, &whole, TAMPERED, LINES + 1);
}

/// The members of a stored line.
fn object(line: &[u8]) -> Object {
    match parse(line).unwrap() {
        Value::Object(object) => object,
        other => panic!("{other:?}"),
    }
}

/// A line with other content, signed by this key as if it were an honest one.
fn signed(mut object: Object, key: &SecretKey) -> Vec<u8> {
    for name in ["signature", "signature_algorithm", "signing_key"] {
        object.remove(name);
    }
    let signature = key.sign(&object_to_canonical(&object)).unwrap();
    let hex = signature.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    object.insert("signature", hex);
    object.insert("signature_algorithm", "ed25519");
    object.insert("signing_key", key.public_key().to_hex());
    [&object_to_canonical(&object)[..], b"\n"].concat()
}

#[test]
fn every_line_signed_by_another_key_or_again_by_the_same_is_found() {
    let mut judge = Judge::new();
    let stranger = other_key();
    for at in 0..LINES {
        let mut content = object(&KEPT.lines[at]);
        let with = |bytes| [vec![Part::Bytes(bytes)], rest(at + 1)].concat();
        let by_stranger = signed(content.clone(), &stranger);
        judge.expect("by a stranger", at, &with(by_stranger), TAMPERED, at + 1);
        // The holder of the key changes what a line says. What follows does not continue it; at the
        // very end nothing follows, and only the checkpoint tells.
        let changed = if at == 0 { "tool" } else { "note" };
        content.insert(changed, "another");
        let (code, line) = match at + 1 {
            LINES => (REWRITTEN, LINES + 1),
            line => (TAMPERED, line + 1),
        };
        judge.expect("by the holder", at, &with(signed(content, &key())), code, line);
    }
    // All of it, by somebody else; by the holder, with other records.
    for (key, from) in [(stranger, 1), (key(), 900)] {
        let (disk, mut n) = (MemoryDisk::default(), from);
        let mut ledger = Ledger::create(disk.clone(), &key, LEDGER_ID, NOW, options()).unwrap();
        while n < from - 1 + u32::try_from(LINES).unwrap() {
            ledger.append(payload(n), NOW).unwrap();
            n += 1;
        }
        judge.expect("all of it", 0, &[Part::Bytes(disk.file())], REWRITTEN, LINES + 1);
    }
}

#[test]
fn every_other_spelling_of_a_line_is_found() {
    let mut judge = Judge::new();
    for at in 0..LINES {
        let stored = &KEPT.lines[at];
        let mut check = |what: &str, bad: Vec<u8>| {
            let parts = [vec![Part::Bytes(bad)], rest(at + 1)].concat();
            judge.expect(what, at, &parts, TAMPERED, at + 1);
        };
        let text = std::str::from_utf8(stored).unwrap();
        for (byte, _) in text.char_indices().step_by(stride(SAMPLED)) {
            for space in [" ", "\t", "\r"] {
                let mut bad = text.to_owned();
                bad.insert_str(byte, space);
                check("a space", bad.into_bytes());
            }
        }
        for (name, value) in object(stored).iter() {
            let value =
                [&object_to_canonical(&Object::from_members([(name, value.clone())]).unwrap())
                    [1..]]
                .concat();
            let member = std::str::from_utf8(value.strip_suffix(b"}").unwrap()).unwrap();
            // The same again, before and behind; another value before, another one behind.
            let other = format!("\"{name}\":0");
            for twice in [member, &other] {
                check(
                    "a member twice",
                    text.replacen(member, &format!("{twice},{member}"), 1).into(),
                );
                check(
                    "a member twice",
                    text.replacen(member, &format!("{member},{twice}"), 1).into(),
                );
            }
            let escaped = format!("\"\\u{:04x}{}", u32::from(name.as_bytes()[0]), &member[2..]);
            check("an escaped name", text.replacen(member, &escaped, 1).into());
            let mut without = object(stored);
            without.remove(name);
            check("without a member", [&object_to_canonical(&without)[..], b"\n"].concat());
        }
        let seq = format!("\"seq\":{at}");
        for other in [
            format!("{seq}.0"),
            format!("{seq}e0"),
            format!("\"seq\":0{at}"),
            format!("\"seq\":\"{at}\""),
        ] {
            check("another number", text.replacen(&seq, &other, 1).into());
        }
        check("upper case", text.to_uppercase().into());
        check("a carriage return", text.replace('\n', "\r\n").into());
        check("a byte order mark", format!("\u{feff}{text}").into());
        check("an empty line before", format!("\n{text}").into());
        check("nothing but a newline", "\n".into());
    }
}

#[test]
fn an_emptied_ledger_is_found() {
    let mut judge = Judge::new();
    judge.expect("emptied", 0, &[], REWRITTEN, 1);
    // Without a checkpoint there is nothing that says how much there was.
    assert_eq!(support::code(support::report(b"").status), TAMPERED);
}

#[test]
fn the_judge_of_mutants_gives_the_report_of_a_verification() {
    let mut judge = Judge::new();
    for flipped in [None, Some(17), Some(20_000)] {
        let mut file = KEPT.lines[..LINES].concat();
        if let Some(at) = flipped {
            file[at] ^= 4;
        }
        let report = carbon_ops_proof::verify::verify_against(
            &file[..],
            &KEPT.trust,
            &KEPT.anchors,
            0,
            &mut |_| Ok(()),
        );
        assert_eq!(judge.report(0, &[Part::Bytes(file)]), report.unwrap());
    }
    assert_eq!(support::code(judge.report(0, &rest(0)).status), 0);
}
