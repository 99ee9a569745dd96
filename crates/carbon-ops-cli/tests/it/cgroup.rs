//! The cgroup that a command gets: what is counted by it, that the command cannot tell, that nothing
//! of it stays, and what happens where there is none.
//!
//! Each test has a cgroup of its own, into which a shell moves before it becomes `carbon-ops`. That
//! takes root and a cgroup file system (v2) that may be written.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::accounting::own_seconds;
use crate::home::{CARBON_OPS, Done, Home, assert_near, decimal, done, finish, has, recorded};
use carbon_ops_testkit::skip::{can, is_root, namespaces, skip};

/// Counts to nothing for about a hundred milliseconds and leaves its CPU time in a file.
const BURN: &str =
    "for ((j = 0; j < 60000; j++)); do :; done; times > part.$$; mv part.$$ burnt.$$";

const NOTE: &str = "cpu_time_by_cgroup";

/// A cgroup for one test.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let point = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let Some(point) = point.into_iter().find(|fields| fields[2] == "cgroup2") else {
            skip("cgroup", "no cgroup file system (v2) is mounted");
            return None;
        };
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test-of-carbon-ops-{}-{n}", std::process::id());
        let group = Self(Path::new(point[1]).join(name));
        let enter = format!("mkdir '{0}' && echo $$ > '{0}/cgroup.procs'", group.0.display());
        if !is_root() || !can(&enter) {
            skip("cgroup", "a cgroup may not be made; that takes root");
            return None;
        }
        Some(group)
    }

    fn name(&self) -> String {
        self.0.file_name().unwrap().to_str().unwrap().to_owned()
    }

    /// A shell line in this cgroup, in which `"$CARBON_OPS"` is the command.
    fn bash(&self, home: &Home, line: &str) -> Command {
        home.bash(&format!("echo $$ > '{}/cgroup.procs' && {line}", self.0.display()))
    }

    /// `carbon-ops run -- bash -c SCRIPT` in this cgroup.
    fn run(&self, home: &Home, script: &str) -> Command {
        let mut command = self.bash(home, r#"exec "$CARBON_OPS" run -- bash -c "$SCRIPT""#);
        command.env("SCRIPT", script);
        command
    }

    /// The same line where cgroups can be looked at only.
    fn bash_read_only(&self, home: &Home, line: &str) -> Command {
        let point = self.0.parent().unwrap().display();
        let line = format!("mount -o remount,bind,ro '{point}' && {line}");
        let mut command =
            self.bash(home, "exec unshare -m --propagation private bash -c \"$LINE\"");
        command.env("LINE", line);
        command
    }

    /// Names of the cgroups in this one, sorted.
    fn children(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap().map(Result::unwrap);
        let directories = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        let mut names: Vec<String> =
            directories.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Waits until nothing lives in this cgroup and below.
    fn wait_until_empty(&self) {
        let started = Instant::now();
        let events = self.0.join("cgroup.events");
        while !fs::read_to_string(&events).unwrap().contains("populated 0") {
            assert!(started.elapsed() < Duration::from_secs(20), "processes stay");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A failed test may leave processes; they are of this test alone.
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        can(&format!(
            "for i in 1 2 3 4 5 6 7 8 9; do [ -d '{0}' ] || exit; \
             find '{0}' -depth -type d -exec rmdir {{}} + && exit; sleep 0.1; done",
            self.0.display()
        ));
    }
}

fn counted_seconds(record: &Value) -> f64 {
    Duration::from_nanos(decimal(&record["measurement"]["workload"]["cpu_time_ns"])).as_secs_f64()
}

/// What the shells of [`BURN`] told of themselves.
fn burnt_seconds(home: &Home) -> f64 {
    let files = fs::read_dir(home.path("work")).unwrap().map(|entry| entry.unwrap().path());
    let burnt = files.filter(|path| path.file_stem().is_some_and(|stem| stem == "burnt"));
    burnt.map(|path| own_seconds(&fs::read_to_string(path).unwrap())).sum()
}

/// Eight shells that burn, children of a process that ignores `SIGCHLD`: the kernel reaps them.
fn unreaped() -> Option<String> {
    if !can("perl -e 1") {
        skip("cgroup", "no perl(1), which really ignores SIGCHLD, unlike shells");
        return None;
    }
    let perl = "$SIG{CHLD} = \"IGNORE\"; \
                for (1 .. 8) { fork or exec \"bash\", \"-c\", $ARGV[0] } 1 while wait != -1";
    Some(format!("perl -e '{perl}' '{BURN}'"))
}

#[test]
fn children_that_nobody_reaps_are_counted() {
    let (Some(group), Some(script)) = (Group::new(), unreaped()) else { return };
    let home = Home::new();
    let record = recorded(&home, &mut group.run(&home, &script));
    let burnt = burnt_seconds(&home);
    assert!(burnt > 0.3, "{burnt} s are too few to compare");
    // The shells that told do not know their end, nor the perl around them.
    assert_near(counted_seconds(&record), burnt, 0.08, "CPU time");
    assert!(counted_seconds(&record) >= burnt, "{record:#}");
    assert!(has(&record, "notes", NOTE), "{record:#}");
    assert!(record["measurement"]["workload"].get("running").is_none(), "{record:#}");
    assert_eq!(home.does(&["ledger", "verify", "--recompute"]).code(), 0);
    assert_eq!(group.children(), [""; 0]);
}

/// Without it, children that nobody waits for count as they were last seen, and the record says so.
#[test]
fn without_a_cgroup_the_command_runs_as_before_and_the_record_says_so() {
    let (true, Some(group), Some(script)) = (namespaces(), Group::new(), unreaped()) else {
        return;
    };
    let home = Home::new();
    let mut command = group.bash_read_only(&home, r#"exec "$CARBON_OPS" run -- bash -c "$SCRIPT""#);
    let record = recorded(&home, command.env("SCRIPT", &script));
    assert!(!has(&record, "notes", NOTE), "{record:#}");
    assert!(has(&record, "notes", "cpu_time_unreaped"), "{record:#}");
    let (counted, burnt) = (counted_seconds(&record), burnt_seconds(&home));
    assert!(counted > burnt / 3.0 && counted < burnt * 1.05, "{counted} s of {burnt} s");
    let reaped = format!("bash -c '{BURN}'; bash -c '{BURN}'");
    let home = Home::new();
    let mut command = group.bash_read_only(&home, r#"exec "$CARBON_OPS" run -- bash -c "$SCRIPT""#);
    let record = recorded(&home, command.env("SCRIPT", &reaped));
    assert_near(counted_seconds(&record), burnt_seconds(&home), 0.08, "CPU time");
}

/// What was moved away is seen as a descendant.
#[test]
fn processes_that_leave_the_cgroup_are_counted_too() {
    let Some(group) = Group::new() else { return };
    let home = Home::new();
    let outside = group.0.join("cgroup.procs");
    let script = format!("bash -c 'echo $$ > {} && {BURN}'; true", outside.display());
    let record = recorded(&home, &mut group.run(&home, &script));
    let burnt = burnt_seconds(&home);
    assert!(burnt > 0.03, "{burnt} s are too few to compare");
    assert!(counted_seconds(&record) >= burnt, "{record:#}");
    assert!(has(&record, "notes", NOTE), "{record:#}");
}

/// Programs to start, with the exit codes that env(1) and shells give for them.
fn programs(home: &Home) -> Vec<(&'static str, i32)> {
    let file = |name: &str, text: &str, mode| {
        fs::write(home.work(name), text).unwrap();
        fs::set_permissions(home.work(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    file("plain", "#!/bin/sh\n", 0o644);
    file("no-shebang", "exit 5\n", 0o755);
    file("no-interpreter", "#!/no/such/interpreter\n", 0o755);
    fs::create_dir(home.work("bin")).unwrap();
    file("bin/in-path", "#!/bin/sh\nexit 6\n", 0o755);
    file("bin/denied", "#!/bin/sh\n", 0o644);
    vec![
        ("true", 0),
        ("false", 1),
        ("./no-shebang", 5),
        ("in-path", 6),
        ("denied", 126),
        ("./plain", 126),
        (".", 126),
        ("", 127),
        ("no-such-program-anywhere", 127),
        ("./missing/program", 127),
        ("./no-interpreter", 127),
    ]
}

#[test]
fn exit_codes_and_reasons_are_the_same_in_a_cgroup_and_outside() {
    let (true, Some(group)) = (namespaces(), Group::new()) else { return };
    let home = Home::new();
    let line = r#"PATH="$PWD/bin:/usr/bin:/bin" exec "$CARBON_OPS" run --no-ledger --json=j -- "$PROGRAM""#;
    for (program, code) in programs(&home) {
        let inside = done(group.bash(&home, line).env("PROGRAM", program));
        let outside = done(group.bash_read_only(&home, line).env("PROGRAM", program));
        assert_eq!(inside.code(), code, "{program:?}: {}", inside.stderr);
        assert_eq!((outside.code(), outside.stderr), (code, inside.stderr), "{program:?}");
        assert_eq!(group.children(), [""; 0], "{program:?}");
    }
}

/// Signals, environment, folder, open files: all but the name of the cgroup.
#[test]
fn a_command_finds_the_same_surroundings_in_a_cgroup_and_outside() {
    let (true, Some(group)) = (namespaces(), Group::new()) else { return };
    let home = Home::new();
    let look = "grep -E '^(Sig|Shd)[BIC]|^(Cap|Seccomp|NoNew|Umask|Threads)' /proc/self/status; \
                env | sed -E 's/^(CARBON_OPS_PARENT)=[0-9a-f]{32}$/\\1/' | sort; pwd; ls /proc/self/fd; umask; ulimit -a";
    for before in ["", "trap '' PIPE USR1;", "umask 027; ulimit -n 77;"] {
        let line = format!(
            r#"{before} exec env -u LINE "$CARBON_OPS" run --no-ledger --json=j -- bash -c "$LOOK""#
        );
        let inside = done(group.bash(&home, &line).env("LOOK", look));
        let outside = done(group.bash_read_only(&home, &line).env("LOOK", look));
        assert!(inside.text().contains("SigBlk") && inside.text().contains("HOME="));
        assert!(inside.text().contains("CARBON_OPS_PARENT\n"), "{}", inside.text());
        assert_eq!(inside.text(), outside.text(), "{before}");
    }
}

#[test]
fn the_command_runs_in_a_cgroup_below_ours_and_nothing_is_left_of_it() {
    let Some(group) = Group::new() else { return };
    let home = Home::new();
    let below = format!("d={}/carbon-ops-$PPID-0", group.0.display());
    for script in [
        "cat /proc/self/cgroup".to_owned(),
        "kill -KILL $$".to_owned(),
        "exit 3".to_owned(),
        format!("{below}; mkdir -p $d/below/below; sh -c \"echo \\$\\$ > $d/below/cgroup.procs\""),
    ] {
        let child = group.run(&home, &script).spawn().unwrap();
        let name = format!("/{}/carbon-ops-{}-0", group.name(), child.id());
        let run = finish(child);
        if script.starts_with("cat") {
            let own = run.text().lines().find_map(|line| line.strip_prefix("0::").map(Into::into));
            assert_eq!(own, Some(name), "{}", run.text());
        }
        assert!(has(home.records().last().unwrap(), "notes", NOTE), "{script}: {}", run.stderr);
        assert_eq!(group.children(), [""; 0], "{script}");
    }
    assert_eq!(home.records().len(), 4);
}

/// A daemon keeps its cgroup; a later run removes what is empty by then.
#[test]
fn a_daemon_is_running_and_its_cgroup_goes_with_a_later_run() {
    let Some(group) = Group::new() else { return };
    let home = Home::new();
    let daemon = format!(
        "{BURN}; i=0; while [ ! -e enough ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done"
    );
    let script = format!(
        "(setsid bash -c '{daemon}' </dev/null >/dev/null 2>&1 &)
         while ! ls burnt.* 2>/dev/null; do sleep 0.05; done"
    );
    let child = group.run(&home, &script).spawn().unwrap();
    let name = format!("carbon-ops-{}-0", child.id());
    assert_eq!(finish(child).code(), 0);
    let record = &home.records()[0];
    assert!(record["measurement"]["workload"]["running"].as_u64().unwrap() >= 1, "{record:#}");
    assert!(has(record, "notes", "descendants_running") && has(record, "notes", NOTE));
    let burnt = burnt_seconds(&home);
    assert!(burnt > 0.03 && counted_seconds(record) >= burnt, "{burnt} s of {record:#}");
    assert_eq!(group.children(), std::slice::from_ref(&name));

    recorded(&home, &mut group.run(&home, "true"));
    assert_eq!(group.children(), [name], "processes live in it");
    fs::write(home.work("enough"), "").unwrap();
    group.wait_until_empty();
    recorded(&home, &mut group.run(&home, "true"));
    assert_eq!(group.children(), [""; 0]);
}

/// The id of a process that is no more.
fn gone() -> u32 {
    let mut child = Command::new("true").stdin(Stdio::null()).spawn().unwrap();
    let _ = child.wait();
    child.id()
}

#[test]
fn only_empty_cgroups_of_dead_runs_are_cleaned_up() {
    let Some(group) = Group::new() else { return };
    let home = Home::new();
    let gone = gone();
    let ours = std::process::id();
    for name in [
        format!("carbon-ops-{gone}-0/left/below"),
        format!("carbon-ops-{gone}-1"),
        format!("carbon-ops-{ours}-0"),
        format!("carbon-ops-{gone}.service"),
        "other".to_owned(),
    ] {
        fs::create_dir_all(group.0.join(name)).unwrap();
    }
    let populated = group.0.join(format!("carbon-ops-{gone}-1/cgroup.procs"));
    let mut sleeper = Command::new("sleep").arg("30").spawn().unwrap();
    fs::write(populated, sleeper.id().to_string()).unwrap();
    recorded(&home, &mut group.run(&home, "true"));
    let mut expected = [
        format!("carbon-ops-{gone}-1"),
        format!("carbon-ops-{ours}-0"),
        format!("carbon-ops-{gone}.service"),
        "other".to_owned(),
    ];
    expected.sort();
    assert_eq!(group.children(), expected);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

/// Killed, we can remove nothing; the command lives on in its cgroup.
#[test]
fn what_a_killed_run_left_goes_with_a_later_run() {
    let Some(group) = Group::new() else { return };
    let home = Home::new();
    let mut child = group.run(&home, "touch started; exec sleep 30").spawn().unwrap();
    let started = Instant::now();
    while !home.work("started").exists() {
        assert!(started.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    let name = format!("carbon-ops-{}-0", child.id());
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGKILL).unwrap();
    child.wait().unwrap();
    assert_eq!(group.children(), std::slice::from_ref(&name));
    let sleeper = fs::read_to_string(group.0.join(&name).join("cgroup.procs")).unwrap();
    kill(Pid::from_raw(sleeper.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
    group.wait_until_empty();
    recorded(&home, &mut group.run(&home, "true"));
    assert_eq!(group.children(), [""; 0]);
}

/// Container engines forbid clone3(2), with either of two errors.
#[test]
fn a_kernel_that_refuses_clone3_makes_no_difference() {
    let Some(group) = Group::new() else { return };
    let home = Home::new();
    // prctl(PR_SET_NO_NEW_PRIVS), then prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER) with: load the
    // number of the system call; if it is clone3's 435, return the errno; else allow.
    let prctl = if cfg!(target_arch = "x86_64") { 157 } else { 167 };
    let perl = "my ($prctl, $errno, @command) = @ARGV; \
        my @filter = ([0x20, 0, 0, 0], [0x15, 0, 1, 435], [6, 0, 0, 0x50000 | $errno], \
                      [6, 0, 0, 0x7fff0000]); \
        my $code = join '', map { pack 'SCCL', @$_ } @filter; \
        my $program = pack 'S x![P] P', 4, $code; \
        syscall($prctl + 0, 38, 1, 0, 0, 0) == 0 or exit 77; \
        syscall($prctl + 0, 22, 2, $program, 0, 0) == 0 or exit 77; \
        exec @command";
    for errno in [38, 1] {
        let mut command = group.bash(&home, r#"exec perl -e "$PERL" "$@""#);
        let arguments = ["bash", &prctl.to_string(), &errno.to_string(), CARBON_OPS, "run"];
        command.env("PERL", perl).args(arguments);
        let run =
            done(command.args(["--no-ledger", "--json=record.json", "--", "sh", "-c", "exit 4"]));
        if run.code() == 77 || !can("perl -e 1") {
            return skip("cgroup", "no filter of system calls may be set, or no perl(1)");
        }
        assert_eq!((run.code(), run.stderr.as_str()), (4, ""), "{errno}");
        let record = fs::read_to_string(home.work("record.json")).unwrap();
        assert!(!record.contains(NOTE), "{record}");
        assert_eq!(group.children(), [""; 0]);
    }
}

/// As an ordinary user, in `group`.
fn as_nobody(group: &Group, home: &Home) -> Option<Done> {
    let copy = home.path("carbon-ops");
    fs::copy(CARBON_OPS, &copy).unwrap();
    let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let given = format!(
        "chmod -R go+rX {0} && chown -R 65534:65534 {0} && {nobody} test -x {1}",
        home.path("").display(),
        copy.display()
    );
    if !can(&given) {
        skip("nobody", "no setpriv(1), or no way into the temporary folder");
        return None;
    }
    let line = format!("exec {nobody} {} run --json=record.json -- true", copy.display());
    Some(done(&mut group.bash(home, &line)))
}

#[test]
fn a_user_gets_a_cgroup_where_ours_was_delegated_and_none_elsewhere() {
    let Some(group) = Group::new() else { return };
    for delegated in [false, true] {
        let home = Home::new();
        if delegated {
            // What systemd gives to a user's manager (cgroup-v2.rst, "Delegation").
            can(&format!("chown 65534 '{0}' '{0}/cgroup.procs'", group.0.display()));
        }
        let Some(run) = as_nobody(&group, &home) else { return };
        assert_eq!((run.code(), run.text().as_str()), (0, ""), "{}", run.stderr);
        let record = fs::read_to_string(home.work("record.json")).unwrap();
        assert_eq!(record.contains(NOTE), delegated, "{record}");
        assert_eq!(group.children(), [""; 0]);
    }
}
