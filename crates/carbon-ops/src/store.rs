//! The local ledger: where it is, which key signs, which keys are trusted; and how a record gets
//! into it.
//!
//! A key or a ledger is made by its own command. Only the default ledger of a first `run` is made
//! on the spot, and says so.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use carbon_ops_ledger::Error as LedgerError;
use carbon_ops_ledger::append::pipeline::{Clock, Pipeline, PipelineOptions};
use carbon_ops_ledger::append::{
    Appended, GenesisOptions, Ledger, Repair, SEGMENT_BYTES, SignedCheckpoint, WriterOptions,
    lines_gone,
};
use carbon_ops_ledger::files::Holder;
use carbon_ops_ledger::keys::{
    KeyOrigin, Passphrase, Protection, PublicKey, SecretKey, Signer, Trust, create_secret_under,
    load_public, load_secret_under, load_trust, trust_from,
};
use carbon_ops_ledger::segment::{SEGMENT_DIR, SegmentName};
use carbon_ops_ledger::storage::{BEFORE_FILE, DirStorage, LEDGER_FILE};
use carbon_ops_proof::canonical::Object;
use carbon_ops_proof::checkpoint::Checkpoint;
use carbon_ops_proof::entry::LedgerId;
use carbon_ops_proof::note::{Note, NoteSignature};
use carbon_ops_record::Record;
use jiff::Timestamp;

use crate::compose::TOOL;
use crate::env::Env;
use crate::fault::Fault;
use crate::settings::{Origin, Setting, Settings};
pub use crate::spool::payload;
use crate::spool::{SPOOL_DIR, Spooled, left_behind};
use crate::text::plain;
use crate::witnesses::Signed;

/// Appends take milliseconds; a queue of a hundred on a slow disk still fits.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long a pipeline waits for the key that takes the place of its own: `keys rotate` changes the
/// ledgers first, one after the other, and the key file at the end. A prior.
const SUCCESSION: Duration = Duration::from_secs(3);

/// How often it looks.
const SUCCESSION_POLL: Duration = Duration::from_millis(50);

/// The file of trusted keys in the data home.
const TRUST_FILE: &str = "trust";

/// More than anybody types.
const MAX_PASSPHRASE_BYTES: u64 = 4096;

/// Where keys live in the data home.
const KEYS_DIR: &str = "keys";

/// Places of the ledger and its key.
#[derive(Debug, Clone)]
pub struct Store {
    /// The folder of the ledger.
    pub ledger: PathBuf,
    ledger_is_default: bool,
    /// The file of the key that signs.
    pub key: PathBuf,
    key_is_default: bool,
    passphrase_file: Option<PathBuf>,
    trust: Option<String>,
    segment_bytes: u64,
    data_home: Option<PathBuf>,
    on_wait: Option<fn(&Holder)>,
}

/// The key to sign with, and the keys to believe.
#[derive(Clone, Debug)]
pub struct Keyring {
    /// The key that signs.
    pub key: SecretKey,
    trust: Trust,
}

/// A ledger that is ready to be appended to.
#[derive(Debug)]
pub struct Opened<'k> {
    ledger: Ledger<'k, DirStorage>,
    /// The file that is appended to.
    active: PathBuf,
    segment_bytes: u64,
    /// Lines for the user: what was made, what was repaired.
    pub notices: Vec<String>,
}

impl Store {
    /// The places that settings name.
    pub fn of(settings: &Settings, env: &Env) -> Result<Self> {
        let place = |setting: &Setting<Option<PathBuf>>| setting.value.clone().ok_or(Fault::NoHome);
        Ok(Self {
            ledger: place(&settings.ledger)?,
            ledger_is_default: settings.ledger.origin == Origin::Default,
            key: place(&settings.key)?,
            key_is_default: settings.key.origin == Origin::Default,
            passphrase_file: settings.key_passphrase_file.value.clone(),
            trust: settings.trust.value.clone(),
            segment_bytes: settings.segment_bytes.value.unwrap_or(SEGMENT_BYTES),
            data_home: env.data_home(),
            on_wait: None,
        })
    }

    /// A ledger in a folder with a key in a file, which may be made; nothing else is trusted.
    pub fn in_folder(ledger: &Path, key: &Path) -> Self {
        Self {
            ledger: ledger.to_owned(),
            ledger_is_default: false,
            key: key.to_owned(),
            key_is_default: true,
            passphrase_file: None,
            trust: None,
            segment_bytes: SEGMENT_BYTES,
            data_home: None,
            on_wait: None,
        }
    }

    /// Calls `tell` when another process keeps this one from writing for a second.
    #[must_use]
    pub fn on_wait(self, tell: fn(&Holder)) -> Self {
        Self { on_wait: Some(tell), ..self }
    }

    pub(crate) fn storage(&self) -> DirStorage {
        DirStorage::new(&self.ledger).on_wait(self.on_wait)
    }

    /// Folders in which anybody may put other files in the place of ours.
    pub(crate) fn exposed_folders(&self) -> impl Iterator<Item = PathBuf> {
        let folders = [Some(&*self.ledger), self.key.parent()].into_iter().flatten();
        let mode = |folder: &Path| folder.metadata().map_or(0, |found| found.permissions().mode());
        let open_to_all = folders.filter(move |folder| mode(folder) & 0o1002 == 0o0002);
        open_to_all.map(Path::to_owned)
    }

    /// The same, for the user.
    fn exposed(&self) -> impl Iterator<Item = String> {
        self.exposed_folders().map(|folder| {
            format!("anybody may put files into {}: its mode lets others write", folder.display())
        })
    }

    /// Sets aside all of the ledger from an offset on, with evidence and an entry that tells of it; what was done.
    pub(crate) fn set_aside(&self, keyring: &Keyring, keep: u64) -> Result<Vec<Repair>> {
        let Keyring { key, trust } = keyring;
        let (storage, now) = (self.storage(), Env::now());
        let opened = Ledger::open_setting_aside(storage, key, trust, now, options(), keep);
        Ok(opened.map_err(told_apart)?.repairs().to_vec())
    }

    /// The same store with another ledger directory.
    #[must_use]
    pub fn at(self, ledger: Option<&Path>) -> Self {
        match ledger {
            Some(path) => Self { ledger: path.to_owned(), ledger_is_default: false, ..self },
            None => self,
        }
    }

    /// The signing key and the trusted ones; the default key is made when it is missing, if the
    /// ledger is the default one too.
    pub fn keyring(&self) -> Result<Keyring> {
        if !self.exists() && !self.ledger_is_default {
            return Err(self.missing());
        }
        // A ledger without its key has lost it; a new one would sign nothing that it accepts.
        if self.exists() && self.key_is_default && !self.key.exists() {
            let (key, ledger) = (self.key.clone(), self.ledger.clone());
            return Err(Fault::KeyGone { key, ledger }.into());
        }
        let (key, _) = self.key(self.ledger_is_default)?;
        self.keyring_with(key)
    }

    /// Another key to sign with, and the trusted ones.
    pub fn keyring_with(&self, key: SecretKey) -> Result<Keyring> {
        if !self.exists() && !self.ledger_is_default {
            return Err(self.missing());
        }
        let trust = self.trusted(Some(&key))?;
        Ok(Keyring { key, trust })
    }

    /// Opens the ledger, or makes it if it is the default one and there is none; repairs what a
    /// crash left, and appends the records that commands have left behind.
    pub fn open<'k>(&self, keyring: &'k Keyring) -> Result<Opened<'k>> {
        self.open_within(keyring, PATIENCE)
    }

    /// The same, where another writer is waited for so long; appends wait as ever.
    pub fn open_within<'k>(&self, keyring: &'k Keyring, patience: Duration) -> Result<Opened<'k>> {
        let mut notices = Vec::new();
        if !self.exists() {
            notices.extend(self.init(&keyring.key)?);
        }
        notices.extend(self.exposed());
        let storage = self.storage();
        let now = Env::now();
        let options = WriterOptions { patience, ..options() };
        let mut ledger =
            Ledger::open_for_append(storage, &keyring.key, &keyring.trust, now, options)
                .map_err(told_apart)?;
        notices.extend(ledger.repairs().iter().map(|repair| self.tell(repair)));
        notices
            .extend(left_behind(&self.ledger).into_iter().map(|left| collect(left, &mut ledger)));
        ledger.set_patience(PATIENCE);
        let (active, segment_bytes) = (self.ledger.join(LEDGER_FILE), self.segment_bytes);
        Ok(Opened { ledger, active, segment_bytes, notices })
    }

    /// Whether an error says that something which the user named is not there, rather than that something
    /// is in the way.
    pub fn is_misnamed(&self, error: &anyhow::Error) -> bool {
        // Of a ledger that nobody named, this says that its key is gone.
        use LedgerError::{KeyNotInRoster, UntrustedLedger};
        let others =
            matches!(error.downcast_ref(), Some(UntrustedLedger { .. } | KeyNotInRoster { .. }));
        if others && !self.ledger_is_default {
            return true;
        }
        if matches!(error.downcast_ref(), Some(LedgerError::Continued { .. })) {
            return !self.ledger_is_default;
        }
        match error.downcast_ref() {
            Some(Fault::NoLedger { .. } | Fault::NotALedger { .. } | Fault::Legacy { .. }) => true,
            Some(Fault::NoKey { .. }) => !self.key_is_default,
            _ => false,
        }
    }

    /// As [`Store::open`], for many records; with lines for the user.
    pub fn pipeline(&self, keyring: Keyring) -> Result<(Pipeline, Vec<String>)> {
        let mut notices = Vec::new();
        if !self.exists() {
            notices.extend(self.init(&keyring.key)?);
        } else if !left_behind(&self.ledger).is_empty() {
            notices.extend(self.open(&keyring)?.notices);
        }
        notices.extend(self.exposed());
        let storage = self.storage();
        let segment_bytes = self.segment_bytes;
        let options = PipelineOptions { segment_bytes, ..PipelineOptions::new(options()) };
        let Keyring { key, trust } = keyring;
        let key = Arc::new(StoredKey { key, store: self.clone() });
        let pipeline =
            Pipeline::open(storage, key, trust, SystemClock, options).map_err(told_apart)?;
        notices.extend(pipeline.repairs().iter().map(|repair| self.tell(repair)));
        Ok((pipeline, notices))
    }

    /// Whether there is a ledger, of which at least a part is there; one that was about to take this place when
    /// something stopped it does so now.
    pub fn exists(&self) -> bool {
        let parts = [LEDGER_FILE, SEGMENT_DIR];
        let there = || parts.iter().any(|part| self.ledger.join(part).exists());
        there() || (arrive(&self.ledger) && there())
    }

    /// Why there is no ledger: none was begun, or its lines are gone.
    pub fn missing(&self) -> anyhow::Error {
        match lines_gone(&mut self.storage()) {
            Some(error) => error.into(),
            None => Fault::NoLedger { path: self.ledger.clone() }.into(),
        }
    }

    /// Makes a ledger; a notice unless another process was faster.
    pub fn init(&self, key: &SecretKey) -> Result<Option<String>> {
        self.make(key, &GenesisOptions::default())
    }

    /// Makes a ledger that may promise another durability or continue an older one; a notice unless
    /// there is one already.
    pub fn make(&self, key: &SecretKey, genesis: &GenesisOptions) -> Result<Option<String>> {
        let storage = self.storage();
        let (id, now) = (Env::random()?, Env::now());
        let made = Ledger::create_as(storage, key, id, now, options(), genesis);
        match made {
            Ok(_) => Ok(Some(format!(
                "made the ledger {}, signed by the key {} ({})",
                self.ledger.display(),
                self.key.display(),
                key.public_key().fingerprint()
            ))),
            Err(LedgerError::LedgerExists { .. }) => Ok(None),
            Err(error) => Err(told_apart(error)),
        }
    }

    /// The signing key; made when it is missing and may be made.
    pub fn key(&self, may_make: bool) -> Result<(SecretKey, KeyOrigin)> {
        if self.key.exists() {
            return Ok((self.secret(&self.key)?, KeyOrigin::Existing));
        }
        if !(may_make && self.key_is_default) {
            return Err(Fault::NoKey { path: self.key.clone() }.into());
        }
        let passphrase = self.passphrase()?;
        let protection = match &passphrase {
            None => None,
            Some(passphrase) => Some(Protection { passphrase, entropy: Env::random()? }),
        };
        create_secret_under(&self.key, &Env::random()?, protection).map_err(told_apart)
    }

    /// The secret key in a file, opened with the passphrase if it has one.
    pub fn secret(&self, path: &Path) -> Result<SecretKey> {
        match load_secret_under(path, None) {
            Err(LedgerError::KeyEncrypted { path }) => {
                Ok(load_secret_under(&path, self.passphrase()?.as_ref())?)
            }
            other => Ok(other?),
        }
    }

    /// The public key of a key file, without its passphrase if that can be.
    pub fn public(&self, path: &Path) -> Result<PublicKey> {
        match load_public(path, None) {
            Err(LedgerError::KeyEncrypted { path }) => Ok(self.secret(&path)?.public_key()),
            other => Ok(other?),
        }
    }

    /// The passphrase, if there is a file for it.
    pub fn passphrase(&self) -> Result<Option<Passphrase>> {
        self.passphrase_file.as_deref().map(read_passphrase).transpose()
    }

    /// The file of trusted keys.
    pub fn trust_file(&self) -> Result<PathBuf> {
        Ok(self.data_home.as_ref().ok_or(Fault::NoHome)?.join(TRUST_FILE))
    }

    /// Every key file: the one that signs first, then those beside it and in the data home.
    pub fn key_files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.key.clone()];
        files.extend(self.key.parent().map(key_files).unwrap_or_default());
        files.extend(self.data_home.iter().flat_map(|home| key_files(&home.join(KEYS_DIR))));
        let mut seen = BTreeSet::new();
        files.retain(|path| path.exists() && seen.insert(path.clone()));
        files
    }

    /// Keys that a verification accepts: those given, else those of the key store.
    pub fn trusted(&self, own: Option<&SecretKey>) -> Result<Trust> {
        if let Some(given) = &self.trust {
            return Ok(trust_from(given)?);
        }
        let mut trust = Trust::new();
        if let Some(home) = &self.data_home {
            let file = home.join(TRUST_FILE);
            if file.exists() {
                trust = load_trust(&file)?;
            }
            for path in key_files(&home.join(KEYS_DIR)) {
                trust.insert(self.public(&path)?);
            }
        }
        if self.key.exists() {
            trust.insert(self.public(&self.key)?);
        }
        if let Some(own) = own {
            trust.insert(own.public_key());
        }
        Ok(trust)
    }

    fn tell(&self, repair: &Repair) -> String {
        let ledger = self.ledger.display();
        match repair {
            Repair::Completed { seq } => {
                format!(
                    "entry {seq} of {ledger} lacked its newline, which a crash had cut off; added"
                )
            }
            Repair::SetAside { removed_bytes, evidence } => format!(
                "an interrupted write at the end of {ledger} ({removed_bytes} bytes) was moved to \
                 {evidence}; no acknowledged record is lost"
            ),
            Repair::Recorded { seq, evidence } => {
                format!("entry {seq} of {ledger} now tells of {evidence}")
            }
            _ => format!("{ledger} was repaired"),
        }
    }
}

/// The key in the store's file, and after it whichever `keys rotate` puts in its place.
struct StoredKey {
    key: SecretKey,
    store: Store,
}

impl Signer for StoredKey {
    fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    fn sign(&self, message: &[u8]) -> carbon_ops_proof::Result<[u8; 64]> {
        self.key.sign(message)
    }

    fn signs_here(&self) -> bool {
        self.key.signs_here()
    }

    fn successor(&self) -> Option<Arc<dyn Signer>> {
        let began = Env::monotonic();
        // Of standard input, which the records come from, nothing is read as a passphrase.
        while self.store.passphrase_file.as_deref() != Some(Path::new("-")) {
            let found = self.store.public(&self.store.key).ok();
            if found.is_some_and(|found| found != self.key.public_key()) {
                let (key, store) = (self.store.secret(&self.store.key).ok()?, self.store.clone());
                return Some(Arc::new(Self { key, store }));
            }
            if Env::monotonic().saturating_sub(began) >= SUCCESSION {
                break;
            }
            std::thread::sleep(SUCCESSION_POLL);
        }
        None
    }
}

/// The clocks of the machine.
struct SystemClock;

impl Clock for SystemClock {
    fn utc(&self) -> Timestamp {
        Env::now()
    }

    fn monotonic(&self) -> Duration {
        Env::monotonic()
    }
}

/// The first line of a file, or of standard input.
pub fn read_passphrase(path: &Path) -> Result<Passphrase> {
    let mut text = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(MAX_PASSPHRASE_BYTES).read_to_end(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(MAX_PASSPHRASE_BYTES).read_to_end(&mut text))
    };
    read.with_context(|| format!("cannot read the passphrase in {}", path.display()))?;
    Ok(Passphrase::first_line(&text)?)
}

impl<'k> Opened<'k> {
    /// The ledger itself, and the time.
    pub fn ledger(&mut self) -> (&mut Ledger<'k, DirStorage>, Timestamp) {
        (&mut self.ledger, Env::now())
    }

    /// Appends a record of any version; when this returns, it is on the disk.
    pub fn append_object(&mut self, payload: Object) -> Result<Appended> {
        Ok(self.ledger.append(payload, Env::now())?)
    }

    /// Signs a checkpoint if there has been none for long.
    pub fn checkpoint_if_due(&mut self) -> Result<Option<SignedCheckpoint>> {
        if self.ledger.checkpoint_due() { self.checkpoint().map(Some) } else { Ok(None) }
    }

    /// Adds what witnesses answered to a checkpoint.
    pub fn add_cosignatures(
        &mut self,
        checkpoint: &Note,
        signatures: Vec<NoteSignature>,
    ) -> Result<Note> {
        self.ledger.add_cosignatures(checkpoint, signatures).map_err(told_apart)
    }

    /// A checkpoint of this ledger, for those who are asked about it.
    pub fn signed(&self, checkpoint: Checkpoint, note: Note) -> Signed {
        Signed { ledger: self.active.clone(), checkpoint, note }
    }

    /// The ledger's name.
    pub fn ledger_id(&self) -> LedgerId {
        self.ledger.ledger_id()
    }

    /// The keys that may sign now.
    pub fn keys(&self) -> &[PublicKey] {
        self.ledger.roster().keys()
    }

    /// Seals the active file if it has grown beyond a limit.
    pub fn seal_if_due(&mut self) -> Result<()> {
        // A look without the lock, which only decides whether to look with it.
        if self.active.metadata().is_ok_and(|file| file.len() > self.segment_bytes) {
            let now = Env::now();
            self.ledger.seal(self.segment_bytes, now).map_err(told_apart)?;
        }
        Ok(())
    }

    /// Seals whatever is not sealed.
    pub fn seal(&mut self) -> Result<Option<SegmentName>> {
        self.ledger.seal(0, Env::now()).map_err(told_apart)
    }

    /// Signs a checkpoint of the ledger as it is.
    pub fn checkpoint(&mut self) -> Result<SignedCheckpoint> {
        self.ledger.checkpoint(Env::now()).map_err(told_apart)
    }
}

/// Appends a record that a command has left behind, and takes it away; a line for the user.
fn collect((spooled, record): (Spooled, Record), ledger: &mut Ledger<'_, DirStorage>) -> String {
    let workload = record.measurement.as_ref().and_then(|measured| measured.workload.as_ref());
    let program = workload.map_or("?", |workload| &workload.program);
    let ended = if record.interrupted == Some(true) { ", interrupted" } else { "" };
    let what = format!("{} of {}{ended}", plain(program), record.start_ts);
    let appended = payload(&record).and_then(|payload| Ok(ledger.append(payload, Env::now())?));
    match appended {
        // A record that stays is appended again, and counts once.
        Ok(appended) => {
            let _ = spooled.discard();
            format!("appended the record of {what}, as entry {}", appended.seq)
        }
        Err(error) => {
            format!("{} stays where it is: {error:#}", spooled.path().display())
        }
    }
}

/// Tells what stands in the way of writing from what is wrong with the ledger.
fn told_apart(error: LedgerError) -> anyhow::Error {
    match &error {
        LedgerError::Io { source, .. } | LedgerError::NotStored { source, .. }
            if in_the_way(source.kind()) =>
        {
            Fault::CannotWrite(error).into()
        }
        _ => error.into(),
    }
}

/// The folder in which a ledger is made that is to take the place of another.
pub(crate) fn next_to(ledger: &Path) -> PathBuf {
    named_after(ledger, "next")
}

/// The folder beside a ledger's that has its name and an ending.
pub(crate) fn named_after(ledger: &Path, ending: &str) -> PathBuf {
    // Without a slash at the end.
    let mut name = ledger.components().as_path().as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Gives a ledger that continues another the place of that one, which has left it; true unless there is none, or
/// somebody else did.
pub(crate) fn arrive(ledger: &Path) -> bool {
    let next = next_to(ledger);
    let before = fs::read_to_string(next.join(BEFORE_FILE)).unwrap_or_default();
    if before.is_empty() || ledger.exists() || fs::rename(&next, ledger).is_err() {
        return false;
    }
    // A measurement that goes on finds its record by the old name.
    let left = ledger.join(before.trim_end_matches('\n')).join(SPOOL_DIR);
    let _ = fs::rename(left, ledger.join(SPOOL_DIR));
    let parent = ledger.parent().filter(|parent| !parent.as_os_str().is_empty());
    let _ = File::open(parent.unwrap_or(Path::new("."))).and_then(|parent| parent.sync_all());
    true
}

fn in_the_way(kind: ErrorKind) -> bool {
    use ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(kind, PermissionDenied | ReadOnlyFilesystem | StorageFull | QuotaExceeded)
}

fn options() -> WriterOptions {
    WriterOptions { tool: TOOL.to_owned(), patience: PATIENCE }
}

fn key_files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "pem")).collect()
}
