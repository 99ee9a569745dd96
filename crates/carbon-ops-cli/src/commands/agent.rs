//! `carbon-ops agent`: looks again and again, until a signal ends it.
//!
//! Out of scope: what is accounted and written ([`carbon_ops::agent`]), what metrics look like.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use carbon_ops::agent::{self, Options};
use carbon_ops::env::Env;
use carbon_ops::gpus::Gpus;
use carbon_ops::host::Host;
use carbon_ops::measure::AskGovernor;
use carbon_ops::meter::host_root::HostRoot;
use carbon_ops::meter::sensor::model::{Overrides, PowerModel};
use carbon_ops::price::{self, LivePrice};
use carbon_ops::record::IdlePolicy as Recorded;
use carbon_ops::settings::Settings;
use carbon_ops::store::Store;
use carbon_ops::watch::{self, Account, Watch, What};
use carbon_ops::{Fault, IdlePolicy};
use carbon_ops_export::{About, Collector, Metrics, Push, replace, request, serve, text};
use carbon_ops_words::said::{Level, Say};
use nix::sys::signal::Signal;

use super::monitor::pace::{Pace, Signals};
use crate::args::{Agent, Listen};
use crate::context::Context;
use crate::render::describe;

/// After a ledger has failed, it is left alone for so long.
const AGAIN: Duration = Duration::from_secs(60);

/// At the end, a collector has so long to take what waits for it.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What an agent needs beside its accounts.
struct Running<'a> {
    args: &'a Agent,
    settings: Settings,
    store: Option<Store>,
    machine: Host,
    agent: agent::Agent,
    /// What is in the way of each thing, as it was last told.
    told: BTreeMap<&'static str, String>,
    /// When the ledger is tried again.
    again: Option<Instant>,
    metrics: Metrics,
    /// What is sent to a collector, and when next.
    push: Option<(Push, Instant)>,
}

pub(crate) fn run(args: &Agent, context: &mut Context<'_>) -> Result<u8> {
    // First, so that no signal is lost.
    let signals = Signals::block()?;
    let mut host = args.host_root.as_ref().map_or_else(HostRoot::real, HostRoot::at);
    if let Some(root) = &args.counters.powercap_root {
        host = host.with_powercap(root);
    }
    let settings = context.settings.clone();
    let overrides = Overrides { tdp: settings.cpu_tdp.value, idle: settings.idle.value };
    let model = PowerModel::identify(&host, overrides);
    let machine = Host::identify(&host, model.virtual_machine);
    let mut running = prepare(args, machine, context)?;
    let mut watch = watch(args, host, model, &running, &context.env)?;
    let mut pace = Pace::new(watch.begun(), args.tick);
    loop {
        let until = running.next(&pace);
        let signal = wait(&signals, &mut watch, until)?;
        if signal == Some(Signal::SIGHUP) {
            match running.read_again(&context.env) {
                Ok(live) => watch = watch.priced(live),
                Err(error) => {
                    warn(context.err, &format!("the settings stay: {}", describe(&error)));
                }
            }
            continue;
        }
        pace.advance(Instant::now());
        let account = watch.account()?;
        let ticked = running.agent.tick(&account).map(drop);
        running.tell(ticked, "the state is not saved", context.err);
        if signal.is_some() {
            return Ok(running.stop(&account, context.err));
        }
        running.write(context.err);
        running.publish(&account, context.err);
    }
}

/// Everything that may be refused, before anything is measured.
fn prepare<'a>(args: &'a Agent, machine: Host, context: &mut Context<'_>) -> Result<Running<'a>> {
    let settings = context.settings.clone();
    let store = if args.no_records { None } else { Some(context.store(None)?) };
    if let Some(store) = &store {
        // A ledger that was named wrongly is told now, and one that cannot be written is waited for.
        let opened = store.keyring().and_then(|keyring| Ok(store.open(&keyring)?.notices));
        match opened {
            Ok(notices) => {
                for notice in &notices {
                    context.err.say(Level::Info, notice);
                }
            }
            Err(error) if store.is_misnamed(&error) => return Err(error),
            Err(error) => {
                let why = describe(&error);
                warn(context.err, &format!("the ledger cannot be written yet: {why}"));
            }
        }
    }
    let folder = args.state_dir.clone().or_else(|| agent::default_folder(&context.env));
    let folder = agent::folder(&folder.ok_or(Fault::NoHome)?)?;
    let (agent, notices) = agent::Agent::open(folder, options(args), &machine, Env::random)?;
    for notice in &notices {
        warn(context.err, notice);
    }
    let metrics = Metrics::default();
    if let Listen::At(address) = args.listen {
        let listener = TcpListener::bind(address);
        let listener = listener.with_context(|| format!("cannot listen at {address}"))?;
        let local = listener.local_addr().context("no address")?;
        serve(listener, metrics.clone())?;
        let words = format!("metrics are served at http://{local}/metrics");
        context.err.say(Level::Info, &words);
    }
    let push = match &args.otlp {
        Some(url) => {
            let collector = Collector::new(url, args.otlp_headers.as_deref())?;
            Some((Push::start(collector).context("a thread for OTLP")?, Instant::now()))
        }
        None => None,
    };
    let (told, again) = (BTreeMap::new(), None);
    Ok(Running { args, settings, store, machine, agent, told, again, metrics, push })
}

/// The host, watched by units of work.
fn watch(
    args: &Agent,
    host: HostRoot,
    model: PowerModel,
    running: &Running<'_>,
    env: &Env,
) -> Result<Watch> {
    let Running { settings, machine, .. } = running;
    // Whoever names other files wants those to be read.
    let other = args.host_root.is_some() || args.counters.powercap_root.is_some();
    let ask = if other { None } else { AskGovernor::of(settings) };
    let gpus = Gpus::find(&host, &settings.ask_nvml().beside(other));
    let live = LivePrice::open(settings, &args.grid.providers, machine.clone())?;
    let watched = watch::Options {
        what: What::All,
        by: watch::By::Unit,
        sort: watch::Sort::Energy,
        limit: usize::MAX,
        idle: args.idle.policy,
    };
    Ok(Watch::open(&watched, host, env, ask.as_ref(), gpus, model)?.priced(live))
}

fn options(args: &Agent) -> Options {
    Options {
        interval: args.interval,
        min_share: args.min_share / 100.0,
        idle_policy: match args.idle.policy {
            IdlePolicy::Residual => Recorded::Residual,
            IdlePolicy::Proportional => Recorded::Proportional,
        },
        records: !args.no_records,
    }
}

impl Running<'_> {
    /// When to look next: at the next tick, and at the end of the interval.
    fn next(&self, pace: &Pace) -> Instant {
        let (now, wall) = (Instant::now(), Env::now());
        let tick = pace.deadline().unwrap_or(now);
        let left = Duration::try_from(self.agent.due(wall).duration_since(wall));
        let end = left.ok().and_then(|left| now.checked_add(left));
        end.map_or(tick, |end| end.min(tick))
    }

    /// Tells the totals to those who collect them.
    fn publish(&mut self, account: &Account, err: &mut dyn Say) {
        let about = About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            source: account.source().to_owned(),
            quality: account.quality.as_str().to_owned(),
            coverage: account.coverage_pct / 100.0,
            region: self.settings.region.value.clone().unwrap_or_else(|| "world".into()),
            waiting: self.agent.waiting(),
            last_tick: account.end.as_duration().as_secs_f64(),
            host: self.machine.id.clone(),
        };
        self.send(&about, err);
        let told = text(self.agent.totals(), &about).context("metrics cannot be written");
        let told = told.and_then(|text| {
            let kept = self.args.textfile.as_deref().map(|path| replace(path, &text));
            self.metrics.set(text);
            kept.unwrap_or(Ok(()))
        });
        self.tell(told, "the metrics are not told", err);
    }

    /// Offers the totals to a collector, when it is time.
    fn send(&mut self, about: &About, err: &mut dyn Say) {
        let now = Instant::now();
        let Some((push, next)) = self.push.as_mut().filter(|(_, next)| now >= *next) else {
            return;
        };
        *next = now + self.args.otlp_every;
        push.offer(request(self.agent.totals(), about));
        let (trouble, given_up) = push.trouble();
        let sent = trouble.map_or(Ok(()), |why| Err(anyhow!("{why} ({given_up} were given up)")));
        self.tell(sent, "the metrics are not sent", err);
    }

    /// Reads the settings again; the price by them.
    fn read_again(&mut self, env: &Env) -> Result<LivePrice> {
        let file = self.settings.file.clone();
        let settings = Settings::resolve(env, file.as_deref(), &self.args.overrides())?;
        let live = LivePrice::open(&settings, &self.args.grid.providers, self.machine.clone())?;
        price::market(&settings)?;
        if self.store.is_some() {
            self.store = Some(Store::of(&settings, env)?);
        }
        self.settings = settings;
        Ok(live)
    }

    /// Ends the open interval and writes its records; the exit code.
    fn stop(&mut self, account: &Account, err: &mut dyn Say) -> u8 {
        let stopped = self.agent.stop();
        let code = if stopped.is_ok() { 0 } else { 2 };
        self.tell(stopped, "the state is not saved", err);
        self.again = None;
        self.write(err);
        if let Some((_, next)) = &mut self.push {
            *next = Instant::now();
        }
        self.publish(account, err);
        if let Some((push, _)) = self.push.take()
            && !push.finish(LAST_WORDS)
        {
            warn(err, "the last metrics were not sent");
        }
        code
    }

    /// Writes what waits, unless the ledger has just failed.
    fn write(&mut self, err: &mut dyn Say) {
        let Some(store) = self.store.clone() else { return };
        if self.again.is_some_and(|again| Instant::now() < again) {
            return;
        }
        let names = &self.args.grid.providers;
        let written = self.agent.write_to(&store, &self.settings, names, &self.machine);
        self.again = written.is_err().then(|| Instant::now() + AGAIN);
        let written = written.map(|written| {
            for notice in &written.notices {
                err.say(Level::Info, notice);
            }
        });
        self.tell(written, "the records wait", err);
    }

    /// Says what is in the way of a thing, once, until it goes well again.
    fn tell(&mut self, what: Result<()>, words: &'static str, err: &mut dyn Say) {
        let Err(error) = what else {
            self.told.remove(words);
            return;
        };
        let why = describe(&error);
        if self.told.get(words) != Some(&why) {
            warn(err, &format!("{words}: {why}"));
            self.told.insert(words, why);
        }
    }
}

/// Waits for an instant and reads meanwhile what must be read often; a signal that came before.
fn wait(signals: &Signals, watch: &mut Watch, until: Instant) -> Result<Option<Signal>> {
    loop {
        let wake = watch.poll().map_or(until, |due| due.min(until));
        if signals.wait_until(wake)? {
            return Ok(Some(signals.take().context("a signal")?));
        }
        if Instant::now() >= until {
            return Ok(None);
        }
    }
}

fn warn(err: &mut dyn Say, words: &str) {
    err.say(Level::Warning, words);
}
