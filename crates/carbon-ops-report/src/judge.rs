//! Judging audit packs, and deriving from the records in them what a report shows: the same function where a page is
//! written and where it is read.
//!
//! Rule: nothing is believed that comes with a pack. A pack that holds agrees with itself; whose it is, only
//! something tells that the reader has by another way: the fingerprint of a key, or a checkpoint.
//!
//! Out of scope: how the verdict is shown, and what a record is.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, Cursor};

use carbon_ops_proof::canonical::{Object, Value, object_to_canonical};
use carbon_ops_proof::checkpoint::Checkpoint;
use carbon_ops_proof::entry::{Payload, RESERVED_MEMBERS};
use carbon_ops_proof::keys::{PublicKey, Trust};
use carbon_ops_proof::note::Note;
use carbon_ops_proof::pack::{PackReport, PackStatus, own_records, verify_pack_records};
use carbon_ops_proof::superseded::{Amendments, Standing, Superseded};
use carbon_ops_proof::verify::KeyReport;
use carbon_ops_record::rows::Scratch;
use carbon_ops_record::totals::Place;
use carbon_ops_record::{Record, RecordKind, SCHEMA_VERSION};

use crate::figures::{Collector, Figures, For, Prepared, Read};
use crate::question::Question;

/// What packs have shown, and what their records come to.
#[derive(Debug)]
pub struct Finding {
    /// Of each pack.
    pub packs: Vec<PackReport>,
    /// What is wrong besides: why their records do not come to figures.
    pub fault: Option<String>,
    /// How many records are of a newer version, which was not checked.
    pub newer: u64,
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
    let scratch = &|| Ok(Box::new(Cursor::new(Vec::new())) as Box<dyn Scratch>);
    let mut collector = Collector::new(question, For::Page, scratch);
    let mut finding =
        Finding { packs: Vec::new(), fault: None, newer: 0, read: Read::default(), figures: None };
    let bytes = Cell::new(0);
    for (number, pack) in packs.iter().enumerate() {
        let told = Told { inner: pack, read: &bytes, tell };
        finding.pack(number, told, &superseded(pack), question, &mut collector);
    }
    if packs.is_empty() {
        finding.fault = Some("there is no pack".to_owned());
    }
    let holds = finding.packs.iter().all(|report| report.status != PackStatus::Tampered);
    if holds && finding.fault.is_none() {
        match collector.finish(None) {
            Ok(figures) => finding.figures = Some(figures),
            Err(error) => finding.fault = Some(error.to_string()),
        }
    }
    finding
}

/// What a line, or a correction, comes to.
enum Found {
    Record(Box<Prepared>),
    NotChosen(Place),
    Unread,
    Newer,
    Simulated,
    Suspect,
    Retracted,
    /// By the correction of this number, which has no id of its own; and whether it was a record.
    Corrected(u64, Option<Value>, bool),
    Correction(Object),
}

impl Finding {
    fn pack(
        &mut self,
        number: usize,
        pack: Told<'_>,
        superseded: &Superseded,
        question: &Question,
        collector: &mut Collector<'_>,
    ) {
        let check = |payload: &Payload<'_>| of_entry(payload, superseded, question);
        // By the number of the correction, which records it replaces.
        let mut corrected: HashMap<u64, (u64, Option<Value>)> = HashMap::new();
        let mut accept = |seq: u64, mut found: Found| {
            let mut at = seq;
            match found {
                Found::Corrected(by, ref mut id, _) => {
                    corrected.insert(by, (seq, id.take()));
                }
                Found::Correction(mut payload) => {
                    let Some((of, id)) = corrected.remove(&seq) else { return Ok(()) };
                    // It stands in that one's place, for what was measured inside of it as well.
                    if let Some(id) = id {
                        payload.insert("record_id", id);
                    }
                    (at, found) = (of, of_object(payload, question)?);
                }
                _ => {}
            }
            self.count(found, (number, at), collector)
        };
        // Whom to trust is asked later, of a finding that holds.
        match verify_pack_records(pack, &Trust::new(), &check, &mut accept) {
            Ok(report) => self.packs.push(report),
            Err(error) => self.fault = Some(error.to_string()),
        }
    }

    fn count(
        &mut self,
        found: Found,
        at: (usize, u64),
        collector: &mut Collector<'_>,
    ) -> Result<(), String> {
        let read = &mut self.read;
        *match found {
            Found::Record(prepared) => {
                let place =
                    if prepared.is_chosen() { &mut read.records } else { &mut read.other_times };
                *place += 1;
                return collector.add(*prepared, at).map_err(|error| error.to_string());
            }
            Found::NotChosen(Place::Other) => &mut read.others,
            Found::NotChosen(_) => &mut read.other_times,
            Found::Newer => {
                self.newer += 1;
                &mut read.unread
            }
            Found::Unread | Found::Corrected(.., false) => &mut read.unread,
            Found::Simulated => &mut read.simulated,
            Found::Suspect => &mut read.suspect,
            Found::Retracted | Found::Corrected(..) => &mut read.superseded,
            // Of an entry that is no record, or that another correction replaces.
            Found::Correction(_) => return Ok(()),
        } += 1;
        Ok(())
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
        if colour == Colour::Green && self.newer > 0 {
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

/// Of an entry of a ledger, or of what a correction puts in the place of one.
fn of_entry(
    payload: &Payload<'_>,
    superseded: &Superseded,
    question: &Question,
) -> Result<Found, String> {
    let Some(seq) = payload.member("seq").and_then(|seq| seq.as_u64()) else {
        return Ok(Found::Correction(payload.to_object()));
    };
    let owner = Owner::of(|name| payload.member(name));
    let is_record = owner == Owner::Us;
    // Rule: a record has to be in order, whatever later entries say of it.
    let record = is_record.then(|| record_of(&payload.to_canonical())).transpose()?;
    let or_unread = |found| if is_record { found } else { Found::Unread };
    if superseded.has_thefts() {
        let key = payload.member("signing_key");
        let key =
            key.as_ref().and_then(Value::as_str).and_then(|key| PublicKey::from_hex(key).ok());
        if key.and_then(|key| superseded.suspect(seq, key)).is_some() {
            return Ok(or_unread(Found::Suspect));
        }
    }
    match superseded.standing(seq) {
        Some(Standing::Corrected(by)) => {
            return Ok(Found::Corrected(by, payload.member("record_id"), is_record));
        }
        Some(Standing::Retracted(_)) => return Ok(or_unread(Found::Retracted)),
        Some(Standing::Restated(_)) | None => {}
    }
    match record {
        Some((record, text)) => of_record(record, &text, question),
        None if owner == Owner::Newer => Ok(Found::Newer),
        None => Ok(Found::Unread),
    }
}

/// Of what a correction puts in the place of an entry.
fn of_object(mut object: Object, question: &Question) -> Result<Found, String> {
    match Owner::of(|name| object.get(name).cloned()) {
        Owner::Us => {}
        Owner::Newer => return Ok(Found::Newer),
        Owner::Other => return Ok(Found::Unread),
    }
    for name in RESERVED_MEMBERS {
        object.remove(name);
    }
    let text = String::from_utf8_lossy(&object_to_canonical(&object)).into_owned();
    let (record, text) = record_of(&text)?;
    of_record(record, &text, question)
}

fn of_record(record: Record, text: &str, question: &Question) -> Result<Found, String> {
    if record.is_simulated() && !question.include_simulated {
        return Ok(Found::Simulated);
    }
    let place = question.choice.place(&record).map_err(|error| error.to_string())?;
    if place == Place::Other {
        return Ok(Found::NotChosen(place));
    }
    let prepared = question.prepare(record, text.as_bytes(), place, For::Page, None);
    Ok(Found::Record(Box::new(prepared.map_err(|error| error.to_string())?)))
}

/// The record of this canonical text, which has to add up.
fn record_of(text: &str) -> Result<(Record, String), String> {
    let record: Record = serde_json::from_str(text).map_err(|error| error.to_string())?;
    record.check().map_err(|error| error.to_string())?;
    Ok((record, text.to_owned()))
}

/// Whose entry it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Us,
    Newer,
    Other,
}

impl Owner {
    fn of(member: impl Fn(&str) -> Option<Value>) -> Self {
        if member("kind").as_ref().and_then(Value::as_str) != Some(RecordKind::CarbonOps.as_str()) {
            return Self::Other;
        }
        match member("schema_version").as_ref().and_then(Value::as_u64) {
            Some(version) if version > SCHEMA_VERSION => Self::Newer,
            Some(version) if version < SCHEMA_VERSION => Self::Other,
            _ => Self::Us,
        }
    }
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
