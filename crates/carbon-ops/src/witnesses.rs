//! Asking witnesses to cosign a checkpoint (C2SP tlog-witness, as a client), all at the same time and
//! none for long.
//!
//! What a witness says is believed only where it is signed. That it refuses is its word, and where it
//! says that it saw another history, a loud one. Left out: what to do about it, and writing anything.

use std::io::{BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use carbon_ops_ledger::files::{Files as _, Open};
use carbon_ops_ledger::tile::{DirTiles, TileTree};
use carbon_ops_ledger::witness::{ADD_CHECKPOINT, Request};
use carbon_ops_proof::checkpoint::{CHECKPOINT_FILE, CHECKPOINT_LOG, Checkpoint};
use carbon_ops_proof::cosignature;
use carbon_ops_proof::merkle::{consistency_proof, root_at};
use carbon_ops_proof::note::{KeyKind, MAX_NOTE_BYTES, Note, NoteSignature, VerifierKey};
use carbon_ops_proof::policy::Policy;
use carbon_ops_proof::verify::Notes;
use ureq::Agent;

use crate::env::Env;
use crate::fault::Fault;
use crate::head::beside;
use crate::text::plain;

/// How long `ledger checkpoint` waits for each witness.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long `run` waits: its user waits for something else.
pub const RUN_PATIENCE: Duration = Duration::from_secs(3);
/// How much of the history of checkpoints is looked through: thousands of them.
const HISTORY_BYTES: u64 = 4 << 20;
/// How often a witness is asked again from the size that it told.
const ATTEMPTS: u32 = 4;
/// The longest answer that is read: some signature lines.
const MAX_ANSWER_BYTES: u64 = 1 << 16;
/// How much of a refusal is shown.
const SHOWN_CHARS: usize = 200;
/// How far a witness's clock may be ahead of ours before its cosignature is not taken: a prior, larger
/// than the drift of clocks that anybody looks after.
const CLOCK_SLACK_SECONDS: u64 = 3600;

/// The latest time that a cosignature may have to count.
pub fn latest() -> u64 {
    u64::try_from(Env::now().as_second()).unwrap_or_default().saturating_add(CLOCK_SLACK_SECONDS)
}

/// A witness and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Where it listens.
    pub url: String,
    /// The key that its cosignatures are verified with.
    pub key: VerifierKey,
}

/// What became of one witness.
#[derive(Debug)]
pub struct Answered {
    /// Who was asked.
    pub address: Address,
    /// What came of it.
    pub result: Result<Cosigned, Refusal>,
}

/// A cosignature that was verified.
#[derive(Debug)]
pub struct Cosigned {
    /// The cosignature.
    pub line: NoteSignature,
    /// Seconds since 1970-01-01 UTC.
    pub time: u64,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It could not be asked, or did not cosign for a reason of its own.
    Not(String),
    /// It says that it cosigned a history that is not this one.
    Fork(String),
}

impl Address {
    /// Reads `URL+NAME+HASH+BASE64`.
    pub fn parse(text: &str) -> Result<Self> {
        let split = text.match_indices('+').find_map(|(at, _)| {
            let (url, key) = (text.get(..at)?, text.get(at + 1..)?);
            let key: VerifierKey = key.parse().ok()?;
            (key.kind() == KeyKind::Cosignature).then(|| Self { url: url.to_owned(), key })
        });
        let split = split.filter(|address| is_url(&address.url));
        split.ok_or_else(|| Fault::NoWitness(text.to_owned()).into())
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// Those given, and those of a policy that have an address, each once.
pub fn addresses(given: &[String], policy: Option<&Policy>) -> Result<Vec<Address>> {
    let mut all: Vec<Address> = Vec::new();
    for text in given {
        let address = Address::parse(text)?;
        if all.iter().all(|known| known.key != address.key) {
            all.push(address);
        }
    }
    for witness in policy.iter().flat_map(|policy| policy.witnesses()) {
        let Some(url) = witness.url.clone().filter(|url| is_url(url)) else { continue };
        if all.iter().all(|known| known.key != witness.key) {
            all.push(Address { url, key: witness.key.clone() });
        }
    }
    Ok(all)
}

/// A checkpoint of a ledger on this machine.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The ledger's file.
    pub ledger: PathBuf,
    /// Size and root.
    pub checkpoint: Checkpoint,
    /// What was signed.
    pub note: Note,
}

impl Signed {
    /// Asks all witnesses that have not cosigned it yet.
    pub fn ask(&self, witnesses: &[Address], patience: Duration) -> Vec<Answered> {
        let missing = witnesses.iter().filter(|witness| {
            !matches!(cosignature::verify(&self.note, &witness.key), Ok(Some(_)))
        });
        let (agent, history) = (agent(patience), history(&self.ledger));
        std::thread::scope(|scope| {
            let ask = |address| self.ask_one(&agent, address, &history);
            let threads: Vec<_> =
                missing.map(|address| (address, scope.spawn(move || ask(address)))).collect();
            let answered = threads.into_iter().map(|(address, thread)| {
                let failed = || Err(Refusal::Not("asking it failed".to_owned()));
                let result = thread.join().unwrap_or_else(|_| failed());
                Answered { address: address.clone(), result }
            });
            answered.collect()
        })
    }

    fn ask_one(
        &self,
        agent: &Agent,
        address: &Address,
        history: &[Note],
    ) -> Result<Cosigned, Refusal> {
        let size = self.checkpoint.size;
        // What it cosigned last, as far as is known here; it may know more, and never less.
        let known = self.last_cosigned(&address.key, history);
        let mut old = known;
        for _ in 0..ATTEMPTS {
            let proof = self.proof(old).map_err(|e| Refusal::Not(format!("{e:#}")))?;
            let request = Request { old, proof, checkpoint: self.note.clone() };
            let (status, body) = post(agent, &address.url, &request.to_string())?;
            match status {
                200 => return cosigned(&self.note, &body, &address.key),
                409 => {}
                // With a size that the witness told, the proof is from there, and it is sound.
                422 if old > 0 => {
                    return Err(Refusal::Fork(format!(
                        "it cosigned {old} lines of this ledger that are not the first {old} here"
                    )));
                }
                404 => return Err(not("it does not know this ledger", &body)),
                403 => {
                    return Err(not("it does not know the key that signs for this ledger", &body));
                }
                _ => return Err(not(&format!("it answered {status}"), &body)),
            }
            let told =
                size_of(&body).ok_or_else(|| not("it answered 409 without a size", &body))?;
            if told < known {
                return Err(Refusal::Not(format!(
                    "it cosigned {known} lines of this ledger and now says {told}: it has lost its \
                     memory, and its cosignatures prove nothing any more"
                )));
            }
            if told == old && told == size {
                return Err(Refusal::Fork(format!(
                    "it cosigned {size} other lines of this ledger"
                )));
            }
            if told > size {
                return Err(self.larger(told));
            }
            old = told;
        }
        Err(Refusal::Not("it told another size each time".to_owned()))
    }

    /// How many lines a witness cosigned last, by the history of checkpoints; at most those that there
    /// are.
    fn last_cosigned(&self, key: &VerifierKey, history: &[Note]) -> u64 {
        let cosigned = |note: &&Note| matches!(cosignature::verify(note, key), Ok(Some(_)));
        let last = history.iter().rev().find(cosigned).and_then(|n| Checkpoint::of_note(n).ok());
        let ours = last.filter(|last| last.ledger_id == self.checkpoint.ledger_id);
        ours.map_or(0, |last| last.size).min(self.checkpoint.size)
    }

    /// The witness cosigned more lines than this checkpoint covers: has another process signed for
    /// them meanwhile, or are they gone?
    fn larger(&self, told: u64) -> Refusal {
        let current = beside(&self.ledger).read(CHECKPOINT_FILE, MAX_NOTE_BYTES + 1);
        let current = current.ok().flatten();
        let current =
            current.and_then(|bytes| Checkpoint::of_note(&Note::parse(&bytes).ok()?).ok());
        let size = self.checkpoint.size;
        if current.is_some_and(|current| current.size >= told) {
            return Refusal::Not(format!("it has a newer checkpoint already, of {told} lines"));
        }
        Refusal::Fork(format!("it cosigned {told} lines of this ledger, and there are {size}"))
    }

    /// That this checkpoint extends the first `old` lines, by the tiles.
    fn proof(&self, old: u64) -> Result<Vec<carbon_ops_proof::merkle::TreeHash>> {
        let cannot = || format!("cannot read {}", self.ledger.display());
        let dir = self.ledger.parent().map(Path::to_owned);
        let tiles = DirTiles::open(dir.as_deref(), &self.ledger).with_context(cannot)?;
        let Checkpoint { size, root, .. } = self.checkpoint;
        let mut tree = TileTree::new(tiles, size);
        if old > 0 && root_at(size, &mut tree).with_context(cannot)? != root {
            return Err(Fault::OtherTiles { ledger: self.ledger.clone() }.into());
        }
        Ok(consistency_proof(old, size, &mut tree).with_context(cannot)?.unwrap_or_default())
    }
}

/// The last checkpoints that were signed for a ledger, cosigned or not, in their order. What is cut at
/// the beginning, or damaged, is passed over: nothing of this is known to be true.
pub fn history(ledger: &Path) -> Vec<Note> {
    let read = || -> std::io::Result<Vec<Note>> {
        let log = beside(ledger).open(CHECKPOINT_LOG, Open::Read)?;
        let mut file = log.ok_or(std::io::ErrorKind::NotFound)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(HISTORY_BYTES)))?;
        notes(BufReader::new(file.take(HISTORY_BYTES)))
    };
    read().unwrap_or_default()
}

/// The notes in a log.
fn notes(log: impl BufRead) -> std::io::Result<Vec<Note>> {
    let (mut pieces, mut notes) = (Notes::new(log), Vec::new());
    while let Some(piece) = pieces.next()? {
        notes.extend(Note::parse(&piece));
    }
    Ok(notes)
}

fn agent(patience: Duration) -> Agent {
    Agent::config_builder()
        .timeout_global(Some(patience))
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("carbon-ops/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

fn post(agent: &Agent, url: &str, request: &str) -> Result<(u16, String), Refusal> {
    let url = format!("{}/{ADD_CHECKPOINT}", url.trim_end_matches('/'));
    let not = |error: ureq::Error| Refusal::Not(format!("it cannot be reached: {error}"));
    let mut response = agent.post(&url).content_type("text/plain").send(request).map_err(not)?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).lossy_utf8(true);
    Ok((status, body.read_to_string().map_err(not)?))
}

/// The first cosignature in an answer that is one of the note by this key; those of others are passed
/// over.
fn cosigned(note: &Note, body: &str, key: &VerifierKey) -> Result<Cosigned, Refusal> {
    let lines = NoteSignature::parse_lines(body);
    let lines = lines.map_err(|e| Refusal::Not(format!("its answer is malformed: {e}")))?;
    let found = lines.into_iter().find_map(|line| {
        let mut alone = note.clone();
        alone.add(line.clone()).ok()?;
        Some(Cosigned { line, time: cosignature::verify(&alone, key).ok().flatten()? })
    });
    found.ok_or_else(|| Refusal::Not(format!("its answer has no valid cosignature by {key}")))
}

fn not(what: &str, body: &str) -> Refusal {
    let said: String = plain(body.trim()).chars().take(SHOWN_CHARS).collect();
    Refusal::Not(if said.is_empty() { what.to_owned() } else { format!("{what} ({said})") })
}

/// The body of a 409.
fn size_of(body: &str) -> Option<u64> {
    let digits = body.strip_suffix('\n')?;
    let size: u64 = digits.parse().ok()?;
    (size.to_string() == digits).then_some(size)
}

#[cfg(test)]
mod tests {
    use carbon_ops_ledger::keys::SecretKey;

    use super::*;

    fn key() -> VerifierKey {
        let key = SecretKey::from_seed(&[7; 32]).public_key();
        VerifierKey::new("witness.example/w1", KeyKind::Cosignature, key).unwrap()
    }

    #[test]
    fn an_address_is_an_url_and_a_verifier_key_whatever_plus_signs_they_have() {
        for url in ["http://127.0.0.1:2026", "https://witness.example/a+b/c"] {
            let address = Address::parse(&format!("{url}+{}", key())).unwrap();
            assert_eq!(address, Address { url: url.to_owned(), key: key() });
        }
        let log = SecretKey::from_seed(&[7; 32]).public_key();
        let log = VerifierKey::new("log", KeyKind::Ed25519, log).unwrap();
        for bad in [
            key().to_string(),
            format!("ftp://x+{}", key()),
            format!("http://x {}", key()),
            format!("http://x+{log}"),
            "http://x".to_owned(),
        ] {
            assert!(Address::parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_history_is_taken_apart_also_when_its_beginning_is_cut_off() {
        let secret = SecretKey::from_seed(&[7; 32]);
        let note = |n: u8| {
            let mut note = Note::sign(format!("log\n{n}\nroot\n"), "log", &secret).unwrap();
            note.add(cosignature::cosign(&note, "w", &secret, 1).unwrap()).unwrap();
            note
        };
        let text: String = (1..4).map(|n| note(n).to_string()).collect();
        let notes = |text: &str| notes(text.as_bytes()).unwrap();
        assert_eq!(notes(&text), [note(1), note(2), note(3)]);
        // Of what is cut no signature verifies.
        let cut = notes(&text[9..]);
        assert_eq!(cut[1..], [note(2), note(3)]);
        assert!(cut[0].verify("log", &[secret.public_key()]).is_err());
        assert_eq!(notes(""), []);
    }

    #[test]
    fn witnesses_named_twice_are_asked_once_and_those_without_an_address_not() {
        let other = SecretKey::from_seed(&[8; 32]).public_key();
        let other = VerifierKey::new("w2", KeyKind::Cosignature, other).unwrap();
        let third = SecretKey::from_seed(&[9; 32]).public_key();
        let third = VerifierKey::new("w3", KeyKind::Cosignature, third).unwrap();
        let policy = format!(
            "witness A {} http://b\nwitness B {other} http://c/\nwitness C {third}\nquorum none\n",
            key()
        );
        let policy = Policy::parse(policy.as_bytes()).unwrap();
        let given = [format!("http://a+{}", key()), format!("http://z+{}", key())];
        let urls: Vec<String> =
            addresses(&given, Some(&policy)).unwrap().into_iter().map(|a| a.url).collect();
        assert_eq!(urls, ["http://a", "http://c/"]);
    }
}
