//! What a verification comes to: one answer, its words, and the number by which programs tell it. Each program that
//! verifies gives these.
//!
//! Out of scope: what else is told of a ledger.

use carbon_ops_proof::pack::{PackReport, PackStatus};
use carbon_ops_proof::proof::{ProofFault, Proven};
use carbon_ops_proof::verify::{Report, Status};

use crate::continuity;
use crate::reading::{Others, Owner, check_object};

/// The answer to the whole question. Whoever maps it to something else has to take a stand on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All that was asked holds.
    Valid,
    /// Up to a last line that an interrupted write left.
    TornTail,
    /// Something was changed, removed, added or damaged.
    Tampered,
    /// What was found is not the ledger that this one continues.
    OtherImport,
    /// A signature on a checkpoint is false.
    FalseCosignature,
    /// There is energy in no record and in no gap.
    Incomplete,
    /// Cut off or rewritten since it was signed for.
    Rewritten,
    /// A key that has to be trusted is not.
    Untrusted,
    /// There are records of a newer version, which were not checked.
    Newer,
    /// No totals go on, so nothing tells whether energy is missing.
    CompletenessUnknown,
    /// Too few witnesses cosigned.
    NotWitnessed,
    /// Nothing tells how it stands to the checkpoint that was kept.
    NotConnected,
}

impl From<Status> for Answer {
    /// Of the lines alone.
    fn from(status: Status) -> Self {
        match status {
            Status::Valid => Self::Valid,
            Status::TornTail => Self::TornTail,
            Status::Rewritten => Self::Rewritten,
            Status::Untrusted => Self::Untrusted,
            // What a later version finds is not well either.
            _ => Self::Tampered,
        }
    }
}

impl From<PackStatus> for Answer {
    fn from(status: PackStatus) -> Self {
        match status {
            PackStatus::Valid => Self::Valid,
            PackStatus::Untrusted => Self::Untrusted,
            _ => Self::Tampered,
        }
    }
}

impl Answer {
    /// The number by which programs tell it: 0 yes, 1 no, 2 could not be checked, 3 cut off or rewritten since it was
    /// signed for, 4 valid up to a torn end.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Valid => 0,
            Self::Tampered | Self::OtherImport | Self::FalseCosignature | Self::Incomplete => 1,
            Self::Untrusted
            | Self::Newer
            | Self::CompletenessUnknown
            | Self::NotWitnessed
            | Self::NotConnected => 2,
            Self::Rewritten => 3,
            Self::TornTail => 4,
        }
    }

    /// Whether all that is left is well, up to a torn end.
    #[must_use]
    pub fn is_sound(self) -> bool {
        matches!(self, Self::Valid | Self::TornTail)
    }

    /// With records of newer versions, which this one cannot read and so has not checked.
    #[must_use]
    pub fn and_others(self, others: &Others) -> Self {
        if others.newer > 0 && self.is_sound() { Self::Newer } else { self }
    }

    /// With whether energy is missing.
    #[must_use]
    pub fn and_complete(self, continuity: &continuity::Report) -> Self {
        if !self.is_sound() {
            self
        } else if continuity.uncovered_uj() > 0 {
            Self::Incomplete
        } else if continuity.records == 0 || continuity.incomparable > 0 {
            Self::CompletenessUnknown
        } else {
            self
        }
    }
}

/// What is said of records that the holder of the key signed and that do not add up.
const RECORD_FAULT: &str = "record";

/// The answer of a ledger in words, as a first line has it.
#[must_use]
pub fn of_ledger(report: &Report, others: &Others) -> &'static str {
    let invalid = report.faults.iter().all(|fault| fault.code == RECORD_FAULT);
    match report.status {
        Status::Tampered if invalid && report.fault_count > 0 => {
            "INVALID RECORDS, signed by the holder of the key"
        }
        Status::Valid if others.newer > 0 => "NOT CHECKED: records of a newer version",
        Status::Untrusted if report.history.is_some_and(|log| log.not_compared > 0) => {
            "NOT CHECKED: a logged checkpoint could not be compared"
        }
        Status::Untrusted if report.keys.iter().any(|key| key.genesis && key.trusted) => {
            "NOT CHECKED: a checkpoint of more lines than there are is signed by an unknown key"
        }
        status => of_lines(status),
    }
}

/// The answer of an audit pack in words, as a first line has it.
#[must_use]
pub fn of_pack(report: &PackReport, others: &Others) -> &'static str {
    match report.status {
        PackStatus::Valid if others.newer > 0 => "NOT CHECKED: records of a newer version",
        PackStatus::Valid => "VALID",
        PackStatus::Untrusted => "NOT CHECKED: the signing key is not trusted",
        PackStatus::Tampered => "DOES NOT HOLD",
        _ => "UNKNOWN VERDICT",
    }
}

/// What a proof of one entry comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfProof {
    /// The answer, which is valid where the entry is there and a record of ours adds up.
    pub answer: Answer,
    /// As a word for programs.
    pub status: &'static str,
    /// As a first line has it.
    pub words: &'static str,
    /// Why, where it is not valid.
    pub reason: Option<String>,
}

impl OfProof {
    /// Of a proof that was checked; whether every number of a record has to come out again.
    #[must_use]
    pub fn of(checked: Result<&Proven, &ProofFault>, recompute: bool) -> Self {
        let (answer, reason) = match checked {
            Err(fault) if fault.is_untrusted() => (Answer::Untrusted, Some(fault.to_string())),
            Err(fault) => (Answer::Tampered, Some(fault.to_string())),
            Ok(proven) => match check_object(proven.entry.object(), recompute) {
                Ok(Owner::Newer) => {
                    (Answer::Newer, Some("the record is of a newer version".to_owned()))
                }
                Ok(Owner::Us | Owner::Foreign) => (Answer::Valid, None),
                Err(error) => {
                    (Answer::Tampered, Some(format!("the record does not hold: {error}")))
                }
            },
        };
        let (status, words) = match answer {
            Answer::Valid => ("proven", "PROVEN"),
            Answer::Untrusted => ("untrusted", "NOT CHECKED"),
            Answer::Newer => ("newer", "NOT CHECKED"),
            _ => ("not_proven", "NOT PROVEN"),
        };
        Self { answer, status, words, reason }
    }
}

/// What the lines come to, in words.
#[must_use]
pub fn of_lines(status: Status) -> &'static str {
    match status {
        Status::Valid => "VALID",
        Status::TornTail => "VALID UP TO A TORN LAST LINE",
        Status::Tampered => "TAMPERED WITH",
        Status::Rewritten => "CUT OFF OR REWRITTEN since it was signed for",
        Status::Untrusted => "NOT CHECKED: the signing key is not trusted",
        _ => "UNKNOWN VERDICT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_the_numbers_of_the_documents() {
        let all = [
            Status::Valid,
            Status::Tampered,
            Status::Untrusted,
            Status::Rewritten,
            Status::TornTail,
        ];
        assert_eq!(all.map(|status| Answer::from(status).number()), [0, 1, 2, 3, 4]);
        let not_well = [
            (Answer::OtherImport, 1),
            (Answer::FalseCosignature, 1),
            (Answer::Incomplete, 1),
            (Answer::Newer, 2),
            (Answer::CompletenessUnknown, 2),
            (Answer::NotWitnessed, 2),
            (Answer::NotConnected, 2),
        ];
        for (answer, number) in not_well {
            assert_eq!(answer.number(), number, "{answer:?}");
        }
    }

    fn continuity(records: u64, incomparable: u64, uncovered_uj: u64) -> continuity::Report {
        let domain = continuity::DomainReport {
            host_id: "h".into(),
            domain: "package-0".into(),
            streams: 1,
            covered_uj: 10,
            uncovered_uj,
            gap_uj: 5,
        };
        continuity::Report { records, incomparable, domains: vec![domain], holes: Vec::new() }
    }

    #[test]
    fn completeness_is_judged_of_what_is_sound_and_only_where_totals_go_on() {
        let of = |answer: Answer, report| answer.and_complete(&report);
        assert_eq!(of(Answer::Valid, continuity(3, 0, 0)), Answer::Valid);
        assert_eq!(of(Answer::TornTail, continuity(3, 0, 0)), Answer::TornTail);
        assert_eq!(of(Answer::Valid, continuity(3, 0, 7)), Answer::Incomplete);
        assert_eq!(of(Answer::Valid, continuity(3, 1, 7)), Answer::Incomplete);
        assert_eq!(of(Answer::Valid, continuity(3, 1, 0)), Answer::CompletenessUnknown);
        assert_eq!(of(Answer::Valid, continuity(0, 0, 0)), Answer::CompletenessUnknown);
        assert_eq!(of(Answer::Untrusted, continuity(3, 0, 7)), Answer::Untrusted);
    }

    #[test]
    fn records_of_a_newer_version_make_what_is_sound_unchecked_and_nothing_else_better() {
        let newer = Others { newer: 1, foreign: 0 };
        assert_eq!(Answer::Valid.and_others(&newer), Answer::Newer);
        assert_eq!(Answer::Rewritten.and_others(&newer), Answer::Rewritten);
        let foreign = Others { newer: 0, foreign: 9 };
        assert_eq!(Answer::Valid.and_others(&foreign), Answer::Valid);
    }
}
