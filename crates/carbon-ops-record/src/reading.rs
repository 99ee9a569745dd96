//! From the entries of a ledger to records: whose an entry is, whether a record is in order, what later entries say of
//! it, and whether it is meant. Verification, sums, reports and the page of a report ask here.
//!
//! Out of scope: bytes, signatures and chains (`carbon-ops-proof`), files, and what is made of records.

use std::collections::HashMap;
use std::fmt;

use carbon_ops_proof::canonical::{Object, Value, object_to_canonical};
use carbon_ops_proof::entry::{Payload, RESERVED_MEMBERS};
use carbon_ops_proof::keys::PublicKey;
use carbon_ops_proof::superseded::{Standing, Superseded};
use carbon_ops_proof::verify::{GapReport, Life};

use crate::continuity::{Continuity, KnownGap, Passage, Report};
use crate::totals::{Choice, Place};
use crate::{Error, Record, RecordKind, SCHEMA_VERSION};

/// Whose entry it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Of this program, in a schema that this version knows.
    Us,
    /// Of this program, in a schema that this version does not know.
    Newer,
    /// Of another program.
    Foreign,
}

impl Owner {
    /// Whose an entry is, by its own members.
    #[must_use]
    pub fn of(payload: &Payload<'_>) -> Self {
        // The version is of no interest in an entry of another program.
        Self::by(payload.text("kind"), || payload.member("schema_version"))
    }

    fn of_object(object: &Object) -> Self {
        let kind = object.get("kind").and_then(Value::as_str);
        Self::by(kind, || object.get("schema_version").cloned())
    }

    fn by(kind: Option<&str>, version: impl Fn() -> Option<Value>) -> Self {
        if kind != Some(RecordKind::CarbonOps.as_str()) {
            return Self::Foreign;
        }
        match version().as_ref().and_then(Value::as_u64) {
            Some(version) if version > SCHEMA_VERSION => Self::Newer,
            // Format 1 was never released: its values are not judged.
            Some(version) if version < SCHEMA_VERSION => Self::Foreign,
            _ => Self::Us,
        }
    }
}

/// Signed entries whose content was not checked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Others {
    /// Of this program, in a newer schema.
    pub newer: u64,
    /// Of other programs.
    pub foreign: u64,
}

impl Others {
    /// Counts an entry.
    pub fn count(&mut self, owner: Owner) {
        match owner {
            Owner::Us => {}
            Owner::Newer => self.newer += 1,
            Owner::Foreign => self.foreign += 1,
        }
    }
}

/// The record of an entry, which has to add up.
///
/// # Errors
/// What is wrong with it.
pub fn record_of(payload: &Payload<'_>) -> Result<Record, Error> {
    if let Some(record) = payload.read::<Record>() {
        return record.check().map(|()| record);
    }
    // The other reader says what is wrong without a place that is not the line's.
    let read = serde_json::from_str(&payload.to_canonical());
    Record::from_json(read.map_err(|error| Error::Shape(error.to_string()))?)
}

/// Whose record it is; one of ours has to be in order, and to come out again where that is asked for.
///
/// # Errors
/// What is wrong with one of ours.
pub fn check(payload: &Payload<'_>, recompute: bool) -> Result<Owner, Error> {
    let owner = Owner::of(payload);
    if owner == Owner::Us {
        let record = record_of(payload)?;
        if recompute {
            record.recompute()?;
        }
    }
    Ok(owner)
}

/// The same of an object: of a pack, or of a proof.
///
/// # Errors
/// The same.
pub fn check_object(object: &Object, recompute: bool) -> Result<Owner, Error> {
    Payload::of(object, |payload| check(&payload, recompute))
}

/// What an examination has to know of an entry in the order of the ledger.
#[derive(Debug)]
pub struct Examined {
    /// Whose it is, where it counts.
    owner: Option<Owner>,
    counters: Counters,
}

/// What an entry says of counters.
#[derive(Debug)]
enum Counters {
    /// Nothing: it is no measurement.
    Nothing,
    /// They were read, and cannot be compared with others.
    Incomparable,
    /// Where they stood at the start and the end.
    Passage(Box<Passage>),
}

/// Looks into an entry, on any thread and in any order.
///
/// # Errors
/// What is wrong with a record of ours, in words.
pub fn examine(payload: &Payload<'_>, recompute: bool) -> Result<Examined, String> {
    let owner = Owner::of(payload);
    // What a correction puts in the place of a record is no further passage of time.
    let stands_in_line = payload.has("seq");
    let read = || {
        let record = record_of(payload)?;
        if recompute {
            record.recompute()?;
        }
        Ok(record)
    };
    let record = (owner == Owner::Us).then(read).transpose();
    let record = record.map_err(|error: Error| error.to_string())?.filter(|_| stands_in_line);
    // A span that was not measured here is no passage of a counter's time.
    let measured = record.filter(|record| record.measurement.is_some());
    let counters = measured.map_or(Counters::Nothing, |record| {
        Passage::of(&record).map_or(Counters::Incomparable, |it| Counters::Passage(Box::new(it)))
    });
    // Nor is it another entry; but that it could not be checked counts.
    let counts = stands_in_line || owner == Owner::Newer;
    Ok(Examined { owner: counts.then_some(owner), counters })
}

/// What the entries of a ledger come to, one after the other.
#[derive(Debug, Default)]
pub struct Examination {
    others: Others,
    continuity: Continuity,
}

impl Examination {
    /// Adds the next entry.
    ///
    /// # Errors
    /// Where it contradicts an earlier one, in words.
    pub fn add(&mut self, seq: u64, entry: Examined) -> Result<(), String> {
        if let Some(owner) = entry.owner {
            self.others.count(owner);
        }
        match entry.counters {
            Counters::Nothing => Ok(()),
            Counters::Incomparable => {
                self.continuity.pass_over();
                Ok(())
            }
            Counters::Passage(passage) => {
                self.continuity.add(seq, &passage).map_err(|found| found.to_string())
            }
        }
    }

    /// What was not looked into, and whether totals go on from record to record, but for what gaps of the ledger say.
    #[must_use]
    pub fn finish(self, life: &Life) -> (Others, Report) {
        let known = |gap: &GapReport| {
            Some(KnownGap {
                from: gap.from_ts.parse().ok()?,
                to: gap.to_ts.parse().ok()?,
                host_id: gap.host_id.clone(),
                domains: gap.domains.clone(),
            })
        };
        let gaps: Vec<_> = life.gaps.iter().filter_map(known).collect();
        (self.others, self.continuity.finish(&gaps))
    }
}

/// How many were read, and why others were left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Read {
    /// Records that are meant.
    pub records: u64,
    /// Records that began before the period that is meant, or after it.
    pub other_times: u64,
    /// Records that do not have in common what is meant.
    pub others: u64,
    /// Records of simulated sensors that were left out.
    pub simulated: u64,
    /// Records that a correction replaced or retracted.
    pub superseded: u64,
    /// Records by a key that the ledger says was in other hands then; they are left out.
    pub suspect: u64,
    /// Entries of other programs and of other versions, whatever later entries say of them.
    pub unread: u64,
    /// Those of them that are of a newer version of this program.
    pub newer: u64,
    /// Records of files, which nobody signed.
    pub unsigned: u64,
}

impl Read {
    /// Counts what was found; what was made of a record is handed on.
    pub fn count<T>(&mut self, found: Found<T>) -> Option<T> {
        let (place, made) = match found {
            Found::Record(made) => (&mut self.records, Some(made)),
            Found::OtherTime(made) => (&mut self.other_times, Some(made)),
            Found::NotChosen(Place::Other) => (&mut self.others, None),
            Found::NotChosen(_) => (&mut self.other_times, None),
            Found::Newer => {
                self.newer += 1;
                (&mut self.unread, None)
            }
            Found::Unread | Found::Corrected(.., false) => (&mut self.unread, None),
            Found::Simulated => (&mut self.simulated, None),
            Found::Suspect => (&mut self.suspect, None),
            Found::Retracted | Found::Corrected(..) => (&mut self.superseded, None),
            // Of an entry that is no record, or that another correction replaces.
            Found::Correction(_) => return None,
        };
        *place += 1;
        made
    }
}

/// What an entry, or a line of a file, comes to.
#[derive(Debug)]
pub enum Found<T> {
    /// A record that is meant.
    Record(T),
    /// Of another time, made something of as well.
    OtherTime(T),
    /// Of another time, or of others.
    NotChosen(Place),
    /// Of another program, or of a version that was never released.
    Unread,
    /// Of a newer version.
    Newer,
    /// Of simulated sensors, which are left out.
    Simulated,
    /// By a key that was in other hands then.
    Suspect,
    /// By a later entry.
    Retracted,
    /// By the correction of this number, which has no id of its own; and whether it was a record.
    Corrected(u64, Option<Value>, bool),
    /// What a correction puts in the place of an entry; it stands in no line.
    Correction(Object),
}

/// What is made of a record and its canonical text, on any thread and in any order.
/// It is told where the record stands: it is chosen, or of another time, where those are handed on as well.
pub type Prepare<'p, T, E> = dyn Fn(Record, &[u8], Place) -> Result<T, E> + Sync + 'p;

/// Which records are read, and what is made of them.
pub struct Reading<'p, T, E> {
    /// Whether records of simulated sensors are kept.
    pub include_simulated: bool,
    /// Which records are meant.
    pub choice: &'p Choice,
    /// Whether something is made of those of other times as well.
    pub other_times: bool,
    /// What is made of each.
    pub prepare: &'p Prepare<'p, T, E>,
}

impl<T, E> fmt::Debug for Reading<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("choice", self.choice).finish_non_exhaustive()
    }
}

impl<T, E: From<Error>> Reading<'_, T, E> {
    /// Of a record.
    ///
    /// # Errors
    /// Those of [`Reading::prepare`]; a record whose start is no time.
    pub fn of(&self, record: Record, text: &[u8]) -> Result<Found<T>, E> {
        if record.is_simulated() && !self.include_simulated {
            return Ok(Found::Simulated);
        }
        Ok(match self.choice.place(&record)? {
            Place::Chosen => Found::Record((self.prepare)(record, text, Place::Chosen)?),
            Place::OtherTime if self.other_times => {
                Found::OtherTime((self.prepare)(record, text, Place::OtherTime)?)
            }
            place => Found::NotChosen(place),
        })
    }

    /// Of an object, which may hold members of a ledger.
    ///
    /// # Errors
    /// The same; a record that is not in order.
    pub fn of_object(&self, mut object: Object) -> Result<Found<T>, E> {
        match Owner::of_object(&object) {
            Owner::Us => {}
            Owner::Newer => return Ok(Found::Newer),
            Owner::Foreign => return Ok(Found::Unread),
        }
        for name in RESERVED_MEMBERS {
            object.remove(name);
        }
        let text = object_to_canonical(&object);
        self.of(Record::from_json(object.into())?, &text)
    }

    /// Of an entry of a ledger, or of what a correction puts in the place of one.
    ///
    /// Rule: a record has to be in order, whatever later entries say of it; and what is counted as a record is one.
    ///
    /// # Errors
    /// The same.
    pub fn of_entry(&self, payload: &Payload<'_>, superseded: &Superseded) -> Result<Found<T>, E> {
        let Some(seq) = payload.member("seq").and_then(|seq| seq.as_u64()) else {
            return Ok(Found::Correction(payload.to_object()));
        };
        let owner = Owner::of(payload);
        let is_record = owner == Owner::Us;
        let record = is_record.then(|| record_of(payload)).transpose()?;
        let or_unread = |found| if is_record { found } else { Found::Unread };
        if superseded.has_thefts() {
            let key = payload.member("signing_key");
            let key = key.as_ref().and_then(Value::as_str);
            let key = key.and_then(|key| PublicKey::from_hex(key).ok());
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
            Some(record) => self.of(record, payload.to_canonical().as_bytes()),
            None if owner == Owner::Newer => Ok(Found::Newer),
            None => Ok(Found::Unread),
        }
    }
}

/// Where a record of a ledger stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stands {
    /// The number of its entry.
    pub seq: u64,
    /// That of the entry that puts it in the place of another one.
    pub corrected_by: Option<u64>,
}

/// The entries of a ledger in their order, each in its place: what a correction puts in the place of a record has the
/// id of that one, and stands where it stands.
#[derive(Debug, Default)]
pub struct InForce {
    /// By the number of the correction, which records it replaces.
    corrected: HashMap<u64, (u64, Option<Value>)>,
}

impl InForce {
    /// Where the next entry stands, and what it comes to there.
    pub fn next<T, E: From<Error>>(
        &mut self,
        seq: u64,
        mut found: Result<Found<T>, E>,
        reading: &Reading<'_, T, E>,
    ) -> (Stands, Result<Found<T>, E>) {
        match found {
            Ok(Found::Corrected(by, ref mut id, _)) => {
                self.corrected.insert(by, (seq, id.take()));
            }
            Ok(Found::Correction(mut payload)) => {
                let Some((of, id)) = self.corrected.remove(&seq) else {
                    return (Stands { seq, corrected_by: None }, Ok(Found::Correction(payload)));
                };
                // It stands in that one's place, for what was measured inside of it as well.
                if let Some(id) = id {
                    payload.insert("record_id", id);
                }
                let stands = Stands { seq: of, corrected_by: Some(seq) };
                return (stands, reading.of_object(payload));
            }
            _ => {}
        }
        (Stands { seq, corrected_by: None }, found)
    }
}
