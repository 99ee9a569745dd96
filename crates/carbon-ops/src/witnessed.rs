//! What a policy says of checkpoints: whether enough witnesses cosigned one.
//!
//! Out of scope: asking witnesses (`witnesses`), and how it is told.

use carbon_ops_proof::note::{Note, NoteError};
use carbon_ops_proof::policy::Policy;
use carbon_ops_proof::verify::{Anchor, AnchorKind, AnchorVerdict, Report};

use carbon_ops_record::answer::Answer;

use crate::witnesses::latest;

/// Whether a policy is content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quorum {
    /// Enough cosigned.
    Met,
    /// Too few cosigned, or there is nothing that they could have cosigned.
    NotMet,
    /// A signature on the checkpoint is false.
    False,
}

/// What a policy says of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// Whether enough cosigned.
    pub quorum: Quorum,
    /// For people.
    pub text: String,
    /// Of a checkpoint that could be judged.
    pub judged: Option<Judged>,
}

/// Who cosigned a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// How many lines it covers.
    pub size: u64,
    /// Names and times, in seconds since 1970-01-01 UTC.
    pub cosigned: Vec<(String, u64)>,
    /// What is missing for the quorum.
    pub missing: Vec<String>,
}

impl Witnessed {
    /// An answer with what a policy says: what is tampered with stays so, and what is not witnessed enough is not
    /// shown.
    pub(crate) fn judge(witnessed: Option<&Self>, answer: Answer) -> Answer {
        let Some(witnessed) = witnessed else { return answer };
        let unknown =
            matches!(answer, Answer::Untrusted | Answer::Newer | Answer::CompletenessUnknown);
        match witnessed.quorum {
            Quorum::NotMet if answer.is_sound() => Answer::NotWitnessed,
            Quorum::False if answer.is_sound() || unknown => Answer::FalseCosignature,
            _ => answer,
        }
    }

    /// Judges a checkpoint; none when there is none.
    pub fn of(policy: &Policy, note: Option<&Note>) -> Self {
        let Some(note) = note else {
            let text = "there is no checkpoint that witnesses could have cosigned".to_owned();
            return Self::not(Quorum::NotMet, text);
        };
        match policy.judge(note, latest()) {
            Ok(judged) => {
                let quorum = if judged.quorum_met() { Quorum::Met } else { Quorum::NotMet };
                let size = judged.head.size;
                let text = format!("of the checkpoint of {size} lines {judged}");
                let cosigned = judged.cosigned.iter().map(|(name, time)| (name.clone(), *time));
                let (cosigned, missing) = (cosigned.collect(), judged.missing.clone());
                Self { quorum, text, judged: Some(Judged { size, cosigned, missing }) }
            }
            Err(NoteError::Unsigned) => {
                Self::not(Quorum::NotMet, "no log of the policy signed the checkpoint".to_owned())
            }
            Err(error) => Self::not(Quorum::False, format!("the checkpoint: {error}")),
        }
    }

    /// Judges the checkpoints that a verification confirmed: the largest that is witnessed enough, or
    /// the largest.
    pub fn of_anchors(policy: &Policy, anchors: &[Anchor], report: &Report) -> Self {
        let confirmed = anchors.iter().zip(&report.anchors).filter(|(anchor, judged)| {
            anchor.kind == AnchorKind::Checkpoint && judged.verdict == AnchorVerdict::Confirmed
        });
        let mut notes: Vec<(u64, Note)> = confirmed
            .filter_map(|(anchor, judged)| Some((judged.size?, Note::parse(&anchor.bytes).ok()?)))
            .collect();
        notes.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
        let mut verdicts = notes.iter().map(|(_, note)| Self::of(policy, Some(note)));
        let Some(first) = verdicts.next() else { return Self::of(policy, None) };
        // A false signature is one wherever it stands.
        if first.quorum != Quorum::NotMet {
            return first;
        }
        verdicts.find(|verdict| verdict.quorum == Quorum::Met).unwrap_or(first)
    }

    fn not(quorum: Quorum, text: String) -> Self {
        Self { quorum, text, judged: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_policy_says_changes_no_accusation_and_no_want_of_trust_but_by_a_false_signature() {
        let of = |answer: Answer, quorum| {
            let witnessed = Witnessed { quorum, text: String::new(), judged: None };
            Witnessed::judge(Some(&witnessed), answer)
        };
        for answer in [Answer::Valid, Answer::TornTail, Answer::Untrusted, Answer::Tampered] {
            assert_eq!(of(answer, Quorum::Met), answer);
        }
        for sound in [Answer::Valid, Answer::TornTail] {
            assert_eq!(of(sound, Quorum::NotMet), Answer::NotWitnessed);
            assert_eq!(of(sound, Quorum::False), Answer::FalseCosignature);
        }
        assert_eq!(of(Answer::Untrusted, Quorum::NotMet), Answer::Untrusted);
        assert_eq!(of(Answer::Untrusted, Quorum::False), Answer::FalseCosignature);
        for found in [Answer::Tampered, Answer::Rewritten, Answer::Incomplete] {
            assert_eq!((of(found, Quorum::NotMet), of(found, Quorum::False)), (found, found));
        }
    }
}
