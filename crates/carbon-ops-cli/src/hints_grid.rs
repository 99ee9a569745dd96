//! What to do about an error of places, of intensities and of their settings: from its kind to the words after
//! `hint:`.
//!
//! Out of scope: the errors themselves, which are facts of the libraries.

use carbon_ops::grid::http::Unusable;
use carbon_ops::grid::zones::{self, ErrorKind as ZoneErrorKind};
use carbon_ops::grid::{
    Denied, Error, ErrorKind, Failed, FileProblem, Kind, Reason, Uncovered, UnusableSecret, Want,
};
use carbon_ops::sources;

/// Where an answer that a record names may still be.
pub(crate) const NOT_KEPT: &str = "copy the answer and its neighbour (.gz, .json) from the cache in which the record \
                                   was made, or from a copy of it";

/// The hints for an error and its causes, none twice.
pub(crate) fn hints(error: &anyhow::Error) -> Vec<&'static str> {
    let mut hints: Vec<&'static str> = Vec::new();
    for cause in error.chain() {
        let found = match cause.downcast_ref::<Failed>() {
            Some(Failed::Nobody { want }) => vec![Some(for_nobody(*want))],
            Some(Failed::One(error)) => vec![for_provider(error)],
            Some(Failed::All(failures)) => {
                failures.iter().map(|failure| for_reason(&failure.reason)).collect()
            }
            Some(_) => Vec::new(),
            None => vec![for_cause(cause)],
        };
        for hint in found.into_iter().flatten() {
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
    }
    hints
}

fn for_cause(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    if let Some(error) = cause.downcast_ref::<Error>() {
        return for_provider(error);
    }
    if let Some(error) = cause.downcast_ref::<zones::Error>() {
        return (error.kind() == ZoneErrorKind::Unknown).then_some(
            "give an ISO country code such as DE, a state such as US-CA, or a cloud region such as eu-west-1",
        );
    }
    if let Some(error) = cause.downcast_ref::<sources::Error>() {
        return for_settings(error);
    }
    if let Some(error) = cause.downcast_ref::<Unusable>() {
        return match error {
            Unusable::Proxy => Some("http://HOST:PORT in HTTPS_PROXY"),
            Unusable::Roots => Some("SSL_CERT_FILE names certificates in PEM"),
            _ => None,
        };
    }
    cause.is::<UnusableSecret>().then_some("check the variable that it is taken from")
}

fn for_nobody(want: Want) -> &'static str {
    match (want.kind, want.factor) {
        (Kind::Average, Some(_)) => {
            "electricity_maps has both direct and life-cycle intensities; gb and egrid have direct ones, static \
             life-cycle ones"
        }
        (Kind::Average, None) => "add one to providers.order, such as static",
        _ => "add watttime to providers.order, or a file that declares this signal",
    }
}

/// The hint for one provider of a chain.
pub(crate) fn for_reason(reason: &Reason) -> Option<&'static str> {
    match reason {
        Reason::AnotherSignal { .. } => {
            Some("set providers.fallback to same_kind to accept it, or put the provider first")
        }
        Reason::Failed(error) => for_provider(error),
        _ => None,
    }
}

fn for_provider(error: &Error) -> Option<&'static str> {
    let provider = error.provider().unwrap_or_default();
    match error.kind() {
        ErrorKind::NotOffered => for_signal(provider),
        ErrorKind::Uncovered(why) => for_zone(provider, why),
        ErrorKind::Denied(why) => for_access(provider, why),
        ErrorKind::RateLimited => Some("try again later"),
        ErrorKind::BackingOff => Some("wait, or remove the folder of the zone from the cache"),
        ErrorKind::Unprotected => Some("an address with https://"),
        ErrorKind::File(FileProblem::Undeclared) => Some(
            "say what the numbers count: \"signal\": \"average_lifecycle\" (average, marginal or residual; \
             lifecycle or direct) beside \"zones\": {…}, or a first line # signal: average_lifecycle",
        ),
        ErrorKind::File(FileProblem::NotKept) => Some(NOT_KEPT),
        _ => None,
    }
}

/// What a provider has instead.
fn for_signal(provider: &str) -> Option<&'static str> {
    match provider {
        "electricity_maps" => Some("it has averages; watttime has marginal rates"),
        "watttime" => Some("it has marginal and average rates, direct, of CO2 alone"),
        "gb" => Some("it has averages, direct, of CO2 alone"),
        "static" => Some("it has yearly averages, over the life cycle, by production"),
        "egrid" => Some("it has yearly averages, direct, by production"),
        "file" => Some("the file declares another signal"),
        _ => None,
    }
}

/// How a provider's zones are named.
fn for_zone(provider: &str, why: Uncovered) -> Option<&'static str> {
    match (provider, why) {
        (_, Uncovered::NotCached) => Some("leave out --offline once"),
        ("electricity_maps", Uncovered::NoSuchZone) => {
            Some("zone keys are ISO 3166 codes, with a grid after them: DE, US-CAL-CISO, DK-DK1")
        }
        ("electricity_maps", Uncovered::CloudRegion) => {
            Some("name the zone of the region: electricity_maps:ZONE")
        }
        ("electricity_maps", Uncovered::Coordinates) => {
            Some("name the zone: electricity_maps:ZONE")
        }
        ("electricity_maps", Uncovered::SeveralZones) => {
            Some("a state has several grids; name one: electricity_maps:US-CAL-CISO")
        }
        ("electricity_maps", _) => Some("name a country, or electricity_maps:ZONE"),
        ("watttime", Uncovered::NotByName) => Some(
            "its regions are no countries: give coordinates such as 42.37,-72.52, or watttime:CAISO_NORTH",
        ),
        ("gb", Uncovered::Elsewhere) => Some("it answers for Great Britain only"),
        ("gb", _) => {
            Some("its zones are gb:GB, the regions gb:1 to gb:17, GB-ENG, GB-SCT and GB-WLS")
        }
        ("static", _) => Some("name a country by its ISO 3166 code, or world"),
        ("egrid", _) => Some("its zones are states of the United States, such as US-CA"),
        ("file", _) => Some("zones are named as in the file"),
        _ => None,
    }
}

fn for_access(provider: &str, why: Denied) -> Option<&'static str> {
    match (provider, why) {
        ("electricity_maps", _) => {
            Some("set ELECTRICITYMAPS_TOKEN to a token whose plan has this zone and its past")
        }
        ("watttime", Denied::NotIncluded) => {
            Some("an account without charge has CAISO_NORTH alone; see the provider's my-access")
        }
        ("watttime", _) => {
            Some("set WATTTIME_USERNAME and WATTTIME_PASSWORD to an account that can log in")
        }
        _ => None,
    }
}

fn for_settings(error: &sources::Error) -> Option<&'static str> {
    match error {
        sources::Error::UnknownProvider(_) => {
            Some("electricity_maps, watttime, gb, static, egrid or file")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::describe;
    use carbon_ops::grid::Failure;
    use carbon_ops::grid::{Place, Signal};

    #[test]
    fn every_failure_of_a_chain_keeps_its_hint() {
        let want = Want::AVERAGE;
        let meant = Signal::AVERAGE_LIFECYCLE_PRODUCTION;
        let zone = Error::UnknownZone {
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
        assert!(nobody.ends_with("hint: add one to providers.order, such as static"), "{nobody}");
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
}
