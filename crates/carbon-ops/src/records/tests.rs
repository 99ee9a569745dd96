//! Records that are read one by one, against those of a ledger that lies there as a whole.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use carbon_ops_ledger::keys::{SecretKey, Signer as _};
use carbon_ops_proof::entry::{
    AddedKey, Correction, CorrectionReason, Durability, Head, KeyRotation, LedgerId, Outcome,
    RetiredKey, genesis_payload, possession_text, sign,
};
use carbon_ops_proof::merkle::leaf_hash;
use carbon_ops_units::KilowattHours;
use jiff::{SignedDuration, Timestamp};

use carbon_ops_proof::keys::PublicKey;
use carbon_ops_record::Record;
use carbon_ops_record::totals::Place;

use super::*;
use crate::settings::Overrides;
use crate::{CarbonEstimator, bytes};

const START: Timestamp = Timestamp::constant(1_795_424_400, 0);

/// What is known of an entry as it is made.
enum Made {
    /// Of the ledger's own.
    Own,
    /// Of another program, by a key.
    Other(PublicKey),
    /// A record by a key.
    Record(String, u64, PublicKey),
    /// A correction, what it corrects, and what stands instead.
    Correction(usize, Option<u64>),
}

/// A ledger in memory.
struct Written {
    lines: Vec<Vec<u8>>,
    made: Vec<Made>,
    head: Option<Head>,
    key: SecretKey,
    /// A key that was in other hands, from a number on up to another.
    theft: Option<(PublicKey, u64, u64)>,
}

const LEDGER: LedgerId = LedgerId([3; 16]);

impl Written {
    fn new(key: SecretKey) -> Self {
        let of = genesis_payload(START, "test 1", key.public_key(), Durability::Sync, None);
        let (lines, made) = (Vec::new(), Vec::new());
        let mut written = Self { lines, made, head: None, key, theft: None };
        written.add(&of.unwrap(), Made::Own);
        written
    }

    fn add(&mut self, payload: &Object, made: Made) {
        let (entry, line) = sign(payload, LEDGER, self.head.as_ref(), &self.key).unwrap();
        self.head = Some(entry.head());
        self.lines.push(line);
        self.made.push(made);
    }

    fn own(&mut self, control: &Control, made: Made) {
        self.add(&control.to_payload(START, "test 1").unwrap(), made);
    }

    /// The key is given up for another one, and was in other hands from a number on.
    fn stolen(&mut self, next: SecretKey, since: u64) {
        let text = possession_text(
            LEDGER,
            self.head.as_ref().unwrap(),
            self.key.public_key(),
            next.public_key(),
        );
        let added =
            AddedKey { public_key: next.public_key(), proof: next.sign(text.as_bytes()).unwrap() };
        let retired =
            RetiredKey { public_key: self.key.public_key(), compromised_since: Some(since) };
        let reason = Some(carbon_ops_proof::entry::RotationReason::KeyCompromise);
        let rotation = KeyRotation { added: vec![added], retired: vec![retired], reason };
        self.own(&Control::KeyRotation(rotation), Made::Own);
        self.key = next;
    }

    /// What became of an entry: the energy that stands, in Wh; `None` where nothing does, and the same of a
    /// correction that was taken back.
    fn stands(&self, seq: usize, as_it_is: Option<u64>) -> Option<u64> {
        let corrections = self.made.iter().enumerate().filter_map(|(by, made)| match made {
            Made::Correction(of, instead) if *of == seq => Some((by, *instead)),
            _ => None,
        });
        for (by, instead) in corrections.collect::<Vec<_>>().into_iter().rev() {
            // Whatever corrects the correction speaks for it; a retraction takes it back.
            if self.is_corrected(by) {
                match self.stands(by, instead) {
                    None => continue,
                    later => return later,
                }
            }
            return instead;
        }
        as_it_is
    }

    fn is_corrected(&self, seq: usize) -> bool {
        let marker = u64::MAX;
        self.stands(seq, Some(marker)) != Some(marker)
    }

    /// Ids and energies of the records that stand; how many are suspect, superseded and no records.
    fn expected(&self, id_of: impl Fn(u64) -> String) -> (Vec<(String, u64)>, [u64; 3]) {
        let mut expected = Vec::new();
        let [mut suspect, mut superseded, mut unread] = [0; 3];
        for (seq, made) in self.made.iter().enumerate() {
            let (Made::Record(.., key) | Made::Other(key)) = made else { continue };
            let by = |(of, from, to)| of == *key && (from..to).contains(&(seq as u64));
            let is_suspect = self.theft.is_some_and(by);
            match made {
                Made::Record(..) if is_suspect => suspect += 1,
                Made::Record(id, wh, _) => {
                    superseded += u64::from(self.is_corrected(seq));
                    expected.extend(self.stands(seq, Some(*wh)).map(|wh| (id.clone(), wh)));
                }
                _ => {
                    unread += 1;
                    let instead = self.stands(seq, None).filter(|_| !is_suspect);
                    expected.extend(instead.map(|wh| (id_of(wh), wh)));
                }
            }
        }
        (expected, [suspect, superseded, unread])
    }
}

/// A number that looks random, of a seed.
fn random(seed: u64, at: u64, below: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, at).hash(&mut hasher);
    hasher.finish() % below
}

/// The text of a record of so many Wh, and its id.
fn record(estimator: &CarbonEstimator, wh: u64) -> (Object, String) {
    let hours = i64::try_from(wh).unwrap();
    let from = START + SignedDuration::from_hours(hours);
    #[expect(clippy::cast_precision_loss, reason = "few digits")]
    let energy = KilowattHours::new(wh as f64 / 1e3).unwrap();
    let to = from + SignedDuration::from_hours(1);
    let record = estimator.estimate_over_span(energy, from, to, Some("DE")).unwrap();
    let mut text = Vec::new();
    bytes::record(&record, &mut text).unwrap();
    (object(&text).unwrap(), record.record_id)
}

/// A ledger of thirty random entries: records, corrections and retractions of whatever came before, entries of another
/// program, and a key that was in other hands.
fn written(seed: u64, records: &[(Object, String)]) -> Written {
    let keys = [1, 2].map(|key| SecretKey::from_seed(&[key; 32]));
    let [first, second] = keys;
    let mut second = Some(second);
    let mut ledger = Written::new(first);
    for step in 0..30 {
        let next = records.get(usize::try_from(step).unwrap() + 10).unwrap();
        let wh = step + 11;
        let seq = ledger.lines.len();
        let of = usize::try_from(random(seed, step + 1000, seq as u64)).unwrap().max(1);
        match random(seed, step, 10) {
            0 if second.is_some() && seq > 3 => {
                let since = random(seed, step + 2000, seq as u64);
                let key = ledger.key.public_key();
                ledger.theft = Some((key, since, seq as u64));
                ledger.stolen(second.take().unwrap(), since);
            }
            1..=4 if seq > 1 && !matches!(ledger.made[of], Made::Own) => {
                let replaced = random(seed, step + 3000, 2) > 0;
                let outcome =
                    if replaced { Outcome::Replaced(next.0.clone()) } else { Outcome::Retracted };
                let correction = Correction {
                    corrects: of as u64,
                    corrects_leaf: leaf_hash(&ledger.lines[of]).0,
                    reason: CorrectionReason::Factor,
                    note: None,
                    outcome,
                    restatement: None,
                };
                let made = Made::Correction(of, replaced.then_some(wh));
                ledger.own(&Control::Correction(correction), made);
            }
            5 => {
                let other = Object::from_members([("kind", "else".into())]).unwrap();
                let made = Made::Other(ledger.key.public_key());
                ledger.add(&other, made);
            }
            _ => {
                let made = Made::Record(next.1.clone(), wh, ledger.key.public_key());
                ledger.add(&next.0, made);
            }
        }
    }
    ledger
}

#[test]
fn records_one_by_one_are_those_of_the_whole_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let (env, settings) = (Env::fake(&[]), Settings::plain(&Overrides::default()).unwrap());
    let estimator = CarbonEstimator::at("DE").unwrap();
    let records: Vec<_> = (1..60).map(|wh| record(&estimator, wh)).collect();
    for seed in 0..40 {
        let written = written(seed, &records);
        let id_of = |wh| records[usize::try_from(wh).unwrap() - 1].1.clone();
        let (mut expected, left_out) = written.expected(id_of);
        let file = dir.path().join(format!("{seed}.ndjson"));
        let mut text = written.lines.join(&b"\n"[..]);
        // What a crash left of a correction, and is none.
        text.extend_from_slice(b"\n{\"correction\":");
        std::fs::write(&file, &text).unwrap();
        // And a file of one record.
        let more = dir.path().join("more");
        std::fs::write(&more, serde_json::Value::from(records[0].0.clone()).to_string()).unwrap();
        expected.push((records[0].1.clone(), 1));
        let trust = SecretKey::from_seed(&[1; 32]).public_key().to_hex();
        let how = How {
            trust: Some(&trust),
            include_simulated: false,
            parts: false,
            choice: &Choice::default(),
            other_times: false,
            tell: &|_| {},
            settings: &settings,
            env: &env,
        };
        let mut found = Vec::new();
        let prepare = |record: Record, text: &[u8], _: Place| {
            let mut again = Vec::new();
            bytes::record(&record, &mut again)?;
            assert_eq!(text, again, "its canonical text");
            Ok((record.record_id, (record.energy_kwh * 1e3).round()))
        };
        let mut accept = |(id, wh): (String, f64)| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "few")]
            found.push((id, wh as u64));
            Ok(())
        };
        let counts = each(&[file.clone(), more], &how, &prepare, &mut accept).unwrap();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{seed}");
        assert_eq!(counts.entries.records, expected.len() as u64);
        assert_eq!(
            [counts.entries.suspect, counts.entries.superseded, counts.entries.unread],
            left_out,
            "{seed}"
        );
        assert_eq!((counts.ledgers, counts.entries.unsigned), (1, 1));
        // One that is not valid at its end gives nothing, whatever was handed on before.
        let at = text.len() - 60;
        text[at] ^= 1;
        std::fs::write(&file, &text).unwrap();
        let refused = each(&[file], &how, &|_, _, _| Ok(()), &mut |()| Ok(())).unwrap_err();
        assert!(matches!(refused.downcast_ref(), Some(Fault::Invalid { .. })), "{refused:#}");
    }
}

/// Whoever named no folder is told which one it is.
#[test]
fn a_temporary_file_that_cannot_be_made_names_its_folder() {
    let home = tempfile::tempdir().unwrap();
    let absent = home.path().join("absent");
    let error = scratch_in(&absent).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    let expected = format!("no temporary file in {}: ", absent.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
    let mut scratch = scratch_in(home.path()).unwrap();
    let write = io::Write::write_all(&mut scratch, b"abc");
    assert!(write.is_ok() && std::fs::read_dir(home.path()).unwrap().count() == 0);
}

#[test]
fn the_place_of_a_record_is_told_of_what_is_wrong_with_it_and_of_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let [file, of_records] = ["ledger", "records"].map(|name| dir.path().join(name));
    let (env, settings) = (Env::fake(&[]), Settings::plain(&Overrides::default()).unwrap());
    let record = record(&CarbonEstimator::at("DE").unwrap(), 1);
    std::fs::write(&of_records, serde_json::Value::from(record.0.clone()).to_string()).unwrap();
    let written = written(3, &vec![record; 60]);
    std::fs::write(&file, written.lines.join(&b"\n"[..])).unwrap();
    let trust = SecretKey::from_seed(&[1; 32]).public_key().to_hex();
    let how = How {
        trust: Some(&trust),
        include_simulated: false,
        parts: false,
        choice: &Choice::default(),
        other_times: false,
        tell: &|_| {},
        settings: &settings,
        env: &env,
    };
    for path in [file, of_records] {
        let told = |error: fn() -> RecordError| {
            let accept = &mut |()| Err(error().into());
            let refused =
                each(std::slice::from_ref(&path), &how, &|_, _, _| Ok(()), accept).unwrap_err();
            format!("{refused:#}").contains(&*path.to_string_lossy())
        };
        assert!(told(|| RecordError::Differ { record_id: String::new() }));
        assert!(!told(|| io::Error::from(io::ErrorKind::StorageFull).into()));
    }
}
