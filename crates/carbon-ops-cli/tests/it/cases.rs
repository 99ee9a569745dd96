//! Inputs of `testdata/cases`, each with what has to come of it; its README says how a case is written.
//!
//! Out of scope: what other tests of this crate hold by inputs of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use carbon_ops_testkit::host::{self, INTEL_RANGE_UJ, Zone};
use carbon_ops_testkit::http::{Reply, Request, Server};
use carbon_ops_testkit::skip;
use serde_json::{Value, json};

use crate::home::{Home, done};

/// All members that a case may have, so that a slip of the pen is no test that cannot fail.
const MEMBERS: [&str; 10] =
    ["name", "line", "code", "says", "silent", "values", "machine", "stat", "counters", "answers"];

#[test]
fn every_case_gives_what_stands_beside_it() {
    let cases = std::fs::read_to_string(folder().join("cases.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&cases).unwrap();
    let mounts = skip::namespaces();
    let mut complaints = Vec::new();
    for case in &cases {
        for member in case.as_object().unwrap().keys() {
            assert!(MEMBERS.contains(&member.as_str()), "{case}: {member}");
        }
        if mounts || case.get("machine").is_none() {
            complaints.extend(try_one(case).err());
        }
    }
    assert!(complaints.is_empty(), "{} failed\n\n{}", complaints.len(), complaints.join("\n\n"));
}

#[test]
fn every_input_is_tried() {
    let cases = std::fs::read_to_string(folder().join("cases.json")).unwrap();
    for of in ["machines", "files"] {
        for file in std::fs::read_dir(folder().join(of)).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            assert!(cases.contains(&name), "{name} is in no case");
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/cases")
}

fn strings<'c>(case: &'c Value, member: &str) -> impl Iterator<Item = &'c str> {
    case.get(member).and_then(Value::as_array).into_iter().flatten().map(|it| it.as_str().unwrap())
}

/// What is wrong with what came of a case.
fn try_one(case: &Value) -> Result<(), String> {
    let home = Home::new();
    for (zone, of) in case.get("counters").and_then(Value::as_object).into_iter().flatten() {
        let energy_uj = of[1].as_u64();
        let (name, range_uj) = (of[0].as_str().unwrap(), INTEL_RANGE_UJ);
        let zone = Zone {
            id: zone,
            name,
            energy_uj: energy_uj.unwrap_or(0),
            range_uj,
            limit_uw: of[2].as_u64().unwrap_or(65_000_000),
        };
        let made = zone.write(home.root());
        if energy_uj.is_none() {
            std::fs::remove_file(made.join("energy_uj")).unwrap();
        }
    }
    let answers = case.get("answers").cloned().unwrap_or(Value::Null);
    let server = Server::start(move |request| answer(&answers, request));
    home.configure(&format!(
        "[providers]\ngb_url = \"{0}\"\nelectricity_maps_url = \"{0}/v4\"\nwatttime_url = \"{0}\"\n",
        server.url("")
    ));
    let mut command = surroundings(&home, case);
    command
        .env("CASES", folder())
        .env("COUNTERS", host::class(home.root()))
        .env("STAT", home.path("stat"));
    if case.get("answers").is_some() {
        let names = ["ELECTRICITYMAPS_TOKEN", "WATTTIME_USERNAME", "WATTTIME_PASSWORD"];
        command.envs(names.map(|name| (name, "any")));
    }
    let done = done(&mut command);
    let said = format!("{}{}", done.text(), done.stderr);
    let wrong = |what: String| {
        let name = case["name"].as_str().unwrap();
        Err(format!("{name}: {what}\n  {}\n{said}", case["line"].as_str().unwrap()))
    };
    let code = case.get("code").map_or(0, |code| code.as_i64().unwrap());
    if i64::from(done.code()) != code {
        return wrong(format!("exit code {}, not {code}", done.code()));
    }
    if let Some(missing) = strings(case, "says").find(|says| !said.contains(says)) {
        return wrong(format!("does not say {missing:?}"));
    }
    if let Some(there) = strings(case, "silent").find(|silent| said.contains(silent)) {
        return wrong(format!("says {there:?}"));
    }
    let values = case.get("values").and_then(Value::as_object).into_iter().flatten();
    let file = std::fs::read(home.work("o.json")).unwrap_or_else(|_| done.stdout.clone());
    for (pointer, expected) in values {
        let json: Value = match serde_json::from_slice(&file) {
            Ok(json) => json,
            Err(error) => return wrong(format!("no JSON: {error}")),
        };
        let found = json.pointer(pointer).unwrap_or(&Value::Null);
        let range = expected.as_array().and_then(|ends| Some((ends.first()?, ends.get(1)?)));
        let holds = match range {
            Some((low, high)) => found.as_f64().is_some_and(|found| {
                (low.as_f64().unwrap()..=high.as_f64().unwrap()).contains(&found)
            }),
            None if expected.is_number() => found.as_f64() == expected.as_f64(),
            None => found == expected,
        };
        if !holds {
            let notes = json.get("notes").unwrap_or(&Value::Null);
            return wrong(format!("{pointer} is {found}, not {expected}; notes {notes}"));
        }
    }
    Ok(())
}

/// The line of a case, in the machine that it names.
fn surroundings(home: &Home, case: &Value) -> Command {
    let line = case["line"].as_str().unwrap();
    let Some(machine) = case.get("machine").and_then(Value::as_str) else {
        return home.bash(line);
    };
    let machines = folder().join("machines");
    let machine = machines.join(machine);
    if let Some(stat) = case.get("stat").and_then(Value::as_str) {
        std::fs::copy(machines.join(stat), home.path("stat")).unwrap();
    } else {
        let cpus = std::fs::read_to_string(&machine).unwrap().matches("processor").count();
        std::fs::write(home.path("stat"), resting(cpus)).unwrap();
    }
    let mounts = format!(
        "mount --bind {} /proc/cpuinfo\nmount --bind \"$STAT\" /proc/stat\n",
        machine.display()
    );
    let mut command = home.program("unshare");
    command.args(["-m", "--propagation", "private", "bash", "-c"]);
    command.arg(format!("{mounts}{line}"));
    command
}

/// `/proc/stat` of so many CPUs that do nothing.
fn resting(cpus: usize) -> String {
    let times = "1000 0 500 90000 10 0 20 0 0 0\n";
    let of = |n: usize| format!("cpu{n} {times}");
    format!("cpu  {times}{}btime 1700000000\n", (0..cpus).map(of).collect::<String>())
}

/// What a provider answers in a case.
fn answer(answers: &Value, request: &Request) -> Reply {
    if request.line.contains("/login") {
        return Reply::ok(&json!({ "token": "tok" }));
    }
    if let Some(status) = answers.get("status") {
        let headers = answers.get("headers").and_then(Value::as_str).unwrap_or_default();
        let body = match answers.get("body") {
            Some(Value::String(text)) => text.clone(),
            body => body.cloned().unwrap_or_default().to_string(),
        };
        let status = u16::try_from(status.as_u64().unwrap()).unwrap();
        return Reply { status, headers: headers.to_owned().leak(), body };
    }
    let mut body = usual(answers.get("of").and_then(Value::as_str).unwrap_or_default());
    let list =
        |change: &str| answers.get(change).and_then(Value::as_array).cloned().unwrap_or_default();
    for change in list("set") {
        *body.pointer_mut(change[0].as_str().unwrap()).unwrap() = change[1].clone();
    }
    for change in list("insert") {
        let rows = body.pointer_mut(change[0].as_str().unwrap()).unwrap().as_array_mut().unwrap();
        rows.insert(usize::try_from(change[1].as_u64().unwrap()).unwrap(), change[2].clone());
    }
    for change in list("remove") {
        let rows = body.pointer_mut(change[0].as_str().unwrap()).unwrap().as_array_mut().unwrap();
        rows.remove(usize::try_from(change[1].as_u64().unwrap()).unwrap());
    }
    Reply::ok(&body)
}

/// The whole of 1 March 2026, as each provider answers on a good day.
fn usual(provider: &str) -> Value {
    let at = |minutes: u32| {
        format!("2026-03-{:02}T{:02}:{:02}", 1 + minutes / 1440, minutes / 60 % 24, minutes % 60)
    };
    let half_hours = |first: u32, is_over: bool| -> Vec<Value> {
        let of = |n: u32| {
            let mut values = json!({ "forecast": first + n + 5, "index": "moderate" });
            if is_over {
                values["actual"] = json!(first + n);
            }
            json!({ "from": at(30 * n) + "Z", "to": at(30 * n + 30) + "Z", "intensity": values })
        };
        (0..48).map(of).collect()
    };
    match provider {
        "gb" => json!({ "data": half_hours(200, true) }),
        "gb_region" => json!({ "data": {
            "regionid": 16, "shortname": "Scotland", "data": half_hours(30, false)
        } }),
        "electricity_maps" => {
            let row = |hour: u32| {
                json!({ "zone": "DE", "carbonIntensity": 300 + hour, "datetime": at(60 * hour) + ":00.000Z",
                    "updatedAt": "2026-03-05T00:00:00.000Z", "emissionFactorType": "lifecycle", "isEstimated": false })
            };
            json!({ "zone": "DE", "data": (0..24).map(row).collect::<Vec<_>>() })
        }
        "watttime" => {
            let row = |n: u32| {
                json!({ "point_time": at(5 * n) + ":00+00:00", "value": 800 + n,
                    "last_updated": "2026-03-02T00:00:00+00:00", "imputed_data_used": false })
            };
            json!({ "data": (0..=288).map(row).collect::<Vec<_>>(), "meta": {
                "data_point_period_seconds": 300, "region": "CAISO_NORTH", "warnings": [],
                "signal_type": "co2_moer", "model": { "date": "2024-10-01" }, "units": "lbs_co2_per_mwh" } })
        }
        _ => Value::Null,
    }
}
