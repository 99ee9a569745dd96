//! `carbon-ops keys`: make and show signing keys, change who may write to a ledger, and whom to trust.

use std::io::Write;
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
    let named =
        args.passphrase_file.as_deref().or(context.settings.key_passphrase_file.value.as_deref());
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
    if args.at.output.json {
        context.report(json!({ "path": path.display().to_string(),
            "public_key": public.to_hex(), "fingerprint": public.fingerprint(),
            "encrypted": passphrase.is_some() }))?;
        return Ok(0);
    }
    let out = &mut context.out;
    writeln!(out, "made {}\n{}\n{}", path.display(), public.to_hex(), public.fingerprint())?;
    if passphrase.is_some() {
        writeln!(out, "it is encrypted; CARBON_OPS_KEY_PASSPHRASE_FILE names the file to open it")?;
    }
    Ok(0)
}

fn show(at: &AtKey, context: &mut Context<'_>) -> Result<u8> {
    let path = place(at, context)?;
    if !path.exists() {
        bail!(
            "there is no key in {} yet\nhint: the first `carbon-ops run` makes it, or \
             `carbon-ops keys generate`",
            path.display()
        );
    }
    let encrypted = matches!(load_secret(&path), Err(LedgerError::KeyEncrypted { .. }));
    let passphrase = context.settings.key_passphrase_file.value.as_deref().filter(|_| encrypted);
    let passphrase = passphrase.map(read_passphrase).transpose()?;
    let public = load_public(&path, passphrase.as_ref())?;
    let opened = !encrypted || passphrase.is_some();
    if at.output.json {
        let mut report = json!({ "path": path.display().to_string(),
            "public_key": public.to_hex(), "fingerprint": public.fingerprint() });
        if let (true, Some(report)) = (encrypted, report.as_object_mut()) {
            report.insert("encrypted".into(), true.into());
            report.insert("opened".into(), opened.into());
        }
        context.report(report)?;
    } else {
        let mut table = Table::new(&["", ""]);
        table.row(["file".to_owned(), path.display().to_string()]);
        table.row(["public key".to_owned(), public.to_hex()]);
        table.row(["fingerprint".to_owned(), public.fingerprint()]);
        if encrypted {
            let how = if opened {
                "yes, and the passphrase opens it"
            } else {
                "yes; this is what the file .pub beside it says"
            };
            table.row(["encrypted", how]);
        }
        table.write(&mut context.out)?;
    }
    Ok(0)
}

fn rotate(args: &KeysRotate, context: &mut Context<'_>) -> Result<u8> {
    let store = &context.store(None)?;
    let json = args.output.json;
    let ledgers =
        if args.paths.is_empty() { vec![store.ledger.clone()] } else { args.paths.clone() };
    let why = Why { reason: args.reason, compromised_since: args.compromised_since };
    let renews = args.add.is_empty() && args.retire.is_empty();
    let mut entries = Vec::new();
    let mut done = |changed: Changed| {
        if !json {
            write_changed(&changed, renews, &mut context.out)?;
        }
        entries.push(changed_json(&changed));
        Ok(())
    };
    let replaced = if renews {
        renew(store, &ledgers, why, args.destroy_old, &mut done)?
    } else {
        let add = args.add.iter().map(|text| added(text)).collect::<Result<Vec<_>>>()?;
        let members = Members { add: &add, retire: &args.retire, why };
        change_members(store, &ledgers, members, &mut done)?;
        None
    };
    if json {
        let mut report = json!({ "entries": entries });
        if let (Some(replaced), Some(report)) = (&replaced, report.as_object_mut()) {
            report.insert("default_key".into(), replaced.new.to_hex().into());
            report.insert("replaced_key".into(), replaced.old.to_hex().into());
            if let Some(kept) = &replaced.kept {
                report.insert("old_key_file".into(), kept.display().to_string().into());
            }
        }
        context.report(report)?;
    } else if let Some(Replaced { old, new, kept }) = replaced {
        let out = &mut context.out;
        match kept {
            Some(kept) => {
                writeln!(out, "the old key {} is kept in {}", old.fingerprint(), kept.display())?;
            }
            None => writeln!(out, "the old key {} was removed", old.fingerprint())?,
        }
        writeln!(out, "the default key is now {} ({})", new.to_hex(), new.fingerprint())?;
    }
    Ok(0)
}

fn write_changed(changed: &Changed, renewed: bool, out: &mut impl Write) -> Result<()> {
    let Changed { ledger, seq, added, retired } = changed;
    write!(out, "entry {seq} of {}: ", ledger.display())?;
    match (&added[..], &retired[..]) {
        ([joined], [left]) if renewed => {
            writeln!(out, "{} in the place of {}", joined.fingerprint(), left.fingerprint())?;
        }
        _ => writeln!(out, "{} added, {} retired", added.len(), retired.len())?,
    }
    Ok(())
}

fn changed_json(changed: &Changed) -> Value {
    let hex = |keys: &[PublicKey]| keys.iter().map(|key| key.to_hex()).collect::<Vec<_>>();
    let Changed { ledger, seq, added, retired } = changed;
    json!({ "ledger": ledger.display().to_string(), "seq": seq, "added": hex(added),
        "retired": hex(retired) })
}

fn prove(args: &KeysProve, context: &mut Context<'_>) -> Result<u8> {
    let store = context.store(None)?;
    let path = args.at.path.as_deref().unwrap_or(&store.ledger);
    let agreement = agree(&store, path, args.signer)?;
    let joins = agreement.text();
    if args.at.output.json {
        context.report(json!({ "ledger_id": agreement.ledger_id.to_string(),
            "after_seq": agreement.after_seq, "signer": agreement.signer.to_hex(),
            "public_key": agreement.key.public_key.to_hex(), "add": joins }))?;
    } else {
        writeln!(context.out, "{joins}")?;
    }
    Ok(0)
}

fn trust(args: &KeysTrust, context: &mut Context<'_>) -> Result<u8> {
    let store = context.store(None)?;
    let file = store.trust_file()?;
    if args.list {
        return list_trusted(args.output.json, &store, &file, context);
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
    if args.output.json {
        let keys: Vec<Value> = done
            .iter()
            .map(|(key, change, _)| {
                json!({ "public_key": hex(*key), "fingerprint": key.fingerprint(),
                    "change": change })
            })
            .collect();
        context.report(json!({ "file": file.display().to_string(), "keys": keys }))?;
        return Ok(0);
    }
    for (key, _, text) in done {
        writeln!(context.out, "{} {text}", key.fingerprint())?;
    }
    Ok(0)
}

fn list_trusted(json: bool, store: &Store, file: &Path, context: &mut Context<'_>) -> Result<u8> {
    let mut keys = Vec::new();
    for (key, comment) in trusted_in_file(file)? {
        keys.push((key, comment, None));
    }
    for path in store.key_files() {
        let comment = format!("own key, in {}", path.display());
        keys.push((store.public(&path)?.into(), comment, Some(path)));
    }
    if json {
        let keys: Vec<Value> = keys
            .iter()
            .map(|(key, comment, path)| {
                let own = path.as_ref().map(|path| path.display().to_string());
                json!({ "public_key": hex(*key), "fingerprint": key.fingerprint(),
                    "comment": comment, "own_key_file": own })
            })
            .collect();
        context.report(json!({ "file": file.display().to_string(), "keys": keys }))?;
        return Ok(0);
    }
    let mut table = Table::new(&["", "", ""]);
    for (key, comment, _) in keys {
        table.row([hex(key).unwrap_or_default(), key.fingerprint(), comment]);
    }
    table.write(&mut context.out)?;
    Ok(0)
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
