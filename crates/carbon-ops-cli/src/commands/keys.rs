//! `carbon-ops keys`: make and show signing keys, change who may write to a ledger, and whom to trust.
//!
//! Out of scope: how keys change ([`carbon_ops::keys`]).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use carbon_ops::env::Env;
use carbon_ops::keys::{Changed, Members, Replaced, Why, added, agree, change_members, renew};
use carbon_ops::ledger::Error as LedgerError;
use carbon_ops::ledger::keys::{
    KeyOrigin, Protection, PublicKey, TrustedKey, add_to_trust_file, create_secret_under,
    load_public, load_secret, remove_from_trust_file, trust_from, trusted_in_file,
};
use carbon_ops::store::{Store, read_passphrase};
use serde_json::{Value, json};

use crate::args::{AtKey, Keys, KeysGenerate, KeysProve, KeysRotate, KeysTrust};
use crate::context::Context;
use crate::layout::Table;
use crate::render::add;

pub(crate) fn run(command: &Keys, context: &mut Context<'_>) -> Result<u8> {
    match command {
        Keys::Generate(args) => generate(args, context),
        Keys::Show(at) => show(at, context),
        Keys::Rotate(args) => rotate(args, context),
        Keys::Prove(args) => prove(args, context),
        Keys::Trust(args) => trust(args, context),
    }
}

fn generate(args: &KeysGenerate, context: &mut Context<'_>) -> Result<u8> {
    let path = place(&args.at, context)?;
    let configured = context.settings.key_passphrase_file.value.as_deref();
    let passphrase = args.passphrase_file.as_deref().or(configured);
    let passphrase = passphrase.map(read_passphrase).transpose()?;
    let protection = match &passphrase {
        None => None,
        Some(passphrase) => Some(Protection { passphrase, entropy: Env::random()? }),
    };
    let (key, origin) = create_secret_under(&path, &Env::random()?, protection)?;
    let (key, fingerprint) = (key.public_key().to_hex(), key.public_key().fingerprint());
    let file = path.display().to_string();
    if origin == KeyOrigin::Existing {
        bail!(
            "there is a key in {file} already ({fingerprint}); it was left alone\nhint: give another path"
        );
    }
    let mut text = format!("made {file}\n{key}\n{fingerprint}");
    if passphrase.is_some() {
        text += "\nit is encrypted; CARBON_OPS_KEY_PASSPHRASE_FILE names the file to open it";
    }
    let report = json!({ "path": file, "public_key": key, "fingerprint": fingerprint,
        "encrypted": passphrase.is_some() });
    context.answer(&args.at.output, report, &text)
}

fn show(at: &AtKey, context: &mut Context<'_>) -> Result<u8> {
    let path = place(at, context)?;
    let file = path.display().to_string();
    if !path.exists() {
        bail!(
            "there is no key in {file} yet\nhint: the first `carbon-ops run` makes it, or \
             `carbon-ops keys generate`"
        );
    }
    let encrypted = matches!(load_secret(&path), Err(LedgerError::KeyEncrypted { .. }));
    let passphrase = context.settings.key_passphrase_file.value.as_deref();
    let passphrase = passphrase.filter(|_| encrypted).map(read_passphrase).transpose()?;
    let public = load_public(&path, passphrase.as_ref())?;
    let (key, fingerprint) = (public.to_hex(), public.fingerprint());
    let mut table = Table::new(&["", ""]);
    table.row(["file", &file]);
    table.row(["public key", &key]);
    table.row(["fingerprint", &fingerprint]);
    let mut report = json!({ "path": file, "public_key": key, "fingerprint": fingerprint });
    if encrypted {
        let opened = passphrase.is_some();
        add(&mut report, [("encrypted", true.into()), ("opened", opened.into())]);
        let how = if opened {
            "yes, and the passphrase opens it"
        } else {
            "yes; this is what the file .pub beside it says"
        };
        table.row(["encrypted", how]);
    }
    context.answer(&at.output, report, &table.text())
}

fn rotate(args: &KeysRotate, context: &mut Context<'_>) -> Result<u8> {
    let store = &context.store(None)?;
    let default = [store.ledger.clone()];
    let ledgers = if args.paths.is_empty() { &default[..] } else { &args.paths };
    let why = Why { reason: args.reason, compromised_since: args.compromised_since };
    let renews = args.add.is_empty() && args.retire.is_empty();
    let (mut entries, mut text) = (Vec::new(), String::new());
    let mut done = |changed: Changed| {
        let Changed { ledger, seq, added, retired } = changed;
        let ledger = ledger.display().to_string();
        let what = match (&added[..], &retired[..]) {
            ([joined], [left]) if renews => {
                format!("{} in place of {}", joined.fingerprint(), left.fingerprint())
            }
            _ => format!("{} added, {} retired", added.len(), retired.len()),
        };
        // At once: what comes after may fail, and this stays.
        if !args.output.json {
            context.say(&format!("entry {seq} of {ledger}: {what}\n"))?;
        }
        let hex = |keys: &[PublicKey]| keys.iter().map(|key| key.to_hex()).collect::<Vec<_>>();
        entries.push(json!({ "ledger": ledger, "seq": seq, "added": hex(&added),
            "retired": hex(&retired) }));
        Ok(())
    };
    let replaced = if renews {
        renew(store, ledgers, why, args.destroy_old, &mut done)?
    } else {
        let add = args.add.iter().map(|text| added(text)).collect::<Result<Vec<_>>>()?;
        let members = Members { add: &add, retire: &args.retire, why };
        change_members(store, ledgers, members, &mut done)?;
        None
    };
    let mut report = json!({ "entries": entries });
    if let Some(Replaced { old, new, kept }) = replaced {
        let keys = [("default_key", new.to_hex().into()), ("replaced_key", old.to_hex().into())];
        add(&mut report, keys);
        let fate = match kept.map(|kept| kept.display().to_string()) {
            Some(kept) => {
                add(&mut report, [("old_key_file", kept.as_str().into())]);
                format!("is kept in {kept}")
            }
            None => "was removed".to_owned(),
        };
        let (was, is) = (old.fingerprint(), new.fingerprint());
        let _ = writeln!(text, "the old key {was} {fate}");
        let _ = writeln!(text, "the default key is now {} ({is})", new.to_hex());
    }
    context.answer(&args.output, report, &text)
}

fn prove(args: &KeysProve, context: &mut Context<'_>) -> Result<u8> {
    let store = context.store(None)?;
    let path = args.at.path.as_deref().unwrap_or(&store.ledger);
    let agreement = agree(&store, path, args.signer)?;
    let joins = agreement.text();
    let report = json!({ "ledger_id": agreement.ledger_id.to_string(), "add": joins,
        "after_seq": agreement.after_seq, "signer": agreement.signer.to_hex(),
        "public_key": agreement.key.public_key.to_hex() });
    context.hand_over(&args.at.output, report, &joins)
}

fn trust(args: &KeysTrust, context: &mut Context<'_>) -> Result<u8> {
    let store = context.store(None)?;
    let file = store.trust_file()?;
    if args.list {
        return list_trusted(args, &store, &file, context);
    }
    let mut done: Vec<(TrustedKey, &str, &str)> = Vec::new();
    if let Some(key) = args.remove {
        if !remove_from_trust_file(&file, key)? {
            bail!("{} is not in {}", key.fingerprint(), file.display());
        }
        done.push((key, "removed", "is no longer trusted"));
    } else {
        let comment = args.comment.as_deref().unwrap_or_default();
        for key in trust_from(args.key.as_deref().unwrap_or_default())?.iter() {
            done.push(if add_to_trust_file(&file, key, comment)? {
                (key, "added", "is trusted from now on")
            } else {
                (key, "there_already", "was trusted already")
            });
        }
    }
    let keys = done.iter().map(|(key, change, _)| {
        json!({ "public_key": hex(*key), "fingerprint": key.fingerprint(), "change": change })
    });
    let keys = keys.collect::<Vec<_>>();
    let text = done.iter().map(|(key, _, what)| format!("{} {what}", key.fingerprint()));
    let report = json!({ "file": file.display().to_string(), "keys": keys });
    context.answer(&args.output, report, &text.collect::<Vec<_>>().join("\n"))
}

fn list_trusted(
    args: &KeysTrust,
    store: &Store,
    file: &Path,
    context: &mut Context<'_>,
) -> Result<u8> {
    let (mut keys, mut table) = (Vec::<Value>::new(), Table::new(&["", "", ""]));
    let mut list = |key: TrustedKey, comment: String, own: Option<String>| {
        let (digits, fingerprint) = (hex(key), key.fingerprint());
        keys.push(json!({ "public_key": digits, "fingerprint": fingerprint, "comment": comment,
            "own_key_file": own }));
        table.row([digits.unwrap_or_default(), fingerprint, comment]);
    };
    for (key, comment) in trusted_in_file(file)? {
        list(key, comment, None);
    }
    for path in store.key_files() {
        let own = path.display().to_string();
        list(store.public(&path)?.into(), format!("own key, in {own}"), Some(own));
    }
    let report = json!({ "file": file.display().to_string(), "keys": keys });
    context.answer(&args.output, report, &table.text())
}

/// Of a key that is known by its fingerprint alone there are no digits.
fn hex(key: TrustedKey) -> Option<String> {
    key.key().map(PublicKey::to_hex)
}

fn place(at: &AtKey, context: &Context<'_>) -> Result<PathBuf> {
    match &at.path {
        Some(path) => Ok(path.clone()),
        None => Ok(context.store(None)?.key),
    }
}
