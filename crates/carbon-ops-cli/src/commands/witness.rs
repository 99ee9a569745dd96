//! `carbon-ops witness`: a witness of ledgers and other transparency logs (C2SP tlog-witness).
//!
//! Out of scope: TLS, which is for the proxy in front, and fetching lists of logs.

use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use carbon_ops::ledger::keys::{KeyOrigin, create_secret, load_secret};
use carbon_ops::ledger::witness::{DirState, Witness as LedgerWitness, parse_log_list};
use carbon_ops::proof::note::{KeyKind, VerifierKey};
use carbon_ops::proof::text;
use serde_json::json;

use crate::args::{Witness, WitnessHome, WitnessInit, WitnessServe};
use crate::context::Context;
use carbon_ops::env::Env;

mod server;

/// The key in the witness's directory, unless another is named.
const KEY_FILE: &str = "key.pem";

pub(crate) fn run(command: &Witness, context: &mut Context<'_>) -> Result<u8> {
    match command {
        Witness::Init(args) => init(args, context),
        Witness::Serve(args) => serve(args, context),
    }
}

fn init(args: &WitnessInit, context: &mut Context<'_>) -> Result<u8> {
    let dir = &args.home.dir;
    let path = key_path(&args.home);
    if DirState::key_of(dir)?.is_some() && !path.exists() {
        bail!(
            "{} is the directory of a witness whose key {} is gone\nhint: restore the key; a new one \
             is a new witness and needs a new directory",
            dir.display(),
            path.display()
        );
    }
    let (secret, origin) = create_secret(&path, &Env::random()?)?;
    let key = named(&args.name, secret.public_key())?;
    let made = DirState::create(dir, &key)?;
    let report = json!({ "verifier_key": key.to_string(), "dir": dir.display().to_string(),
        "key": path.display().to_string(), "made": made,
        "key_made": origin != KeyOrigin::Existing });
    context.hand_over(&args.home.output, report, &key.to_string())
}

fn serve(args: &WitnessServe, context: &mut Context<'_>) -> Result<u8> {
    let secret = load_secret(&key_path(&args.home))?;
    let (dir, out) = (&args.home.dir, &mut context.out);
    let name = match (&args.name, DirState::key_of(dir)?) {
        (Some(name), _) => name.clone(),
        (None, Some(key)) => key.name().to_owned(),
        // Opening the directory says what is wrong with it.
        (None, None) => "unknown".to_owned(),
    };
    let key = named(&name, secret.public_key())?;
    let logs = logs(args)?;
    let state = DirState::open(dir, &key)?;
    let witness = LedgerWitness::new(&name, Box::new(secret), logs, state);
    let witness = witness.context("the name cannot be a key's")?;
    let cannot = || format!("cannot listen on {}", args.listen);
    let listener = TcpListener::bind(args.listen).with_context(cannot)?;
    let url = format!("http://{}", listener.local_addr().with_context(cannot)?);
    let logs: Vec<&str> = witness.origins().collect();
    if args.home.output.json {
        let report = json!({ "schema_version": 1, "verifier_key": key.to_string(), "logs": logs,
            "url": url });
        writeln!(out, "{report}")?;
    } else {
        writeln!(out, "witness {key}\nlog {}\nlistening on {url}", logs.join("\nlog "))?;
    }
    out.flush()?;
    server::serve(listener, witness, context.manner)?;
    Ok(0)
}

fn key_path(home: &WitnessHome) -> PathBuf {
    home.key.clone().unwrap_or_else(|| home.dir.join(KEY_FILE))
}

fn named(name: &str, key: carbon_ops::ledger::keys::PublicKey) -> Result<VerifierKey> {
    VerifierKey::new(name, KeyKind::Cosignature, key).ok_or_else(|| {
        anyhow!("the name {name:?} is empty, or has white space or a plus sign\nhint: use one such as witness.example/w1")
    })
}

/// The logs to witness: origin and key.
fn logs(args: &WitnessServe) -> Result<Vec<(String, VerifierKey)>> {
    let mut logs = Vec::new();
    for text in &args.logs {
        let key: VerifierKey = text.parse().with_context(|| format!("--log {text}"))?;
        if key.kind() != KeyKind::Ed25519 {
            bail!("--log {text}: this is a witness's key, not a log's");
        }
        logs.push((key.name().to_owned(), key));
    }
    if let Some(path) = &args.log_list {
        let cannot = || format!("cannot use the list of logs {}", path.display());
        let bytes = text::plain(std::fs::read(path).with_context(cannot)?);
        logs.extend(parse_log_list(&bytes).with_context(cannot)?);
    }
    if logs.is_empty() {
        bail!(
            "there is no log to witness\nhint: give --log KEY, as `carbon-ops ledger log-key` prints \
             it, or --log-list FILE"
        );
    }
    Ok(logs)
}
