//! Hardware monitoring in `monitor` and `doctor`: a server without RAPL whose socket and GPU have powers.

use carbon_ops_testkit::host::{Node, file};
use serde_json::Value;

use crate::home::{Home, done, double, has};
use crate::monitor::{adds_up, machine};

const GPU: &str = "pci0000:00/0000:03:00.0";

/// A socket of 150 W and a GPU of 50 W in a folder.
fn server(home: &Home) -> String {
    let machine = machine(home);
    let meter = [("power1_average", "150000000"), ("power1_oem_info", "Grace Power Socket 0")];
    let gpu = [("power1_average", "50000000"), ("power1_label", "PPT")];
    for (device, number, driver, files) in
        [("ACPI000D:00", 0, "power_meter", &meter), (GPU, 1, "amdgpu", &gpu)]
    {
        Node { device, number, driver, files }.write(&home.path("machine"));
    }
    machine
}

fn sample(home: &Home, machine: &str) -> Value {
    let options = ["monitor", "--json", "--interval", "300ms", "--count", "1", "--all"];
    let done = done(&mut home.carbon_ops(&[&options[..], &["--host-root", machine]].concat()));
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let sample: Value = serde_json::from_slice(&done.stdout).unwrap();
    adds_up(&sample);
    sample
}

fn domains(sample: &Value) -> Vec<(&str, &str)> {
    let domains = sample["host"]["domains"].as_array().unwrap().iter();
    domains.map(|it| (it["name"].as_str().unwrap(), it["source"].as_str().unwrap())).collect()
}

#[test]
fn a_socket_and_a_gpu_are_measured_by_their_powers() {
    let home = Home::new();
    let machine = server(&home);
    let sample = sample(&home, &machine);
    assert_eq!(sample["host"]["source"], "hwmon");
    assert_eq!(domains(&sample), [("package-0", "hwmon"), ("gpu-0000:03:00.0", "hwmon")]);
    assert!(double(&sample["gpu"]["energy_uj"]) > 0.0, "{sample:#}");
    assert!(!has(&sample, "notes", "unseen_gpu"), "{sample:#}");
    assert!(has(&sample, "notes", "gpu_unattributed"), "{sample:#}");
    assert_eq!(sample["quality"], "estimated");
}

/// It is not taken for one that could not be read, nor for none.
#[test]
fn a_gpu_that_sleeps_is_neither_read_nor_missing() {
    let home = Home::new();
    let machine = server(&home);
    let status = format!("sys/devices/{GPU}/power/runtime_status");
    file(&home.path("machine"), &status, "suspended\n");
    let sample = sample(&home, &machine);
    assert_eq!(domains(&sample), [("package-0", "hwmon")]);
    assert!(sample["host"]["missing"].is_null(), "{sample:#}");
}

#[test]
fn doctor_names_each_channel_and_its_fate() {
    let home = Home::new();
    let machine = server(&home);
    file(
        &home.path("machine"),
        "proc/self/status",
        "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nCapEff:\t0\nCapBnd:\t0\n",
    );
    let module = [("power1_average", "300000000"), ("power1_oem_info", "Module Power Socket 0")];
    Node { device: "ACPI000D:01", number: 2, driver: "power_meter", files: &module }
        .write(&home.path("machine"));
    for (name, text) in [("type", "Battery"), ("status", "Discharging"), ("power_now", "-9870000")]
    {
        file(&home.path("machine"), &format!("sys/class/power_supply/BAT0/{name}"), text);
    }
    let done = home.does(&["doctor", "--json", "--host-root", &machine]);
    assert_eq!(done.code(), 0, "{}", done.text());
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report["source"], "hwmon");
    let checks = report["checks"].as_array().unwrap();
    let check = |name| {
        let check = checks.iter().find(|check| check["name"] == name).unwrap();
        assert_eq!(check["status"], "ok");
        check["detail"].as_str().unwrap()
    };
    assert_eq!(
        check("platform"),
        "BAT0: the machine draws 9.9 W from it; power_meter ACPI000D:01/power1; never summed with what it holds"
    );
    assert_eq!(
        check("hwmon"),
        "power_meter ACPI000D:00/power1, Grace Power Socket 0: counted as package-0; \
         power_meter ACPI000D:01/power1, Module Power Socket 0: not counted: overlaps_package; \
         amdgpu 0000:03:00.0/power1, PPT: counted as gpu-0000:03:00.0"
    );
}
