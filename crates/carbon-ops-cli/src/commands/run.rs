//! `carbon-ops run`: prepares everything that can fail, runs the command, and tells what it cost.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use carbon_ops::compose::{self, Program};
use carbon_ops::env::Env;
use carbon_ops::gpus::{Gpu, Gpus, NvmlLibrary, whose};
use carbon_ops::grid::zones;
use carbon_ops::host::Host;
use carbon_ops::identity;
use carbon_ops::ledger::append::{Appended, SignedCheckpoint};
use carbon_ops::ledger::storage::LEDGER_FILE;
use carbon_ops::measure::{AskGovernor, Measurement, Session};
use carbon_ops::meter::host_root::HostRoot;
use carbon_ops::meter::sensor::model::{Overrides, PowerModel};
use carbon_ops::price::{self, Ids, Shared};
use carbon_ops::proof::canonical::{Object, object_to_canonical};
use carbon_ops::record::{Record, id_text};
use carbon_ops::settings::Settings;
use carbon_ops::sources::Name;
use carbon_ops::store::{Opened, Store, payload};
use carbon_ops::supervise::{self, Supervisor};
use carbon_ops::unsafe_calls;
use carbon_ops::witnesses::Signed;

use crate::args::Run;
use crate::commands::ledger::{Witnesses, notices};
use crate::context::Context;
use crate::render::describe;
use crate::summary::{Stored, summary};

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
    host: Host,
    store: Option<Store>,
    /// Who is asked about checkpoints.
    witnesses: Option<Witnesses>,
    /// Whom to ask first.
    governor: Option<AskGovernor>,
    /// By which library GPUs are read.
    nvml: Option<NvmlLibrary>,
    /// Who is asked for the grid; as configured where nobody is named.
    sources: Vec<Name>,
    /// Hardware that the command has for itself while it runs, labels, and the like.
    shared: Shared,
    /// Where the JSON goes, if it was asked for.
    json: Option<Target>,
}

/// Runs the command. Whatever goes wrong before it starts is exit code 125.
pub(crate) fn run(args: &Run, context: &mut Context<'_>) -> Result<u8> {
    let mut plan = plan(args, context)?;
    let Context { env, err, .. } = context;
    // Who is measured is what matters; whose part it is can be told, or not.
    match identity::parent(env) {
        Ok(parent) => plan.shared.parent = parent,
        Err(error) => {
            let _ = writeln!(err, "carbon-ops: {}: {error}", identity::PARENT);
        }
    }
    let id = Env::random()?;
    let keyring = plan.store.as_ref().map(Store::keyring).transpose()?;
    let mut ledger = match (&plan.store, &keyring) {
        (Some(store), Some(keyring)) => Some(store.open(keyring)?),
        _ => None,
    };
    for notice in ledger.iter().flat_map(|ledger| &ledger.notices) {
        let _ = writeln!(err, "carbon-ops: {notice}");
    }
    // A helper of the driver's that this may start is reaped before the command's time begins.
    let gpus = Gpus::find(&plan.host_root, plan.nvml.as_ref());
    let mut supervisor = Supervisor::new(plan.host_root.clone(), env.ticks_per_second)?;
    let (host_root, governor) = (plan.host_root.clone(), plan.governor.as_ref());
    let mut session = Session::open(host_root, env, governor, gpus, whose);
    let child = match supervisor.start(&args.command, &id_text(id)) {
        Ok(child) => child,
        Err(error) => {
            let _ = writeln!(err, "carbon-ops: {error}");
            hint_at_json(args, err);
            return Ok(error.exit_code);
        }
    };
    session.started(child.as_raw().unsigned_abs());
    let ended = supervisor.wait(child, || session.tick())?;
    let (readings, outcome) = session.close(|| supervisor.outcome(ended));
    supervisor.finish();
    let measurement = Measurement::of(readings, outcome, &plan.model);
    let priced = compose::measured(&measurement, outcome, &plan.program, &plan.host, &plan.model)
        .and_then(|measured| {
            let shared = std::mem::take(&mut plan.shared);
            let (host, ids) = (plan.host.clone(), Ids::new(id));
            price::measured(&measured, shared, &plan.settings, &plan.sources, host, ids)
        });
    let reported = match priced {
        Ok(priced) => {
            // The summary says it, too, and JSON does not.
            if let Some(instead) = priced.instead.as_ref().filter(|_| plan.json.is_some()) {
                let source = &priced.record.source;
                let _ = writeln!(err, "carbon-ops: the grid is that of {source}, {instead}");
            }
            let appended = ledger.as_mut().map(|ledger| {
                payload(&priced.record).and_then(|payload| ledger.append_object(payload))
            });
            let fingerprint =
                keyring.as_ref().map(|keyring| keyring.key.public_key().fingerprint());
            let told = Told { record: &priced.record, gpus: &measurement.gpus, appended };
            report(&mut plan, told, fingerprint.as_deref(), err)
        }
        Err(error) => {
            let _ = writeln!(err, "carbon-ops: {}", describe(&error));
            false
        }
    };
    if let (Some(ledger), Some(store), true) = (ledger.as_mut(), &plan.store, reported) {
        sign_if_due(ledger, store, plan.witnesses.as_ref(), err);
    }
    if let Some(Err(error)) = ledger.as_mut().filter(|_| reported).map(Opened::seal_if_due) {
        let _ = writeln!(err, "carbon-ops: no segment was sealed: {}", describe(&error));
    }
    if ended.interrupted {
        supervise::die_of_interrupt();
    }
    // The command's own failure is the more important one.
    Ok(if ended.exit_code == 0 && !reported { FAILED } else { ended.exit_code })
}

/// Signs a checkpoint if there has been none for long, and asks the configured witnesses about it.
/// None of this affects the command's exit status.
fn sign_if_due(
    ledger: &mut Opened<'_>,
    store: &Store,
    witnesses: Option<&Witnesses>,
    err: &mut impl Write,
) {
    let signed = match ledger.checkpoint_if_due() {
        Ok(signed) => signed,
        Err(error) => {
            let _ = writeln!(err, "carbon-ops: no checkpoint was signed: {}", describe(&error));
            return;
        }
    };
    let (Some(SignedCheckpoint { checkpoint, note, .. }), Some(witnesses)) = (signed, witnesses)
    else {
        return;
    };
    let signed = Signed { ledger: store.ledger.join(LEDGER_FILE), checkpoint, note };
    for notice in notices(ledger, &signed, witnesses) {
        let _ = writeln!(err, "carbon-ops: {notice}");
    }
}

/// `--json out.json -- CMD` takes `out.json` for the command.
fn hint_at_json(args: &Run, err: &mut impl Write) {
    let separated = args.command.get(1).is_some_and(|word| word == "--");
    if separated && args.json.is_some() {
        let _ = writeln!(err, "hint: write --json=PATH, with an equals sign");
    }
}

fn plan(args: &Run, context: &Context<'_>) -> Result<Plan> {
    let settings = context.settings.clone();
    let mut host_root = HostRoot::real();
    if let Some(root) = &args.counters.powercap_root {
        host_root = host_root.with_powercap(root);
    }
    let overrides = Overrides { tdp: settings.cpu_tdp.value, idle: settings.idle.value };
    let model = PowerModel::identify(&host_root, overrides);
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
        ..Shared::default()
    };
    check_length(&shared.labels, program.args.as_deref())?;
    price::check_hardware(&shared.reserved)?;
    if let Some(region) = &settings.region.value {
        zones::Place::parse(region)
            .with_context(|| format!("region from {}", settings.region.origin))?;
    }
    let sources = args.grid.providers.clone();
    let json = args.json.as_deref().map(Target::open).transpose()?;
    let store = if args.no_ledger { None } else { Some(context.store(None)?) };
    let governor =
        args.counters.powercap_root.is_none().then(|| AskGovernor::of(&settings)).flatten();
    let nvml = settings.nvml.value.clone();
    // Next to counters of a folder, the GPUs of this machine are as foreign as its governor.
    let nvml = nvml.or(args.counters.powercap_root.is_some().then_some(NvmlLibrary::Off));
    let witnesses = Witnesses::of(&settings);
    Ok(Plan {
        settings,
        program,
        host_root,
        model,
        host,
        store,
        witnesses,
        governor,
        nvml,
        sources,
        shared,
        json,
    })
}

/// Base name of the program: paths may tell more than anyone wants to publish.
fn program(args: &Run) -> String {
    let program = args.command.first().map(Path::new);
    let name = program.and_then(Path::file_name).unwrap_or_default();
    name.to_string_lossy().chars().take(NAME_CHARS_MAX).collect()
}

/// Where JSON goes.
enum Target {
    Stream(Box<dyn Write>),
    /// What it held before goes only when there is something to put there.
    File(File),
}

impl Target {
    /// Opens it before the command runs, so that a bad one costs nothing.
    fn open(target: &str) -> Result<Self> {
        let Some(number) = target.strip_prefix("fd:") else {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(target);
            return Ok(Self::File(file.with_context(|| format!("--json={target}"))?));
        };
        let fd: i32 = number.parse().with_context(|| format!("--json={target}"))?;
        Ok(Self::Stream(match fd {
            1 => Box::new(io::stdout()),
            2 => Box::new(io::stderr()),
            _ => Box::new(unsafe_calls::writable(fd).map_err(|error| {
                anyhow!("--json={target}: cannot write to descriptor {fd}: {error}")
            })?),
        }))
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.write_all(line).and_then(|()| stream.flush()),
            Self::File(file) => {
                // A pipe or device named by a path has no length to cut.
                if file.metadata()?.is_file() {
                    file.set_len(0)?;
                }
                file.write_all(line)
            }
        }
    }
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

/// What there is to tell.
struct Told<'a> {
    record: &'a Record,
    gpus: &'a [Gpu],
    appended: Option<Result<Appended>>,
}

impl Told<'_> {
    /// The record as the ledger takes it.
    fn payload(&self) -> Result<Object> {
        payload(self.record)
    }
}

/// Shows the record; false when it should have been stored and was not.
fn report(
    plan: &mut Plan,
    mut told: Told<'_>,
    fingerprint: Option<&str>,
    err: &mut impl Write,
) -> bool {
    let appended = told.appended.take();
    let unsigned = || told.payload().map(|object| object_to_canonical(&object)).ok();
    let (stored, line) = match appended {
        None => (Stored::Nowhere, None),
        Some(Ok(appended)) => {
            let ledger = plan.store.as_ref().map(|store| store.ledger.display().to_string());
            let stored = Stored::Entry {
                seq: appended.seq,
                ledger: ledger.unwrap_or_default(),
                fingerprint: fingerprint.unwrap_or_default(),
            };
            (stored, Some(appended.line))
        }
        Some(Err(error)) => {
            let _ = writeln!(err, "carbon-ops: the record was not stored: {}", describe(&error));
            let _ = writeln!(err, "hint: it follows here unsigned; make room or mend the ledger");
            if let Some(bytes) = unsigned() {
                let _ = writeln!(err, "{}", String::from_utf8_lossy(&bytes));
            }
            (Stored::Failed, None)
        }
    };
    let failed = matches!(stored, Stored::Failed);
    if let Some(target) = &mut plan.json {
        let mut line = line.or_else(unsigned).unwrap_or_default();
        line.push(b'\n');
        if let Err(error) = target.write(&line) {
            let _ = writeln!(err, "carbon-ops: cannot write the JSON: {error}");
            return false;
        }
    } else {
        let text = summary(told.record, told.gpus, Some(&stored), true);
        let text = text.unwrap_or_else(|error| format!("carbon-ops: {}\n", describe(&error)));
        let _ = err.write_all(text.as_bytes());
    }
    !failed
}
