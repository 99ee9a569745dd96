//! Tests of the hints: each error keeps its own, however deep it lies, and none is said twice.

use anyhow::Context as _;
use carbon_ops::grid::{Failure, Place, Signal};

use super::*;
use crate::render::argument;
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
    assert_eq!(argument::<embodied::Portion>("2/16").map(embodied::Portion::as_ratio), Ok(0.125));
    let remedy = |message: Result<(), String>| {
        let message = message.unwrap_err();
        message.split_once("\nhint: ").unwrap().1.to_owned()
    };
    let of_total = argument::<embodied::Hardware>("box=1200miles").map(|_| ());
    assert_eq!(remedy(of_total), of_text(&Quantity::Carbon.read("x").unwrap_err()));
    assert_eq!(remedy(argument::<embodied::Lifetime>("4").map(|_| ())), "give 4y, 1460d or 35040h");
    assert!(remedy(argument::<embodied::Hardware>("h1000").map(|_| ())).contains("h1000=1200kg"));
    assert!(remedy(argument::<span::Missing>("x").map(|_| ())).contains("step"));
    assert!(remedy(argument::<Deployment>("x").map(|_| ())).contains("own"));
    assert!(remedy(argument::<record::FunctionalUnit>("0:x").map(|_| ())).contains("1000:request"));
}

#[test]
fn an_error_within_a_transparent_one_keeps_its_remedy() {
    let exact = || uncertainty::Error::NoUncertainty;
    let remedy = hint(&exact().into());
    assert_eq!(remedy.len(), 1);
    assert_eq!(hint(&record::Error::from(exact()).into()), remedy);
}

#[test]
fn what_stopped_a_pipeline_keeps_its_remedy_behind_that_of_the_entry() {
    let stopped =
        LedgerError::Stopped { path: "there".into(), cause: Arc::new(no_ledger()), written: false };
    assert_eq!(
        describe(&stopped.into()),
        "the entry was not acknowledged by there: there is no ledger at there\n\
         hint: it is not in the ledger; submit it again when the ledger has been opened again\n\
         hint: `carbon-ops ledger init` makes one"
    );
}

#[test]
fn every_failure_of_a_chain_keeps_its_hint() {
    let want = Want::AVERAGE;
    let meant = Signal::AVERAGE_LIFECYCLE_PRODUCTION;
    let zone = grid::Error::UnknownZone {
        provider: "gb",
        zone: "DE".into(),
        near: Vec::new(),
        why: Uncovered::Elsewhere,
    };
    let failures = vec![
        Failure { provider: "gb", reason: Reason::Failed(zone) },
        Failure { provider: "static", reason: Reason::AnotherSignal { meant, has: meant } },
    ];
    let text = describe(&anyhow::Error::new(Failed::All(failures)).context("pricing"));
    let (said, hints) = text.split_once("\nhint: ").unwrap();
    assert!(said.starts_with("pricing: no provider gave the intensity:\n  gb"), "{text}");
    let expected = "it answers for Great Britain only\nhint: set providers.fallback to same_kind to \
                    accept it, or put the provider first";
    assert_eq!(hints, expected);
    let nobody = describe(&Failed::Nobody { want }.into());
    assert!(nobody.contains("hint: add one to providers.order, such as static"), "{nobody}");
}

#[test]
fn a_hint_is_found_below_other_causes_and_said_once() {
    let error = Place::parse("qqqqqq").unwrap_err();
    let text = describe(&anyhow::Error::new(error).context("region").context("region"));
    assert_eq!(text.matches("hint:").count(), 1, "{text}");
    let near = describe(&Place::parse("Germny").unwrap_err().into());
    assert!(near.contains("Germany (DE)") && !near.contains("hint:"), "{near}");
    let setting = anyhow::Error::new(sources::Error::NoCredentials(sources::Name::WattTime));
    assert!(describe(&setting).ends_with("WATTTIME_USERNAME and WATTTIME_PASSWORD"));
}
