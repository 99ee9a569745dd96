//! Arguments of `carbon-ops keys`.

use std::path::PathBuf;

use carbon_ops::ledger::keys::{PublicKey, TrustedKey};
use carbon_ops::proof::entry::RotationReason;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make a signing key; refuses to touch one that exists
    Generate(KeysGenerate),
    /// Print the public key and its fingerprint
    Show(KeysShow),
    /// Change the keys that may write to a ledger
    ///
    /// Without --add and --retire: makes a new key, lets it join each ledger in the place of the default
    /// key, and then makes it the default key. The old one is kept beside it under its own name. After an
    /// interruption run it again: it goes on where it stopped. A ledger that the default key may not
    /// write to yet is given it by the older key that may.
    Rotate(KeysRotate),
    /// Agree to join a ledger: print this key with its proof, for `keys rotate --add`
    ///
    /// The proof holds for the ledger as it is now: nothing may be appended in between.
    Prove(KeysProve),
    /// Show and change the list of keys that are trusted
    Trust(KeysTrust),
}

#[derive(Debug, Args)]
pub(crate) struct KeysGenerate {
    /// Where to store it; the default key without it
    pub(crate) path: Option<PathBuf>,

    /// Encrypt it with the passphrase in the first line of this file, or of standard input (-). Without
    /// this, the file that `CARBON_OPS_KEY_PASSPHRASE_FILE` names, if it is set
    #[arg(long, value_name = "FILE|-")]
    pub(crate) passphrase_file: Option<PathBuf>,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeysShow {
    /// Key file; the default key without it
    pub(crate) path: Option<PathBuf>,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example, a second host that writes to the same ledger:
  there$ carbon-ops keys prove LEDGER
  29acbae1…:ff0d5f38…
  here$  carbon-ops keys rotate LEDGER --add 29acbae1…:ff0d5f38…")]
pub(crate) struct KeysRotate {
    /// Ledger directories; the default ledger without any
    pub(crate) paths: Vec<PathBuf>,

    /// Let a key of somebody else join, by what `keys prove` printed
    #[arg(long, value_name = "KEY:PROOF", conflicts_with = "destroy_old")]
    pub(crate) add: Vec<String>,

    /// Let a key write no more, by its public key in hex
    #[arg(long, value_name = "KEY", value_parser = typed_key, conflicts_with = "destroy_old")]
    pub(crate) retire: Vec<PublicKey>,

    /// Why
    #[arg(long, value_name = "REASON", value_parser = rotation_reason())]
    pub(crate) reason: Option<RotationReason>,

    /// The number from which on entries by the retired key are suspect; with a stolen key's reason,
    /// `key_compromise`
    #[arg(long, value_name = "SEQ")]
    pub(crate) compromised_since: Option<u64>,

    /// Remove the old key instead of keeping it; its public key stays trusted. What a disk keeps of a
    /// removed file is another matter
    #[arg(long)]
    pub(crate) destroy_old: bool,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeysProve {
    /// Ledger directory or file; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// The key that will sign the change; the only one that may write without it
    #[arg(long, value_name = "KEY", value_parser = typed_key)]
    pub(crate) signer: Option<PublicKey>,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
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

    /// Trust a key no more
    #[arg(long, value_name = "KEY", conflicts_with = "key")]
    pub(crate) remove: Option<TrustedKey>,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn rotation_reason() -> impl TypedValueParser<Value = RotationReason> {
    let words = RotationReason::ALL.iter().map(|reason| reason.as_str());
    PossibleValuesParser::new(words)
        .try_map(|word| RotationReason::from_word(&word).ok_or(super::records::NO_REASON))
}

/// 64 hexadecimal digits in either case: a fingerprint would not tell the key that is to be written down.
fn typed_key(text: &str) -> Result<PublicKey, String> {
    text.to_ascii_lowercase().parse().map_err(|error: carbon_ops::proof::Error| error.to_string())
}
