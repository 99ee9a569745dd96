//! What the libraries of ledgers and proofs leave to whoever talks to people: the remedy for an error,
//! in words of this command, and the exit code of a verdict.
//!
//! Errors of this command's own carry their remedies on a line that begins with `hint:`.

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::sync::Arc;

use carbon_ops::ledger::Error as LedgerError;
use carbon_ops::ledger::pack::PackError;
use carbon_ops::ledger::witness::WitnessDirError;
use carbon_ops::verify::Answer;
use carbon_ops::{Error, Other};

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
    hints
}

/// What to do about one cause that is an error of the libraries.
fn of_cause(cause: &(dyn StdError + 'static)) -> Option<String> {
    // What stops a pipeline is shared by all whose entries it took.
    let shared = cause.downcast_ref::<Arc<LedgerError>>().map(AsRef::as_ref);
    if let Some(error) = cause.downcast_ref().or(shared) {
        return of_ledger(error);
    }
    if let Some(error) = cause.downcast_ref() {
        return of_engine(error);
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

fn of_engine(error: &Error) -> Option<String> {
    let text = match error {
        Error::NoDefaultLedger => "give its path",
        Error::NoHome => "give --ledger DIR and CARBON_OPS_KEY, or --no-ledger",
        Error::CannotOpen { .. } => {
            "give the path of a ledger, or make the default one with a first `carbon-ops run`"
        }
        Error::NoLedger { path } => {
            return Some(format!("make it with `carbon-ops ledger init {}`", path.display()));
        }
        Error::NoKey { path } => {
            return Some(format!("make one with `carbon-ops keys generate {}`", path.display()));
        }
        Error::CannotWrite(
            LedgerError::Io { source, .. } | LedgerError::NotStored { source, .. },
        ) => {
            let full = matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
            let first = if full { "make room there" } else { "make it writable" };
            return Some(format!(
                "{first}, name another ledger with --ledger, or give --no-ledger"
            ));
        }
        Error::NotALedger { path, what } => {
            let path = path.display();
            return Some(match what {
                Other::Pack => format!("`carbon-ops ledger verify-pack {path}` verifies it"),
                Other::Proof => format!("`carbon-ops ledger check-proof {path}` verifies it"),
                _ => "give the path of a ledger: its directory, or a copy of its file".to_owned(),
            });
        }
        Error::Legacy { path } => {
            let path = path.display();
            return Some(format!(
                "`carbon-ops ledger verify --profile 0.1 {path}` verifies it, and `ledger import` \
                 continues it"
            ));
        }
        Error::OtherCheckpoint { .. } => {
            "give the checkpoint that was kept of this ledger, or the ledger that it is of; if this should \
             be that ledger, it was replaced"
        }
        Error::NoWriter { .. } => {
            "its writer can let one join: `carbon-ops keys prove` here, then `keys rotate --add` there"
        }
        Error::SeveralWriters { .. } => "name the one that will sign with --signer",
        Error::NotStolen => "add --reason key_compromise",
        Error::NotToJoin { .. } => {
            "`carbon-ops ledger verify` says what is wrong; `carbon-ops keys trust` adds a key"
        }
        Error::NoAgreement(_) => "give what `carbon-ops keys prove` printed",
        Error::NothingImported => {
            "verify without --imported; for the old file alone, use --profile 0.1"
        }
        Error::NothingToRead => "name a ledger or a file of records",
        Error::Untrusted { path } => {
            let path = path.display();
            return Some(format!(
                "`carbon-ops ledger verify {path}` tells which, and --trust names it"
            ));
        }
        Error::Invalid { path } => {
            let path = path.display();
            return Some(format!("`carbon-ops ledger verify {path}` says what is wrong"));
        }
        Error::NoRecord { .. } => {
            "give a file with one record, LEDGER:SEQ, or the number of an entry of the default ledger"
        }
        Error::NoWitness(_) => {
            "it is an address, a plus sign and the verifier key that `carbon-ops witness init` prints, such \
             as https://witness.example+witness.example/w1+1234abcd+BASE64"
        }
        Error::OtherTiles { .. } => {
            "remove the directory `tile`, which is made again from the lines"
        }
        Error::NotCovered { .. } => {
            "`carbon-ops ledger checkpoint` signs one for the entries that there are"
        }
        Error::NotSignedFor { .. } => {
            "run `carbon-ops ledger verify`; if that is well, remove the directory `tile` beside it"
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
