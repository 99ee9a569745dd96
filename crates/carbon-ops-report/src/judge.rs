//! Judging audit packs, and deriving from the records in them what a report shows: the same function where a page is
//! written and where it is read.
//!
//! Rule: nothing is believed that comes with a pack. A pack that holds agrees with itself; whose it is, only
//! something tells that the reader has by another way: the fingerprint of a key, or a checkpoint.
//!
//! Out of scope: how the verdict is shown, and what a record is.

use std::cell::Cell;
use std::io::{self, Cursor};

use carbon_ops_proof::checkpoint::Checkpoint;
use carbon_ops_proof::entry::Payload;
use carbon_ops_proof::keys::{PublicKey, Trust};
use carbon_ops_proof::note::Note;
use carbon_ops_proof::pack::{PackReport, PackStatus, own_records, verify_pack_records};
use carbon_ops_proof::superseded::{Amendments, Superseded};
use carbon_ops_proof::verify::KeyReport;
use carbon_ops_record::reading::{InForce, Read, Reading};
use carbon_ops_record::rows::Scratch;
use carbon_ops_record::{Error, Record};

use crate::figures::{Collector, Figures, For, Known, Prepared};
use crate::question::Question;

/// What packs have shown, and what their records come to.
#[derive(Debug)]
pub struct Finding {
    /// Of each pack.
    pub packs: Vec<PackReport>,
    /// What is wrong besides: why their records do not come to figures.
    pub fault: Option<String>,
    /// What was read, and what was left out.
    pub read: Read,
    /// What the records come to; none where something is wrong.
    pub figures: Option<Figures>,
}

/// What a finding comes to, with what its reader has by another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Everything holds, and it is what the reader knows.
    Green,
    /// Everything agrees with itself, and nothing more is known.
    Yellow,
    /// Something is wrong.
    Red,
}

impl Colour {
    /// As a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Red => "red",
        }
    }
}

/// A verdict, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What it comes to.
    pub colour: Colour,
    /// Why.
    pub words: String,
}

/// Judges packs, and derives what is asked. `tell` is called now and then with how many bytes were read.
#[must_use]
pub fn judge(packs: &[&[u8]], question: &Question, tell: &dyn Fn(u64)) -> Finding {
    let (mut finding, known) = judged(packs, question, tell, None);
    if known.is_some() {
        finding = judged(packs, question, tell, known).0;
    }
    finding
}

/// The finding of records that come for the first time, or again; and what they have to come again for.
fn judged(
    packs: &[&[u8]],
    question: &Question,
    tell: &dyn Fn(u64),
    known: Option<Known>,
) -> (Finding, Option<Known>) {
    let scratch = &|| Ok(Box::new(Cursor::new(Vec::new())) as Box<dyn Scratch>);
    let mut collector = Collector::new(question, For::Page, scratch).knowing(known);
    let mut finding =
        Finding { packs: Vec::new(), fault: None, read: Read::default(), figures: None };
    let prepare =
        |record: Record, text: &[u8], place| question.prepare(record, text, place, For::Page, None);
    let reading = Reading {
        include_simulated: question.include_simulated,
        choice: &question.choice,
        other_times: true,
        prepare: &prepare,
    };
    let bytes = Cell::new(0);
    for (number, pack) in packs.iter().enumerate() {
        let told = Told { inner: pack, read: &bytes, tell };
        finding.pack(number, told, &superseded(pack), &reading, &mut collector);
    }
    if packs.is_empty() {
        finding.fault = Some("there is no pack".to_owned());
    }
    let holds = finding.packs.iter().all(|report| report.status != PackStatus::Tampered);
    if !holds || finding.fault.is_some() {
        return (finding, None);
    }
    let known = collector.known();
    if known.is_none() {
        match collector.finish(None) {
            Ok(figures) => finding.figures = Some(figures),
            Err(error) => finding.fault = Some(error.to_string()),
        }
    }
    (finding, known)
}

impl Finding {
    fn pack(
        &mut self,
        number: usize,
        pack: Told<'_>,
        superseded: &Superseded,
        reading: &Reading<'_, Prepared, Error>,
        collector: &mut Collector<'_>,
    ) {
        let in_words = |error: Error| error.to_string();
        let check = |payload: &Payload<'_>| reading.of_entry(payload, superseded).map_err(in_words);
        let mut in_force = InForce::default();
        let mut accept = |seq: u64, found| {
            let (stands, found) = in_force.next(seq, Ok(found), reading);
            let prepared = self.read.count(found.map_err(in_words)?);
            let add = |prepared| collector.add(prepared, (number, stands.seq));
            prepared.map_or(Ok(()), add).map_err(in_words)
        };
        // Whom to trust is asked later, of a finding that holds.
        match verify_pack_records(pack, &Trust::new(), &check, &mut accept) {
            Ok(report) => self.packs.push(report),
            Err(error) => self.fault = Some(error.to_string()),
        }
    }

    /// What it comes to, with what the reader has by another way: fingerprints of keys or keys, one a line, or a
    /// checkpoint; nothing where the text is empty.
    #[must_use]
    pub fn verdict(&self, known: &str) -> Verdict {
        let of = |colour, words: String| Verdict { colour, words };
        for (number, report) in self.packs.iter().enumerate() {
            if let Some(fault) =
                report.fault.as_ref().filter(|_| report.status == PackStatus::Tampered)
            {
                let pack = if self.packs.len() > 1 {
                    format!("pack {}, ", number + 1)
                } else {
                    String::new()
                };
                return of(Colour::Red, format!("{pack}line {}: {}", fault.line, fault.reason));
            }
            if report.status == PackStatus::Tampered {
                return of(Colour::Red, "a pack does not hold".to_owned());
            }
        }
        if let Some(fault) = &self.fault {
            return of(Colour::Red, fault.clone());
        }
        if self.figures.is_none() {
            return of(Colour::Red, "the records come to no figures".to_owned());
        }
        let known = known.trim();
        if known.is_empty() {
            let words = "everything agrees with itself; whose it is, this file alone cannot tell";
            return of(Colour::Yellow, words.to_owned());
        }
        let (colour, words) = self.held_against(known);
        // Rule: what shows a part only is never all well, since nothing shows the rest.
        if colour == Colour::Green && self.is_part() {
            return of(Colour::Yellow, format!("{words}; it is a part, and the rest is not shown"));
        }
        if colour == Colour::Green && self.read.newer > 0 {
            let words = "there are records of a newer version, which were not checked";
            return of(Colour::Yellow, words.to_owned());
        }
        of(colour, words)
    }

    /// Whether there are lines below a checkpoint that no pack has.
    #[must_use]
    pub fn is_part(&self) -> bool {
        self.packs.iter().any(|report| !report.whole)
    }

    fn held_against(&self, known: &str) -> (Colour, String) {
        let note = Note::parse(format!("{known}\n").as_bytes()).ok();
        if let Some((checkpoint, note)) =
            note.and_then(|note| Some((Checkpoint::of_note(&note).ok()?, note)))
        {
            return self.held_against_checkpoint(&checkpoint, &note);
        }
        let Ok(trust) = Trust::parse(known, "what you entered") else {
            let words = "what you entered is no fingerprint, no key and no checkpoint";
            return (Colour::Yellow, words.to_owned());
        };
        let trusted = |report: &PackReport| {
            let key =
                report.genesis_public_key.as_deref().and_then(|key| PublicKey::from_hex(key).ok());
            key.is_some_and(|key| trust.contains(key))
        };
        if self.packs.iter().all(trusted) {
            return (Colour::Green, "everything holds, under the key that you entered".to_owned());
        }
        let keys = self.packs.iter().filter_map(|report| report.ledger.as_ref());
        let mut keys = keys.flat_map(|ledger| &ledger.keys);
        let joined = |key: &KeyReport| {
            PublicKey::from_hex(&key.public_key).is_ok_and(|key| trust.contains(key))
        };
        if keys.any(joined) {
            // It vouches for nothing that was signed before it joined, nor for who let it join.
            let words = "the key that you entered signs here, and another one signed the first entry: enter that one";
            return (Colour::Yellow, words.to_owned());
        }
        let words = "the key that you entered is not the one behind these records";
        (Colour::Red, words.to_owned())
    }

    fn held_against_checkpoint(&self, known: &Checkpoint, note: &Note) -> (Colour, String) {
        let [report] = &self.packs[..] else {
            let words = "a checkpoint is of one ledger, and there are several; enter the keys";
            return (Colour::Yellow, words.to_owned());
        };
        let there = || [report.checkpoint.as_ref(), report.earlier.as_ref()].into_iter().flatten();
        if there().any(|other| other.text() == note.text()) {
            return (
                Colour::Green,
                "everything holds, and goes on from the checkpoint that you entered".to_owned(),
            );
        }
        let of = |note: &Note| Checkpoint::of_note(note).ok();
        if there()
            .filter_map(of)
            .any(|other| (other.ledger_id, other.size) == (known.ledger_id, known.size))
        {
            let words = "the checkpoint that you entered is of another history of this ledger";
            return (Colour::Red, words.to_owned());
        }
        let words = "nothing here tells how it stands to the checkpoint that you entered";
        (Colour::Yellow, words.to_owned())
    }
}

/// What the ledger's own records in a pack say of others. They were not verified; what they do is taken back where
/// the pack does not hold.
fn superseded(pack: &[u8]) -> Superseded {
    let mut amendments = Amendments::default();
    own_records(pack, &mut |seq, control| amendments.note(seq, control));
    amendments.settle()
}

/// Bytes that pass, told.
struct Told<'t> {
    inner: &'t [u8],
    read: &'t Cell<u64>,
    tell: &'t dyn Fn(u64),
}

impl io::Read for Told<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = io::Read::read(&mut self.inner, buffer)?;
        self.told(read);
        Ok(read)
    }
}

impl io::BufRead for Told<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.inner)
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
        self.told(amount);
    }
}

impl Told<'_> {
    /// Once for each 64 KiB, about.
    fn told(&self, amount: usize) {
        let (before, after) = (self.read.get(), self.read.get() + amount as u64);
        self.read.set(after);
        if before >> 16 != after >> 16 {
            (self.tell)(after);
        }
    }
}
