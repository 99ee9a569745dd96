//! A governor of a machine without RAPL, whose sockets and GPUs hardware monitoring shows.

use std::fs;

use carbon_ops_testkit::host::{Node, file};
use serde_json::Value;

use crate::governor::{Place, number};

const GPU: &str = "pci0000:00/0000:03:00.0";

#[test]
fn sockets_and_gpus_are_counted_and_sleep_is_no_fault() {
    let place = Place::new();
    let root = place.path("machine");
    fs::create_dir(&root).unwrap();
    let meter = [("power1_average", "150000000"), ("power1_oem_info", "Grace Power Socket 0")];
    let module = [("power1_average", "300000000"), ("power1_oem_info", "Module Power Socket 0")];
    let gpu = [("power1_average", "50000000")];
    for (device, number, driver, files) in [
        ("ACPI000D:00", 0, "power_meter", &meter[..]),
        ("ACPI000D:01", 1, "power_meter", &module),
        (GPU, 2, "amdgpu", &gpu),
    ] {
        Node { device, number, driver, files }.write(&root);
    }
    let none = place.path("none");
    fs::create_dir(&none).unwrap();
    let powercap = format!("--powercap-root={}", none.display());
    let hwmon = format!("--hwmon-root={}", root.join("sys/class/hwmon").display());
    let governor = place.start(&[&powercap, &hwmon, "--rapl-mode=sysfs", "--poll-interval=20ms"]);
    let (package, card) = ("package:ACPI000D:00/power1", "gpu:0000:03:00.0/power1");
    let total = |seen: &Value, key: &str| number(&seen["totals_uj"][key]);
    let grown = governor.until("energy", |seen| total(seen, package) > 0 && total(seen, card) > 0);
    assert_eq!(grown["simulated"], true);
    assert_eq!(grown["domains"].as_object().unwrap().len(), 2, "{grown:#}");
    for (key, name) in [(package, "package-0"), (card, "gpu-0000:03:00.0")] {
        let domain = &grown["domains"][key];
        assert_eq!((&domain["name"], &domain["source"]), (&name.into(), &"hwmon".into()));
        assert_eq!(domain["counted"], true);
    }

    file(&root, &format!("sys/devices/{GPU}/power/runtime_status"), "suspended\n");
    // Two samples later none is under way that was begun before.
    let seq = number(&governor.snapshot()["seq"]);
    let asleep = governor.until("sleep", |seen| number(&seen["seq"]) > seq + 1);
    let later = governor.until("time", |seen| number(&seen["seq"]) > seq + 60);
    assert_eq!(total(&later, card), total(&asleep, card));
    assert_eq!(
        (&later["domains"][card]["stale"], &later["domains"][card]["stuck"]),
        (&false.into(), &false.into())
    );
    file(&root, &format!("sys/devices/{GPU}/power/runtime_status"), "active\n");
    governor.until("waking", |seen| total(seen, card) > total(&asleep, card));
}

/// Sockets are RAPL's where it has them.
#[test]
fn a_socket_is_not_counted_twice() {
    let place = Place::new();
    let root = place.path("machine");
    fs::create_dir(&root).unwrap();
    let socket = [("energy1_input", "1000000"), ("energy1_label", "Esocket0")];
    Node { device: "platform/amd_energy.0", number: 0, driver: "amd_energy", files: &socket }
        .write(&root);
    for (path, text) in
        [("name", "package-0"), ("energy_uj", "61035"), ("max_energy_range_uj", "262143328850")]
    {
        file(&root, &format!("sys/class/powercap/intel-rapl:0/{path}"), text);
    }
    let powercap = format!("--powercap-root={}", root.join("sys/class/powercap").display());
    let hwmon = format!("--hwmon-root={}", root.join("sys/class/hwmon").display());
    let governor = place.start(&[&powercap, &hwmon]);
    let topology = governor.topology();
    let counted: Vec<_> =
        topology["domains"].as_array().unwrap().iter().map(|it| &it["key"]).collect();
    assert_eq!(counted, ["package-0:intel-rapl:0"]);
    let left = &topology["not_counted"][0];
    assert_eq!(
        (&left["zone"], &left["reason"]),
        (&"amd_energy.0/energy1".into(), &"duplicate".into())
    );
}
