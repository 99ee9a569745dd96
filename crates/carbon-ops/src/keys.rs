//! Changing who may write to ledgers: a new default key, keys of others that join, keys that are retired.
//!
//! The order of a change of the default key: the new key is durable as `next.pem`; each ledger has the
//! change; the old key has a name of its own; `next.pem` becomes the default key. After an interruption
//! at any point the same call goes on, because `next.pem` is still there.
//!
//! Out of scope: how it is told. What is done is handed to the caller at once, so that it is told also when
//! a later step fails.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use carbon_ops_ledger::Error as LedgerError;
use carbon_ops_ledger::append::Rotation;
use carbon_ops_ledger::keys::{
    Protection, PublicKey, SecretKey, Signer as _, add_to_trust_file, create_secret_under,
    replace_secret,
};
use carbon_ops_ledger::segment::LedgerReader;
use carbon_ops_ledger::storage::LEDGER_FILE;
use carbon_ops_proof::entry::{
    AddedKey, EntryHash, Head, LedgerId, RetiredKey, RotationReason, possession_text,
};
use carbon_ops_proof::verify::{Status, verify};
use carbon_ops_record::timestamp;

use crate::env::Env;
use crate::fault::Fault;
use crate::store::{Opened, Store};

/// The key that is about to become the default one.
const NEXT: &str = "next.pem";

/// Why keys are changed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Why {
    /// The reason that is signed; none when nobody said.
    pub reason: Option<RotationReason>,
    /// The number from which on entries by the retired key are suspect.
    pub compromised_since: Option<u64>,
}

/// A change of keys that is in a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The folder of the ledger.
    pub ledger: PathBuf,
    /// The number of its entry.
    pub seq: u64,
    /// Which may write from here on.
    pub added: Vec<PublicKey>,
    /// Which may write no more.
    pub retired: Vec<PublicKey>,
}

/// A default key that took the place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The key until now.
    pub old: PublicKey,
    /// The key from now on.
    pub new: PublicKey,
    /// Where the old one is kept; none for one that was removed.
    pub kept: Option<PathBuf>,
}

/// Keys of others that join ledgers, and keys that leave them.
#[derive(Clone, Copy, Debug)]
pub struct Members<'a> {
    /// Which join, each with its proof of possession.
    pub add: &'a [AddedKey],
    /// Which leave.
    pub retire: &'a [PublicKey],
    /// The reason for all of them.
    pub why: Why,
}

/// Lets keys join and leave each of the ledgers, signed by the default key. `done` is called for each.
///
/// # Errors
///
/// When a ledger refuses it, and what `done` fails with.
pub fn change_members(
    store: &Store,
    ledgers: &[PathBuf],
    members: Members<'_>,
    done: &mut dyn FnMut(Changed) -> Result<()>,
) -> Result<()> {
    members.why.check()?;
    let keyring = store.keyring()?;
    for ledger in ledgers {
        let store = store.clone().at(Some(ledger));
        let rotation = Rotation {
            add: Vec::new(),
            add_proven: members.add.to_vec(),
            retire: members.retire.iter().map(|key| members.why.retired(*key)).collect(),
            reason: members.why.reason,
        };
        let seq = write(&mut store.open(&keyring)?, &rotation)?;
        let added = members.add.iter().map(|key| key.public_key).collect();
        done(Changed { ledger: ledger.clone(), seq, added, retired: members.retire.to_vec() })?;
    }
    Ok(())
}

/// A new default key, in the place of the one there is, in each of the ledgers. A ledger that the default key
/// may not write to yet, since it was left out of the last change, is given that key instead, and no newer one
/// is made: then nothing is returned. `done` is called for each ledger.
///
/// # Errors
///
/// When no key here may write to a ledger, when a file cannot be written, and what `done` fails with.
pub fn renew(
    store: &Store,
    ledgers: &[PathBuf],
    why: Why,
    destroy_old: bool,
    done: &mut dyn FnMut(Changed) -> Result<()>,
) -> Result<Option<Replaced>> {
    why.check()?;
    let (old, _) = store.key(false)?;
    let next = store.key.with_file_name(NEXT);
    let begun = next.exists();
    if !begun {
        let behind: Vec<&PathBuf> =
            ledgers.iter().filter(|ledger| !may_write(store, ledger, &old)).collect();
        if !behind.is_empty() {
            for ledger in behind {
                done(join(why, store, ledger, &old)?)?;
            }
            return Ok(None);
        }
    }
    let new = make_next(store, &next)?;
    for ledger in ledgers {
        if !(begun && may_write(store, ledger, &new)) {
            done(join(why, store, ledger, &new)?)?;
        }
    }
    let (old, new) = (old.public_key(), new.public_key());
    let kept = if destroy_old {
        // It began these ledgers, perhaps, and they are verified by trusting it.
        let comment = format!("replaced by {} on {}", new.fingerprint(), today());
        add_to_trust_file(&store.trust_file()?, old, &comment)?;
        None
    } else {
        Some(store.key.with_file_name(format!("{}.pem", short(old))))
    };
    replace_secret(&store.key, &next, kept.as_deref())?;
    Ok(Some(Replaced { old, new, kept }))
}

/// A new default key in the place of one of which `is_out` says that it is not to be used; that is kept under its
/// own name.
pub(crate) fn renew_if(store: &Store, is_out: &dyn Fn(PublicKey) -> bool) -> Result<()> {
    if !store.key.exists() {
        return Ok(());
    }
    let old = store.public(&store.key)?;
    if !is_out(old) {
        return Ok(());
    }
    let next = store.key.with_file_name(NEXT);
    make_next(store, &next)?;
    let kept = store.key.with_file_name(format!("{}.pem", short(old)));
    Ok(replace_secret(&store.key, &next, Some(&kept))?)
}

/// The key that is about to become the default one; made if there is none.
fn make_next(store: &Store, next: &Path) -> Result<SecretKey> {
    let passphrase = store.passphrase()?;
    let protection = match &passphrase {
        None => None,
        Some(passphrase) => Some(Protection { passphrase, entropy: Env::random()? }),
    };
    Ok(create_secret_under(next, &Env::random()?, protection)?.0)
}

/// Lets a key of ours join a ledger, by and in the place of one of ours that may write there.
fn join(why: Why, store: &Store, ledger: &Path, joins: &SecretKey) -> Result<Changed> {
    let store = store.clone().at(Some(ledger));
    for path in store.key_files() {
        let key = store.secret(&path)?;
        if key.public_key() == joins.public_key() {
            continue;
        }
        let keyring = store.keyring_with(key.clone())?;
        let mut opened = match store.open(&keyring) {
            Ok(opened) => opened,
            Err(error) if is_not_in_roster(&error) => continue,
            Err(error) => return Err(error),
        };
        let rotation = Rotation {
            add: vec![joins],
            add_proven: Vec::new(),
            retire: vec![why.retired(key.public_key())],
            reason: Some(why.reason.unwrap_or(RotationReason::Superseded)),
        };
        let seq = write(&mut opened, &rotation)?;
        let (added, retired) = (vec![joins.public_key()], vec![key.public_key()]);
        return Ok(Changed { ledger: ledger.to_owned(), seq, added, retired });
    }
    Err(Fault::NoWriter { ledger: ledger.to_owned() }.into())
}

fn write(opened: &mut Opened<'_>, rotation: &Rotation<'_>) -> Result<u64> {
    let (ledger, now) = opened.ledger();
    Ok(ledger.rotate(rotation, now)?.seq)
}

/// Whether a key may write to a ledger; what else may be wrong with that shows when it is tried.
fn may_write(store: &Store, ledger: &Path, key: &SecretKey) -> bool {
    let store = store.clone().at(Some(ledger));
    let tried = store.keyring_with(key.clone()).and_then(|keyring| store.open(&keyring).map(drop));
    !tried.is_err_and(|error| is_not_in_roster(&error))
}

fn is_not_in_roster(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(LedgerError::KeyNotInRoster { .. }))
}

impl Why {
    fn retired(self, key: PublicKey) -> RetiredKey {
        RetiredKey { public_key: key, compromised_since: self.compromised_since }
    }

    fn check(self) -> Result<()> {
        let stolen = self.reason == Some(RotationReason::KeyCompromise);
        if self.compromised_since.is_some() && !stolen {
            return Err(Fault::NotStolen.into());
        }
        Ok(())
    }
}

/// That the default key agrees to join a ledger as it is now.
#[derive(Clone, Copy, Debug)]
pub struct Agreement {
    /// The ledger.
    pub ledger_id: LedgerId,
    /// The last entry; nothing may be appended before the key joins.
    pub after_seq: u64,
    /// The key that will sign the change.
    pub signer: PublicKey,
    /// The key that joins, with its proof.
    pub key: AddedKey,
}

impl Agreement {
    /// As [`added`] reads it.
    #[must_use]
    pub fn text(&self) -> String {
        let proof = self.key.proof.iter().fold(String::new(), |text, b| format!("{text}{b:02x}"));
        format!("{}:{proof}", self.key.public_key)
    }
}

/// Lets the default key agree to join the ledger in the file or directory `path`, by the hand of `signer`, or
/// of the only key that may write there.
///
/// # Errors
///
/// When the ledger is not one to join, or it is not clear who will sign.
pub fn agree(store: &Store, path: &Path, signer: Option<PublicKey>) -> Result<Agreement> {
    let path = if path.is_dir() { path.join(LEDGER_FILE) } else { path.to_owned() };
    let (key, _) = store.key(false)?;
    let cannot = || format!("cannot read the ledger {}", path.display());
    let reader = BufReader::new(LedgerReader::open(&path).with_context(cannot)?);
    let report =
        verify(reader, &store.trusted(Some(&key))?, &mut |_| Ok(())).with_context(cannot)?;
    if report.status != Status::Valid {
        return Err(Fault::NotToJoin { path }.into());
    }
    let may: Vec<PublicKey> = report
        .keys
        .iter()
        .filter(|key| key.retired_seq.is_none())
        .filter_map(|key| PublicKey::from_hex(&key.public_key).ok())
        .collect();
    let signer = match (signer, &may[..]) {
        (Some(signer), _) if may.contains(&signer) => signer,
        (Some(signer), _) => bail!("the key {signer} may not write to {}", path.display()),
        (None, [only]) => *only,
        (None, _) => return Err(Fault::SeveralWriters { path }.into()),
    };
    let id = report.ledger_id.as_deref().and_then(LedgerId::from_hex);
    let hash = report.head_hash.as_deref().and_then(EntryHash::from_hex);
    let (Some(ledger_id), Some(after_seq), Some(hash)) = (id, report.last_seq, hash) else {
        bail!("{} has no last entry", path.display());
    };
    let (head, public_key) = (Head { seq: after_seq, hash }, key.public_key());
    let proof = key.sign(possession_text(ledger_id, &head, signer, public_key).as_bytes())?;
    Ok(Agreement { ledger_id, after_seq, signer, key: AddedKey { public_key, proof } })
}

/// Reads what [`Agreement::text`] wrote.
///
/// # Errors
///
/// When it is anything else.
pub fn added(text: &str) -> Result<AddedKey> {
    let parts = text.trim().split_once(':').and_then(|(key, proof)| {
        let proof = proof_of_hex(proof)?;
        Some(AddedKey { public_key: PublicKey::from_hex(key).ok()?, proof })
    });
    parts.ok_or_else(|| anyhow!(Fault::NoAgreement(text.to_owned())))
}

fn proof_of_hex(text: &str) -> Option<[u8; 64]> {
    let bytes: Option<Vec<u8>> = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect();
    bytes?.try_into().ok()
}

/// The first digits of a key, for the name of its file.
fn short(key: PublicKey) -> String {
    key.to_hex().chars().take(16).collect()
}

fn today() -> String {
    timestamp(Env::now()).chars().take(10).collect()
}
