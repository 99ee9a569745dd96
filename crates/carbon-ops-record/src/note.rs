//! What a reader of a record should know besides its numbers, as words of a fixed vocabulary.
//!
//! A word that this version does not know is kept as it is: newer writers may use further ones.
//!
//! Out of scope: how a note is explained to people.

use std::cmp::Ordering;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! notes {
    ($($(#[$doc:meta])+ $variant:ident = $word:literal,)+) => {
        /// A note. Notes are ordered by their words, as records list them.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, JsonSchema)]
        #[schemars(with = "String")]
        pub enum Note {
            $($(#[$doc])+ $variant,)+
            /// A word of a newer version.
            Other(Box<str>),
        }

        impl Note {
            /// Every note that this version writes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word that stands in records.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => word,
                }
            }

            /// The note of a word.
            pub fn of(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)+
                    word => Self::Other(word.into()),
                }
            }
        }
    };
}

notes! {
    /// The grid is the average of a year that lies five years or more from the span.
    AverageOfAnotherTime = "average_of_another_time",
    /// Bounds that were stated remove more than 0.135 % of a normal, whose mean is then another.
    BoundsMoveMean = "bounds_move_mean",
    /// The kernel told nothing of the machine's busy time; the workload counts as alone.
    BusyTimeUnknown = "busy_time_unknown",
    /// A counter has shown more power than was thought possible; from then on it was believed.
    CeilingRaised = "ceiling_raised",
    /// There are certificates of the hours of all loads, which sums match and a record does not.
    CertificatesInSums = "certificates_in_sums",
    /// A cgroup does not account for CPU time; that of its processes was summed.
    CgroupSummed = "cgroup_summed",
    /// The wall clock moved against the monotonic one by more than a second.
    ClockStepped = "clock_stepped",
    /// The grid is that of the country in which the cloud region lies.
    CloudRegionByCountry = "cloud_region_by_country",
    /// The grid is that of the state in which the cloud region lies.
    CloudRegionByState = "cloud_region_by_state",
    /// The grid is that of the neighbour that supplies a country without a statistic.
    CountryByNeighbour = "country_by_neighbour",
    /// The grid is the world's, for a country without a statistic.
    CountryByWorld = "country_by_world",
    /// The command had a cgroup of its own, which counts also what no process reaped.
    CpuTimeByCgroup = "cpu_time_by_cgroup",
    /// A process of the workload ignores the end of its children, whose CPU time the kernel then adds to nobody's.
    CpuTimeUnreaped = "cpu_time_unreaped",
    /// The workload used less CPU time than the kernel can tell.
    CpuTimeUnresolved = "cpu_time_unresolved",
    /// Deadlines passed without a sample.
    DeadlinesMissed = "deadlines_missed",
    /// Some of the workload's processes are still alive.
    DescendantsRunning = "descendants_running",
    /// Energy filtering is enabled: energies of short intervals are unreliable.
    EnergyFiltered = "energy_filtered",
    /// The energy has no uncertainty because none was stated.
    EnergyStatedExact = "energy_stated_exact",
    /// Energy between the record before and this one is not known: totals of two boots, or of two counters.
    GapBefore = "gap_before",
    /// No governor was there to ask.
    GovernorAbsent = "governor_absent",
    /// The driver told no GPU time; all of a GPU's energy was given to the only processes seen on it.
    GpuByProcess = "gpu_by_process",
    /// Energy of a GPU was shared by GPU time.
    GpuByTime = "gpu_by_time",
    /// Some of a GPU's energy could not be attributed to a process; it is among the others'.
    GpuUnattributed = "gpu_unattributed",
    /// The grid is that of the country in which a provider's zone lies.
    GridZoneByCountry = "grid_zone_by_country",
    /// The machine has no id, so that its name was hashed.
    HostIdFromName = "host_id_from_name",
    /// The machine had so little busy time that most of its energy was idle.
    IdleBounded = "idle_bounded",
    /// The idle power may exceed the host's; the mean excess was taken.
    IdleClamped = "idle_clamped",
    /// The idle power was configured.
    IdleGiven = "idle_given",
    /// The window was shorter than two updates of a counter.
    Interpolated = "interpolated",
    /// Some of the energy has neither a contract nor a factor, so that there is no figure by the market.
    MarketUnpriced = "market_unpriced",
    /// A normal that was stated has a part below 0, which is in the interval.
    NegativePossible = "negative_possible",
    /// The interval was sampled though the closed form was asked for.
    NoClosedForm = "no_closed_form",
    /// The interval ended before its time.
    Partial = "partial",
    /// The grid is the world's, for a place whose country is not known.
    PlaceByWorld = "place_by_world",
    /// Some processes could not be read.
    ProcessesUnreadable = "processes_unreadable",
    /// Another source than the first one that was asked gave the intensity.
    ProviderSubstituted = "provider_substituted",
    /// A PUE below 1 has more than 0.135 %.
    PueBelowOnePossible = "pue_below_one_possible",
    /// No region is set.
    RegionUnset = "region_unset",
    /// Time without a slot was priced with the mean of the rest.
    SlotsDropped = "slots_dropped",
    /// Time without a slot was priced on the line from the slot before to the one after.
    SlotsInterpolated = "slots_interpolated",
    /// Time without a slot was priced with the slot before.
    SlotsStepped = "slots_stepped",
    /// The grid is that of the country of a state or province.
    SubdivisionByCountry = "subdivision_by_country",
    /// Neither measured nor modelled: disks.
    UnseenDisks = "unseen_disks",
    /// Neither measured nor modelled: fans.
    UnseenFans = "unseen_fans",
    /// Neither measured nor modelled: GPUs, all or some.
    UnseenGpu = "unseen_gpu",
    /// Neither measured nor modelled: memory.
    UnseenMemory = "unseen_memory",
    /// Neither measured nor modelled: losses of the power supply.
    UnseenPowerSupply = "unseen_power_supply",
    /// In a part of the window nobody looked: its energy is counted, and not whose it was.
    Unwatched = "unwatched",
    /// A zone that should be counted could not be read.
    ZoneUnreadable = "zone_unreadable",
}

impl PartialOrd for Note {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Note {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Note {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Note {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;
        impl serde::de::Visitor<'_> for Word {
            type Value = Note;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Note, E> {
                Ok(Note::of(word))
            }
        }
        deserializer.deserialize_str(Word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_its_note_and_unknown_words_are_kept() {
        for note in Note::ALL {
            assert_eq!(&Note::of(note.as_str()), note);
        }
        assert!(Note::ALL.is_sorted(), "as records list them");
        let newer = Note::of("from_the_future");
        assert_eq!(serde_json::to_string(&newer).unwrap(), "\"from_the_future\"");
        assert_eq!(serde_json::from_str::<Note>("\"from_the_future\"").unwrap(), newer);
    }
}
