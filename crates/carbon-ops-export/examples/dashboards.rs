//! Compares the dashboard and the alerts in `packaging` with the table that they are of; with `--write`, writes them.
//!
//! Out of scope: what is in them.
#![expect(clippy::print_stderr, reason = "a tool for developers")]

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use carbon_ops_export::dashboards::{dashboard, rules};

fn main() -> ExitCode {
    let write = env::args().any(|word| word == "--write");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging");
    let files =
        [("grafana/carbon-ops.json", dashboard()), ("prometheus/carbon-ops.rules.yml", rules())];
    for (name, text) in files {
        let path = folder.join(name);
        let what = if write {
            fs::write(&path, text).map_err(|error| error.to_string())
        } else if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            Ok(())
        } else {
            Err("not as the table says; `cargo xtask dashboards` writes it".to_owned())
        };
        if let Err(why) = what {
            eprintln!("{}: {why}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
