//! [`Ledger`]: records that are kept, signed and linked, so that nobody can change one unnoticed; and
//! [`verify_ledger`], which notices.
//!
//! Out of scope: the format and its storage ([`crate::ledger`], [`crate::proof`]), and what only the command
//! offers: sealing, rotation of keys, corrections.

use std::path::Path;
use std::time::Duration;

use carbon_ops_ledger::append::{Appended, SignedCheckpoint};
use carbon_ops_ledger::keys::{PublicKey, Trust};
use carbon_ops_record::Record;

use crate::env::Env;
use crate::error::Result;
use crate::fault::Fault;
use crate::settings::Settings;
use crate::store::{Keyring, Store, payload};
use crate::verify::{self, Question, Verdict};
use crate::witnessing::{Asked, Witnesses};

/// A ledger that is appended to, with the key that signs.
///
/// It holds no lock between calls: several processes may append to one ledger.
///
/// ```
/// use carbon_ops::{CarbonEstimator, EstimatorSettings, KilowattHours, Ledger};
///
/// let home = tempfile::tempdir()?;
/// let ledger = Ledger::open_or_make(home.path().join("ledger"), home.path().join("key.pem"))?;
/// let estimator = CarbonEstimator::new(EstimatorSettings::default())?;
/// let [from, to] = ["2026-03-01T09:00Z", "2026-03-01T10:00Z"].map(|time| time.parse().unwrap());
/// let record = estimator.estimate_over_span(KilowattHours::new(1.0)?, from, to, Some("DE"))?;
/// assert_eq!(ledger.append(&record)?.seq, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Ledger {
    store: Store,
    keyring: Keyring,
}

impl Ledger {
    /// The ledger in a folder, and the file of the key that signs.
    ///
    /// # Errors
    /// When one of them is missing ([`is_no_ledger`](crate::Error::is_no_ledger)) or cannot be read; when the
    /// ledger was begun with another key ([`is_untrusted`](crate::Error::is_untrusted)) or is damaged
    /// ([`is_damaged`](crate::Error::is_damaged)).
    pub fn open(folder: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self> {
        let store = Store::in_folder(folder.as_ref(), key.as_ref());
        if !store.exists() {
            return Err(store.missing().into());
        }
        if !store.key.exists() {
            return Err(Fault::NoKey { path: store.key.clone() }.into());
        }
        Self::of_store(store)
    }

    /// As [`Ledger::open`], but a ledger that is missing is made, and its key with it. A ledger that is there
    /// without its key gets no other one.
    ///
    /// # Errors
    /// As [`Ledger::open`]; when nothing can be written there.
    pub fn open_or_make(folder: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self> {
        let store = Store::in_folder(folder.as_ref(), key.as_ref());
        if store.exists() {
            return Self::open(folder, key);
        }
        let (secret, _) = store.key(true)?;
        store.init(&secret)?;
        Self::of_store(store)
    }

    /// The ledger that settings name, as the command resolves them. It is made if it is the default one.
    ///
    /// # Errors
    /// As [`Ledger::open`]; without a home there is no default ledger.
    pub fn of(settings: &Settings, env: &Env) -> Result<Self> {
        Self::of_store(Store::of(settings, env)?)
    }

    fn of_store(store: Store) -> Result<Self> {
        let keyring = store.keyring()?;
        store.open(&keyring)?;
        Ok(Self { store, keyring })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.store.ledger
    }

    /// The key that signs. Who verifies must have it from somewhere else than the ledger.
    pub fn public_key(&self) -> PublicKey {
        self.keyring.key.public_key()
    }

    /// Appends a record. When this returns, it is on the disk.
    ///
    /// # Errors
    /// When the disk is full or another process holds the ledger for long: it is as it was. When it is
    /// damaged ([`is_damaged`](crate::Error::is_damaged)).
    pub fn append(&self, record: &Record) -> Result<Appended> {
        let payload = payload(record)?;
        Ok(self.store.open(&self.keyring)?.append_object(payload)?)
    }

    /// Signs a checkpoint: how many entries there are, and the root of their tree. Kept elsewhere, it shows
    /// later whether lines were cut off.
    ///
    /// # Errors
    /// As [`Ledger::append`].
    pub fn checkpoint(&self) -> Result<SignedCheckpoint> {
        Ok(self.store.open(&self.keyring)?.checkpoint()?)
    }

    /// Signs a checkpoint and asks witnesses to cosign it, each for at most `patience`: others then know it,
    /// and a second history cannot be told to anybody who asks them.
    ///
    /// # Errors
    /// As [`Ledger::checkpoint`], and when one of those to ask is not named as one. What a witness refuses is
    /// no error.
    pub fn witness(&self, witnesses: &Witnesses, patience: Duration) -> Result<Asked> {
        Ok(witnesses.sign(&mut self.store.open(&self.keyring)?, patience)?)
    }
}

/// Reads a whole ledger, a folder or a file, and says whether every line is as it was written by a key that
/// is trusted, and every record adds up. What is found is in the verdict, not an error.
///
/// ```no_run
/// use carbon_ops::{Answer, PublicKey, Trust, verify_ledger};
///
/// let key = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";
/// let verdict = verify_ledger("ledger", &Trust::from_iter([PublicKey::from_hex(key)?]))?;
/// assert_eq!(verdict.answer(), Answer::Valid);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the ledger cannot be read, or is one of version 0.1.
pub fn verify_ledger(path: impl AsRef<Path>, trust: &Trust) -> Result<Verdict> {
    let path = path.as_ref();
    let file =
        if path.is_dir() { path.join(crate::ledger::storage::LEDGER_FILE) } else { path.into() };
    let question = Question { trust: trust.clone(), recompute: true, ..Question::default() };
    Ok(verify::verify(&file, &question)?)
}
