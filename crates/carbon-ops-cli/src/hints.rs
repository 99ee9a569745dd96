//! What the libraries leave to whoever talks to people: the remedy for an error, in words of this command,
//! and the exit code of a verdict.
//!
//! Errors of this command's own carry their remedies on a line that begins with `hint:`.

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::str::FromStr;
use std::sync::Arc;

use carbon_ops::estimate::embodied::{self, Expected};
use carbon_ops::estimate::intensity::signal::UnknownSignal;
use carbon_ops::estimate::intensity::{Impossible, NotForInventory};
use carbon_ops::estimate::label::NoMass;
use carbon_ops::estimate::uncertainty::text::{Quantity, TextError};
use carbon_ops::estimate::{sci, span, uncertainty};
use carbon_ops::ledger::Error as LedgerError;
use carbon_ops::ledger::pack::PackError;
use carbon_ops::ledger::witness::WitnessDirError;
use carbon_ops::record::{self, Deployment, upstream};
use carbon_ops::{Fault, OtherFile};

use crate::hints_grid;
use carbon_ops::verify::Answer;

/// The exit code of an answer: 0 yes, 1 no, 2 could not be checked, 3 cut off or rewritten since it was
/// signed for, 4 valid up to a torn end.
pub(crate) fn exit_code(answer: Answer) -> u8 {
    match answer {
        Answer::Valid => 0,
        Answer::Tampered | Answer::OtherImport | Answer::FalseCosignature | Answer::Incomplete => 1,
        Answer::Untrusted
        | Answer::Newer
        | Answer::CompletenessUnknown
        | Answer::NotWitnessed
        | Answer::NotConnected => 2,
        Answer::Rewritten => 3,
        Answer::TornTail => 4,
    }
}

/// What to do about an error and its causes, the outermost first, and nothing twice.
pub(crate) fn hint(error: &anyhow::Error) -> Vec<String> {
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
    for hint in hints_grid::hints(error) {
        if !hints.iter().any(|other| other.contains(hint)) {
            hints.push(hint.to_owned());
        }
    }
    hints
}

/// What to do about what cannot be had.
fn of_fault(fault: &Fault) -> Option<String> {
    let text = match fault {
        Fault::OneCategory(_) => "leave out --upstream; of machines of your own, --deployment own",
        Fault::TwoSources { .. } => "--provider electricity_maps has both",
        Fault::NoEnergy => "energy_kwh, energy_wh, energy_j, energy_uj, energy, power_w or series",
        Fault::NotAnEnergy(_) => {
            "a finite number that is at least 0; leave out the span if it was not measured"
        }
        Fault::NotAnInstant { .. } => {
            "2026-03-01T00:00:00Z, or with an offset such as +01:00; a date is its midnight in UTC"
        }
        Fault::UnknownColumn(_) => {
            "start, end, energy_kwh, energy_wh, energy_j, energy_uj, energy, power_w, zone, pue, id, host, host_id, \
             label.NAME"
        }
        Fault::NoConfiguration(_) => "create it, or leave out --config and CARBON_CONFIG_PATH",
        Fault::FoundConfiguration => {
            "this file was found, not named; name another one with --config"
        }
        Fault::PueBelowOne(_) => "it is the energy of the site over that of its computers",
        Fault::NoProcess(_) => "`pgrep -f NAME` finds its number",
        _ => return of_ledger_fault(fault),
    };
    Some(text.to_owned())
}

/// What to do about a ledger, a key or a record that is not at hand.
fn of_ledger_fault(fault: &Fault) -> Option<String> {
    let text = match fault {
        Fault::NoDefaultLedger => "give its path",
        Fault::NoHome => "give --ledger DIR and CARBON_OPS_KEY, or --no-ledger",
        Fault::CannotOpen { .. } => {
            "give the path of a ledger, or make the default one with a first `carbon-ops run`"
        }
        Fault::OtherCheckpoint { .. } => {
            "give the checkpoint that was kept of this ledger, or the ledger that it is of; if this should \
             be that ledger, it was replaced"
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
        Fault::NothingImported => {
            "verify without --imported; for the old file alone, use --profile 0.1"
        }
        Fault::NothingToRead => "name a ledger or a file of records",
        Fault::NoRecord { .. } => {
            "give a file with one record, LEDGER:SEQ, or the number of an entry of the default ledger"
        }
        Fault::NoWitness(_) => {
            "it is an address, a plus sign and the verifier key that `carbon-ops witness init` prints, such \
             as https://witness.example+witness.example/w1+1234abcd+BASE64"
        }
        Fault::OtherTiles { .. } => {
            "remove the directory `tile`, which is made again from the lines"
        }
        Fault::NotCovered { .. } => {
            "`carbon-ops ledger checkpoint` signs one for the entries that there are"
        }
        Fault::NotSignedFor { .. } => {
            "run `carbon-ops ledger verify`; if that is well, remove the directory `tile` beside it"
        }
        _ => return of_place_fault(fault),
    };
    Some(text.to_owned())
}

/// What to do about a file, by its path.
fn of_place_fault(fault: &Fault) -> Option<String> {
    Some(match fault {
        Fault::NoLedger { path } => {
            format!("make it with `carbon-ops ledger init {}`", path.display())
        }
        Fault::NoKey { path } => {
            format!("make one with `carbon-ops keys generate {}`", path.display())
        }
        Fault::CannotWrite(
            LedgerError::Io { source, .. } | LedgerError::NotStored { source, .. },
        ) => {
            let full = matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
            let first = if full { "make room there" } else { "make it writable" };
            format!("{first}, name another ledger with --ledger, or give --no-ledger")
        }
        Fault::NotALedger { path, what } => {
            let path = path.display();
            match what {
                OtherFile::Pack => format!("`carbon-ops ledger verify-pack {path}` verifies it"),
                OtherFile::Proof => format!("`carbon-ops ledger check-proof {path}` verifies it"),
                _ => "give the path of a ledger: its directory, or a copy of its file".to_owned(),
            }
        }
        Fault::Legacy { path } => {
            let path = path.display();
            format!(
                "`carbon-ops ledger verify --profile 0.1 {path}` verifies it, and `ledger import` \
                 continues it"
            )
        }
        Fault::Untrusted { path } => {
            let path = path.display();
            format!("`carbon-ops ledger verify {path}` tells which, and --trust names it")
        }
        Fault::Invalid { path } => {
            let path = path.display();
            format!("`carbon-ops ledger verify {path}` says what is wrong")
        }
        _ => return None,
    })
}

/// Reads the value of an argument; what to do about one that cannot be read follows on lines of its own.
pub(crate) fn argument<T>(text: &str) -> Result<T, String>
where
    T: FromStr<Err: StdError + Send + Sync + 'static>,
{
    described(text.parse::<T>())
}

/// A result whose error is told with what to do about it, on lines of its own.
pub(crate) fn described<T>(result: Result<T, impl Into<anyhow::Error>>) -> Result<T, String> {
    result.map_err(|error| crate::render::describe(&error.into()))
}

/// What to do about one cause that is an error of the libraries.
fn of_cause(cause: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(fault) = cause.downcast_ref::<Fault>() {
        return of_fault(fault);
    }
    // What stops a pipeline is shared by all whose entries it took.
    let shared = cause.downcast_ref::<Arc<LedgerError>>().map(AsRef::as_ref);
    if let Some(error) = cause.downcast_ref().or(shared) {
        return of_ledger(error);
    }
    let text = match (cause.downcast_ref(), cause.downcast_ref()) {
        (Some(PackError::Beyond { .. }), _) => {
            "`carbon-ops ledger checkpoint` signs one for the entries that there are"
        }
        (Some(PackError::Contradiction { .. }), _) => {
            "run `carbon-ops ledger verify`; if that is well, remove the directory `tile` beside the \
             ledger"
        }
        (_, Some(WitnessDirError::NotInitialised(_))) => {
            "`carbon-ops witness init` makes one; if there was one here and it is lost, retire the \
             witness's key: one without memory would cosign a second history"
        }
        _ => return of_estimate(cause),
    };
    Some(text.to_owned())
}

/// Of errors of figures, their inputs and records.
fn of_estimate(cause: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(error) = cause.downcast_ref() {
        return of_hardware(error);
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(of_text(error).to_owned());
    }
    // A transparent error is in the chain instead of the one within it.
    let within = match (cause.downcast_ref(), cause.downcast_ref()) {
        (Some(record::Error::Uncertainty(error)), _) | (_, Some(sci::Error::Model(error))) => {
            Some(error)
        }
        _ => cause.downcast_ref(),
    };
    if let Some(uncertainty::Error::NoUncertainty) = within {
        return Some("say how well one of them is known, such as 400 ± 10%".to_owned());
    }
    let text = if cause.is::<UnknownSignal>() {
        "average, marginal or residual, then lifecycle or direct, joined by _: average_lifecycle"
    } else if cause.is::<NotForInventory>() {
        "ask for --signal average; a marginal rate gives a consequential figure of its own"
    } else if cause.is::<<Deployment as FromStr>::Err>() {
        "own, colocation, cloud or product"
    } else if cause.is::<NoMass>() {
        "a mass is 0 g or more, and not infinite"
    } else if let Some(upstream::Refused::Negative { .. }) = cause.downcast_ref() {
        "the source contradicts itself; without --upstream, its life-cycle values have a price"
    } else {
        return of_span(cause);
    };
    Some(text.to_owned())
}

/// Of errors of times, their slots and their scores.
fn of_span(cause: &(dyn StdError + 'static)) -> Option<String> {
    let of_interval = match cause.downcast_ref() {
        Some(Impossible::Empty { .. }) => Some("give an end after the start"),
        Some(Impossible::Instant { .. }) => {
            Some("2026-03-01T00:00Z, or with an offset such as +01:00")
        }
        Some(Impossible::TooLong(_)) => Some("ask for it in parts"),
        _ => None,
    };
    let of_series = match cause.downcast_ref() {
        Some(span::Error::Series { .. }) => {
            Some("give a part for each moment, or split the span where nothing was measured")
        }
        Some(span::Error::UnknownPolicy(_)) => Some("step, drop or interpolate"),
        _ => None,
    };
    let of_score = match cause.downcast_ref() {
        Some(sci::Error::Unit(_)) => Some("a number above 0 and what is counted: 1000:request"),
        Some(sci::Error::Market(..)) => Some("average or marginal intensities"),
        _ => None,
    };
    of_interval.or(of_series).or(of_score).map(str::to_owned)
}

fn of_hardware(error: &embodied::Error) -> Option<String> {
    let text = match error {
        embodied::Error::Unknown { name, .. } => {
            return Some(format!("give it a total with its uncertainty: {name}=1200kg ± 30%"));
        }
        embodied::Error::Text { what: Expected::Lifetime, .. } => "4y, 1460d, 35040h",
        embodied::Error::Text { what: Expected::Portion, .. } => "0.5, 50%, 2/16: from 0 to 1",
        embodied::Error::Text { .. } => {
            "h100, 8*h100, server(cpus=2, memory=256, ssd=2), cpu(die=694), or with a total: my \
             box=1200kg ± 30%"
        }
        embodied::Error::Total { error, .. } => of_text(error),
        embodied::Error::Negative(_) => "ln(mean, cv) and tn(mean, sd, min=0) cannot",
        _ => return None,
    };
    Some(text.to_owned())
}

fn of_text(error: &TextError) -> &'static str {
    match error.quantity {
        Quantity::Energy => "write for instance 1.2kWh, 1.2kWh ± 2% or ln(4.3, 5%)MJ",
        Quantity::Intensity => "write for instance 400, 400 ± 40 g/kWh or ln(400, 10%)",
        Quantity::Carbon => "write for instance 300kg, 300kg ± 20% or ln(300, 35%)kg",
        Quantity::Ratio => "write for instance 1.2, 1.2 ± 0.05 or tn(1.2, 0.05, min=1)",
        Quantity::Number => "write for instance 1.2, 1.2 ± 0.05, n(1, 0.1) or u(0, 2)",
    }
}

fn of_ledger(error: &LedgerError) -> Option<String> {
    let text = match error {
        LedgerError::Busy { path, .. } => {
            let path = path.display();
            return Some(format!(
                "wait for the other carbon-ops to finish, or find it with `fuser {path}`"
            ));
        }
        LedgerError::LegacyTail { path, .. } => {
            let path = path.display();
            return Some(format!(
                "run `carbon-ops ledger verify --profile 0.1 {path}` to see every fault; nothing was \
                 changed"
            ));
        }
        LedgerError::KeyExposed { path, .. } => {
            return Some(format!("chmod 600 {}", path.display()));
        }
        LedgerError::NoLedger { .. } => "`carbon-ops ledger init` makes one",
        LedgerError::EmptyLedger { .. } => {
            "restore it from a copy, or move it away to begin a new ledger"
        }
        LedgerError::Damaged { .. } => {
            "run `carbon-ops ledger verify` to see every fault; nothing was changed"
        }
        LedgerError::UntrustedLedger { .. } => {
            "if that key is yours, add it to the trusted keys with `carbon-ops keys trust`"
        }
        LedgerError::KeyNotInRoster { .. } => {
            "use a key that may (`carbon-ops ledger verify` lists them); after an interrupted change \
             of keys run `carbon-ops keys rotate` again"
        }
        LedgerError::NoEntry { .. } => {
            "`carbon-ops ledger show` prints the numbers of the last ones"
        }
        LedgerError::Fatal { .. } => {
            "look for disk errors in the kernel log, then run `carbon-ops ledger verify`; the next \
             run recovers the ledger"
        }
        LedgerError::Poisoned { .. } => "open it again",
        LedgerError::Stopped { written: true, .. } => {
            "it may be in the ledger all the same; open it again to see"
        }
        LedgerError::Stopped { written: false, .. } => {
            "it is not in the ledger; submit it again when the ledger has been opened again"
        }
        LedgerError::Truncated { .. } => "restore it from a copy; nothing was changed",
        LedgerError::Forked { .. } => "restore it from a copy; nothing was signed",
        LedgerError::Beside { .. } => {
            "run `carbon-ops ledger verify` to see what holds; nothing was signed"
        }
        LedgerError::KeyEncrypted { .. } => {
            "put the passphrase into a file that only you can read, and set \
             CARBON_OPS_KEY_PASSPHRASE_FILE to its path"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use carbon_ops::proof::verify::Status;

    use super::*;
    use crate::render::describe;

    fn no_ledger() -> LedgerError {
        LedgerError::NoLedger { path: "there".into() }
    }

    #[test]
    fn a_remedy_is_found_however_deep_its_error_lies() {
        let expected = "`carbon-ops ledger init` makes one";
        assert_eq!(hint(&no_ledger().into()), [expected]);
        let wrapped = Err::<(), _>(no_ledger()).context("appending").context("running");
        assert_eq!(
            describe(&wrapped.unwrap_err()),
            format!("running: appending: there is no ledger at there\nhint: {expected}")
        );
        assert_eq!(hint(&anyhow::anyhow!("something else")), [""; 0]);
    }

    #[test]
    fn an_argument_that_cannot_be_read_has_its_remedy_below() {
        assert_eq!(
            argument::<embodied::Portion>("2/16").map(embodied::Portion::as_ratio),
            Ok(0.125)
        );
        let remedy = |message: Result<(), String>| {
            let message = message.unwrap_err();
            message.split_once("\nhint: ").unwrap().1.to_owned()
        };
        let of_total = argument::<embodied::Hardware>("box=1200miles").map(|_| ());
        assert_eq!(remedy(of_total), of_text(&Quantity::Carbon.read("x").unwrap_err()));
        assert_eq!(remedy(argument::<embodied::Lifetime>("4").map(|_| ())), "4y, 1460d, 35040h");
        assert!(
            remedy(argument::<embodied::Hardware>("h1000").map(|_| ())).contains("h1000=1200kg")
        );
        assert!(remedy(argument::<span::Missing>("x").map(|_| ())).starts_with("step"));
        assert!(remedy(argument::<Deployment>("x").map(|_| ())).starts_with("own"));
        assert!(
            remedy(argument::<sci::FunctionalUnit>("0:x").map(|_| ())).contains("1000:request")
        );
    }

    #[test]
    fn an_error_within_a_transparent_one_keeps_its_remedy() {
        let exact = || uncertainty::Error::NoUncertainty;
        let remedy = hint(&exact().into());
        assert_eq!(remedy.len(), 1);
        assert_eq!(hint(&record::Error::from(exact()).into()), remedy);
        assert_eq!(hint(&sci::Error::from(exact()).into()), remedy);
    }

    #[test]
    fn what_stopped_a_pipeline_keeps_its_remedy_behind_that_of_the_entry() {
        let stopped = LedgerError::Stopped {
            path: "there".into(),
            cause: Arc::new(no_ledger()),
            written: false,
        };
        assert_eq!(
            describe(&stopped.into()),
            "the entry was not acknowledged by there: there is no ledger at there\n\
             hint: it is not in the ledger; submit it again when the ledger has been opened again\n\
             hint: `carbon-ops ledger init` makes one"
        );
    }

    #[test]
    fn verdicts_have_the_codes_of_the_documents() {
        let all = [
            Status::Valid,
            Status::Tampered,
            Status::Untrusted,
            Status::Rewritten,
            Status::TornTail,
        ];
        assert_eq!(all.map(|status| exit_code(Answer::of(status))), [0, 1, 2, 3, 4]);
        let not_well = [
            (Answer::OtherImport, 1),
            (Answer::FalseCosignature, 1),
            (Answer::Incomplete, 1),
            (Answer::Newer, 2),
            (Answer::CompletenessUnknown, 2),
            (Answer::NotWitnessed, 2),
            (Answer::NotConnected, 2),
        ];
        for (answer, code) in not_well {
            assert_eq!(exit_code(answer), code, "{answer:?}");
        }
    }
}
