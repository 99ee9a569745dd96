//! What to do about an error: from its kind to the words after `hint:`; and the exit codes of a budget and a comparison.
//!
//! One table per type of error of the libraries. Errors of this command's own carry their hints on a line
//! that begins with `hint:`.
//!
//! Out of scope: the errors themselves, which are facts of the libraries.

use std::error::Error as StdError;
use std::io::{self, ErrorKind as Io};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use carbon_ops::OtherFile::{Pack, Proof};
use carbon_ops::budget::Standing;
use carbon_ops::compare::Verdict;
use carbon_ops::estimate::embodied::{self, Expected};
use carbon_ops::estimate::intensity::{Impossible, NotForInventory, UnknownSignal};
use carbon_ops::estimate::label::NoMass;
use carbon_ops::estimate::uncertainty::text::{Quantity, TextError};
use carbon_ops::estimate::{span, uncertainty};
use carbon_ops::grid::http::Unusable;
use carbon_ops::grid::zones;
use carbon_ops::grid::{
    self, Denied, ErrorKind, Failed, FileProblem, Kind, Reason, Uncovered, UnusableSecret, Want,
};
use carbon_ops::ledger::Error as LedgerError;
use carbon_ops::ledger::pack::PackError;
use carbon_ops::ledger::segment::LinesGone;
use carbon_ops::ledger::witness::WitnessDirError;
use carbon_ops::meter::groups::NoGroup;
use carbon_ops::meter::sensor::model::Implausible;
use carbon_ops::record::{self, Deployment, upstream};
use carbon_ops::records::Output;
use carbon_ops::sources::UserFile;
use carbon_ops::supervise::NotStarted;
use carbon_ops::{Fault, sources};

/// The exit code of a budget, where the command's own is 0: 123 over, 122 cannot tell.
pub fn budget_code(standing: Standing) -> u8 {
    match standing {
        Standing::Under => 0,
        Standing::Unclear => 122,
        Standing::Over => 123,
    }
}

/// The exit code of a comparison, as `git bisect run` wants it: 0 not worse, 1 worse, 125 cannot tell.
pub fn comparison_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::NotWorse => 0,
        Verdict::Worse => 1,
        Verdict::Unknown => 125,
    }
}

type Cause = dyn StdError + 'static;

/// The words of a hint, with `{}` where the error's [`subject`] belongs.
type Words = Option<&'static str>;

/// What to do about an error and its causes, the outermost first, and nothing twice.
pub fn hint(error: &anyhow::Error) -> Vec<String> {
    let mut hints: Vec<String> = Vec::new();
    for cause in error.chain() {
        let said = cause.to_string();
        let own = said.split_once("\nhint:").map(|(_, hint)| hint.trim_start().to_owned());
        for hint in own.into_iter().chain(of_cause(cause)) {
            if !hints.iter().any(|other| other.contains(&hint)) {
                hints.push(hint);
            }
        }
    }
    hints
}

fn of_cause(cause: &Cause) -> Vec<String> {
    if let Some(Failed::All(failures)) = cause.downcast_ref() {
        let each = failures.iter().filter_map(|failure| for_reason(&failure.reason));
        return each.map(str::to_owned).collect();
    }
    let subject = subject(cause).unwrap_or_default();
    words(cause).map(|words| words.replace("{}", &subject)).into_iter().collect()
}

/// The words for a cause, which is of one type.
fn words(cause: &Cause) -> Words {
    let tables = [
        of_fault,
        of_ledger,
        of_uncertainty,
        of_hardware,
        of_score,
        of_interval,
        of_span,
        of_chain,
        of_provider,
        of_settings,
        of_plain,
    ];
    tables.iter().find_map(|table: &fn(&Cause) -> Words| table(cause))
}

/// Errors of which one kind alone has a remedy.
fn of_plain(cause: &Cause) -> Words {
    if let Some(PackError::Beyond { .. }) = cause.downcast_ref() {
        Some(CHECKPOINT_COVERS)
    } else if let Some(PackError::Contradiction { .. }) = cause.downcast_ref() {
        Some(TILES_LIE)
    } else if let Some(WitnessDirError::NotInitialised(_)) = cause.downcast_ref() {
        Some(
            "`carbon-ops witness init` makes one; if one was here and is lost, retire the witness's key: a \
             witness without its memory would cosign a second history",
        )
    } else if let Some(upstream::Refused::Negative { .. }) = cause.downcast_ref() {
        Some("the source contradicts itself; without --upstream, its life-cycle values are used")
    } else if let Some(error) = cause.downcast_ref() {
        match error {
            NoGroup::Cgroup(_) => Some("`cat /proc/PID/cgroup` shows the path of a process"),
            NoGroup::Unit(_) => Some("`systemctl status` lists units"),
            _ => None,
        }
    } else if let Some(error) = cause.downcast_ref::<zones::Error>() {
        match error.kind() {
            zones::ErrorKind::Unknown => Some(
                "give an ISO country code such as DE, a state such as US-CA, or a cloud region such as \
                 eu-west-1",
            ),
            zones::ErrorKind::Several => Some("name one of them by its code, or world"),
            _ => None,
        }
    } else if cause.downcast_ref().is_some_and(|error: &NotStarted| error.command_line().is_some())
    {
        Some("the command and its arguments are words of their own: carbon-ops run -- {}")
    } else if cause.is::<UnknownSignal>() {
        Some("give average, marginal or residual, with _lifecycle or _direct where it matters")
    } else if cause.is::<NotForInventory>() {
        Some("ask for --signal average; a marginal rate gives a consequential figure of its own")
    } else if cause.is::<<Deployment as FromStr>::Err>() {
        Some("give own, colocation, cloud or product")
    } else if cause.is::<Implausible>() {
        Some("with the processor's threads it is taken for these CPUs: CPU_TDP_WATTS=350/96")
    } else if cause.is::<NoMass>() {
        Some("give 0 g or more, and not infinite")
    } else if let Some(Unusable::Proxy) = cause.downcast_ref() {
        Some("write http://HOST:PORT in HTTPS_PROXY")
    } else if let Some(Unusable::Roots) = cause.downcast_ref() {
        Some("SSL_CERT_FILE names certificates in PEM")
    } else {
        cause.is::<UnusableSecret>().then_some("check the variable that it is taken from")
    }
}

/// How a time is written.
const A_TIME: &str = "give a date such as 2026-03-01 (midnight UTC), or a time with its offset, such as \
                      2026-03-01T09:00Z or 2026-03-01T10:00+01:00";

/// What stops a pipeline is shared by all whose entries it took.
fn ledger_error(cause: &Cause) -> Option<&LedgerError> {
    let shared = cause.downcast_ref::<Arc<LedgerError>>().map(AsRef::as_ref);
    cause.downcast_ref().or(shared)
}

/// What an error is about, where a hint needs to name it.
fn subject(cause: &Cause) -> Option<String> {
    let shown = |path: &Path| Some(path.display().to_string());
    if let Some(
        Fault::NoLedger { path }
        | Fault::NoKey { path }
        | Fault::NotALedger { path, .. }
        | Fault::Legacy { path }
        | Fault::Untrusted { path }
        | Fault::KeyGone { ledger: path, .. }
        | Fault::NotSoMany { path, .. }
        | Fault::Nameless { path }
        | Fault::Invalid { path },
    ) = cause.downcast_ref()
    {
        return shown(path);
    }
    if let Some(embodied::Error::Unknown { name, .. }) = cause.downcast_ref() {
        return Some(name.clone());
    }
    if let Some(error) = cause.downcast_ref::<NotStarted>() {
        return error.command_line().map(str::to_owned);
    }
    match ledger_error(cause)? {
        LedgerError::Busy { path, .. }
        | LedgerError::LegacyTail { path, .. }
        | LedgerError::KeyExposed { path, .. } => shown(path),
        LedgerError::Continued { path }
        | LedgerError::Damaged { path, .. }
        | LedgerError::KeyNotInRoster { path, .. }
        | LedgerError::LinesGone { path, .. }
        | LedgerError::EmptyLedger { path }
        | LedgerError::Truncated { path, .. }
        | LedgerError::Forked { path, .. } => shown(path.parent().unwrap_or(path)),
        _ => None,
    }
}

fn of_fault(cause: &Cause) -> Words {
    let fault = cause.downcast_ref()?;
    Some(match fault {
        Fault::OneCategory(_) => "leave out --upstream; for machines of your own, --deployment own",
        Fault::TwoSources { .. } => "--provider electricity_maps has both",
        Fault::NoEnergy => {
            "add energy, energy_kwh, energy_wh, energy_j, energy_uj, power_w or series"
        }
        Fault::NotAnEnergy(_) => {
            "give a finite number of at least 0; leave out what was not measured"
        }
        Fault::NotAnInstant(_) => A_TIME,
        Fault::OwnOutput(Output::WithoutTime) => "give --from and --to",
        Fault::OwnOutput(Output::Record) => {
            "aggregate adds records up; estimate --recompute makes their numbers again"
        }
        Fault::OwnOutput(_) => "aggregate adds rows and samples up",
        Fault::UnknownColumn(_) => {
            "the columns are start, end, energy_kwh, energy_wh, energy_j, energy_uj, energy, power_w, zone, pue, \
             id, host, host_id, label.NAME"
        }
        Fault::NoConfiguration(_) => "create it, or leave out --config and CARBON_CONFIG_PATH",
        Fault::FoundConfiguration => "this file was found, not named; --config names another one",
        Fault::PueBelowOne(_) => "a PUE is the energy of the site divided by that of its computers",
        Fault::NotAnId { .. } => "give --unit NAME=ID, such as --unit job=nightly --unit shard=3",
        Fault::SecondAgent(_) => "one agent per host is enough; --state-dir names another folder",
        Fault::OtherBoot(_) => {
            "whose the energy is can only be told where it is used; run `top` there"
        }
        Fault::NoProcess(_) => "`pgrep -f NAME` finds its number",
        Fault::CannotRead { what: UserFile::Instruments, .. } => {
            "--market, CARBON_OPS_MARKET or market.file names a file of the form of docs/formats/instruments-v1.md"
        }
        Fault::CannotRead { what: UserFile::Intensities, .. } => {
            "CARBON_OPS_CARBON_INTENSITY_FILE, or providers.file, names a file with intensities (docs/intensity.md)"
        }
        Fault::NoLimit(_) => "give one amount with its unit, such as 5kWh or 2kg",
        Fault::NoEnergySeen => "repeat the work within the command, so that a run takes a second",
        Fault::RunFailed { .. } => "--show-output shows what it says",
        _ => return of_ledger_fault(fault),
    })
}

/// Of a ledger, a key or a record that is not at hand.
fn of_ledger_fault(fault: &Fault) -> Words {
    Some(match fault {
        Fault::NoDefaultLedger => "give the path of a ledger",
        Fault::NoHome => "give --ledger DIR and set CARBON_OPS_KEY, or give --no-ledger",
        Fault::CannotOpen { source, .. } if tells_of_lines(source) => LINES_GONE,
        Fault::CannotOpen { .. } => {
            "give the path of a ledger, or make the default one with a first `carbon-ops run`"
        }
        Fault::NoLedger { .. } => "make it with `carbon-ops ledger init {}`",
        Fault::KeyGone { .. } => {
            "restore the key from a copy; if it is lost, `carbon-ops ledger init --continues {}` goes on in a new \
             ledger, with a new key"
        }
        Fault::NothingContinued => "verify without --continues",
        Fault::NotSoMany { .. } => {
            "`carbon-ops ledger verify {}` shows what is at fault; give a smaller --size"
        }
        Fault::Nameless { .. } => "move it away, and begin anew with `carbon-ops ledger init`",
        Fault::InTheWay { .. } => "name a folder for the new ledger",
        Fault::NoKey { .. } => "make one with `carbon-ops keys generate {}`",
        Fault::CannotWrite(
            LedgerError::Io { source, .. } | LedgerError::NotStored { source, .. },
        ) if is_full(source) => {
            "make room there, or name another place with --ledger and CARBON_OPS_KEY, or give \
             --no-ledger"
        }
        Fault::CannotWrite(_) => {
            "make it writable, or name another place with --ledger and CARBON_OPS_KEY, or give \
             --no-ledger"
        }
        Fault::NotALedger { what: Pack, .. } => "`carbon-ops ledger verify-pack {}` checks it",
        Fault::NotALedger { what: Proof, .. } => "`carbon-ops ledger check-proof {}` checks it",
        Fault::NotALedger { .. } => "give a ledger: its directory, or a copy of its file",
        Fault::Legacy { .. } => {
            "`carbon-ops ledger verify --profile 0.1 {}` checks it, and `ledger import` continues it"
        }
        Fault::OtherCheckpoint { .. } => {
            "give the checkpoint that was kept of this ledger, or the ledger that it belongs to; if they \
             should belong together, the ledger was replaced"
        }
        Fault::NoWriter { .. } => {
            "its writer can let one join: `carbon-ops keys prove` here, then `keys rotate --add` there"
        }
        Fault::SeveralWriters { .. } => "name the one that will sign with --signer",
        Fault::NotStolen => "add --reason key_compromise",
        Fault::NotToJoin { .. } => {
            "`carbon-ops ledger verify` says what is wrong; `carbon-ops keys trust` adds a key"
        }
        Fault::NoAgreement(_) => "give what `carbon-ops keys prove` printed",
        Fault::NothingImported => "verify without --imported; of the old file alone, --profile 0.1",
        Fault::NotSmaller { .. } => "the smaller size comes first",
        Fault::NothingToRead => "name a ledger or a file of records",
        Fault::Untrusted { .. } => "`carbon-ops ledger verify {}` shows the key; --trust names it",
        Fault::Invalid { .. } => "`carbon-ops ledger verify {}` says what is wrong",
        Fault::NoRecord { .. } => {
            "give a file with one record, LEDGER:SEQ, or the number of an entry of the default ledger"
        }
        Fault::NoWitness(_) => {
            "give its address, a plus sign and the verifier key that `carbon-ops witness init` prints, such \
             as https://witness.example+witness.example/w1+1234abcd+BASE64"
        }
        Fault::OtherTiles { .. } => "remove the directory `tile`; it is made again from the lines",
        Fault::NotCovered { .. } => CHECKPOINT_COVERS,
        Fault::NotSignedFor { .. } => TILES_LIE,
        _ => return None,
    })
}

const LINES_GONE: &str = "restore the file from a copy (or put it back under its name); without one, `carbon-ops \
                          ledger init --continues` of this folder goes on in a new ledger";

const CHECKPOINT_COVERS: &str = "`carbon-ops ledger checkpoint` signs one that covers all entries";

const TILES_LIE: &str =
    "run `carbon-ops ledger verify`; if the ledger is valid, remove the directory `tile` beside it";

fn tells_of_lines(error: &io::Error) -> bool {
    matches!(error.get_ref(), Some(inner) if inner.is::<LinesGone>())
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), Io::StorageFull | Io::QuotaExceeded)
}

fn of_ledger(cause: &Cause) -> Words {
    Some(match ledger_error(cause)? {
        LedgerError::Busy { .. } => "wait for the other writer, or find it with `fuser {}`",
        LedgerError::LegacyTail { .. } => {
            "run `carbon-ops ledger verify --profile 0.1 {}` to see every fault; nothing was changed"
        }
        LedgerError::KeyExposed { .. } => "chmod 600 {}",
        LedgerError::NoLedger { .. } => "`carbon-ops ledger init` makes one",
        LedgerError::LinesGone { .. } => LINES_GONE,
        LedgerError::Io { action: "lock", source, .. } if source.kind() == Io::Unsupported => {
            "keep the ledger on a local disk, or mount this one with locks that others see"
        }
        LedgerError::EmptyLedger { .. } => {
            "restore it from a copy, or move it away to begin anew; where checkpoints tell of it, `carbon-ops \
             ledger init --continues {}` goes on"
        }
        LedgerError::Continued { .. } => {
            "write to the ledger that continues it; if that was never finished, `carbon-ops ledger init \
             --continues {}` does"
        }
        LedgerError::Damaged { .. } => {
            "`carbon-ops ledger doctor {}` says what leads on: restoring a copy, `ledger repair`, or `ledger init \
             --continues`; nothing was changed"
        }
        LedgerError::UntrustedLedger { .. } => {
            "if that key is yours, add it to the trusted keys with `carbon-ops keys trust`"
        }
        LedgerError::KeyNotInRoster { .. } => {
            "use a key that may (`carbon-ops ledger verify` lists them); after an interrupted change \
             of keys run `carbon-ops keys rotate` again; if all are lost, go on in a new ledger: \
             `carbon-ops ledger init --continues {}`"
        }
        LedgerError::NoEntry { .. } => "`carbon-ops ledger show` prints the last ones",
        LedgerError::Fatal { .. } => {
            "look for disk errors in the kernel log, then run `carbon-ops ledger verify`; the next \
             run recovers the ledger"
        }
        LedgerError::Poisoned { .. } => "open it again",
        LedgerError::Stopped { written: true, .. } => {
            "it may be in the ledger all the same; open the ledger again to see"
        }
        LedgerError::Stopped { written: false, .. } => {
            "it is not in the ledger; submit it again when the ledger has been opened again"
        }
        LedgerError::Truncated { .. } | LedgerError::Forked { .. } => {
            "restore it from a later copy, or go on in a new ledger that says so: `carbon-ops ledger init \
             --continues {}`; nothing was changed"
        }
        LedgerError::Beside { .. } => {
            "run `carbon-ops ledger verify` to see what holds; nothing was signed"
        }
        LedgerError::Ended { .. } => {
            "what was acknowledged is in the ledger and must not be submitted again"
        }
        LedgerError::KeyEncrypted { .. } => {
            "put the passphrase into a file that only you can read, and set \
             CARBON_OPS_KEY_PASSPHRASE_FILE to its path"
        }
        _ => return None,
    })
}

fn of_hardware(cause: &Cause) -> Words {
    if let Some(error) = cause.downcast_ref() {
        return Some(of_text(error));
    }
    Some(match cause.downcast_ref()? {
        embodied::Error::Unknown { .. } => "give it a total with its uncertainty: {}=1200kg ± 30%",
        embodied::Error::Text { what: Expected::Lifetime, .. } => "give 4y, 1460d or 35040h",
        embodied::Error::Text { what: Expected::Portion, .. } => {
            "give 0.5, 50% or 2/16: from 0 to 1"
        }
        embodied::Error::Text { .. } => {
            "give h100, 8*h100, server(cpus=2, memory=256, ssd=2), cpu(die=694), or with a total: my \
             box=1200kg ± 30%"
        }
        embodied::Error::Total { error, .. } => of_text(error),
        embodied::Error::Negative(_) => "ln(mean, cv) and tn(mean, sd, min=0) cannot be negative",
        _ => return None,
    })
}

fn of_text(error: &TextError) -> &'static str {
    match error.quantity {
        Quantity::Energy => "write for instance 1.2kWh, 1.2kWh ± 2% or ln(4.3, 5%)MJ",
        Quantity::Power => "write for instance 50W, 1.2kW ± 10% or ln(50, 5%)W",
        Quantity::Intensity => "write for instance 400, 400 ± 40 g/kWh or ln(400, 10%)",
        Quantity::Carbon => "write for instance 300kg, 300kg ± 20% or ln(300, 35%)kg",
        Quantity::Ratio => "write for instance 1.2, 1.2 ± 0.05 or tn(1.2, 0.05, min=1)",
        Quantity::Number => "write for instance 1.2, 1.2 ± 0.05, n(1, 0.1) or u(0, 2)",
    }
}

/// A transparent error is in the chain instead of the one within it.
fn of_uncertainty(cause: &Cause) -> Words {
    let within = match cause.downcast_ref() {
        Some(record::Error::Uncertainty(error)) => error,
        Some(record::Error::Scratch(_)) => return Some("TMPDIR names a folder that has room"),
        _ => cause.downcast_ref()?,
    };
    match within {
        uncertainty::Error::NoUncertainty => {
            Some("say how well one of them is known, such as 400 ± 10%")
        }
        uncertainty::Error::TooWide => Some("give the widest of them a smaller spread"),
        _ => None,
    }
}

fn of_score(cause: &Cause) -> Words {
    cause
        .is::<record::UnknownUnit>()
        .then_some("give a number above 0 and what is counted: 1000:request")
}

fn of_interval(cause: &Cause) -> Words {
    match cause.downcast_ref()? {
        Impossible::Empty { .. } => Some("give an end after the start"),
        Impossible::Instant(_) => Some(A_TIME),
        Impossible::TooLong(_) => Some("ask for it in parts"),
        _ => None,
    }
}

fn of_span(cause: &Cause) -> Words {
    match cause.downcast_ref()? {
        span::Error::Series { .. } => {
            Some("give a part for each moment, or split the span where nothing was measured")
        }
        span::Error::UnknownPolicy(_) => Some("give step, drop or interpolate"),
        _ => None,
    }
}

fn of_settings(cause: &Cause) -> Words {
    match cause.downcast_ref()? {
        sources::Error::UnknownProvider(_) => {
            Some("give electricity_maps, watttime, gb, static, egrid or file")
        }
        sources::Error::Address => Some("credentials are taken from the environment"),
        sources::Error::NoCacheFolder => {
            Some("set HOME or XDG_CACHE_HOME, or providers.cache in the configuration file")
        }
        sources::Error::NoCredentials(sources::Name::WattTime) => {
            Some("set WATTTIME_USERNAME and WATTTIME_PASSWORD")
        }
        sources::Error::NoCredentials(_) => Some("set ELECTRICITYMAPS_TOKEN"),
        sources::Error::NoFile => Some("set CARBON_OPS_CARBON_INTENSITY_FILE"),
        _ => None,
    }
}

fn of_chain(cause: &Cause) -> Words {
    match cause.downcast_ref()? {
        Failed::Nobody { want: Want { kind: Kind::Average, factor: Some(_), .. } } => Some(
            "electricity_maps has both direct and life-cycle intensities; gb and egrid have direct ones, \
             static has life-cycle ones",
        ),
        Failed::Nobody { want: Want { kind: Kind::Average, .. } } => Some(
            "add one to providers.order, such as static; what was bought, such as a residual mix, is for \
                 aggregate --market",
        ),
        Failed::Nobody { .. } => {
            Some("add watttime to providers.order, or a file that declares this signal")
        }
        Failed::One(error) => for_error(error),
        _ => None,
    }
}

/// The hint for one provider of a chain.
pub fn for_reason(reason: &Reason) -> Words {
    match reason {
        Reason::AnotherSignal { .. } => {
            Some("set providers.fallback to same_kind to accept it, or put the provider first")
        }
        Reason::Failed(error) => for_error(error),
        _ => None,
    }
}

/// Where an answer that a record names may still be.
pub const NOT_KEPT: &str = "copy the answer and the file beside it (.gz, .json) from the cache in which the record was made, or \
     from a copy of it";

fn of_provider(cause: &Cause) -> Words {
    cause.downcast_ref().and_then(for_error)
}

fn for_error(error: &grid::Error) -> Words {
    let provider = error.provider().unwrap_or_default();
    match error.kind() {
        ErrorKind::NotOffered => for_signal(provider),
        ErrorKind::Uncovered(why) => for_zone(provider, why),
        ErrorKind::Denied(why) => for_access(provider, why),
        ErrorKind::RateLimited => Some("try again later"),
        ErrorKind::BackingOff => Some("wait, or remove the folder of the zone from the cache"),
        ErrorKind::Unprotected => Some("give an address with https://"),
        ErrorKind::File(FileProblem::Undeclared) => Some(
            "say what the numbers count: \"signal\": \"average_lifecycle\" (average, marginal or residual; \
             lifecycle or direct) beside \"zones\": {…}, or a first line # signal: average_lifecycle",
        ),
        ErrorKind::File(FileProblem::Form) => Some(
            "a table has the columns zone,start,end,g_per_kwh; JSON has \"signal\" and \"zones\" \
             (docs/intensity.md)",
        ),
        ErrorKind::File(FileProblem::Values) => Some(
            "a number has a point for its decimals and no mark between thousands, a time an offset, and each time \
             of a zone one value",
        ),
        ErrorKind::File(FileProblem::Instruments) => Some(
            "a first line # factor: direct (or lifecycle), then the columns kind,id,market,start,end,wh,share_pct,\
             g_per_kwh (docs/formats/instruments-v1.md)",
        ),
        ErrorKind::File(FileProblem::NotKept) => Some(NOT_KEPT),
        _ => None,
    }
}

/// What a provider has instead.
fn for_signal(provider: &str) -> Words {
    Some(match provider {
        "electricity_maps" => "it has averages; watttime has marginal rates",
        "watttime" => "it has marginal and average rates, direct, of CO2 alone",
        "gb" => "it has averages, direct, of CO2 alone",
        "static" => "it has yearly averages, over the life cycle, by production",
        "egrid" => "it has yearly averages, direct, by production",
        "file" => "the file declares another signal",
        _ => return None,
    })
}

/// How a provider's zones are named.
fn for_zone(provider: &str, why: Uncovered) -> Words {
    Some(match (provider, why) {
        (_, Uncovered::NotCached) => "leave out --offline once",
        ("electricity_maps", Uncovered::NoSuchZone) => {
            "zone keys are ISO 3166 codes, with a grid after them: DE, US-CAL-CISO, DK-DK1"
        }
        ("electricity_maps", Uncovered::CloudRegion) => "name its zone: electricity_maps:ZONE",
        ("electricity_maps", Uncovered::SeveralZones) => {
            "a state has several grids; name one: electricity_maps:US-CAL-CISO"
        }
        ("electricity_maps", _) => "name a country, or electricity_maps:ZONE",
        ("watttime", Uncovered::NotByName) => {
            "its regions are not countries: give coordinates such as 42.37,-72.52, or watttime:CAISO_NORTH"
        }
        ("gb", Uncovered::Elsewhere) => "it answers for Great Britain only",
        ("gb", _) => "its zones are gb:GB, the regions gb:1 to gb:17, GB-ENG, GB-SCT and GB-WLS",
        ("static", _) => "name a country by its ISO 3166 code, or world",
        ("egrid", _) => "its zones are states of the United States, such as US-CA",
        ("file", _) => "zones are named as in the file",
        _ => return None,
    })
}

fn for_access(provider: &str, why: Denied) -> Words {
    Some(match (provider, why) {
        ("electricity_maps", _) => {
            "set ELECTRICITYMAPS_TOKEN to one whose plan has this zone and time"
        }
        ("watttime", Denied::NotIncluded) => "a free account has CAISO_NORTH only; see my-access",
        ("watttime", _) => "set WATTTIME_USERNAME and WATTTIME_PASSWORD to a valid account",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
