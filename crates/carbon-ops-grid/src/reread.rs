//! Slots of answers that were kept, as they came from them first.
//!
//! Out of scope: where answers are kept (`cache`).

use crate::assembly::{Asked, Assembly};
use crate::fetch::Answer;
use crate::provider::Error;
use crate::{electricity_maps, gb, watttime};
use carbon_ops_estimate::intensity::{AnySeries, Interval, Signal, Timeliness};

/// Puts the rows of an answer into the assembly: the same for a fresh answer and for one that was kept.
type Read = fn(&Answer, &Asked<'_>, Timeliness, &mut Assembly) -> Result<(), Error>;

/// The slots that a kept answer gave, again; `None` where the provider is none whose answers are kept.
///
/// # Errors
/// When it is not an answer to such a request.
pub fn reread(
    provider: &str,
    answer: &Answer,
    path_and_query: &str,
    zone: &str,
    interval: Interval,
    signal: Signal,
) -> Option<Result<AnySeries, Error>> {
    let readers: [(_, Read); 3] = [
        (electricity_maps::ID, electricity_maps::read),
        (watttime::ID, watttime::read),
        (gb::ID, gb::read),
    ];
    let (id, read) = readers.into_iter().find(|(id, _)| *id == provider)?;
    let forecast = path_and_query.contains("/forecast");
    let timeliness = if forecast { Timeliness::Forecast } else { Timeliness::Actual };
    let mut rows = Assembly::new(id, interval);
    let read = read(answer, &Asked { zone, signal }, timeliness, &mut rows);
    Some(read.and_then(|()| rows.finish(signal.kind)))
}
