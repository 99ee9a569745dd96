//! The client of the Python predecessor, as it was published, against this governor. It never once
//! got a snapshot from its own daemon.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::governor::Place;
use carbon_ops_testkit::simulator::{Simulator, USUAL};
use carbon_ops_testkit::skip::{can, skip};

/// Loads the client's module alone: the package imports only on Python 3.12 and with its
/// dependencies. Prints how many snapshots it got, and how many of them had the sum that we served
/// before or after.
const CLIENT: &str = r#"
import importlib.util, json, pathlib, socket, sys, types
root, path = pathlib.Path(sys.argv[1]), sys.argv[2]
for name in ("carbon_ops", "carbon_ops.governor"):
    module = types.ModuleType(name)
    module.__path__ = [str(root.joinpath(*name.split(".")))]
    sys.modules[name] = module
source = next(iter(root.glob("carbon_ops/governor/client.py")))
spec = importlib.util.spec_from_file_location("carbon_ops.governor.client", source)
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = module
spec.loader.exec_module(module)

def ours():
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(b"{}\n")
        return json.loads(s.makefile().readline())

client = module.GovernorClient(socket_path=path, timeout=5.0)
good, same, errors = 0, 0, []
for _ in range(500):
    before = ours()
    try:
        snapshot = client.snapshot()
    except Exception as error:
        errors.append(repr(error))
        continue
    good += 1
    total = snapshot.total_energy_uj
    low, high = (sum(s["counters_uj"].values()) for s in (before, ours()))
    same += low <= total <= high and isinstance(total, int)
print(json.dumps({"good": good, "same": same, "errors": sorted(set(errors))[:3]}))
"#;

/// The unpacked wheel; nothing, said aloud, where it cannot be had.
fn wheel() -> Option<&'static PathBuf> {
    static WHEEL: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let fetched = WHEEL.get_or_init(|| {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?.keep();
        let shown = folder.display();
        let fetch = format!(
            "cd '{shown}' && timeout 100 python3 -m pip download --quiet --no-deps --no-cache-dir \
             --disable-pip-version-check --only-binary :all: --python-version 3.12 \
             carbon-ops==0.1.1 && python3 -m zipfile -e carbon_ops-0.1.1*.whl ."
        );
        if can(&fetch) { Ok(folder) } else { Err("carbon-ops 0.1.1 cannot be fetched".into()) }
    });
    fetched.as_ref().map_err(|why| skip("pip", why)).ok()
}

#[test]
fn the_predecessors_own_client_gets_every_snapshot() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let Some(wheel) = wheel() else { return };
    let place = Place::new();
    let governor = place.start(&[&simulator.powercap()]);
    let mut python = Command::new("python3");
    python.args(["-c", CLIENT]).arg(wheel).arg(place.socket());
    let output = python.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let problem = String::from_utf8_lossy(&output.stderr);
    let told: serde_json::Value =
        serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("{said}{problem}"));
    assert_eq!((&told["good"], &told["same"]), (&500.into(), &500.into()), "{told} {problem}");
    drop(governor);
}
