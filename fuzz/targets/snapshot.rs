//! Snapshots over the socket: any bytes are a snapshot or a reason why not, and a snapshot is the same
//! after it was written.
#![no_main]

use carbon_ops_meter::protocol::{parse_snapshot, snapshot_line};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((snapshot, page)) = parse_snapshot(bytes) {
        let line = snapshot_line(&snapshot, page.as_deref());
        assert_eq!(parse_snapshot(&line), Ok((snapshot, page)));
    }
});
