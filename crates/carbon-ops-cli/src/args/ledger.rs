//! Arguments of `carbon-ops ledger`.

use std::path::PathBuf;

use carbon_ops::ledger::pack::Selection;
use carbon_ops::proof::entry::{ContinuationReason, Durability};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};

use super::records::{LedgerCorrect, LedgerGap, LedgerHeartbeat, LedgerRestate};
use super::shared::{AtLedger, Checks, Chosen, Output, Quorum, Trusted, one_of};

#[derive(Debug, Subcommand)]
pub(crate) enum Ledger {
    /// Make a new ledger in a directory
    ///
    /// Makes the directory, its first entry and, if there is none yet, the default signing key.
    ///
    /// With --continues it goes on where a ledger ended that cannot be written to or relied on any more: the key is
    /// lost or stolen, lines are damaged or gone. The first entry says how many of its lines are continued, what
    /// they hash to, and why. The old ledger is closed and stays as it is; without PATH it is renamed, and the new
    /// one takes its place. Where the old one does not verify, what stands of it is carried over.
    Init(LedgerInit),
    /// Say what is the matter with a ledger or its key, and the commands that lead on
    ///
    /// Looks at the files, the lock, the key, and every line. Changes nothing.
    #[command(after_help = "\
Examples:
  carbon-ops ledger doctor
  carbon-ops ledger doctor --json | jq '.states[].commands'

Exit code: 0 in order; 1 something is to be done; 2 could not look.")]
    Doctor(AtLedger),
    /// Put aside what keeps a ledger from being written; nothing is deleted
    ///
    /// Files beside the ledger that are not what they have to be go to the folder `aside`. Damaged lines at the end
    /// that no checkpoint covers go to an evidence file, an entry tells of it, and the records among them are
    /// appended again. Then whatever any writer does first: what an interrupted write left is set aside, and
    /// records that wait are appended. `ledger doctor` says whether this is the way.
    #[command(after_help = "\
Example:
  carbon-ops ledger repair

Exit code: 0 done, or nothing was in the way; 2 failed.")]
    Repair(AtLedger),
    /// Check every line of a ledger: form, order, hashes, signatures, and each record's arithmetic
    ///
    /// Trusts the keys given, else those of the local key store. A ledger signed by any other key is
    /// not checked (exit code 2), and the key's fingerprint is shown.
    Verify(LedgerVerify),
    /// Print records; does not verify them
    Show(LedgerShow),
    /// Append your own records from standard input, one JSON object per line
    ///
    /// Records are numbered in the order of lines, signed by several threads and written in batches;
    /// each is acknowledged when the ledger's durability class says so. Records of this program
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
    #[command(after_help = "\
Example:
  carbon-ops ledger log-key

Exit code: 0 printed; 2 failed.")]
    LogKey(AtLedger),
    /// Write one file that shows records, or the whole ledger, to somebody who has nothing else
    ///
    /// The file holds the records as they are, the last checkpoint with its cosignatures, and the proofs
    /// between them. `ledger verify-pack` checks it with nothing but trusted keys.
    AuditPack(LedgerAuditPack),
    /// Check a file that `ledger audit-pack` wrote
    VerifyPack(LedgerVerifyPack),
    /// Draw records for an audit, each joule with the same chance
    ///
    /// What is drawn follows from the ledger's root and a word of the auditor's, so that neither the one nor the
    /// other chooses: monetary-unit sampling, with energy for money. Reads and verifies the whole ledger.
    /// Records are drawn as they stand in sums.
    Sample(LedgerSample),
    /// Seal what was appended as a segment, which is never written to again
    ///
    /// Signs a checkpoint first. The lines stay where they are in the order: the files in `seg`, one
    /// after the other, and then `ledger.ndjson` are the ledger. `run` seals by itself when the active
    /// file has grown beyond `ledger.segment_bytes`.
    #[command(after_help = "\
Example:
  carbon-ops ledger seal

Exit code: 0 sealed, or nothing to seal; 2 failed.")]
    Seal(AtLedger),
    /// Write a proof that one record is in the ledger, for somebody who does not have the ledger
    Prove(LedgerProve),
    /// Check a proof that `ledger prove` wrote, and print its record
    CheckProof(LedgerCheckProof),
    /// Prove that the ledger at one size extends the ledger at a smaller size
    Consistency(LedgerConsistency),
    /// State what a record should have been; the record stays, and the correction supersedes it
    Correct(LedgerCorrect),
    /// State that many records were recalculated, and which change of method or factor caused it
    Restate(LedgerRestate),
    /// State that nothing was recorded for a time
    Gap(LedgerGap),
    /// Promise another entry by a given time, so that silence can be noticed
    Heartbeat(LedgerHeartbeat),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops ledger init
  carbon-ops ledger init /srv/ledger --durability group:5
  carbon-ops ledger init --continues ~/.local/share/carbon-ops/ledger
  carbon-ops ledger init new --continues old --reason key_compromise --size 118

Exit code: 0 made; 2 failed, or there is a ledger already.")]
pub(crate) struct LedgerInit {
    #[command(flatten)]
    pub(crate) at: AtLedger,

    /// When an entry counts as acknowledged: sync, after fdatasync; group:MS, after an fdatasync that
    /// may wait that long for more entries; async:MS, after the write, with an fdatasync that much
    /// later. The ledger keeps this for ever; `run` always waits for fdatasync
    #[arg(long, value_name = "CLASS", default_value = "sync", value_parser = durability)]
    pub(crate) durability: Durability,

    /// The ledger that this one continues; without PATH the new one takes its place
    #[arg(long, value_name = "OLD")]
    pub(crate) continues: Option<PathBuf>,

    /// Why the old one is not written to any more [default: what it shows]
    #[arg(long, value_name = "REASON", requires = "continues",
          value_parser = one_of(&ContinuationReason::ALL, ContinuationReason::as_str))]
    pub(crate) reason: Option<ContinuationReason>,

    /// Why, in words, for `other`
    #[arg(long, value_name = "TEXT", requires = "continues")]
    pub(crate) note: Option<String>,

    /// How many lines of the old one are continued, the first being 1: what stands behind them is
    /// disowned [default: all before the first that is damaged]
    #[arg(long, value_name = "LINES", requires_all = ["continues", "reason"])]
    pub(crate) size: Option<u64>,

    #[command(flatten)]
    pub(crate) trusted: Trusted,
}

fn durability(text: &str) -> Result<Durability, String> {
    let expected = "give sync, group:MS or async:MS, with 1 to 60000 milliseconds";
    text.parse().map_err(|_| expected.into())
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops ledger verify
  carbon-ops ledger verify copy.ndjson --trust 03a107bf… --recompute
  carbon-ops ledger verify --since kept

Exit code: 0 valid; 1 tampered with; 2 could not be checked (no such ledger, key
not trusted, too few witnesses); 3 cut off or rewritten below a checkpoint;
4 valid up to a torn last line, which the next append repairs.")]
pub(crate) struct LedgerVerify {
    /// Ledger directory or file [default: your default ledger]
    #[arg(required_if_eq("profile", "0.1"))]
    pub(crate) path: Option<PathBuf>,

    /// Format of the ledger: 0.1 is that of the Python package carbon-ops 0.1
    #[arg(long, value_name = "FORMAT", default_value = "v1",
          conflicts_with_all = ["imported", "continues", "complete", "policy"])]
    pub(crate) profile: Profile,

    #[command(flatten)]
    pub(crate) checks: Checks,

    /// The ledger file of version 0.1 that this ledger continues: is it the one that was imported?
    #[arg(long, value_name = "FILE")]
    pub(crate) imported: Option<PathBuf>,

    /// The ledger that this one continues: is it still that? [default: where this one says that it is, if
    /// it is there]
    #[arg(long, value_name = "OLD")]
    pub(crate) continues: Option<PathBuf>,

    /// Demand that the governor's totals continue from record to record: energy that neither a record
    /// nor a gap covers is exit code 1, records that cannot be compared are 2
    #[arg(long, conflicts_with = "since")]
    pub(crate) complete: bool,

    #[command(flatten)]
    pub(crate) output: Output,
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

Exit code: 0 all appended and on the disk; 2 something was not, each line by its
number.")]
pub(crate) struct LedgerAppend {
    /// Ledger directory, or with --profile 0.1 the ledger file [default: your default ledger]
    #[arg(required_if_eq("profile", "0.1"))]
    pub(crate) path: Option<PathBuf>,

    /// Format of the ledger: 0.1 is that of the Python package carbon-ops 0.1
    #[arg(long, value_name = "FORMAT", default_value = "v1", conflicts_with = "json")]
    pub(crate) profile: Profile,

    /// Print an acknowledgement per line as JSON: line, seq and hash
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  carbon-ops ledger import old.ndjson --into ledger --trust 03a107bf…

Exit code: 0 imported; else that of the old ledger, and nothing was made:
1 tampered with; 2 could not be checked (no such file, key not trusted);
4 valid up to a torn last line.")]
pub(crate) struct LedgerImport {
    /// The old ledger file
    pub(crate) old: PathBuf,

    /// Directory of the new ledger
    #[arg(long, value_name = "DIR")]
    pub(crate) into: PathBuf,

    #[command(flatten)]
    pub(crate) trusted: Trusted,

    /// Import even what does not verify; the new ledger says so for ever
    #[arg(long)]
    pub(crate) accept_unverified: bool,

    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops ledger checkpoint > kept       # handed over first
  carbon-ops ledger sample --nonce 'a word of the auditor, said afterwards'
  carbon-ops ledger sample --nonce 4711 --misstated 2% --from 2026-07-01 --to 2026-10-01

Exit code: 0 drawn; 2 failed, or the ledger is not valid.")]
pub(crate) struct LedgerSample {
    #[command(flatten)]
    pub(crate) at: AtLedger,

    /// A word or number of the auditor's, said after the ledger's checkpoint was handed over
    #[arg(long, value_name = "WORD", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) nonce: String,

    /// Which misstated share of the energy is to be found
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = share)]
    pub(crate) misstated: f64,

    /// With which probability
    #[arg(long, value_name = "SHARE", default_value = "95%", value_parser = share)]
    pub(crate) confidence: f64,

    /// How many draws [default: as many as that takes]
    #[arg(long, value_name = "N", conflicts_with_all = ["misstated", "confidence"],
          value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) draws: Option<u64>,

    #[command(flatten)]
    pub(crate) trusted: Trusted,

    /// Draw from records of simulated sensors, too
    #[arg(long)]
    pub(crate) include_simulated: bool,

    #[command(flatten)]
    pub(crate) chosen: Chosen,
}

/// A share between 0 and 1, both excluded: `5%` or `0.05`.
fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |percent| (percent, 100.0));
    let share = number.trim().parse::<f64>().map(|share| share / unit).ok();
    let share = share.filter(|share| *share > 0.0 && *share < 1.0);
    share.ok_or_else(|| "give 5% or 0.05: more than 0 and less than all".into())
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops ledger show
  carbon-ops ledger show --last 1 --summary
  carbon-ops ledger show --from 2026-10-01 --where team=a --json > oct.ndjson

Exit code: 0 shown; 2 failed.")]
pub(crate) struct LedgerShow {
    /// Ledger directory or file [default: your default ledger]
    pub(crate) path: Option<PathBuf>,

    /// How many records to show, newest last
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) last: usize,

    #[command(flatten)]
    pub(crate) chosen: Chosen,

    /// Print the summary that was shown when a record was made
    ///
    /// It is made from the record alone. Which process used which part of a GPU is not in the record, so
    /// that line is missing. Records of other programs stay one line.
    #[arg(long, conflicts_with = "json")]
    pub(crate) summary: bool,

    /// Print the stored lines as they are
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops ledger checkpoint > kept
  carbon-ops ledger checkpoint --policy witnesses.policy

Exit code: 0 signed, and cosigned as asked; 2 failed, or too few witnesses
cosigned; 3 the ledger was cut off or rewritten since it was signed for.")]
pub(crate) struct LedgerCheckpoint {
    #[command(flatten)]
    pub(crate) at: AtLedger,

    /// Witness to ask for a cosignature, besides those of the configuration: its address, a plus sign
    /// and its verifier key; can be given several times
    #[arg(long = "witness", value_name = "URL+KEY")]
    pub(crate) witnesses: Vec<String>,

    /// Policy (C2SP tlog-policy): its witnesses with an address are asked, and its quorum has to be met;
    /// without one, every witness that is asked has to cosign
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  carbon-ops ledger audit-pack --records 17,100..120 --out 2026.pack
then, by somebody else and offline:
  carbon-ops ledger verify-pack 2026.pack --trust 03a107bf…

Exit code: 0 written; 2 not written; 3 the ledger was cut off or rewritten since
it was signed for.")]
pub(crate) struct LedgerAuditPack {
    #[command(flatten)]
    pub(crate) at: AtLedger,

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
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  carbon-ops ledger verify-pack 2026.pack --trust 03a107bf…

A policy in the pack is its author's word, and is not used.

Exit code: 0 everything in it holds; 1 something does not; 2 could not be
checked (key not trusted, no such file, too few witnesses); 3 the ledger in it
is not the one of the kept checkpoint.")]
pub(crate) struct LedgerVerifyPack {
    /// The pack
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) checks: Checks,

    /// Print the records, too; with --json each in a line before the report
    #[arg(long)]
    pub(crate) show: bool,

    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  carbon-ops ledger prove 17 --out 17.tlog-proof
then, by somebody else and offline:
  carbon-ops ledger check-proof 17.tlog-proof --trust 03a107bf…

Exit code: 0 written; 2 failed, or no checkpoint covers the record.")]
pub(crate) struct LedgerProve {
    /// The record's number, its `seq`: 17 or @17
    #[arg(value_parser = super::shared::entry_number)]
    pub(crate) seq: u64,

    #[command(flatten)]
    pub(crate) at: AtLedger,

    /// File for the proof [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  carbon-ops ledger check-proof 17.tlog-proof --trust 03a107bf…

Exit code: 0 proven; 1 the proof does not hold; 2 could not be checked (key not
trusted, no such file, too few witnesses).")]
pub(crate) struct LedgerCheckProof {
    /// The proof
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) trusted: Trusted,

    #[command(flatten)]
    pub(crate) quorum: Quorum,

    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  carbon-ops ledger consistency kept 4096

Prints `old SIZE`, `new SIZE` and the hashes of the proof (RFC 9162, 2.1.4), one
per line in base64.

Exit code: 0 consistent; 2 could not be checked; 3 the ledger is not the one of
a checkpoint.")]
pub(crate) struct LedgerConsistency {
    /// The smaller size: a number of lines, or the file of a checkpoint
    pub(crate) old: String,

    /// The larger size: a number of lines, or the file of a checkpoint
    pub(crate) new: String,

    #[command(flatten)]
    pub(crate) at: AtLedger,

    #[command(flatten)]
    pub(crate) trusted: Trusted,
}
