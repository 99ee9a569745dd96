//! `carbon-ops monitor`: what processes use, sample by sample, until it is enough.
//!
//! [`Watch`] says what the host uses and whose it is, [`pace`] when to look, [`Table`] how it is shown to people. Nothing is recorded: that is what `run` is for.

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use carbon_ops::meter::host_root::HostRoot;
use carbon_ops::meter::sensor::model::{self, PowerModel};

use crate::args::{By, Counters, Monitor, Sort};
use crate::context::Context;
use crate::layout::cut;
use carbon_ops::gpus::Gpus;
use carbon_ops::host::Host;
use carbon_ops::measure::AskGovernor;
use carbon_ops::price::LivePrice;
use carbon_ops::sources::Name;

pub(super) mod pace;
use carbon_ops_words::samples::Table;

use carbon_ops::watch::{self, Watch, What};
use pace::{Pace, Signals};

/// How late it may be noticed that what is watched has ended.
const NOTICED_WITHIN: Duration = Duration::from_millis(250);

pub(crate) fn run(args: &Monitor, context: &mut Context<'_>) -> Result<u8> {
    let at = At {
        counters: &args.counters,
        host_root: args.host_root.as_deref(),
        providers: &args.grid.providers,
        governor: None,
    };
    let mut watch = open(&at, &options(args), context)?;
    let letters = context.manner.letters;
    let out = context.out.stream();
    let signals = Signals::block()?;
    let start = watch.begun();
    let mut pace = Pace::new(start, args.interval);
    let end = args.duration.and_then(|duration| start.checked_add(duration));
    let mut table = Table::new(args.all, std::io::stdout().is_terminal());
    let (mut taken, mut line) = (0, Vec::new());
    loop {
        let deadline = pace.deadline().unwrap_or(start);
        let until = end.map_or(deadline, |end| end.min(deadline));
        let stop = wait(&signals, &mut watch, until)?;
        let now = Instant::now();
        if !stop && now < until {
            continue;
        }
        let missed = pace.advance(now);
        let (sample, watching) = watch.sample(missed, now < deadline)?;
        line.clear();
        if args.json {
            serde_json::to_writer(&mut line, &sample)?;
            line.push(b'\n');
        } else {
            let (before, mut text) = (table.before(), String::new());
            table.write(&sample, &mut text)?;
            line.extend_from_slice(before.as_bytes());
            line.extend_from_slice(letters.spell(&cut(&text)).as_bytes());
        }
        out.write_all(&line)?;
        out.flush()?;
        taken += 1;
        let enough = args.count.is_some_and(|count| taken >= count);
        if stop || !watching || enough || end.is_some_and(|end| now >= end) {
            return Ok(0);
        }
    }
}

/// Where a host is watched, and by whose counters.
pub(super) struct At<'a> {
    pub(super) counters: &'a Counters,
    pub(super) host_root: Option<&'a Path>,
    pub(super) providers: &'a [Name],
    /// The governor's socket, where one was named.
    pub(super) governor: Option<&'a Path>,
}

/// Starts to watch, with prices.
pub(super) fn open(at: &At<'_>, what: &watch::Options, context: &Context<'_>) -> Result<Watch> {
    let Context { settings, env, .. } = context;
    let mut host = at.host_root.map_or_else(HostRoot::real, HostRoot::at);
    if let Some(root) = &at.counters.powercap_root {
        host = host.with_powercap(root);
    }
    let overrides = model::Overrides { tdp: settings.cpu_tdp.value, idle: settings.idle.value };
    // Whoever names other files wants those to be read.
    let other = at.host_root.is_some() || at.counters.powercap_root.is_some();
    let ask = match at.governor {
        Some(socket) => Some(AskGovernor::named(socket, settings, &host)?),
        None if other => None,
        None => AskGovernor::of(settings),
    };
    let gpus = Gpus::find(&host, &settings.ask_nvml().beside(other));
    let model = PowerModel::identify(&host, overrides);
    let machine = Host::identify(&host, model.virtual_machine);
    let price = LivePrice::open(settings, at.providers, machine)?;
    Ok(Watch::open(what, host, env, ask.as_ref(), gpus, model)?.priced(price))
}

/// What the arguments ask for.
fn options(args: &Monitor) -> watch::Options {
    let what = match (args.pid, &args.cgroup, &args.unit) {
        (Some(pid), ..) => What::Pid(pid),
        (None, Some(path), _) => What::Cgroup(path.clone()),
        (None, None, Some(name)) => What::Unit(name.clone()),
        _ => What::All,
    };
    let by = match args.by {
        By::Process => watch::By::Process,
        By::Cgroup => watch::By::Cgroup,
        By::Unit => watch::By::Unit,
    };
    let sort = match args.sort {
        Sort::Energy => watch::Sort::Energy,
        Sort::Cpu => watch::Sort::Cpu,
        Sort::Memory => watch::Sort::Memory,
        Sort::Name => watch::Sort::Name,
    };
    watch::Options { what, by, sort, limit: args.limit, idle: args.idle.policy }
}

/// Waits for an instant and reads meanwhile what must be read often. True when there is nothing more
/// to wait for: a signal came, or what is watched has ended.
fn wait(signals: &Signals, watch: &mut Watch, until: Instant) -> Result<bool> {
    loop {
        let now = Instant::now();
        let mut wake = watch.poll().map_or(until, |due| due.min(until));
        if watch.can_end() {
            wake = wake.min(now + NOTICED_WITHIN);
        }
        if signals.wait_until(wake)? || watch.has_ended() {
            return Ok(true);
        }
        let now = Instant::now();
        if now >= until {
            return Ok(false);
        }
    }
}
