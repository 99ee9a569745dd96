//! What a running governor may still do: nothing but what it needs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::governor::{BINARY, Governor, Place};
use carbon_ops_testkit::simulator::{Simulator, USUAL};
use carbon_ops_testkit::skip::{can, skip};

/// `CAP_DAC_READ_SEARCH` is number 2 (capabilities(7), linux/capability.h).
const READ_SEARCH: &str = "0000000000000004";

const NONE: &str = "0000000000000000";

/// A field of the status of each thread.
fn of_threads(governor: &Governor<'_>, field: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", governor.child.id())).unwrap();
    let value = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    };
    tasks.map(|task| value(task.unwrap())).collect()
}

fn all_have(governor: &Governor<'_>, field: &str, value: &str) {
    let threads = of_threads(governor, field);
    assert!(threads.len() >= 2 && threads.iter().all(|of| of == value), "{field}: {threads:?}");
}

#[test]
fn root_keeps_no_capability_and_loses_files_and_system_calls() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let mut governor = place.start(&[&simulator.powercap()]);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        all_have(&governor, set, NONE);
    }
    all_have(&governor, "NoNewPrivs", "1");
    let told = governor.health()["privileges"].clone();
    assert_eq!(
        (&told["capabilities"], &told["failed"]),
        (&serde_json::json!([]), &serde_json::json!([]))
    );
    if governor.status("Seccomp") == "0" {
        skip("seccomp", "this kernel has none");
        assert_eq!(told["seccomp"], "failed");
    } else {
        all_have(&governor, "Seccomp", "2");
        assert_eq!(told["seccomp"], "enforced");
    }
    if fs::read_to_string("/sys/kernel/security/lsm").is_ok_and(|list| list.contains("landlock")) {
        assert_eq!(told["landlock"], "enforced");
    }
    // And all it does goes on, a zone that must be opened anew included.
    simulator.order("fail package-0 eio");
    governor.until("stale", |seen| seen["domains"]["package-0:intel-rapl:0"]["stale"] == true);
    simulator.order("fail package-0 ok");
    governor.until("read", |seen| seen["domains"]["package-0:intel-rapl:0"]["stale"] == false);
    assert_eq!(governor.stop(), 0);
    assert!(!place.socket().exists(), "{}", place.log());
}

#[test]
fn a_user_with_the_one_capability_keeps_it_and_no_other() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let with = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=+dac_read_search,+chown",
        "--ambient-caps=+dac_read_search,+chown",
    ];
    if !can(&format!("setpriv {} true", with.join(" "))) {
        return skip("root", "setpriv cannot give capabilities");
    }
    let place = Place::new();
    fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    let copy = place.path("carbon-governor");
    fs::copy(BINARY, &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    let start = || {
        let mut command = Command::new("setpriv");
        command.args(with).arg(&copy).args(place.options()).arg(simulator.powercap());
        place.started(command.arg("--socket-group=65534").stderr(place.log_file()))
    };
    let mut governor = start();
    for (set, value) in
        [("CapInh", NONE), ("CapPrm", READ_SEARCH), ("CapEff", READ_SEARCH), ("CapAmb", NONE)]
    {
        all_have(&governor, set, value);
    }
    assert_eq!(
        governor.health()["privileges"]["capabilities"],
        serde_json::json!(["CAP_DAC_READ_SEARCH"])
    );
    // It can open what only root may, still.
    simulator.order("fail package-0 eio");
    governor.until("stale", |seen| seen["domains"]["package-0:intel-rapl:0"]["stale"] == true);
    simulator.order("fail package-0 ok");
    governor.until("read", |seen| seen["domains"]["package-0:intel-rapl:0"]["stale"] == false);
    assert_eq!(governor.stop(), 0);
    assert!(!place.socket().exists());
    // Its own files of before are its own.
    let governor = start();
    assert!(place.log().contains("went on after"), "{}", place.log());
    drop(governor);
}

/// A filter that answers these calls as a kernel without them does.
const WITHOUT: &str = "
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
names = {'x86_64': (317, 0xc000003e), 'aarch64': (277, 0xc00000b7)}
seccomp, arch = names[os.uname().machine]
ENOSYS = 38
def op(code, jt, jf, k): return struct.pack('HBBI', code, jt, jf, k)
# Landlock's three calls are 444 to 446 everywhere; seccomp(2) and prctl(PR_SET_SECCOMP) is left alone.
calls = [444, 445, 446] + ([seccomp] if sys.argv[1] == 'all' else [])
rules = [op(0x20, 0, 0, 0)]
for call in calls:
    rules += [op(0x15, 0, 1, call), op(0x06, 0, 0, 0x00050000 | ENOSYS)]
rules += [op(0x06, 0, 0, 0x7fff0000)]
code = b''.join(rules)
buffer = ctypes.create_string_buffer(code)
program = struct.pack('HxxxxxxP', len(rules), ctypes.addressof(buffer))
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0):
    sys.exit(99)
os.execv(sys.argv[2], sys.argv[2:])
";

#[test]
fn a_kernel_without_landlock_and_seccomp_is_no_obstacle() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    if !can("python3 -c 'import ctypes'") {
        return skip("python", "a filter stands in for an old kernel");
    }
    for (what, seccomp) in [("landlock", "enforced"), ("all", "failed")] {
        let place = Place::new();
        let by = ["python3", "-c", WITHOUT, what];
        let mut governor = place.started(&mut place.wrapped(&by, &[&simulator.powercap()]));
        let told = governor.health()["privileges"].clone();
        assert_eq!(
            (&told["landlock"], &told["seccomp"]),
            (&"not there".into(), &seccomp.into()),
            "{what}"
        );
        assert_eq!(governor.snapshot()["status"], "ok");
        assert_eq!(governor.stop(), 0);
    }
}
