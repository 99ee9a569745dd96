//! `carbon-ops run`: prepares everything that can fail, runs the command, and tells what it cost.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use carbon_ops::budget::{self, Budget, Standing};
use carbon_ops::compose::{self, Program};
use carbon_ops::env::Env;
use carbon_ops::gpus::{AskNvml, Gpu, Gpus, whose};
use carbon_ops::grid::zones;
use carbon_ops::host::Host;
use carbon_ops::identity;
use carbon_ops::ledger::append::SignedCheckpoint;
use carbon_ops::measure::{AskGovernor, Measurement, Readings, Session};
use carbon_ops::meter::host_root::HostRoot;
use carbon_ops::meter::sensor::model::{Overrides, PowerModel};
use carbon_ops::price::{self, Ids, PricedMeasurement, Shared};
use carbon_ops::proof::canonical::object_to_canonical;
use carbon_ops::record::{Record, id_text};
use carbon_ops::settings::Settings;
use carbon_ops::sources::Name;
use carbon_ops::spool::Keeper;
use carbon_ops::store::{Opened, Store, payload};
use carbon_ops::supervise::{self, Ended, NotStarted, Outcome, Supervisor};
use carbon_ops::witnesses::RUN_PATIENCE;
use carbon_ops::witnessing::Witnesses;
use carbon_ops::work::Work;
use carbon_ops::{IdlePolicy, PublicKey};

use crate::args::Run;
use crate::commands::ledger::notices;
use crate::context::Context;
use crate::hints::budget_code;
use crate::render::describe;
use crate::summary::{Stored, of_budget, summary};

mod target;

use target::Target;

/// Exit code when carbon-ops itself failed, as of env(1) and timeout(1).
pub(crate) const FAILED: u8 = 125;

/// Longest name of a program.
const NAME_CHARS_MAX: usize = 64;

/// What labels and arguments may take of a line, as JSON.
const TEXT_BYTES_MAX: usize = 32_768;

/// Everything that was settled before the command starts.
struct Plan {
    settings: Settings,
    program: Program,
    host_root: HostRoot,
    model: PowerModel,
    idle: IdlePolicy,
    host: Host,
    store: Option<Store>,
    /// The record belongs into a ledger.
    wants_record: bool,
    /// Who is asked about checkpoints.
    witnesses: Option<Witnesses>,
    /// Whom to ask first.
    governor: Option<AskGovernor>,
    /// How GPUs are asked.
    nvml: AskNvml,
    /// Who is asked for the grid; as configured where nobody is named.
    sources: Vec<Name>,
    /// Hardware that the command has for itself while it runs, labels, and the like.
    shared: Shared,
    /// How much the command does.
    work: Option<Work>,
    /// Where the JSON goes, if it was asked for.
    json: Option<Target>,
    budget: Budget,
}

/// Another writer that holds the ledger is not waited for before the command runs.
const AT_ONCE: Duration = Duration::from_secs(1);

/// One that held it before the command ran is not waited for long after it either: the record is kept.
const AT_LAST: Duration = Duration::from_secs(5);

/// Runs the command. What the user has named wrong is exit code 125 before it starts; whatever else goes wrong
/// around it does not stop it, and its exit code stays, unless `--strict` asks for more.
pub(crate) fn run(args: &Run, context: &mut Context<'_>) -> Result<u8> {
    let mut plan = plan(args, context)?;
    let Context { env, err, .. } = context;
    // Who is measured is what matters; whose part it is can be told, or not.
    match identity::parent(env) {
        Ok(parent) => plan.shared.parent = parent,
        Err(error) => warn(err, &format!("{}: {error}", identity::PARENT)),
    }
    let (id, json) = (Env::random()?, plan.json.take());
    let store = plan.store.as_ref();
    let mut trouble = None;
    let keyring = noted(store.map(Store::keyring), &mut trouble);
    let open = |(store, keyring): (&Store, _)| store.open_within(keyring, AT_ONCE);
    let ledger = noted(store.zip(keyring.as_ref()).map(open), &mut trouble);
    if let (Some(error), Some(store)) = (trouble, store) {
        if args.strict || store.is_misnamed(&error) {
            return Err(error);
        }
        warn(err, &describe(&error));
    }
    for notice in ledger.iter().flat_map(|ledger| &ledger.notices) {
        warn(err, notice);
    }
    let every = plan.settings.save_every.value.unwrap_or(Duration::MAX);
    let mut keeper = store.map(|store| Keeper::new(&store.ledger, id_text(id), every));
    let ran = execute(args, &plan, env, id, keeper.as_mut(), err)?;
    let Ran { told, ended } = match ran {
        Ok(ran) => ran,
        Err(error) => {
            let exit_code = error.exit_code;
            warn(err, &describe(&error.into()));
            hint_at_json(args, err);
            return Ok(exit_code);
        }
    };
    // What was in the way may have gone.
    let late = if ledger.is_none() { noted(store.map(Store::keyring), &mut None) } else { None };
    let ledger = match (ledger, store.zip(late.as_ref())) {
        (Some(ledger), _) => Some(Ok(ledger)),
        (None, keys) => keys.map(|(store, keyring)| store.open_within(keyring, AT_LAST)),
    };
    let key = keyring.as_ref().or(late.as_ref()).map(|keyring| keyring.key.public_key());
    let stored = match &told {
        Ok(told) => {
            if let Some(instead) = told.instead.as_ref().filter(|_| args.json.is_some()) {
                // The summary says it, too, and JSON does not.
                warn(err, &format!("the grid is that of {}, {instead}", told.record.source));
            }
            if let Some(why) = &told.unscored {
                warn(err, &format!("the record has no score: {}", describe(why)));
            }
            let (stored, line) = store_record(&plan, &told.record, ledger, key, keeper, err);
            let shown = show(told, &stored, line, json, err);
            shown && !matches!(stored, Stored::Failed | Stored::Later)
        }
        Err(error) => {
            warn(err, &describe(error));
            false
        }
    };
    let budgeted = hold_against_budget(args, &plan.budget, told.as_ref().ok(), err);
    if ended.interrupted {
        supervise::die_of_interrupt();
    }
    Ok(match ended.exit_code {
        0 if args.strict && !stored => FAILED,
        0 => budget_code(budgeted),
        own => own,
    })
}

/// Says how the record stands to the budget. What could not be measured is not under any.
fn hold_against_budget(
    args: &Run,
    budget: &Budget,
    told: Option<&Told>,
    err: &mut dyn Write,
) -> Standing {
    if budget.is_unlimited() {
        return Standing::Under;
    }
    let judged = told.map_or(Ok(Vec::new()), |told| budget.judge(&told.record));
    match judged {
        Ok(parts) if !parts.is_empty() => {
            // Not in the midst of JSON.
            if args.json.as_deref() != Some("fd:2") {
                let _ = write!(err, "{}", of_budget(&parts));
            }
            budget::worst(&parts)
        }
        Ok(_) => Standing::Unclear,
        Err(error) => {
            warn(err, &describe(&error));
            Standing::Unclear
        }
    }
}

/// What is told of a measurement: the record, and what it does not hold.
struct Told {
    record: Record,
    /// Why another source of the grid than the first one stands in.
    instead: Option<String>,
    /// Why it has no score, where one was asked for.
    unscored: Option<anyhow::Error>,
    gpus: Vec<Gpu>,
}

impl Plan {
    /// The record of what the sensors and the supervisor tell.
    fn record(
        &self,
        id: [u8; 16],
        readings: Readings,
        outcome: Outcome,
        sources: &[Name],
    ) -> Result<Told> {
        let Self { program, host, model, settings, idle, .. } = self;
        let measurement = Measurement::of(readings, outcome, model, *idle);
        let measured = compose::measured(&measurement, outcome, program, host, model)?;
        let unit = self.work.as_ref().map(Work::done).transpose();
        let (functional_unit, unscored) =
            unit.map_or_else(|error| (None, Some(error)), |unit| (unit, None));
        let (shared, host) = (Shared { functional_unit, ..self.shared.clone() }, host.clone());
        let priced = price::measured(&measured, shared, settings, sources, host, Ids::new(id))?;
        let PricedMeasurement { record, instead } = priced;
        Ok(Told { record, instead, unscored, gpus: measurement.gpus })
    }
}

/// A command that has ended, and what its measurement tells.
struct Ran {
    told: Result<Told>,
    ended: Ended,
}

/// Runs the command while its sensors are read, and saves its record from time to time.
fn execute(
    args: &Run,
    plan: &Plan,
    env: &Env,
    id: [u8; 16],
    mut keeper: Option<&mut Keeper>,
    err: &mut dyn Write,
) -> Result<Result<Ran, NotStarted>> {
    let gpus = Gpus::find(&plan.host_root, &plan.nvml);
    let host_root = plan.host_root.clone();
    let mut supervisor = Supervisor::new(host_root, env.ticks_per_second, gpus.process());
    let (host_root, governor) = (plan.host_root.clone(), plan.governor.as_ref());
    let mut session = Session::open(host_root, env, governor, gpus, whose);
    let child = match supervisor.start(&args.command, &id_text(id)) {
        Ok(child) => child,
        Err(error) => return Ok(Err(error)),
    };
    session.started(child.as_raw().unsigned_abs());
    let local = price::local(&plan.settings, &plan.sources);
    let ended = supervisor.wait(child, || {
        let due = session.tick();
        let Some(keeper) = &mut keeper else { return due };
        if keeper.due() <= Instant::now() {
            let outcome = supervisor.outcome(None);
            let told = plan.record(id, session.so_far(), outcome, &local);
            if let Err(error) = told.and_then(|told| keeper.save(&told.record)) {
                warn(err, &format!("the record up to now is not saved: {}", describe(&error)));
            }
        }
        Some(due.map_or(keeper.due(), |due| due.min(keeper.due())))
    })?;
    let (readings, outcome) = session.close(|| supervisor.outcome(Some(ended)));
    supervisor.finish();
    Ok(Ok(Ran { told: plan.record(id, readings, outcome, &plan.sources), ended }))
}

/// Signs a checkpoint if there has been none for long, and asks the configured witnesses about it.
/// None of this affects the command's exit status.
fn sign_if_due(ledger: &mut Opened<'_>, witnesses: Option<&Witnesses>, err: &mut dyn Write) {
    let signed = match ledger.checkpoint_if_due() {
        Ok(signed) => signed,
        Err(error) => {
            let _ = writeln!(err, "carbon-ops: no checkpoint was signed: {}", describe(&error));
            return;
        }
    };
    let Some(SignedCheckpoint { checkpoint, note, not_logged, .. }) = signed else { return };
    if let Some(error) = not_logged {
        let error = describe(&error.into());
        let _ = writeln!(err, "carbon-ops: the checkpoint was not logged: {error}");
    }
    let Some(witnesses) = witnesses else { return };
    let signed = ledger.signed(checkpoint, note);
    for notice in notices(&witnesses.ask(ledger, &signed, RUN_PATIENCE)) {
        let _ = writeln!(err, "carbon-ops: {notice}");
    }
}

/// `--json out.json -- CMD` takes `out.json` for the command.
fn hint_at_json(args: &Run, err: &mut dyn Write) {
    let separated = args.command.get(1).is_some_and(|word| word == "--");
    if separated && args.json.is_some() {
        let _ = writeln!(err, "hint: write --json=PATH, with an equals sign");
    }
}

fn plan(args: &Run, context: &mut Context<'_>) -> Result<Plan> {
    let settings = context.settings.clone();
    let mut host_root = HostRoot::real();
    if let Some(root) = &args.counters.powercap_root {
        host_root = host_root.with_powercap(root);
    }
    let overrides = Overrides { tdp: settings.cpu_tdp.value, idle: settings.idle.value };
    let model = PowerModel::identify(&host_root, overrides);
    model.check()?;
    let host = Host::identify(&host_root, model.virtual_machine);
    let program = Program {
        name: program(args),
        args: args.record_args.then(|| {
            args.command.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect()
        }),
    };
    let shared = Shared {
        labels: args.labels.read()?,
        missing: settings.missing_policy.value.unwrap_or_default(),
        reserved: args.hardware.list(),
        market: price::market(&settings)?,
        unit: args.named.read()?.or_else(|| identity::own(&context.env, &host_root)),
        ..Shared::default()
    };
    check_length(&shared.labels, program.args.as_deref())?;
    let budget = Budget::parse(args.max_energy.as_deref(), args.max_carbon.as_deref())?;
    price::check_hardware(&shared.reserved)?;
    if let Some(region) = &settings.region.value {
        zones::Place::parse(region)
            .with_context(|| format!("region from {}", settings.region.origin))?;
    }
    let sources = args.grid.providers.clone();
    let json = args.json.as_deref().map(Target::open).transpose()?;
    let wants_record = !args.no_ledger;
    let store = match context.store(None) {
        Err(error) if wants_record && args.strict => return Err(error),
        Err(error) if wants_record => {
            warn(context.err, &describe(&error));
            None
        }
        store => store.ok().filter(|_| wants_record),
    };
    let governor =
        args.counters.powercap_root.is_none().then(|| AskGovernor::of(&settings)).flatten();
    let nvml = settings.ask_nvml().beside(args.counters.powercap_root.is_some());
    let witnesses = Some(Witnesses::of(&settings)).filter(|witnesses| !witnesses.is_empty());
    Ok(Plan {
        settings,
        program,
        host_root,
        model,
        idle: args.idle.policy,
        host,
        store,
        wants_record,
        witnesses,
        governor,
        nvml,
        sources,
        shared,
        work: args.functional_unit.clone(),
        json,
        budget,
    })
}

/// Base name of the program: paths may tell more than anyone wants to publish.
fn program(args: &Run) -> String {
    let program = args.command.first().map(Path::new);
    let name = program.and_then(Path::file_name).unwrap_or_default();
    name.to_string_lossy().chars().take(NAME_CHARS_MAX).collect()
}

/// A line of a ledger has 65,535 bytes at most, and the numbers need a part of them: what the user
/// adds is checked before the command runs.
fn check_length(labels: &BTreeMap<String, String>, args: Option<&[String]>) -> Result<()> {
    let length = |json: serde_json::Result<String>| json.map_or(usize::MAX, |json| json.len());
    let labels = length(serde_json::to_string(labels));
    let args = length(serde_json::to_string(&args));
    if labels.saturating_add(args) > TEXT_BYTES_MAX {
        bail!(
            "labels ({labels} bytes) and recorded arguments ({args} bytes) are longer than \
             {TEXT_BYTES_MAX} bytes together\nhint: leave out --record-args, or shorten the labels"
        );
    }
    Ok(())
}

/// Puts a record into its ledger, or keeps it for the next command that can; else it is shown, unsigned. Where
/// it went, and the line of the ledger.
fn store_record<'p>(
    plan: &'p Plan,
    record: &Record,
    ledger: Option<Result<Opened<'_>>>,
    key: Option<PublicKey>,
    keeper: Option<Keeper>,
    err: &mut dyn Write,
) -> (Stored<'p>, Option<Vec<u8>>) {
    if !plan.wants_record {
        return (Stored::Nowhere, None);
    }
    let appended = ledger.map(|ledger| {
        let mut ledger = ledger?;
        let appended = ledger.append_object(payload(record)?)?;
        anyhow::Ok((ledger, appended))
    });
    let failed = match (appended, &plan.store) {
        (Some(Ok((mut ledger, appended))), Some(store)) => {
            keeper.into_iter().for_each(Keeper::discard);
            sign_if_due(&mut ledger, plan.witnesses.as_ref(), err);
            if let Err(error) = ledger.seal_if_due() {
                warn(err, &format!("no segment was sealed: {}", describe(&error)));
            }
            let fingerprint = key.map(PublicKey::fingerprint).unwrap_or_default();
            let stored = Stored::Entry { seq: appended.seq, ledger: &store.ledger, fingerprint };
            return (stored, Some(appended.line));
        }
        (failed, _) => failed.and_then(Result::err),
    };
    let why = failed.map(|error| format!(": {}", describe(&error))).unwrap_or_default();
    warn(err, &format!("the record was not stored{why}"));
    let kept = keeper.map(|mut keeper| keeper.save(record));
    if let Some(Ok(path)) = kept {
        let next = "the next command that can write to this ledger signs and appends it";
        warn(err, &format!("it is kept in {}; {next}", path.display()));
        return (Stored::Later, None);
    }
    let _ = writeln!(err, "hint: it follows here unsigned; make room, or mend what is in the way");
    let _ = err.write_all(&unsigned(record));
    (Stored::Failed, None)
}

/// The line of a record as a ledger would take it.
fn unsigned(record: &Record) -> Vec<u8> {
    let mut line = payload(record).map(|object| object_to_canonical(&object)).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Shows the record; false when nobody could read it.
fn show(
    told: &Told,
    stored: &Stored<'_>,
    line: Option<Vec<u8>>,
    json: Option<Target>,
    err: &mut dyn Write,
) -> bool {
    let Some(target) = json else {
        let text = summary(&told.record, &told.gpus, Some(stored), true, None);
        let text = text.unwrap_or_else(|error| format!("carbon-ops: {}\n", describe(&error)));
        let _ = write!(err, "{text}");
        return true;
    };
    let line = line.map_or_else(|| unsigned(&told.record), |line| [&*line, b"\n"].concat());
    let written = target.write(&line);
    if let Err(error) = &written {
        warn(err, &format!("cannot write the JSON: {error}"));
    }
    written.is_ok()
}

/// What of an attempt there is; why not is noted.
fn noted<T>(attempt: Option<Result<T>>, trouble: &mut Option<anyhow::Error>) -> Option<T> {
    match attempt? {
        Ok(value) => Some(value),
        Err(error) => {
            trouble.get_or_insert(error);
            None
        }
    }
}

fn warn(err: &mut dyn Write, words: &str) {
    let _ = writeln!(err, "carbon-ops: {words}");
}
