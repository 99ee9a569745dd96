//! Arguments of `carbon-ops ledger`.

use std::path::PathBuf;

use carbon_ops::ledger::pack::Selection;
use carbon_ops::proof::entry::Durability;
use clap::{Args, Subcommand, ValueEnum};

use super::records::{LedgerCorrect, LedgerGap, LedgerHeartbeat, LedgerRestate};

#[derive(Debug, Subcommand)]
pub(crate) enum Ledger {
    /// Make a new ledger in a directory
    ///
    /// Makes the directory, its first entry and, if there is none yet, the default signing key.
    Init(LedgerInit),
    /// Check every line of a ledger: form, order, hashes, signatures, and each record's arithmetic
    ///
    /// Trusts the keys given, else those of the local key store. A ledger signed by any other key is
    /// not checked (exit code 2), and the key's fingerprint is shown.
    Verify(LedgerVerify),
    /// Print records; does not verify them
    Show(LedgerShow),
    /// Append records of your own, read from standard input, one JSON object a line
    ///
    /// Records are numbered in the order of lines, signed by several threads and written in batches;
    /// each is acknowledged when the ledger's class of durability says so. Records of this program
    /// (kind `carbon_ops`) are checked first. A line that is refused is named, and the others go on. With
    /// --profile 0.1, standard input is one record for a ledger of the Python program, which stays one
    /// that the Python package carbon-ops 0.1.1 validates.
    Append(LedgerAppend),
    /// Continue a ledger of the Python program in a new one of this program
    ///
    /// Verifies the old file and makes a new ledger whose first entry pins it: its size, SHA-256, last
    /// link, number of records, keys and verdict. The old file stays where it is, unchanged; keep
    /// it, and check the two together with `ledger verify DIR --imported OLD`.
    Import(LedgerImport),
    /// Sign a checkpoint: size and root of the ledger as it is now
    ///
    /// Stores it in the ledger's directory and prints it. Whoever keeps a copy elsewhere can tell later
    /// that the ledger was cut off or rewritten below it. `run` signs one every 1,024 records.
    Checkpoint(LedgerCheckpoint),
    /// Print the ledger's verifier key, by which witnesses and policies know it
    LogKey(LedgerLogKey),
    /// Write one file that shows records, or the whole ledger, to somebody who has nothing else
    ///
    /// The file holds the records as they are, the last checkpoint with its cosignatures, and the proofs
    /// between them. `ledger verify-pack` checks it with nothing but trusted keys.
    AuditPack(LedgerAuditPack),
    /// Check a file that `ledger audit-pack` wrote
    VerifyPack(LedgerVerifyPack),
    /// Seal what was appended as a segment, which is never written to again
    ///
    /// Signs a checkpoint first. The lines stay where they are in the order: the files in `seg`, one
    /// after the other, and then `ledger.ndjson` are the ledger. `run` seals by itself when the active
    /// file has grown beyond `ledger.segment_bytes`.
    Seal(LedgerSeal),
    /// Write a proof that one record is in the ledger, for somebody who does not have the ledger
    Prove(LedgerProve),
    /// Check a proof that `ledger prove` wrote, and print its record
    CheckProof(LedgerCheckProof),
    /// Prove that the ledger at one size extends the ledger at a smaller size
    Consistency(LedgerConsistency),
    /// Say what one record should have been; the record stays, and this supersedes it
    Correct(LedgerCorrect),
    /// Say that many records are calculated anew, and by which change of method or factor
    Restate(LedgerRestate),
    /// Say that for a time nothing was recorded
    Gap(LedgerGap),
    /// Promise that there will be another entry by a time, so that silence can be seen
    Heartbeat(LedgerHeartbeat),
}

#[derive(Debug, Args)]
pub(crate) struct LedgerInit {
    /// Directory; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// When an entry counts as acknowledged: sync, after fdatasync; group:MS, after fdatasync, which
    /// may wait so long for more entries; async:MS, after the write, with fdatasync so much later.
    /// The ledger says so for ever; `run` always waits for fdatasync
    #[arg(long, value_name = "CLASS", default_value = "sync", value_parser = durability)]
    pub(crate) durability: Durability,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn durability(text: &str) -> Result<Durability, String> {
    let expected = "it must be sync, group:MS or async:MS, with 1 to 60000 milliseconds";
    Durability::parse(text).ok_or_else(|| expected.into())
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit code: 0 valid; 1 tampered with; 2 could not check (no such ledger, key not trusted, too few
witnesses);
3 cut off or rewritten below a checkpoint; 4 valid up to a torn last line, which the next append
repairs.")]
pub(crate) struct LedgerVerify {
    /// Ledger directory or file; the default ledger without it
    #[arg(required_if_eq("profile", "0.1"))]
    pub(crate) path: Option<PathBuf>,

    /// Format of the ledger: 0.1 is that of the Python package carbon-ops 0.1
    #[arg(long, value_name = "FORMAT", default_value = "v1")]
    pub(crate) profile: Profile,

    /// Trusted keys: a public key in hex, its fingerprint, or a file with one of these per line
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) trust: Option<String>,

    /// The ledger file of version 0.1 that this ledger continues: is it the one that was imported?
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    pub(crate) imported: Option<PathBuf>,

    /// A checkpoint that was kept elsewhere: lines below it are compared as a whole, and only newer ones
    /// looked into
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) since: Option<PathBuf>,

    /// Insist that the governor's totals go on from record to record: energy that no record and no gap
    /// covers is exit code 1, records that cannot be compared are 2
    #[arg(long, conflicts_with_all = ["profile", "since"])]
    pub(crate) complete: bool,

    /// Policy (C2SP tlog-policy) whose quorum of witnesses must have cosigned the checkpoint
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    pub(crate) policy: Option<PathBuf>,

    /// Derive every interval again from the record's inputs and compare all digits
    #[arg(long)]
    pub(crate) recompute: bool,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A ledger format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    V1,
    #[value(name = "0.1")]
    Legacy,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tool --ndjson | carbon-ops ledger append --json ledger
  echo '{\"grams\": 1.5}' | carbon-ops ledger append --profile 0.1 old.ndjson

Exit code: 0 all appended and on the disk; 2 something was not, each line by its number.")]
pub(crate) struct LedgerAppend {
    /// Ledger directory, or with --profile 0.1 the ledger file; the default ledger without it
    #[arg(required_if_eq("profile", "0.1"))]
    pub(crate) path: Option<PathBuf>,

    /// Format of the ledger: 0.1 is that of the Python package carbon-ops 0.1
    #[arg(long, value_name = "FORMAT", default_value = "v1")]
    pub(crate) profile: Profile,

    /// Print an acknowledgement per line as JSON: line, seq and hash
    #[arg(long, conflicts_with = "profile")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example: carbon-ops ledger import old.ndjson --into ledger --trust PUBLIC_KEY

Exit code: 0 imported; else the old ledger's, and nothing was made: 1 tampered with; 2 could not
check (no such file, key not trusted); 4 valid up to a torn last line.")]
pub(crate) struct LedgerImport {
    /// The old ledger file
    pub(crate) old: PathBuf,

    /// Directory of the new ledger
    #[arg(long, value_name = "DIR")]
    pub(crate) into: PathBuf,

    /// Trusted keys of the old ledger: a file with one public key in hex per line, or a public key
    /// in hex
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) trust: Option<String>,

    /// Import even what does not verify; the new ledger says so for ever
    #[arg(long)]
    pub(crate) accept_unverified: bool,

    /// Print what was pinned, or the report on the old ledger, as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LedgerShow {
    /// Ledger directory or file; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// How many records to show, newest last
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) last: usize,

    /// Print the summary that was shown when a record was made
    ///
    /// From the record alone: whose which part of a GPU was is not in it, so that line is missing. What has
    /// no such summary stays one line: a run that was priced by the hour, and records of others.
    #[arg(long, conflicts_with = "json")]
    pub(crate) summary: bool,

    /// Print the stored lines as they are
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LedgerSeal {
    /// Ledger directory; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LedgerCheckpoint {
    /// Ledger directory; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// Witness to ask for a cosignature, besides those of the configuration: its address, a plus sign
    /// and its verifier key; may be repeated
    #[arg(long = "witness", value_name = "URL+KEY")]
    pub(crate) witnesses: Vec<String>,

    /// Policy (C2SP tlog-policy): its witnesses with an address are asked, and its quorum has to be met;
    /// without one, every witness that is asked has to cosign
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// Print the checkpoint and what each witness said as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LedgerLogKey {
    /// Ledger directory; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  carbon-ops ledger audit-pack --records 17,100..120 --out 2026.pack
  carbon-ops ledger verify-pack 2026.pack --trust 03a107bf…   # by somebody else, offline

Exit code: 0 written; 2 not written; 3 the ledger was cut off or rewritten since it was signed for.")]
pub(crate) struct LedgerAuditPack {
    /// Ledger directory; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// File for the pack
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,

    /// Records by their `seq`: all, or numbers and ranges such as 17,100..120
    #[arg(long, value_name = "RECORDS", default_value = "all")]
    pub(crate) records: Selection,

    /// An earlier checkpoint that the reader kept; the pack proves that the ledger extends it
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) since: Option<PathBuf>,

    /// Policy to put into the pack: what its author found enough witnesses
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// Print what was written as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit code: 0 everything in it holds; 1 something does not; 2 could not check (key not trusted, no
such file, too few witnesses); 3 the ledger in it is not what the kept checkpoint says.")]
pub(crate) struct LedgerVerifyPack {
    /// The pack
    pub(crate) file: PathBuf,

    /// Trusted keys: a public key in hex, its fingerprint, or a file with one of these per line
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) trust: Option<String>,

    /// Policy (C2SP tlog-policy) whose quorum of witnesses must have cosigned; that in the pack is its
    /// author's word
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// A checkpoint that you kept: the pack must extend it
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) since: Option<PathBuf>,

    /// Derive every interval again from the record's inputs and compare all digits
    #[arg(long)]
    pub(crate) recompute: bool,

    /// Print the records too
    #[arg(long)]
    pub(crate) show: bool,

    /// Print the report as JSON, and with --show each record in a line before it
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  carbon-ops ledger prove 17 --out 17.tlog-proof
  carbon-ops ledger check-proof 17.tlog-proof --trust 03a107bf…   # by somebody else, offline")]
pub(crate) struct LedgerProve {
    /// The record's number, its `seq`: 17 or @17
    #[arg(value_parser = entry_number)]
    pub(crate) seq: u64,

    /// Ledger directory; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// File for the proof; standard output without it
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit code: 0 proven; 1 the proof does not hold; 2 could not check (key not trusted, no such file, too
few witnesses).")]
pub(crate) struct LedgerCheckProof {
    /// The proof
    pub(crate) file: PathBuf,

    /// Trusted keys: a public key in hex, its fingerprint, or a file with one of these per line
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) trust: Option<String>,

    /// Policy (C2SP tlog-policy) whose quorum of witnesses must have cosigned the checkpoint
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Prints `old SIZE`, `new SIZE` and the hashes of the proof (RFC 9162, 2.1.4), one a line in base64.
Exit code: 0 consistent; 2 could not check; 3 the ledger is not what one of the checkpoints says.")]
pub(crate) struct LedgerConsistency {
    /// The smaller: a number of lines, or the file of a checkpoint
    pub(crate) old: String,

    /// The larger: a number of lines, or the file of a checkpoint
    pub(crate) new: String,

    /// Ledger directory; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// Trusted keys for checkpoints: a file with one public key in hex per line, or a public key in hex
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) trust: Option<String>,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The number of an entry, as it is written alone or, as for records, with an `@`.
pub(super) fn entry_number(text: &str) -> Result<u64, String> {
    let number = text.strip_prefix('@').unwrap_or(text);
    number.parse().map_err(|error: std::num::ParseIntError| error.to_string())
}
