//! Drivers that fail as drivers do: calls that hang, take long, or end their process. Whatever they do, the
//! command runs, its exit code is kept, processors are measured, and what is missing is said.

use carbon_ops_testkit::nvml;

use crate::fake_host::{class, moving, zone};
use crate::gpu::{governed, with_library};
use crate::home::{done, has};

const WELL: &str =
    "count 1\n0.uuid GPU-1\n0.limit 700000\n0.energy 5000\n0.samples -\n0.processes -\n";

/// What is asked, and what becomes of it.
fn failing() -> Vec<String> {
    let ways = ["hang", "abort", "exit", "slow 30000 5000"];
    ways.iter().flat_map(|way| [format!("init {way}\n"), WELL.replace("5000", way)]).collect()
}

#[test]
fn a_driver_that_fails_at_the_start_costs_the_command_nothing() {
    for text in failing() {
        let (home, library) = with_library(&text);
        let package = zone(&home, "intel-rapl:0", "package-0", 100_000_000);
        let script = format!("{}; exit 7", moving(&[(&package, 100_000_000, 1_000_000)]));
        let folder = class(&home);
        let arguments = ["run", "--region", "DE", "--powercap-root", &folder, "--"];
        let mut command = home.carbon_ops(&arguments);
        let run = done(command.args(["sh", "-c", &script]).env("CARBON_OPS_NVML", &library));
        assert_eq!(run.code(), 7, "{text}{}", run.stderr);
        let record = home.records().pop().unwrap_or_else(|| panic!("{}", run.stderr));
        assert_eq!(record["measurement"]["workload"]["exit_code"], 7);
        assert!(
            record["measurement"]["energy"]["host_uj"].as_u64().unwrap() >= 9_000_000,
            "{record:#}"
        );
        assert!(has(&record, "notes", "unseen_gpu"), "{text}{record:#}");
    }
}

#[test]
fn a_driver_that_fails_while_it_is_read_leaves_a_gap_and_no_wait() {
    for way in ["hang", "abort", "exit", "slow 30000 5000"] {
        let (home, library) = with_library(WELL);
        let package = zone(&home, "intel-rapl:0", "package-0", 100_000_000);
        let answers = nvml::answers(&library);
        let moved = |energy: u64| WELL.replace("5000", &energy.to_string());
        let failing = WELL.replace("5000", way);
        std::fs::write(home.path("moved"), moved(95_000)).unwrap();
        std::fs::write(home.path("failing"), failing).unwrap();
        let root = home.root().display();
        let script = format!(
            "{0}; mv {root}/moved {1}; sleep 1.5; mv {root}/failing {1}; {0}; exit 7",
            moving(&[(&package, 100_000_000, 1_000_000)]),
            answers.display()
        );
        let folder = class(&home);
        let arguments = ["run", "--region", "DE", "--powercap-root", &folder, "--"];
        let mut command = home.carbon_ops(&arguments);
        let run = done(command.args(["sh", "-c", &script]).env("CARBON_OPS_NVML", &library));
        assert_eq!(run.code(), 7, "{way} {}", run.stderr);
        let record = home.records().pop().unwrap_or_else(|| panic!("{}", run.stderr));
        assert_eq!(record["quality_flag"], "estimated", "{way} {record:#}");
        let gaps = record["measurement"]["gaps"].as_array().unwrap();
        assert!(gaps.iter().any(|gap| gap["domain"] == "gpu-0"), "{way} {record:#}");
    }
}

/// As `run` has it: what the library says, and not whether it is there.
#[test]
fn doctor_asks_the_library_that_run_asks() {
    for (text, words) in [
        (WELL.to_owned(), "nvml ok the library answers"),
        ("init !18\n".to_owned(), "nvml problem"),
        ("init abort\n".to_owned(), "nvml problem"),
        (WELL.replace("5000", "!27").replace("0.limit", "0.power !27\n0.limit"), "is not ready"),
    ] {
        let (home, library) = with_library(&text);
        let told = done(home.carbon_ops(&["doctor"]).env("CARBON_OPS_NVML", &library)).text();
        let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(words), "{text}: {told}");
    }
}

/// The governor's own samples come as if there were no GPU.
#[test]
fn a_driver_that_fails_costs_a_governor_no_sample() {
    for way in ["hang", "abort", "exit", "slow 500 5000"] {
        let (home, library) = with_library(WELL);
        let package = zone(&home, "intel-rapl:0", "package-0", 100_000_000);
        let (_daemon, socket) = governed(&home, &library);
        nvml::answer(&library, &WELL.replace("5000", way));
        let script = format!("sleep 1; {}", moving(&[(&package, 100_000_000, 1_000_000)]));
        let mut command = home.carbon_ops(&["run", "--region", "DE", "--", "sh", "-c"]);
        command.arg(&script).env("CARBON_OPS_GOVERNOR_SOCKET", &socket);
        let run = done(command.env("CARBON_OPS_NVML", "off"));
        let record = home.records().pop().unwrap_or_else(|| panic!("{}", run.stderr));
        assert_eq!(
            record["measurement"]["attribution_mode"], "governor_cpu_time",
            "{way} {record:#}"
        );
        let gaps = record["measurement"]["gaps"].as_array().unwrap();
        assert!(!gaps.iter().any(|gap| gap["domain"] == "package-0"), "{way} {record:#}");
    }
}
