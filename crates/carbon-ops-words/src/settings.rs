//! What each setting is for, which option sets it, and what holds where nobody does: for `config show` and for
//! `docs/configuration.md`.
//!
//! Out of scope: which settings there are, their variables and their defaults ([`carbon_ops::settings`]); a test holds
//! the two lists against each other.

/// What is said of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// Its key in a configuration file, or else its variable.
    pub name: &'static str,
    /// The options that set it, with their commands where these are few; empty where none does.
    pub flag: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// What holds where nobody sets it and it has no default value.
    pub unset: &'static str,
}

const fn of(
    name: &'static str,
    flag: &'static str,
    about: &'static str,
    unset: &'static str,
) -> Words {
    Words { name, flag, about, unset }
}

/// In the order of a reader who comes for the first time.
#[rustfmt::skip]
pub const ALL: [Words; 34] = [
    of("region.default", "--region, --zone", "where the machine is", "the world"),
    of("pue.default", "--pue", "energy of the site over energy of its computers",
       "published for the cloud region or the cloud; else 1.55 ± 0.2 on servers, 1 on desktops and laptops"),
    of("pue.overrides", "", "the same by zone: DE = 1.2", "none"),
    of("power.cpu_tdp_watts", "", "design power for the model: 350/96, of a processor of 96 threads, or 65, of all CPUs here",
       "by the processor's name"),
    of("power.idle_baseline_watts", "", "power at rest, as `carbon-ops calibrate` measures it", "by the model"),
    of("power.nvml_library", "", "NVIDIA's library: an absolute path, or off", "the driver's, if there is one"),
    of("power.nvml_wait", "", "how long to wait for NVIDIA's library to start, and for a window's first and last reading", "250 ms"),
    of("market.file", "--market", "contracts, certificates and residual mixes",
       "figures by location alone"),
    of("ledger.path", "--ledger", "the ledger's folder", "none without a home"),
    of("ledger.key", "", "the key that signs", "none without a home"),
    of("ledger.key_passphrase_file", "", "file whose first line is the passphrase of the key", "the key has none"),
    of("ledger.trust", "--trust", "keys that are believed: in hex, a fingerprint, or a file of these",
       "the local keys, and `trust` in the data home"),
    of("ledger.witnesses", "ledger checkpoint --witness", "witnesses that cosign, with spaces between", "none"),
    of("ledger.policy", "--policy", "a policy file: which witnesses are enough", "none"),
    of("ledger.segment_bytes", "", "size at which the ledger's active file is sealed into `seg/`", ""),
    of("ledger.save_every", "", "how often what was measured is saved during a run", ""),
    of("governor.socket", "", "where the governor listens", ""),
    of("governor.timeout_seconds", "", "seconds to wait for its answer", ""),
    of("interpolation.bucket_minutes", "", "minutes of a bucket of `estimate --buckets`", "15"),
    of("interpolation.missing_policy", "estimate --missing", "how time without a value is priced: step, interpolate or drop", "step"),
    of("providers.order", "--provider", "providers of grid intensities, in this order", ""),
    of("providers.ttl_seconds", "", "seconds for which an answer is believed that may change", ""),
    of("providers.fallback", "", "what may stand in for what was asked for", ""),
    of("providers.timeout_seconds", "", "seconds for one answer", ""),
    of("providers.cache", "", "folder of kept answers", "none without a home"),
    of("providers.file", "", "intensities of your own, for the provider `file`", "none"),
    of("providers.electricity_maps_url", "", "where Electricity Maps answers", ""),
    of("providers.watttime_url", "", "where WattTime answers", ""),
    of("providers.gb_url", "", "where Great Britain's service answers", ""),
    of("ELECTRICITYMAPS_TOKEN", "", "token for Electricity Maps; never in a file", "it is not asked"),
    of("WATTTIME_USERNAME", "", "user of WattTime", "it is not asked"),
    of("WATTTIME_PASSWORD", "", "password of WattTime; never in a file", "it is not asked"),
    of("HTTPS_PROXY", "", "the proxy for requests; NO_PROXY names hosts without it", "none"),
    of("SSL_CERT_FILE", "", "certificates in PEM that are trusted", "those of Mozilla, built in"),
];

/// What is said of one.
pub fn words(name: &str) -> Option<&'static Words> {
    ALL.iter().find(|words| words.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use carbon_ops::settings::{Overrides, Settings};

    use super::*;

    #[test]
    fn each_setting_has_its_words_and_nothing_else_has() {
        let settings = Settings::plain(&Overrides::default()).unwrap();
        let known: BTreeSet<&str> = settings.shown.iter().map(|shown| shown.name).collect();
        let said: BTreeSet<&str> = ALL.iter().map(|words| words.name).collect();
        assert_eq!(known, said);
        assert_eq!(said.len(), ALL.len(), "nothing twice");
    }

    #[test]
    fn what_has_no_default_says_what_holds_instead() {
        let settings = Settings::plain(&Overrides::default()).unwrap();
        for shown in settings.shown {
            let unset = words(shown.name).unwrap().unset;
            assert!(shown.default.is_some() || !unset.is_empty(), "{}", shown.name);
        }
    }
}
