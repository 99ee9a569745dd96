//! Arguments of `carbon-ops keys`.

use std::path::PathBuf;

use carbon_ops::ledger::keys::{PublicKey, TrustedKey};
use carbon_ops::proof::entry::RotationReason;
use clap::{Args, Subcommand};

use super::shared::{AtLedger, Output, one_of};

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make a signing key; never overwrites one
    Generate(KeysGenerate),
    /// Print the public key and its fingerprint
    #[command(after_help = "\
Examples:
  carbon-ops keys show
  carbon-ops keys show --json

Exit code: 0 printed; 2 failed, or there is no such key.")]
    Show(AtKey),
    /// Change the keys that may write to a ledger
    ///
    /// Without --add and --retire: makes a new key, lets it join each ledger in place of the default
    /// key, and then makes it the default key. The old one is kept beside it under its own name. After an
    /// interruption run it again: it continues where it stopped. If the default key may not write to a
    /// ledger yet, the older key that may lets it join.
    Rotate(KeysRotate),
    /// Agree to join a ledger: print this key with its proof, for `keys rotate --add`
    ///
    /// The proof holds for the ledger as it is now: nothing may be appended in between.
    Prove(KeysProve),
    /// Show and change the list of keys that are trusted
    Trust(KeysTrust),
}

/// The key that is meant.
#[derive(Debug, Args)]
pub(crate) struct AtKey {
    /// Key file [default: the default key]
    pub(crate) path: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops keys generate
  carbon-ops keys generate ci.pem --passphrase-file /run/secrets/passphrase

Exit code: 0 made; 2 failed, or there is a key already.")]
pub(crate) struct KeysGenerate {
    #[command(flatten)]
    pub(crate) at: AtKey,

    /// Encrypt the key with the passphrase in the first line of this file, or of standard input (-)
    /// [default: the file that `CARBON_OPS_KEY_PASSPHRASE_FILE` names; without it the key is not encrypted]
    #[arg(long, value_name = "FILE|-")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops keys rotate    # a new key for the default ledger
  carbon-ops keys rotate shared --add 29acbae1…:ff0d5f38…
where the second host, which is to write there too, printed what is added by
  carbon-ops keys prove shared

Exit code: 0 changed, or changed already; 2 failed.")]
pub(crate) struct KeysRotate {
    /// Ledger directories [default: your default ledger]
    pub(crate) paths: Vec<PathBuf>,

    /// Let somebody else's key join, by what `keys prove` printed
    #[arg(long, value_name = "KEY:PROOF", conflicts_with = "destroy_old")]
    pub(crate) add: Vec<String>,

    /// Let a key write no more, by its public key in hex
    #[arg(long, value_name = "KEY", value_parser = typed_key, conflicts_with = "destroy_old")]
    pub(crate) retire: Vec<PublicKey>,

    /// Why
    #[arg(long, value_name = "REASON", value_parser = one_of(&RotationReason::ALL, RotationReason::as_str))]
    pub(crate) reason: Option<RotationReason>,

    /// Number of the first suspect entry by the retired key; with --reason `key_compromise` only
    #[arg(long, value_name = "SEQ")]
    pub(crate) compromised_since: Option<u64>,

    /// Remove the old key instead of keeping it; its public key stays trusted. The disk may still hold
    /// what a removed file held
    #[arg(long)]
    pub(crate) destroy_old: bool,

    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  carbon-ops keys prove /srv/shared/ledger

Exit code: 0 printed; 2 failed.")]
pub(crate) struct KeysProve {
    #[command(flatten)]
    pub(crate) at: AtLedger,

    /// The key that will sign the change [default: the only one that may write]
    #[arg(long, value_name = "KEY", value_parser = typed_key)]
    pub(crate) signer: Option<PublicKey>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops keys trust SHA256:… --comment 'the build farm'
  carbon-ops keys trust --list

Exit code: 0 done; 2 failed.")]
pub(crate) struct KeysTrust {
    /// A public key in hex, its fingerprint, or a file with one of these per line
    #[arg(value_name = "KEY|FILE", required_unless_present_any = ["list", "remove"])]
    pub(crate) key: Option<String>,

    /// Whose key it is
    #[arg(long, value_name = "TEXT", requires = "key")]
    pub(crate) comment: Option<String>,

    /// Print the keys that are trusted, and why
    #[arg(long, conflicts_with_all = ["key", "remove"])]
    pub(crate) list: bool,

    /// No longer trust a key
    #[arg(long, value_name = "KEY", conflicts_with = "key")]
    pub(crate) remove: Option<TrustedKey>,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// 64 hexadecimal digits in either case: a fingerprint would not tell the key that is to be written down.
fn typed_key(text: &str) -> Result<PublicKey, String> {
    text.to_ascii_lowercase().parse().map_err(|error: carbon_ops::proof::Error| error.to_string())
}
