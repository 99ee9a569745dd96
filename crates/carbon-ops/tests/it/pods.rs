//! Pods that live for less than a look, in cgroups of a real kernel: whose their CPU time is said to be, held against
//! what the kernel said of each.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use carbon_ops::env::Env;
use carbon_ops::gpus::{AskNvml, Gpus};
use carbon_ops::meter::attribution::IdlePolicy;
use carbon_ops::meter::host_root::HostRoot;
use carbon_ops::meter::sensor::model::{Overrides, PowerModel};
use carbon_ops::watch::{By, Options, Sort, Watch, What};
use carbon_ops_testkit::skip::{is_root, say, skip};

/// Some CPU time, in pieces, also of processes that live for an instant.
const POD: &str = r#"echo $$ > "$GROUP/cgroup.procs"
for ((i = 0; i < PIECES; i++)); do
    for ((j = 0; j < 400; j++)); do :; done
    sleep 0.2
done"#;

/// A cgroup for the test, removed with all that is left in it.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let point = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let point = point.into_iter().find(|fields| fields[2] == "cgroup2");
        let made = point.map(|fields| {
            Path::new(fields[1]).join(format!("pods-of-carbon-ops-{}", std::process::id()))
        });
        let made = made.filter(|path| is_root() && fs::create_dir(path).is_ok());
        if made.is_none() {
            skip("cgroup", "a cgroup (v2) may not be made; that takes root");
        }
        made.map(Self)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// From the end of a pod's last process to the removal of its cgroup. Runtimes start a process of their own for that
/// (`runc delete`).
const REMOVED_AFTER: Duration = Duration::from_millis(20);

/// Runs a pod as a runtime does, which removes its cgroups once it has ended; its uid, and its CPU time by the kernel.
fn pod(kubepods: &Path, number: u32) -> (String, Duration) {
    let uid = format!("{number:032x}");
    let folder = kubepods.join(format!("pod{uid}"));
    let container = folder.join(format!("{number:064x}"));
    fs::create_dir(&folder).unwrap();
    fs::create_dir(&container).unwrap();
    let pieces = (number * 7 % 23 + 1).to_string();
    let mut command = Command::new("bash");
    command.args(["-c", POD]).env("GROUP", &container).env("PIECES", pieces);
    assert!(command.status().unwrap().success());
    let text = fs::read_to_string(folder.join("cpu.stat")).unwrap();
    let used = text.lines().find_map(|line| line.strip_prefix("usage_usec ")).unwrap();
    thread::sleep(REMOVED_AFTER);
    fs::remove_dir(container).unwrap();
    fs::remove_dir(folder).unwrap();
    (uid, Duration::from_micros(used.parse().unwrap()))
}

/// With `CARBON_OPS_FULL=1` for a minute, in which 99 % have a name; else some of them, whose bound has to hold.
#[test]
fn a_thousand_pods_a_minute_have_their_cpu_time_by_name() {
    let Some(group) = Group::new() else { return };
    let full = std::env::var_os("CARBON_OPS_FULL").is_some();
    let pods = if full { 1000 } else { 60 };
    let kubepods = group.0.join("kubepods");
    fs::create_dir(&kubepods).unwrap();
    let options = Options {
        what: What::All,
        by: By::Unit,
        sort: Sort::Energy,
        limit: usize::MAX,
        idle: IdlePolicy::Residual,
    };
    let host = HostRoot::real();
    let gpus = Gpus::find(&host, &AskNvml::default().beside(true));
    let model = PowerModel::identify(&host, Overrides::default());
    let mut watch = Watch::open(&options, host, &Env::real(), None, gpus, model).unwrap();
    let (done, truth) = mpsc::channel();
    let (begun, mut next) = (Instant::now(), Instant::now() + Duration::from_secs(5));
    let mut told: BTreeMap<String, Duration> = BTreeMap::new();
    let (mut unnamed, mut looks) = (Duration::ZERO, 0);
    let mut look = |watch: &mut Watch| {
        let account = watch.account().unwrap();
        let sum: u64 = account.units.iter().map(|(_, used)| used.energy_uj).sum();
        assert_eq!(sum + account.idle.energy_uj + account.rest.energy_uj, account.host_uj);
        for (unit, used) in &account.units {
            if let Some(uid) = unit.ids.get("pod_uid") {
                *told.entry(uid.clone()).or_default() += used.cpu;
            }
        }
        unnamed += account.unnamed;
        looks += 1;
    };
    for number in 0..pods {
        let (kubepods, done) = (kubepods.clone(), done.clone());
        thread::spawn(move || done.send(pod(&kubepods, number)).unwrap());
        let start = begun + Duration::from_millis(60) * (number + 1);
        while let Some(left) = start.checked_duration_since(Instant::now()) {
            thread::sleep(left.min(next.saturating_duration_since(Instant::now())));
            if Instant::now() >= next {
                next += Duration::from_secs(5);
                look(&mut watch);
            }
        }
    }
    drop(done);
    let truth: BTreeMap<String, Duration> = truth.iter().collect();
    fs::remove_dir(&kubepods).unwrap();
    look(&mut watch);
    let whole: Duration = truth.values().sum();
    let of = |uid: &String| told.get(uid).copied().unwrap_or_default();
    let named: Duration = truth.iter().map(|(uid, cpu)| of(uid).min(*cpu)).sum();
    let more: Duration = told.iter().map(|(uid, cpu)| cpu.saturating_sub(truth[uid])).sum();
    let without = whole.saturating_sub(named);
    let share = named.as_secs_f64() / whole.as_secs_f64();
    say(&format!(
        "{pods} pods, {whole:?} of CPU time, {looks} looks: {:.3} % by name, {more:?} too much, {without:?} \
         without, bound {unnamed:?}",
        100.0 * share,
    ));
    assert_eq!(truth.len(), usize::try_from(pods).unwrap());
    assert!(!full || (share >= 0.99 && more < whole / 200), "{share} {more:?}");
    assert!(without <= unnamed + more + Duration::from_millis(1), "{unnamed:?}");
}
