//! `carbon-ops keys`: make and show signing keys.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};
use carbon_ops_ledger::keys::{KeyOrigin, create_secret, load_secret};
use serde_json::json;

use crate::args::{Keys, KeysGenerate, KeysShow};
use crate::config::Settings;
use crate::edge::Edge;
use crate::store::Store;

pub(crate) fn run(
    command: &Keys,
    edge: &Edge,
    config: Option<&Path>,
    out: &mut impl Write,
) -> Result<u8> {
    let settings = Settings::resolve(edge, config, None)?;
    match command {
        Keys::Generate(KeysGenerate { path }) => {
            let path = place(path.as_deref(), &settings, edge)?;
            let (key, origin) = create_secret(&path, &Edge::random()?)?;
            let public = key.public_key();
            if origin == KeyOrigin::Existing {
                bail!(
                    "there is a key in {} already ({}); it was left alone\nhint: give another path",
                    path.display(),
                    public.fingerprint()
                );
            }
            writeln!(
                out,
                "made {}\n{}\n{}",
                path.display(),
                public.to_hex(),
                public.fingerprint()
            )?;
        }
        Keys::Show(KeysShow { path, json }) => {
            let path = place(path.as_deref(), &settings, edge)?;
            if !path.exists() {
                bail!(
                    "there is no key in {} yet\nhint: the first `carbon-ops run` makes it, or \
                     `carbon-ops keys generate`",
                    path.display()
                );
            }
            let public = load_secret(&path)?.public_key();
            if *json {
                let report = json!({ "schema_version": 1, "path": path.display().to_string(),
                    "public_key": public.to_hex(), "fingerprint": public.fingerprint() });
                writeln!(out, "{report:#}")?;
            } else {
                writeln!(out, "file         {}", path.display())?;
                writeln!(out, "public key   {}", public.to_hex())?;
                writeln!(out, "fingerprint  {}", public.fingerprint())?;
            }
        }
    }
    Ok(0)
}

fn place(path: Option<&Path>, settings: &Settings, edge: &Edge) -> Result<std::path::PathBuf> {
    match path {
        Some(path) => Ok(path.to_owned()),
        None => Ok(Store::of(settings, edge)?.key),
    }
}
