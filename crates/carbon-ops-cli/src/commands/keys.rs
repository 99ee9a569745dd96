//! `carbon-ops keys`: make and show signing keys, change who may write to a ledger, and whom to trust.
//!
//! The order of a change of the default key: the new key is durable as `next.pem`; each ledger has the
//! change; the old key has a name of its own; `next.pem` becomes the default key. After an interruption
//! at any point the same command goes on, because `next.pem` is still there.

use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use carbon_ops::ledger::Error as LedgerError;
use carbon_ops::ledger::append::Rotation;
use carbon_ops::ledger::keys::{
    KeyOrigin, Protection, PublicKey, SecretKey, Signer as _, TrustedKey, add_to_trust_file,
    create_secret_under, load_public, load_secret, remove_from_trust_file, replace_secret,
    trust_from, trusted_in_file,
};
use carbon_ops::ledger::segment::LedgerReader;
use carbon_ops::ledger::storage::LEDGER_FILE;
use carbon_ops::proof::entry::{
    AddedKey, EntryHash, Head, LedgerId, RetiredKey, RotationReason, possession_text,
};
use carbon_ops::proof::verify::{Status, verify};
use carbon_ops::record::timestamp;
use serde_json::{Map, Value, json};

use crate::args::{Keys, KeysGenerate, KeysProve, KeysRotate, KeysShow, KeysTrust};
use carbon_ops::env::Env;
use carbon_ops::settings::{Overrides, Settings};
use carbon_ops::store::{Opened, Store, read_passphrase};

/// The key that is about to become the default one.
const NEXT: &str = "next.pem";

pub(crate) fn run(
    command: &Keys,
    env: &Env,
    config: Option<&Path>,
    out: &mut impl Write,
) -> Result<u8> {
    let settings = Settings::resolve(env, config, &Overrides::default())?;
    match command {
        Keys::Generate(args) => generate(args, &settings, env, out),
        Keys::Show(args) => show(args, &settings, env, out),
        Keys::Rotate(args) => rotate(args, &Store::of(&settings, env)?, out),
        Keys::Prove(args) => prove(args, &Store::of(&settings, env)?, out),
        Keys::Trust(args) => trust(args, &Store::of(&settings, env)?, out),
    }
}

fn generate(
    args: &KeysGenerate,
    settings: &Settings,
    env: &Env,
    out: &mut impl Write,
) -> Result<u8> {
    let path = place(args.path.as_deref(), settings, env)?;
    let named = args.passphrase_file.as_deref().or(settings.key_passphrase_file.value.as_deref());
    let passphrase = named.map(read_passphrase).transpose()?;
    let protection = match &passphrase {
        None => None,
        Some(passphrase) => Some(Protection { passphrase, entropy: Env::random()? }),
    };
    let (key, origin) = create_secret_under(&path, &Env::random()?, protection)?;
    let public = key.public_key();
    if origin == KeyOrigin::Existing {
        bail!(
            "there is a key in {} already ({}); it was left alone\nhint: give another path",
            path.display(),
            public.fingerprint()
        );
    }
    if args.json {
        let report = json!({ "schema_version": 1, "path": path.display().to_string(),
            "public_key": public.to_hex(), "fingerprint": public.fingerprint(),
            "encrypted": passphrase.is_some() });
        writeln!(out, "{report:#}")?;
        return Ok(0);
    }
    writeln!(out, "made {}\n{}\n{}", path.display(), public.to_hex(), public.fingerprint())?;
    if passphrase.is_some() {
        writeln!(out, "it is encrypted; CARBON_OPS_KEY_PASSPHRASE_FILE names the file to open it")?;
    }
    Ok(0)
}

fn show(args: &KeysShow, settings: &Settings, env: &Env, out: &mut impl Write) -> Result<u8> {
    let path = place(args.path.as_deref(), settings, env)?;
    if !path.exists() {
        bail!(
            "there is no key in {} yet\nhint: the first `carbon-ops run` makes it, or \
             `carbon-ops keys generate`",
            path.display()
        );
    }
    let encrypted = matches!(load_secret(&path), Err(LedgerError::KeyEncrypted { .. }));
    let passphrase = settings.key_passphrase_file.value.as_deref().filter(|_| encrypted);
    let passphrase = passphrase.map(read_passphrase).transpose()?;
    let public = load_public(&path, passphrase.as_ref())?;
    let opened = !encrypted || passphrase.is_some();
    if args.json {
        let mut report = json!({ "schema_version": 1, "path": path.display().to_string(),
            "public_key": public.to_hex(), "fingerprint": public.fingerprint() });
        if let (true, Some(report)) = (encrypted, report.as_object_mut()) {
            report.insert("encrypted".into(), true.into());
            report.insert("opened".into(), opened.into());
        }
        writeln!(out, "{report:#}")?;
    } else {
        writeln!(out, "file         {}", path.display())?;
        writeln!(out, "public key   {}", public.to_hex())?;
        writeln!(out, "fingerprint  {}", public.fingerprint())?;
        if encrypted {
            let how = if opened {
                "yes, and the passphrase opens it"
            } else {
                "yes; this is what the file .pub beside it says"
            };
            writeln!(out, "encrypted    {how}")?;
        }
    }
    Ok(0)
}

fn rotate(args: &KeysRotate, store: &Store, out: &mut impl Write) -> Result<u8> {
    let ledgers =
        if args.paths.is_empty() { vec![store.ledger.clone()] } else { args.paths.clone() };
    if args.compromised_since.is_some() && args.reason != Some(RotationReason::KeyCompromise) {
        bail!("entries are suspect only of a stolen key\nhint: add --reason key_compromise");
    }
    if args.add.is_empty() && args.retire.is_empty() {
        let mut told = Told::new(args.json, out);
        renew(args, store, &ledgers, &mut told)?;
        return told.finish();
    }
    let mut told = Told::new(args.json, out);
    let keyring = store.keyring()?;
    for ledger in &ledgers {
        let store = store.clone().at(Some(ledger));
        let mut opened = store.open(&keyring)?;
        let rotation = Rotation {
            add: Vec::new(),
            add_proven: args.add.iter().map(|text| added(text)).collect::<Result<_>>()?,
            retire: args.retire.iter().map(|key| retired(*key, args)).collect(),
            reason: args.reason,
        };
        let seq = change(&mut opened, &rotation)?;
        let added: Vec<PublicKey> = rotation.add_proven.iter().map(|key| key.public_key).collect();
        let text = format!("{} added, {} retired", args.add.len(), args.retire.len());
        told.entry(ledger, seq, (&added, &args.retire), &text)?;
    }
    told.finish()
}

/// Tells what a change of keys did: text at once, JSON at the end.
struct Told<'o, W> {
    out: &'o mut W,
    json: bool,
    entries: Vec<Value>,
    report: Map<String, Value>,
}

impl<'o, W: Write> Told<'o, W> {
    fn new(json: bool, out: &'o mut W) -> Self {
        Self { out, json, entries: Vec::new(), report: Map::new() }
    }

    fn line(&mut self, text: &str) -> Result<()> {
        if !self.json {
            writeln!(self.out, "{text}")?;
        }
        Ok(())
    }

    fn member(&mut self, name: &str, value: impl Into<Value>) {
        self.report.insert(name.to_owned(), value.into());
    }

    fn entry(
        &mut self,
        ledger: &Path,
        seq: u64,
        (added, retired): (&[PublicKey], &[PublicKey]),
        text: &str,
    ) -> Result<()> {
        let hex = |keys: &[PublicKey]| keys.iter().map(|key| key.to_hex()).collect::<Vec<_>>();
        self.entries.push(json!({ "ledger": ledger.display().to_string(), "seq": seq,
            "added": hex(added), "retired": hex(retired) }));
        self.line(&format!("entry {seq} of {}: {text}", ledger.display()))
    }

    fn finish(mut self) -> Result<u8> {
        if self.json {
            let entries = std::mem::take(&mut self.entries);
            self.member("schema_version", 1);
            self.member("entries", entries);
            writeln!(self.out, "{:#}", Value::Object(self.report))?;
        }
        Ok(0)
    }
}

/// A new default key, in the place of the one there is.
fn renew(
    args: &KeysRotate,
    store: &Store,
    ledgers: &[PathBuf],
    told: &mut Told<'_, impl Write>,
) -> Result<()> {
    let (old, _) = store.key(false)?;
    let next = store.key.with_file_name(NEXT);
    let begun = next.exists();
    if !begun {
        // A ledger that was left out last time: it gets the default key and no newer one.
        let behind: Vec<&PathBuf> =
            ledgers.iter().filter(|ledger| !may_write(store, ledger, &old)).collect();
        if !behind.is_empty() {
            for ledger in behind {
                join(args, store, ledger, &old, told)?;
            }
            return Ok(());
        }
    }
    let passphrase = store.passphrase()?;
    let protection = match &passphrase {
        None => None,
        Some(passphrase) => Some(Protection { passphrase, entropy: Env::random()? }),
    };
    let (new, _) = create_secret_under(&next, &Env::random()?, protection)?;
    for ledger in ledgers {
        if !(begun && may_write(store, ledger, &new)) {
            join(args, store, ledger, &new, told)?;
        }
    }
    let (old, new) = (old.public_key(), new.public_key());
    if args.destroy_old {
        // It began these ledgers, perhaps, and they are verified by trusting it.
        let comment = format!("replaced by {} on {}", new.fingerprint(), today());
        add_to_trust_file(&store.trust_file()?, old, &comment)?;
        replace_secret(&store.key, &next, None)?;
        told.line(&format!("the old key {} was removed", old.fingerprint()))?;
    } else {
        let kept = store.key.with_file_name(format!("{}.pem", short(old)));
        replace_secret(&store.key, &next, Some(&kept))?;
        told.line(&format!("the old key {} is kept in {}", old.fingerprint(), kept.display()))?;
        told.member("old_key_file", kept.display().to_string());
    }
    told.member("default_key", new.to_hex());
    told.member("replaced_key", old.to_hex());
    told.line(&format!("the default key is now {} ({})", new.to_hex(), new.fingerprint()))?;
    Ok(())
}

/// Lets a key of ours join a ledger, by and in the place of one of ours that may write there.
fn join(
    args: &KeysRotate,
    store: &Store,
    ledger: &Path,
    joins: &SecretKey,
    told: &mut Told<'_, impl Write>,
) -> Result<()> {
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
            retire: vec![retired(key.public_key(), args)],
            reason: Some(args.reason.unwrap_or(RotationReason::Superseded)),
        };
        let seq = change(&mut opened, &rotation)?;
        let (left, joined) = (key.public_key(), joins.public_key());
        let text = format!("{} in the place of {}", joined.fingerprint(), left.fingerprint());
        told.entry(ledger, seq, (&[joined], &[left]), &text)?;
        return Ok(());
    }
    Err(anyhow!(
        "none of the keys here may write to {}\nhint: its writer can let one join: `carbon-ops keys \
         prove` here, then `keys rotate --add` there",
        ledger.display()
    ))
}

fn change(opened: &mut Opened<'_>, rotation: &Rotation<'_>) -> Result<u64> {
    let (ledger, now) = opened.ledger();
    Ok(ledger.rotate(rotation, &now)?.seq)
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

fn retired(key: PublicKey, args: &KeysRotate) -> RetiredKey {
    RetiredKey { public_key: key, compromised_since: args.compromised_since }
}

/// What `keys prove` printed.
fn added(text: &str) -> Result<AddedKey> {
    let parts = text.trim().split_once(':').and_then(|(key, proof)| {
        let proof = proof_of_hex(proof)?;
        Some(AddedKey { public_key: PublicKey::from_hex(key).ok()?, proof })
    });
    parts.ok_or_else(|| {
        anyhow!(
            "{text:?} is no key with its proof\nhint: give what `carbon-ops keys prove` printed"
        )
    })
}

fn proof_of_hex(text: &str) -> Option<[u8; 64]> {
    let bytes: Option<Vec<u8>> = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect();
    bytes?.try_into().ok()
}

fn prove(args: &KeysProve, store: &Store, out: &mut impl Write) -> Result<u8> {
    let path = args.path.clone().unwrap_or_else(|| store.ledger.clone());
    let path = if path.is_dir() { path.join(LEDGER_FILE) } else { path };
    let (key, _) = store.key(false)?;
    let cannot = || format!("cannot read the ledger {}", path.display());
    let reader = BufReader::new(LedgerReader::open(&path).with_context(cannot)?);
    let report =
        verify(reader, &store.trusted(Some(&key))?, &mut |_| Ok(())).with_context(cannot)?;
    if report.status != Status::Valid {
        bail!(
            "{} is not one to join: it is not valid, or its first key is not trusted here\nhint: \
             `carbon-ops ledger verify` says what is wrong; `carbon-ops keys trust` adds a key",
            path.display()
        );
    }
    let may: Vec<PublicKey> = report
        .keys
        .iter()
        .filter(|key| key.retired_seq.is_none())
        .filter_map(|key| PublicKey::from_hex(&key.public_key).ok())
        .collect();
    let signer = match (args.signer, &may[..]) {
        (Some(signer), _) if may.contains(&signer) => signer,
        (Some(signer), _) => bail!("the key {signer} may not write to {}", path.display()),
        (None, [only]) => *only,
        (None, _) => bail!(
            "several keys may write to {}\nhint: name the one that will sign with --signer",
            path.display()
        ),
    };
    let id = report.ledger_id.as_deref().and_then(LedgerId::from_hex);
    let hash = report.head_hash.as_deref().and_then(EntryHash::from_hex);
    let (Some(id), Some(seq), Some(hash)) = (id, report.last_seq, hash) else {
        bail!("{} has no last entry", path.display());
    };
    let head = Head { seq, hash };
    let proof = key.sign(possession_text(id, &head, signer, key.public_key()).as_bytes())?;
    let proof = proof.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let joins = format!("{}:{proof}", key.public_key());
    if args.json {
        let report = json!({ "schema_version": 1, "ledger_id": id.to_string(), "after_seq": seq,
            "signer": signer.to_hex(), "public_key": key.public_key().to_hex(), "add": joins });
        writeln!(out, "{report:#}")?;
    } else {
        writeln!(out, "{joins}")?;
    }
    Ok(0)
}

fn trust(args: &KeysTrust, store: &Store, out: &mut impl Write) -> Result<u8> {
    let file = store.trust_file()?;
    if args.list {
        return list_trusted(args, store, &file, out);
    }
    let mut done: Vec<(TrustedKey, &str, &str)> = Vec::new();
    if let Some(key) = args.remove {
        if !remove_from_trust_file(&file, key)? {
            bail!("{} is not in {}", key.fingerprint(), file.display());
        }
        done.push((key, "removed", "is not trusted any more"));
    } else {
        let given = args.key.as_deref().unwrap_or_default();
        for key in trust_from(given)?.iter() {
            let new = add_to_trust_file(&file, key, args.comment.as_deref().unwrap_or_default())?;
            done.push(if new {
                (key, "added", "is trusted from now on")
            } else {
                (key, "there_already", "was trusted already")
            });
        }
    }
    if args.json {
        let keys: Vec<Value> = done
            .iter()
            .map(|(key, change, _)| {
                json!({ "public_key": hex(*key), "fingerprint": key.fingerprint(),
                    "change": change })
            })
            .collect();
        let file = file.display().to_string();
        let report = json!({ "schema_version": 1, "file": file, "keys": keys });
        writeln!(out, "{report:#}")?;
        return Ok(0);
    }
    for (key, _, text) in done {
        writeln!(out, "{} {text}", key.fingerprint())?;
    }
    Ok(0)
}

fn list_trusted(args: &KeysTrust, store: &Store, file: &Path, out: &mut impl Write) -> Result<u8> {
    let mut keys = Vec::new();
    for (key, comment) in trusted_in_file(file)? {
        keys.push((key, comment, None));
    }
    for path in store.key_files() {
        let comment = format!("own key, in {}", path.display());
        keys.push((store.public(&path)?.into(), comment, Some(path)));
    }
    if args.json {
        let keys: Vec<Value> = keys
            .iter()
            .map(|(key, comment, path)| {
                let own = path.as_ref().map(|path| path.display().to_string());
                json!({ "public_key": hex(*key), "fingerprint": key.fingerprint(),
                    "comment": comment, "own_key_file": own })
            })
            .collect();
        let file = file.display().to_string();
        let report = json!({ "schema_version": 1, "file": file, "keys": keys });
        writeln!(out, "{report:#}")?;
        return Ok(0);
    }
    for (key, comment, _) in keys {
        match key.key() {
            Some(key) => writeln!(out, "{key} {}  {comment}", key.fingerprint())?,
            None => writeln!(out, "{}  {comment}", key.fingerprint())?,
        }
    }
    Ok(0)
}

/// Of a key that is known by its fingerprint alone there are no digits.
fn hex(key: TrustedKey) -> Option<String> {
    key.key().map(PublicKey::to_hex)
}

fn place(path: Option<&Path>, settings: &Settings, env: &Env) -> Result<PathBuf> {
    match path {
        Some(path) => Ok(path.to_owned()),
        None => Ok(Store::of(settings, env)?.key),
    }
}

/// The first digits of a key, for the name of its file.
fn short(key: PublicKey) -> String {
    key.to_hex().chars().take(16).collect()
}

fn today() -> String {
    timestamp(Env::now()).chars().take(10).collect()
}
