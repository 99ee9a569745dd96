//! What is in `packaging` for clusters: the manifests for Kubernetes, by a judge of others (`kubernetes-validate`, which pip
//! installs) and by what they must not ask for; the epilog for Slurm, by what it writes.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILES: [&str; 3] = ["namespace.yaml", "daemonset.yaml", "networkpolicy.yaml"];

fn packaging(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(path)
}

fn path(file: &str) -> PathBuf {
    packaging("kubernetes").join(file)
}

#[test]
fn manifests_are_valid_by_another_judge_and_a_misspelt_one_is_not() {
    let judge = |files: &[PathBuf]| {
        Command::new("kubernetes-validate").arg("--strict").args(files).output()
    };
    let files = FILES.map(path);
    let Ok(done) = judge(&files) else {
        assert!(std::env::var_os("CARBON_OPS_FULL").is_none(), "kubernetes-validate is missing");
        let _ = writeln!(std::io::stderr(), "SKIPPED: kubernetes-validate is not installed");
        return;
    };
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    let folder = tempfile::TempDir::new().unwrap();
    let wrong = folder.path().join("wrong.yaml");
    let text = fs::read_to_string(path("daemonset.yaml")).unwrap();
    fs::write(&wrong, text.replace("readOnlyRootFilesystem", "readOnlyRootFileSystem")).unwrap();
    assert!(!judge(&[wrong]).unwrap().status.success());
}

#[test]
fn they_ask_for_one_capability_and_no_token() {
    let text = fs::read_to_string(path("daemonset.yaml")).unwrap();
    let count = |words: &str| text.matches(words).count();
    assert_eq!(count("  - name: governor") + count("  - name: agent"), 2);
    for (words, times) in [
        ("automountServiceAccountToken: false", 1),
        ("privileged: false", 2),
        ("allowPrivilegeEscalation: false", 2),
        ("readOnlyRootFilesystem: true", 2),
        ("drop: [ALL]", 2),
        ("add: [", 1),
        ("add: [PERFMON]", 1),
        ("hostNetwork", 0),
        ("privileged: true", 0),
    ] {
        assert_eq!(count(words), times, "{words}");
    }
    let kustomization = fs::read_to_string(path("kustomization.yaml")).unwrap();
    for file in FILES {
        assert!(kustomization.contains(&format!("- {file}\n")), "{file}");
    }
}

const METRICS: &str = r#"
carbon_ops_unit_energy_joules_total{kind="slurm",unit="4711/0",job="4711",step="0"} 1.5
carbon_ops_unit_energy_joules_total{kind="slurm",unit="4711/1",job="4711",step="1"} 2
carbon_ops_unit_energy_joules_total{kind="slurm",unit="47110/1",job="47110",step="1"} 50
carbon_ops_unit_energy_joules_total{kind="gitlab",unit="x",job="4711"} 70
carbon_ops_unit_carbon_grams_total{kind="slurm",unit="4711/0",job="4711",step="0"} 0.25
"#;

#[test]
fn the_epilog_writes_what_one_job_used_and_fails_none() {
    let folder = tempfile::TempDir::new().unwrap();
    let (metrics, jobs) = (folder.path().join("metrics"), folder.path().join("jobs.csv"));
    fs::write(&metrics, METRICS).unwrap();
    let epilog = |job: Option<&str>| {
        let mut command = Command::new(packaging("slurm/epilog"));
        command.env_remove("SLURM_JOB_ID").envs(job.map(|job| ("SLURM_JOB_ID", job)));
        command.env("SLURMD_NODENAME", "n1").env("CARBON_OPS_AFTER", "0");
        command.env("CARBON_OPS_METRICS", format!("file://{}", metrics.display()));
        assert!(command.env("CARBON_OPS_JOBS", &jobs).status().unwrap().success());
    };
    epilog(None);
    if Command::new("curl").arg("--version").output().is_err() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: curl is not installed");
        return;
    }
    epilog(Some("4711"));
    let line = loop {
        match fs::read_to_string(&jobs) {
            Ok(text) if text.ends_with('\n') => break text,
            _ => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
    };
    assert_eq!(line, "4711,n1,3.500000,0.250000\n");
}
