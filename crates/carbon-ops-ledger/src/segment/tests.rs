//! Names of segments, and what a set of them lacks.

use super::*;

fn faults(names: &[&str]) -> Vec<String> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    arrange(names).1.into_iter().map(|fault| fault.reason).collect()
}

#[test]
fn segments_that_follow_each_other_are_in_order() {
    assert_eq!(faults(&[]), [""; 0]);
    let names =
        ["0000000010-0000000010.ndjson", ".x.tmp", "0000000000-0000000009.ndjson", "README"];
    assert_eq!(faults(&names), [""; 0]);
    let (segments, _) = arrange(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(segments.iter().map(|s| (s.first, s.last)).collect::<Vec<_>>(), [(0, 9), (10, 10)]);
}

#[test]
fn a_missing_doubled_overlapping_or_renamed_segment_is_named() {
    let cases: [(&[&str], &str); 6] = [
        (&["0000000003-0000000004.ndjson"], "the segment of the lines with seq 0 to 2 is missing"),
        (
            &["0000000000-0000000001.ndjson", "0000000004-0000000005.ndjson"],
            "the segment of the lines with seq 2 to 3 is missing before seg/0000000004-0000000005",
        ),
        (
            &["0000000000-0000000005.ndjson", "0000000003-0000000009.ndjson"],
            "seg/0000000003-0000000009.ndjson holds lines from seq 3 on that others hold too",
        ),
        (
            &["0000000000-0000000005.ndjson", "0000000000-0000000002.ndjson"],
            "seg/0000000000-0000000005.ndjson holds lines from seq 0 on that others hold too",
        ),
        (&["0-5.ndjson"], "seg/0-5.ndjson is not the name of a segment"),
        (&["0000000005-0000000000.ndjson"], "seg/0000000005-0000000000.ndjson is not the name"),
    ];
    for (names, expected) in cases {
        let found = faults(names);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{names:?}: {found:?}");
    }
}
