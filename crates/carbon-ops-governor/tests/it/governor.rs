//! A governor under test, and plain connections to it that can misbehave as the crate's own client
//! cannot.

use std::fs::{self, File, Permissions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// The binary.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_carbon-governor");

/// How long anything may take that should be quick; a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder for a governor: its socket, its state, its log.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("governor.sock")
    }

    /// All that was logged by the governors of this place.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Where the governor has its socket and its state; options that come later beat these.
    pub(crate) fn options(&self) -> [String; 3] {
        [
            format!("--socket-path={}", self.socket().display()),
            format!("--state-dir={}", self.path("state").display()),
            "--no-nvml".to_owned(),
        ]
    }

    /// The command of a governor here, which logs to this place.
    pub(crate) fn command(&self, options: &[&str]) -> Command {
        self.wrapped(&[], options)
    }

    /// The same, started by another program.
    pub(crate) fn wrapped(&self, by: &[&str], options: &[&str]) -> Command {
        let words: Vec<&str> = by.iter().copied().chain([BINARY]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(self.options()).args(options);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(self.log_file());
        for variable in ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC"] {
            command.env_remove(variable);
        }
        command
    }

    pub(crate) fn log_file(&self) -> File {
        File::options().create(true).append(true).open(self.path("log")).unwrap()
    }

    /// Starts a governor here and waits until it answers.
    pub(crate) fn start(&self, options: &[&str]) -> Governor<'_> {
        self.started(&mut self.command(options))
    }

    /// Starts this command and waits until the socket answers.
    pub(crate) fn started(&self, command: &mut Command) -> Governor<'_> {
        let mut governor = Governor { place: self, child: command.spawn().unwrap() };
        let begun = Instant::now();
        while Line::connect(&self.socket()).and_then(|mut line| line.ask("{}")).is_err() {
            let ended = governor.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended with {ended:?}:\n{}", self.log());
            assert!(begun.elapsed() < PATIENCE, "it does not answer:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
        governor
    }

    /// A governor that was started otherwise.
    pub(crate) fn adopt(&self, child: Child) -> Governor<'_> {
        Governor { place: self, child }
    }

    /// Runs a governor that is to end by itself: its exit code and what it said.
    pub(crate) fn refused(&self, options: &[&str]) -> (i32, String) {
        self.refusal(&mut self.command(options))
    }

    pub(crate) fn refusal(&self, command: &mut Command) -> (i32, String) {
        let before = self.log().len();
        let mut governor = Governor { place: self, child: command.spawn().unwrap() };
        let code = governor.wait();
        (code, self.log()[before..].to_owned())
    }
}

/// A running governor.
pub(crate) struct Governor<'p> {
    place: &'p Place,
    pub(crate) child: Child,
}

impl Governor<'_> {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for its end; 128 and the number of a signal that ended it.
    pub(crate) fn wait(&mut self) -> i32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end:\n{}", self.place.log());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends it as a service manager does.
    pub(crate) fn stop(&mut self) -> i32 {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Ends it as a crash does.
    pub(crate) fn crash(&mut self) {
        self.signal(Signal::SIGKILL);
        assert_eq!(self.wait(), 128 + 9);
    }

    /// A new connection.
    pub(crate) fn line(&self) -> Line {
        Line::connect(&self.place.socket()).unwrap()
    }

    /// The answer to one request on a connection of its own.
    pub(crate) fn ask(&self, request: &str) -> Value {
        self.line().ask(request).unwrap()
    }

    pub(crate) fn snapshot(&self) -> Value {
        self.ask("{}")
    }

    pub(crate) fn topology(&self) -> Value {
        self.ask(r#"{"request":"topology"}"#)["topology"].clone()
    }

    pub(crate) fn health(&self) -> Value {
        self.ask(r#"{"request":"health"}"#)
    }

    /// A file of `/proc/PID`.
    pub(crate) fn proc(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).unwrap()
    }

    /// A field of `/proc/PID/status`, without its name.
    pub(crate) fn status(&self, field: &str) -> String {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap().trim().to_owned()
    }

    /// CPU time that all its threads have used (fields 14 and 15 of `proc_pid_stat(5)`).
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        // USER_HZ is 100 on every architecture of ours.
        Duration::from_millis(10 * ticks)
    }

    /// Waits until a snapshot is as wanted.
    pub(crate) fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let snapshot = self.snapshot();
            if wanted(&snapshot) {
                return snapshot;
            }
            let log = self.place.log();
            assert!(begun.elapsed() < PATIENCE, "never {what}: {snapshot:#}\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Governor<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A plain connection.
pub(crate) struct Line {
    stream: BufReader<UnixStream>,
}

impl Line {
    pub(crate) fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub(crate) fn stream(&self) -> &UnixStream {
        self.stream.get_ref()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The next line; an error at the end.
    pub(crate) fn receive(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        assert!(line.ends_with('\n'), "a torn line: {line}");
        Ok(serde_json::from_str(&line)?)
    }

    pub(crate) fn ask(&mut self, request: &str) -> io::Result<Value> {
        self.send(request.as_bytes())?;
        self.send(b"\n")?;
        self.receive()
    }

    /// Whether the other side has closed, and nothing more comes.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.stream.get_ref().set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        match self.stream.fill_buf() {
            Ok(rest) => rest.is_empty(),
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

/// A decimal, as a number or as text.
pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value}"))
}

/// The members of an object, by name.
pub(crate) fn members(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}
