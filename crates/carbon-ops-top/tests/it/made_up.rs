//! A machine with two sockets and a GPU, as samples.

use std::sync::Arc;
use std::time::Duration;

use carbon_ops::price::{Carbon, Price};
use carbon_ops::record::{AttributionMode, Decimal, Quality, Unit};
use carbon_ops::watch::{Cpu, Device, Domain, Gpu, Host, Memory, Residuals, Row, Sample};
use carbon_ops_top::glyphs::Glyphs;
use carbon_ops_top::model::{Model, Order};
use jiff::Timestamp;

const SECONDS: u64 = 2;

/// Name, PID, unit of systemd, CPU in percent, memory in MB, power in W, of which of the GPU.
type Of<'t> = (&'t str, i32, Option<&'t str>, u32, u64, u64, u64);

const ROWS: [Of<'static>; 9] = [
    ("python3", 4711, Some("training.service"), 391, 8_200, 291, 261),
    ("postgres", 811, Some("postgresql.service"), 62, 3_100, 9, 0),
    ("postgres", 812, Some("postgresql.service"), 31, 900, 5, 0),
    ("nginx", 640, Some("nginx.service"), 22, 120, 4, 0),
    ("Datenübertragung", 2203, None, 12, 80, 2, 0),
    ("数据库", 2204, None, 9, 64, 1, 0),
    ("sshd", 512, Some("ssh.service"), 2, 12, 0, 0),
    ("bash", 2101, None, 1, 6, 0, 0),
    ("systemd", 1, Some("init.scope"), 0, 14, 0, 0),
];

fn carbon(watts: u64) -> Carbon {
    let grams =
        f64::from(u32::try_from(watts).unwrap()) * 1.2 * 0.4 / 1000.0 / 3600.0 * 2.0 * 1000.0;
    Carbon { grams, ci_lower_g: 0.8 * grams, ci_upper_g: 1.25 * grams, ..Carbon::default() }
}

/// Two seconds; the higher the number, the more the host and each row use.
#[expect(clippy::too_many_lines, reason = "a machine, row by row")]
pub(crate) fn sample(number: u64) -> Sample {
    let uj = |watts: u64| watts * SECONDS * 1_000_000;
    let row = |&(name, pid, unit, cpu, memory, watts, gpu): &Of<'_>| Row {
        name: name.to_owned(),
        pid: Some(pid),
        cgroup: None,
        unit: unit.map(|unit| {
            let ids = [("unit".to_owned(), unit.to_owned())].into();
            Arc::new(Unit { kind: "systemd".to_owned(), ids })
        }),
        processes: 1,
        cpu_time_ns: Decimal(u64::from(cpu) * 20_000_000),
        cpu_percent: f64::from(cpu),
        memory_bytes: memory * 1_000_000,
        energy_uj: uj(watts),
        gpu_energy_uj: Some(uj(gpu)),
        power_w: f64::from(u32::try_from(watts + number).unwrap()),
        carbon: Some(carbon(watts)),
        allocation_ratio: 0.1,
    };
    let domain = |name: &str, source, watts| Domain {
        name: name.to_owned(),
        source,
        energy_uj: uj(watts),
        filled_uj: 0,
        total_uj: None,
        epoch: None,
    };
    let host = 358;
    Sample {
        schema_version: 2,
        kind: "monitor_sample",
        record_id: "00".repeat(16),
        start_ts: "2026-03-01T12:03:39.000000Z".to_owned(),
        timestamp: "2026-03-01T12:03:41.000000Z".to_owned(),
        elapsed_ns: Decimal(SECONDS * 1_000_000_000),
        attribution_mode: AttributionMode::CpuTime,
        idle_policy: "residual",
        quality: Quality::Measured,
        coverage_pct: 100.0,
        host_id: None,
        price: Some(Price {
            region: "DE".to_owned(),
            intensity_g_per_kwh: 400.0,
            pue_used: 1.2,
            source: "electricity_maps".to_owned(),
            quality: Quality::Estimated,
            scopes: Vec::new(),
            signal: "average".to_owned(),
            gases: None,
            coverage_pct: 100.0,
            confidence_level: 0.95,
        }),
        simulated: false,
        host: Host {
            energy_uj: uj(host),
            power_w: f64::from(u32::try_from(host + 3 * number).unwrap()),
            power_ci_lower_w: Some(339.0),
            power_ci_upper_w: Some(377.0),
            carbon: Some(carbon(host)),
            source: "sysfs",
            domains: vec![
                domain("package-0", "sysfs", 31),
                domain("package-1", "sysfs", 28),
                domain("dram-0", "sysfs", 5),
                domain("dram-1", "sysfs", 4),
                domain("gpu-0", "nvml", 290),
            ],
            missing: Vec::new(),
            reason: None,
            gpu_reason: None,
        },
        cpu: Cpu {
            busy_ns: Decimal(10_600_000_000),
            utilisation: 0.331,
            count: 16,
            frequency_mhz: Some(2600.0),
        },
        memory: Memory { used_bytes: None, available_bytes: None, total_bytes: None },
        gpu: Some(Gpu {
            energy_uj: uj(290),
            devices: vec![Device {
                name: "gpu-0".to_owned(),
                utilisation_percent: Some(97),
                memory_used_bytes: None,
                memory_total_bytes: None,
            }],
        }),
        rows: ROWS.iter().map(row).collect(),
        residuals: Residuals {
            idle_uj: uj(44),
            kernel_uj: uj(1),
            ended_uj: 0,
            others_uj: 0,
            unattributed_uj: 0,
            gpu_unattributed_uj: uj(1),
        },
        gaps: Vec::new(),
        notes: Vec::new(),
    }
}

/// What the grid does from noon on: it is best at 14 o'clock.
fn ahead() -> Vec<(Timestamp, f64)> {
    let noon: Timestamp = "2026-03-01T12:00Z".parse().unwrap();
    let values = [400.0, 330.0, 250.0, 280.0, 390.0, 460.0, 480.0, 470.0];
    let hour = |number: i64| noon.checked_add(jiff::SignedDuration::from_hours(number)).unwrap();
    (0..).map(hour).zip(values).collect()
}

/// A model that has seen some samples, each of less power than the one before.
pub(crate) fn model(glyphs: Glyphs, samples: u64) -> Model {
    let mut model = Model::new(glyphs, Duration::from_secs(2), Order::Power, false);
    for number in 0..samples {
        let left = samples - 1 - number;
        model.take(sample(left * left), ahead());
    }
    model
}
