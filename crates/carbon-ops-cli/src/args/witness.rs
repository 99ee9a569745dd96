//! Arguments of `carbon-ops witness`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::shared::{Log, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Witness {
    /// Make a witness's directory and key, and print its verifier key
    Init(WitnessInit),
    /// Answer requests to cosign (C2SP tlog-witness) until the process ends
    ///
    /// Cosigns a checkpoint only when it extends everything of that log that it cosigned before; what
    /// it cosigned is on the disk before the answer is sent. Speaks HTTP; put a proxy with TLS in front
    /// of it.
    Serve(WitnessServe),
}

/// Where a witness is at home.
#[derive(Debug, Args)]
pub(crate) struct WitnessHome {
    /// Directory of the witness, with what it cosigned
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// Key file of the witness [default: key.pem in the directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  carbon-ops witness init --dir /var/lib/witness --name witness.example/w1

Exit code: 0 made, or there already; 2 failed.")]
pub(crate) struct WitnessInit {
    /// Name that the witness signs under: an address without https://, such as witness.example/w1
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) home: WitnessHome,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  carbon-ops witness serve --dir /var/lib/witness \\
      --log \"$(carbon-ops ledger log-key)\"

Exit code: 0 ended by a signal; 2 failed.")]
pub(crate) struct WitnessServe {
    #[command(flatten)]
    pub(crate) home: WitnessHome,

    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:2026")]
    pub(crate) listen: std::net::SocketAddr,

    /// Name of the witness [default: the one that its directory was made for]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Verifier key of a log, whose name is the log's origin; can be given several times
    #[arg(long = "log", value_name = "KEY")]
    pub(crate) logs: Vec<String>,

    /// List of logs (C2SP tlog-list)
    #[arg(long, value_name = "FILE")]
    pub(crate) log_list: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) log: Log,
}
