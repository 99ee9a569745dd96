//! What the libraries of ledgers and proofs leave to whoever talks to people: the remedy for an error,
//! in words of this command, and the exit code of a verdict.
//!
//! Errors of this command's own carry their remedies on a line that begins with `hint:`.

use std::error::Error as StdError;
use std::sync::Arc;

use carbon_ops::Fault;
use carbon_ops::ledger::Error as LedgerError;
use carbon_ops::ledger::pack::{PackError, PackStatus};
use carbon_ops::ledger::witness::WitnessDirError;
use carbon_ops::proof::verify::Status;

use crate::hints_grid;

/// The exit code of a verification: 0 valid, 1 tampered, 2 could not be checked for want of a trusted
/// key, 3 cut off or rewritten since it was signed for, 4 valid up to a torn end.
pub(crate) fn exit_code(status: Status) -> u8 {
    match status {
        Status::Valid => 0,
        Status::Untrusted => 2,
        Status::Rewritten => 3,
        Status::TornTail => 4,
        // What a later version finds is not well either.
        _ => 1,
    }
}

/// As [`exit_code`], of a pack: 0, 1 or 2.
pub(crate) fn pack_exit_code(status: PackStatus) -> u8 {
    match status {
        PackStatus::Valid => 0,
        PackStatus::Untrusted => 2,
        _ => 1,
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
fn of_fault(fault: &Fault) -> Option<&'static str> {
    match fault {
        Fault::OneCategory(_) => {
            Some("leave out --upstream; of machines of your own, --deployment own")
        }
        Fault::TwoSources { .. } => Some("--provider electricity_maps has both"),
        Fault::NoEnergy => {
            Some("energy_kwh, energy_wh, energy_j, energy_uj, energy, power_w or series")
        }
        Fault::NotAnEnergy(_) => {
            Some("a finite number that is at least 0; leave out the span if it was not measured")
        }
        Fault::NotAnInstant { .. } => Some(
            "2026-03-01T00:00:00Z, or with an offset such as +01:00; a date is its midnight in UTC",
        ),
        Fault::UnknownColumn(_) => Some(
            "start, end, energy_kwh, energy_wh, energy_j, energy_uj, energy, power_w, zone, pue, id, host, host_id, \
             label.NAME",
        ),
        Fault::NoConfiguration(_) => {
            Some("create it, or leave out --config and CARBON_CONFIG_PATH")
        }
        Fault::FoundConfiguration => {
            Some("this file was found, not named; name another one with --config")
        }
        Fault::PueBelowOne(_) => Some("it is the energy of the site over that of its computers"),
        Fault::NoProcess(_) => Some("`pgrep -f NAME` finds its number"),
        _ => None,
    }
}

/// What to do about one cause that is an error of the libraries.
fn of_cause(cause: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(fault) = cause.downcast_ref::<Fault>() {
        return of_fault(fault).map(str::to_owned);
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
        _ => return None,
    };
    Some(text.to_owned())
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
        assert_eq!(all.map(exit_code), [0, 1, 2, 3, 4]);
        let all = [PackStatus::Valid, PackStatus::Tampered, PackStatus::Untrusted];
        assert_eq!(all.map(pack_exit_code), [0, 1, 2]);
    }
}
