//! What the simulated host truly used in the window of a record.

use std::path::Path;

use carbon_ops_testkit::simulator::truth_at;
use serde_json::Value;

use crate::home::double;

/// What the zones of the host that is mounted there used in the window of a record, in µJ.
pub(crate) fn truth(mount: &Path, zones: &[&str], record: &Value) -> f64 {
    let total = |member: &str| -> f64 {
        let time: jiff::Timestamp = record[member].as_str().unwrap().parse().unwrap();
        let unix_ns = u64::try_from(time.as_nanosecond()).unwrap();
        zones.iter().map(|zone| truth_at(mount, zone, unix_ns)).sum()
    };
    total("end_ts") - total("start_ts")
}

/// Energy of the host in a record, in µJ.
pub(crate) fn host(record: &Value) -> f64 {
    double(&record["measurement"]["energy"]["host_uj"])
}
