//! A service that knows what its requests use: one measurement over all of it, shared by CPU time.
#![expect(clippy::print_stdout, reason = "an example tells what it found")]

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use carbon_ops::{EnergyLogger, Result, thread_cpu_time};

fn main() -> Result<()> {
    let block = EnergyLogger::default().start("service")?;
    let requests = [("/hash", 400_000), ("/ping", 100), ("/hash", 300_000)];
    let workers = requests.map(|(route, work)| thread::spawn(move || (route, serve(work))));

    let mut routes: BTreeMap<&str, Duration> = BTreeMap::new();
    for (route, (_, cpu_time)) in workers.into_iter().flat_map(thread::JoinHandle::join) {
        *routes.entry(route).or_default() += cpu_time;
    }
    let measured = block.finish()?;
    for (route, cpu_time) in routes {
        let energy = measured.part(cpu_time).as_microjoules();
        println!("{route}: {energy} µJ in {cpu_time:?} of a processor");
    }
    Ok(())
}

/// The answer to a request, and the CPU time that it took.
fn serve(work: u64) -> (u64, Duration) {
    let began = thread_cpu_time();
    let step = |hash: u64, n: u64| (hash ^ n).wrapping_mul(0x0100_0000_01b3).rotate_left(9);
    let answer = (0..work).fold(1, step);
    (answer, thread_cpu_time().saturating_sub(began))
}
