//! `carbon-governor`: the only process of carbon-ops that needs privilege. It opens the energy
//! counters, gives up what it no longer needs, samples them in one thread and serves clients in
//! another. It speaks no HTTP, reads no ledger and does not know what carbon is.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use carbon_ops_meter::page::PageWriter;
use carbon_ops_meter::snapshot::parse_boot_id;
use carbon_ops_meter::totals::{Host, Totals};
use clap::Parser as _;
use nix::unistd::Gid;
use serde_json::json;

use crate::fault::Fault;
use crate::notify::Manager;
use crate::privileges::Needs;
use crate::sampler::{Sampler, open_state};
use crate::server::{Action, Parts, Server};
use crate::settings::{Flags, Group, LogFormat, Settings};
use crate::shared::Shared;
use crate::socket::Socket;

mod clocks;
mod cross_check;
mod fault;
mod notify;
mod privileges;
mod sampler;
mod sensors;
mod server;
mod settings;
mod shared;
mod socket;

/// Exit codes: what could not be started, and what had to stop.
const COULD_NOT: u8 = 2;
const HAD_TO_STOP: u8 = 1;

fn main() -> ExitCode {
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(COULD_NOT) } else { ExitCode::SUCCESS };
        }
    };
    let (server, settings) = match start(&flags) {
        Ok(started) => started,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "carbon-governor: {}", chain(&error));
            return ExitCode::from(COULD_NOT);
        }
    };
    match serve(server, &flags, settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{}", chain(&error));
            ExitCode::from(HAD_TO_STOP)
        }
    }
}

/// The causes of an error, and what to do about it.
fn chain(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    match error.downcast_ref() {
        Some(fault) => format!("{}\nhint: {}", text.trim_end(), remedy(fault)),
        None => text,
    }
}

/// What to do about what keeps a governor from starting.
fn remedy(fault: &Fault) -> String {
    let text = match fault {
        Fault::Configuration(_) => "correct it, or name another one with --config",
        Fault::Setting(_) => "`carbon-governor --help` tells what it takes",
        Fault::NoCounter(_) => {
            "`carbon-ops doctor` tells what is missing; in a virtual machine there is nothing to read, and \
             `carbon-ops run` estimates without a governor"
        }
        Fault::NoStateDirectory(_) => "run as root, or name another --state-dir",
        Fault::ForeignStateDirectory(..) => {
            "give it to the user that the governor runs as, for nobody else to write, or name another \
             --state-dir"
        }
        Fault::NoState(_) => "name another directory with --state-dir",
        Fault::StateInUse(_) => "stop it, or give this one its own --state-dir and --socket-path",
        Fault::CannotListen(_, ErrorKind::NotFound) => "its directory is missing",
        Fault::CannotListen(_, ErrorKind::PermissionDenied) => {
            "run as root, or name another path with --socket-path"
        }
        Fault::CannotListen(..) | Fault::Hidden(_) | Fault::CannotProbe(_) => {
            "name another path with --socket-path"
        }
        Fault::NotASocket(_) => "move it, or name another path with --socket-path",
        Fault::SocketInUse(_) => "stop the other governor first",
        Fault::ForeignSocket(..) => "remove it yourself",
        Fault::NoGroup(name) => return format!("make it with `groupadd --system {name}`"),
        Fault::NotInGroup(name) => {
            return format!("start it in that group (`Group={name}` of a unit), or as root");
        }
    };
    text.to_owned()
}

/// Opens everything, gives up what is no longer needed, and starts the sampler.
fn start(flags: &Flags) -> Result<(Server, Settings)> {
    let mut settings = Settings::resolve(flags)?;
    log_to_stderr(&settings);
    let mask = server::block_signals()?;
    let host = sensors::host(&settings);
    let found = sensors::find(&settings, &host)?;
    let asked_mode = settings.socket_mode;
    if asked_mode & 0o007 != 0 && !settings.disable_ipc {
        log::warn!(
            "socket mode {asked_mode:o}: every user of this machine reads energies, which tell what others \
             compute (CVE-2020-8694)"
        );
    }
    let group = if settings.disable_ipc { None } else { group(&mut settings)? };
    make_directory(&settings.state_dir)?;
    let state = open_state(&settings.state_dir)?;
    let boot_id = host.text("/proc/sys/kernel/random/boot_id").ok();
    let known = Host {
        boot_id: boot_id
            .and_then(|id| parse_boot_id(&id))
            .context("this machine has no boot id")?,
        started: clocks::boot_time(),
        filtering: found.filtering,
        simulated: host.is_simulated(),
    };
    let totals = Totals::new(known, state.saved()).with_max_power(settings.max_power);
    let public = if settings.disable_ipc { None } else { Some(public_page(&settings, group)?) };
    let exact = state.reader();
    let page = settings.state_dir.join("snapshot");
    let served = public.as_ref().map(|public| (page, public.reader()));
    let shared = Arc::new(Shared::new(
        settings.poll_interval,
        settings.client_interval,
        settings.client_quantum,
    ));
    let needs = needs(&settings, &found);
    let mut sampler = Sampler::new(found, totals, state, public, Arc::clone(&shared));
    sampler.log_startup();
    sampler.first();
    let socket = if settings.disable_ipc { None } else { Some(Socket::open(&settings, group)?) };
    let mut about = privileges::drop_capabilities(&needs, nix::unistd::geteuid().is_root());
    let landlock = privileges::landlock(&needs);
    spawn(sampler)?;
    let parts = Parts {
        socket,
        exact,
        public: served,
        shared,
        trusted: settings.trusted_uids.clone(),
        manager: Manager::from_env(),
    };
    let mut server = Server::new(parts, &mask)?;
    let seccomp = privileges::seccomp();
    if let Some(about) = about.as_object_mut() {
        about.insert("landlock".into(), landlock.into());
        about.insert("seccomp".into(), seccomp.into());
    }
    log::info!("sampling every {:?}; {about}", settings.poll_interval);
    server.tell_about(about);
    server.tell_manager("READY=1");
    // What a reload is compared with.
    settings.socket_mode = asked_mode;
    Ok((server, settings))
}

/// The sampler's thread, which runs when this returns: what a new thread calls is not among the
/// system calls that stay allowed. Should it ever end, so does the process: silence is worse than a
/// restart.
fn spawn(sampler: Sampler) -> Result<()> {
    struct Abort;
    impl Drop for Abort {
        fn drop(&mut self) {
            std::process::abort();
        }
    }
    let (alive, is_alive) = std::sync::mpsc::sync_channel(1);
    let body = move || {
        let _abort = Abort;
        let _ = alive.send(());
        sampler.run()
    };
    let builder = std::thread::Builder::new().name("sampler".into()).stack_size(256 << 10);
    let _: std::thread::JoinHandle<()> = builder.spawn(body).context("cannot start a thread")?;
    is_alive.recv().context("the sampler did not start")
}

fn serve(mut server: Server, flags: &Flags, mut settings: Settings) -> Result<()> {
    loop {
        match server.serve()? {
            Action::Stop(signal) => {
                server.tell_manager("STOPPING=1");
                // The state is what the last sample left, and the sampler needs no farewell.
                drop(server);
                log::info!("ended by {signal}");
                return Ok(());
            }
            Action::Reload => settings = reload(&mut server, flags, settings),
        }
    }
}

/// Reads the configuration again; keeps the old one when the new one cannot be used.
fn reload(server: &mut Server, flags: &Flags, old: Settings) -> Settings {
    let new = match Settings::resolve(flags) {
        Ok(new) => new,
        Err(error) => {
            let is_denied = |cause: &(dyn std::error::Error + 'static)| {
                let error = cause.downcast_ref::<std::io::Error>();
                error.is_some_and(|error| error.kind() == ErrorKind::PermissionDenied)
            };
            let closed = if error.chain().any(is_denied) {
                "; folders that were not there at the start are closed to this process: start it again"
            } else {
                ""
            };
            log::error!("the configuration stays as it was: {}{closed}", chain(&error));
            return old;
        }
    };
    let late = old.needs_restart(&new);
    if !late.is_empty() {
        log::warn!("{} take effect with a restart only", late.join(", "));
    }
    server.apply(&new);
    log::set_max_level(new.log_level.filter());
    log::info!("configuration read again; sampling every {:?}", new.poll_interval);
    new
}

/// Directories with sockets of others.
const SHARED: [&str; 3] = ["/run", "/var/run", "/tmp"];

/// What is needed once everything is open.
fn needs(settings: &Settings, found: &sensors::Found) -> Needs {
    let parent = |path: &Path| {
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        parent.unwrap_or(Path::new(".")).to_owned()
    };
    let mut read = vec!["/sys".into(), "/dev/cpu".into(), "/etc/carbon-ops".into()];
    for root in [&settings.powercap_root, &settings.hwmon_root].into_iter().flatten() {
        read.push(root.clone());
        // What is behind links of a class directory of one's own lies beside it.
        read.extend(root.ancestors().nth(2).map(Into::into));
    }
    if let Some(file) = &settings.file {
        read.push(parent(file));
        // It may be a link into a folder of configurations; a later one leads there too.
        read.extend(file.canonicalize().ok().as_deref().map(parent));
    }
    Needs {
        capability: found.capability,
        read,
        write: vec![settings.state_dir.clone()],
        // In a directory of others this would be a right to remove what is theirs: there the socket stays,
        // and the next governor takes it for the dead one that it is.
        remove: Some(parent(&settings.socket_path))
            .filter(|path| !SHARED.contains(&path.to_str().unwrap_or_default()))
            .into_iter()
            .collect(),
    }
}

/// The group of the socket. Without the default one only this user may connect.
fn group(settings: &mut Settings) -> Result<Option<Gid>> {
    match socket::group(&settings.socket_group) {
        Err(error) if matches!(settings.socket_group, Group::Default(_)) => {
            settings.socket_mode = 0o600;
            // An event is one line.
            let why = chain(&error).replace("\nhint: ", ": ");
            log::warn!("{why}; until then only this user may connect");
            Ok(None)
        }
        found => found.map(Some),
    }
}

fn make_directory(path: &Path) -> Result<()> {
    if let Ok(there) = std::fs::metadata(path)
        && there.is_dir()
    {
        // Whoever owns the directory can put another state there, and can cut the pages that are mapped.
        let (owner, own) = (there.uid(), nix::unistd::geteuid().as_raw());
        let for_others = there.mode() & 0o022 != 0 && there.mode() & 0o1000 == 0;
        if (owner != own && owner != 0) || for_others {
            bail!(Fault::ForeignStateDirectory(path.to_owned(), owner));
        }
        return Ok(());
    }
    std::fs::create_dir(path).with_context(|| Fault::NoStateDirectory(path.to_owned()))
}

/// The page that the socket's group may map, with the socket's permissions less writing.
fn public_page(settings: &Settings, group: Option<Gid>) -> Result<PageWriter> {
    let path = settings.state_dir.join("snapshot");
    let page = PageWriter::open(&path, settings.socket_mode & 0o444 | 0o200)
        .with_context(|| format!("cannot open {}", path.display()))?;
    if group.is_some() {
        nix::unistd::fchown(page.file(), None, group).context("group of the snapshot page")?;
    }
    Ok(page)
}

/// One line per event, with the level as the service manager reads it (sd-daemon(3)); or as JSON, with the
/// members that carbon-ops 0.1 gave a line of its log.
fn log_to_stderr(settings: &Settings) {
    let managed = std::env::var_os("JOURNAL_STREAM").is_some();
    let as_json = settings.log_format == LogFormat::Json;
    let mut builder = env_logger::Builder::new();
    builder.filter_level(log::LevelFilter::Trace).format(move |out, record| {
        let (number, word) = match record.level() {
            log::Level::Error => (3, "error"),
            log::Level::Warn => (4, "warning"),
            log::Level::Info => (6, "info"),
            log::Level::Debug | log::Level::Trace => (7, "debug"),
        };
        if as_json {
            let now = clocks::wall_time();
            let (level, message) = (record.level().as_str(), record.args().to_string());
            let line = json!({ "timestamp": now, "level": level, "logger": "carbon_ops.governor",
                "message": message });
            writeln!(out, "{line}")
        } else if managed {
            writeln!(out, "<{number}>{}", record.args())
        } else {
            writeln!(out, "carbon-governor: {word}: {}", record.args())
        }
    });
    builder.init();
    log::set_max_level(settings.log_level.filter());
}
