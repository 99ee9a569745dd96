//! The fixed words that the ledger's own records give as their reasons. A word that is not listed here
//! is refused: a reader who counts corrections by cause must be able to rely on the list.
//!
//! Out of scope: what follows from a reason, which is for people.

macro_rules! vocabulary {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        #[non_exhaustive]
        pub enum $name { $($(#[$doc])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// All of them, in the order of the format's document.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word that stands in the ledger.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

vocabulary! {
    /// Why keys change. The words are those of RFC 5280, section 5.3.1, where that has one.
    RotationReason {
        /// Another key takes the place of this one, in the ordinary course.
        Superseded = "superseded",
        /// Somebody else may hold the secret key.
        KeyCompromise = "key_compromise",
        /// The secret key is gone.
        KeyLost = "key_lost",
        /// A writer joins.
        WriterAdded = "writer_added",
        /// A writer leaves.
        CessationOfOperation = "cessation_of_operation",
    }
}
vocabulary! {
    /// Why a ledger is continued in another.
    ContinuationReason {
        /// No key is left that may write to it.
        KeyLost = "key_lost",
        /// Somebody else holds, or held, a key that may write to it.
        KeyCompromise = "key_compromise",
        /// Its lines are damaged, or gone.
        Damaged = "damaged",
        /// An older copy of it took its place, and it has fewer or other lines than were signed for.
        Restored = "restored",
        /// In the ordinary course.
        Superseded = "superseded",
        /// None of these; the note says what.
        Other = "other",
    }
}
vocabulary! {
    /// Why one record is corrected.
    CorrectionReason {
        /// It was written twice.
        Duplicate = "duplicate",
        /// A sensor or counter told something wrong.
        Measurement = "measurement",
        /// The energy belongs to another workload, or another share of it.
        Attribution = "attribution",
        /// A factor (grid intensity, PUE) was wrong.
        Factor = "factor",
        /// The arithmetic was wrong.
        Calculation = "calculation",
        /// A label, name, place or time was wrong, and no amount.
        Metadata = "metadata",
        /// A test that should never have been recorded.
        NotReal = "not_real",
        /// Part of a restatement of many records.
        Restatement = "restatement",
        /// None of these; the note says what.
        Other = "other",
    }
}
vocabulary! {
    /// Why many records are restated: the triggers for recalculating base-year emissions of the GHG
    /// Protocol's Corporate Standard, chapter 5.
    RestatementReason {
        /// What is reported on grew or shrank: mergers, divestments, outsourcing.
        StructuralChange = "structural_change",
        /// Another method of calculation.
        MethodologyChange = "methodology_change",
        /// More accurate emission factors.
        FactorImprovement = "factor_improvement",
        /// More accurate activity data, here energy.
        DataImprovement = "data_improvement",
        /// An error, or many that add up to one, of significance.
        SignificantError = "significant_error",
    }
}
vocabulary! {
    /// Why nothing was recorded for a time.
    GapReason {
        /// Planned work.
        Maintenance = "maintenance",
        /// The machine was off or asleep.
        HostOff = "host_off",
        /// The writer did not run.
        WriterStopped = "writer_stopped",
        /// The writer ran and could not read the sensors.
        SensorLost = "sensor_lost",
        /// The writer ran and could not write.
        StorageUnavailable = "storage_unavailable",
        /// The clock was set, and no time passed.
        ClockChange = "clock_change",
        /// Nobody knows.
        Unknown = "unknown",
        /// None of these; the note says what.
        Other = "other",
    }
}
