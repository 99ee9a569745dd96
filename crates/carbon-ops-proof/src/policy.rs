//! Which checkpoints to believe: of which logs, cosigned by which witnesses (C2SP tlog-policy).
//!
//! A policy is the verifier's own. One that comes along with what it is to judge says only what its
//! author found enough.
//!
//! Out of scope: ML-DSA-44 keys, which are refused, and fetching anything: an URL is kept as it
//! stands.

use std::collections::HashMap;
use std::fmt;

use crate::checkpoint::TreeHead;
use crate::cosignature;
use crate::note::{KeyKind, Note, NoteError, VerifierKey};

#[cfg(test)]
mod tests;

/// The longest policy file that is read.
pub const MAX_POLICY_BYTES: usize = 1 << 20;
/// The most logs, witnesses and groups each (C2SP tlog-policy, "Implementation limits", asks for 32).
const MAX_DEFINITIONS: usize = 256;
/// The name of the quorum that asks for nothing.
const NONE: &[u8] = b"none";

/// A policy: logs, witnesses, and how many of the latter are enough.
///
/// ```
/// use carbon_ops_proof::keys::SecretKey;
/// use carbon_ops_proof::note::{KeyKind, VerifierKey};
/// use carbon_ops_proof::policy::Policy;
/// let key = |n: u8| SecretKey::from_seed(&[n; 32]).public_key();
/// let witness = |n: u8| VerifierKey::new("w.example", KeyKind::Cosignature, key(n)).unwrap();
/// let text = format!(
///     "witness A {}\nwitness B {}\ngroup both all A B\nquorum both\n", witness(1), witness(2)
/// );
/// let policy = Policy::parse(text.as_bytes()).unwrap();
/// assert_eq!(policy.witnesses().len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    /// Members come before the group that has them, so this order is one of evaluation.
    groups: Vec<Group>,
    quorum: Quorum,
}

/// What is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quorum {
    /// Nothing is asked for.
    None,
    /// This witness or group.
    Of(Member),
}

/// A log of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyLog {
    /// Its key, whose name is its origin.
    pub key: VerifierKey,
    /// Where it is reached.
    pub url: Option<String>,
}

/// A witness of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyWitness {
    /// Its name within the policy, for people; bytes that are no UTF-8 are shown as `�`.
    pub name: String,
    /// Its key.
    pub key: VerifierKey,
    /// The prefix of its paths.
    pub url: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: String,
    /// How many members are enough.
    threshold: usize,
    members: Vec<Member>,
}

/// By its place in the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// Why a file is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct PolicyError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// What a policy says of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Judgement {
    /// The tree that the checkpoint is of.
    pub head: TreeHead,
    /// The log of the policy that signed it; none when the policy names no logs.
    pub log: Option<VerifierKey>,
    /// Who cosigned it, by the names of the policy, and when, in seconds since 1970-01-01 UTC.
    pub cosigned: Vec<(String, u64)>,
    /// What keeps the quorum from being met; empty when it is.
    pub missing: Vec<String>,
}

impl Judgement {
    /// Whether enough witnesses cosigned.
    #[must_use]
    pub fn quorum_met(&self) -> bool {
        self.missing.is_empty()
    }
}

impl Policy {
    /// Reads a policy file, strictly.
    ///
    /// # Errors
    ///
    /// At the first line that is wrong, or that is missing at the end.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        let refuse = |line, reason: &str| Err(PolicyError { line, reason: reason.to_owned() });
        if bytes.len() > MAX_POLICY_BYTES {
            return refuse(1, "the file is too long");
        }
        let mut reader = Reader::default();
        let mut line = 0;
        for text in bytes.split_inclusive(|byte| *byte == b'\n') {
            line += 1;
            let Some(text) = text.strip_suffix(b"\n") else {
                return refuse(line, "the last line does not end with a newline");
            };
            reader.line(text).map_err(|reason| PolicyError { line, reason })?;
        }
        let Some(quorum) = reader.quorum else {
            return refuse(line + 1, "there is no line `quorum`");
        };
        let Reader { logs, witnesses, groups, .. } = reader;
        Ok(Self { logs, witnesses, groups, quorum })
    }

    /// The logs.
    #[must_use]
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// The witnesses.
    #[must_use]
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// Judges a checkpoint. Cosignatures with a time after `latest`, in seconds since 1970-01-01 UTC,
    /// do not count. Without logs in the policy, nothing is said about who signed the checkpoint: that
    /// is then for the caller to check.
    ///
    /// # Errors
    ///
    /// When the note is no checkpoint, when the policy has logs and none of them signed it, and when a
    /// signature by a log or witness of the policy does not verify.
    pub fn judge(&self, note: &Note, latest: u64) -> Result<Judgement, NoteError> {
        let form = NoteError::Form("its text is not a checkpoint");
        let head = TreeHead::parse(note.text()).ok_or(form)?;
        let log = self.log_of(note, &head)?;
        let (mut cosigned, mut early) = (Vec::new(), Vec::new());
        for witness in &self.witnesses {
            let time = cosignature::verify(note, &witness.key)?;
            early.push(time.is_some_and(|time| time > latest));
            cosigned.push(time.filter(|time| *time <= latest));
        }
        let missing = self.missing(&cosigned, &early);
        let names = self.witnesses.iter().map(|witness| witness.name.clone());
        let cosigned = names.zip(cosigned).filter_map(|(name, time)| Some((name, time?)));
        Ok(Judgement { log, cosigned: cosigned.collect(), missing, head })
    }

    fn log_of(&self, note: &Note, head: &TreeHead) -> Result<Option<VerifierKey>, NoteError> {
        if self.logs.is_empty() {
            return Ok(None);
        }
        let mut signed = None;
        for PolicyLog { key, .. } in self.logs.iter().filter(|log| log.key.name() == head.origin) {
            match note.verify(key.name(), &[key.key()]) {
                Ok(_) => signed = signed.or(Some(key.clone())),
                Err(NoteError::Unsigned) => {}
                Err(error) => return Err(error),
            }
        }
        signed.map(Some).ok_or(NoteError::Unsigned)
    }

    /// What the quorum lacks, in words; nothing when it is met.
    fn missing(&self, cosigned: &[Option<u64>], early: &[bool]) -> Vec<String> {
        let mut met = Vec::new();
        let has = |member: &Member, met: &[bool]| match *member {
            Member::Witness(at) => cosigned.get(at).is_some_and(Option::is_some),
            Member::Group(at) => met.get(at).copied().unwrap_or_default(),
        };
        for group in &self.groups {
            let count = group.members.iter().filter(|member| has(member, &met)).count();
            met.push(count >= group.threshold);
        }
        let mut missing = Vec::new();
        let mut open = match self.quorum {
            Quorum::Of(quorum) if !has(&quorum, &met) => vec![quorum],
            _ => Vec::new(),
        };
        while let Some(member) = open.pop() {
            let group = match member {
                Member::Witness(at) => {
                    let name = self.witnesses.get(at).map_or("?", |witness| &witness.name);
                    let late = early.get(at).copied().unwrap_or_default();
                    let why = if late { " (its cosignature is from the future)" } else { "" };
                    missing.push(format!("witness {name}{why}"));
                    continue;
                }
                Member::Group(at) => self.groups.get(at),
            };
            let Some(group) = group else { continue };
            let lacking = group.members.iter().filter(|member| !has(member, &met));
            let there = group.members.len() - lacking.clone().count();
            let (name, all) = (&group.name, group.threshold);
            missing.push(format!("group {name}: {there} of the {all} that are needed"));
            open.extend(lacking.copied());
        }
        missing
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.quorum_met() {
            return write!(f, "the quorum is met by {} witnesses", self.cosigned.len());
        }
        write!(f, "the quorum is not met: lacking {}", self.missing.join("; "))
    }
}

/// A policy in the making.
#[derive(Default)]
struct Reader {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    /// Names are opaque bytes.
    names: HashMap<Vec<u8>, Member>,
    /// Those that are a member of a group already.
    used: Vec<Member>,
    quorum: Option<Quorum>,
}

impl Reader {
    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let allowed = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        if !line.iter().all(allowed) {
            return Err("it contains a control character".to_owned());
        }
        let mut words =
            line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
        let Some(keyword) = words.next().filter(|word| !word.starts_with(b"#")) else {
            return Ok(());
        };
        let words: Vec<&[u8]> = words.collect();
        match keyword {
            b"log" => self.log(&words),
            b"witness" => self.witness(&words),
            b"group" => self.group(&words),
            b"quorum" => self.quorum(&words),
            other => Err(format!("unknown keyword {:?}", String::from_utf8_lossy(other))),
        }
    }

    fn log(&mut self, words: &[&[u8]]) -> Result<(), String> {
        let ([key] | [key, _]) = words else {
            return Err("a log has a key and perhaps an URL".to_owned());
        };
        let key = verifier_key(key, KeyKind::Ed25519)?;
        if self.logs.iter().any(|log| log.key.key() == key.key()) {
            return Err("there is a log with this key already".to_owned());
        }
        limited(self.logs.len())?;
        self.logs.push(PolicyLog { key, url: words.get(1).map(|url| text(url)) });
        Ok(())
    }

    fn witness(&mut self, words: &[&[u8]]) -> Result<(), String> {
        let ([name, key] | [name, key, _]) = words else {
            return Err("a witness has a name, a key and perhaps an URL".to_owned());
        };
        let key = verifier_key(key, KeyKind::Cosignature)?;
        if self.witnesses.iter().any(|witness| witness.key.key() == key.key()) {
            return Err("there is a witness with this key already".to_owned());
        }
        limited(self.witnesses.len())?;
        self.define(name, Member::Witness(self.witnesses.len()))?;
        let url = words.get(2).map(|url| text(url));
        self.witnesses.push(PolicyWitness { name: text(name), key, url });
        Ok(())
    }

    fn group(&mut self, words: &[&[u8]]) -> Result<(), String> {
        let [name, threshold, names @ ..] = words else {
            return Err("a group has a name, a threshold and members".to_owned());
        };
        if names.is_empty() {
            return Err("a group has at least one member".to_owned());
        }
        let mut members = Vec::new();
        for name in names {
            let member = self.find(name)?;
            if self.used.contains(&member) {
                return Err(format!("{:?} is a member of a group already", text(name)));
            }
            self.used.push(member);
            members.push(member);
        }
        let threshold = match *threshold {
            b"any" => 1,
            b"all" => members.len(),
            digits => decimal(digits)
                .filter(|k| (1..=members.len()).contains(k))
                .ok_or("a threshold is all, any or a number from 1 to that of the members")?,
        };
        limited(self.groups.len())?;
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { name: text(name), threshold, members });
        Ok(())
    }

    fn quorum(&mut self, words: &[&[u8]]) -> Result<(), String> {
        let [name] = words else { return Err("a quorum has one name".to_owned()) };
        if self.quorum.is_some() {
            return Err("there is a quorum already".to_owned());
        }
        self.quorum = Some(if *name == NONE { Quorum::None } else { Quorum::Of(self.find(name)?) });
        Ok(())
    }

    fn define(&mut self, name: &[u8], member: Member) -> Result<(), String> {
        if name == NONE {
            return Err("the name `none` is reserved".to_owned());
        }
        if self.names.insert(name.to_vec(), member).is_some() {
            return Err(format!("the name {:?} is defined already", text(name)));
        }
        Ok(())
    }

    fn find(&self, name: &[u8]) -> Result<Member, String> {
        let unknown = || format!("the name {:?} is not defined above", text(name));
        self.names.get(name).copied().ok_or_else(unknown)
    }
}

fn verifier_key(word: &[u8], kind: KeyKind) -> Result<VerifierKey, String> {
    let word = str::from_utf8(word).map_err(|_| "its key is not UTF-8")?;
    let key: VerifierKey = word.parse().map_err(|error| format!("its key: {error}"))?;
    match (key.kind() == kind, kind) {
        (true, _) => Ok(key),
        (_, KeyKind::Ed25519) => Err("its key is a witness's, not a log's".to_owned()),
        (_, KeyKind::Cosignature) => Err("its key is a log's, not a witness's".to_owned()),
    }
}

/// A number in its one spelling.
fn decimal(digits: &[u8]) -> Option<usize> {
    let text = str::from_utf8(digits).ok()?;
    let number: usize = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn limited(there: usize) -> Result<(), String> {
    if there < MAX_DEFINITIONS {
        return Ok(());
    }
    Err(format!("there are more than {MAX_DEFINITIONS} of this kind"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
