//! Compiles the simulated RAPL host and the fake of NVIDIA's library, once for all tests. Both are single
//! files without dependencies, which their other users compile in the same way.

use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let (rustc, target, out) = (variable("RUSTC"), variable("TARGET"), variable("OUT_DIR"));
    let simulator = ["--edition", "2021", "-O"];
    let library = ["--edition", "2021", "--crate-type", "cdylib", "-C", "panic=abort"];
    let testdata = Path::new("../../testdata");
    for (source, flags, name) in [
        ("sim/raplsim.rs", &simulator[..], "raplsim"),
        ("nvml/fake_nvml.rs", &library[..], "libfake_nvml.so"),
    ] {
        let source = testdata.join(source);
        println!("cargo::rerun-if-changed={}", source.display());
        let mut command = Command::new(&rustc);
        command.args(flags).args(["--target", &target, "-o"]).arg(Path::new(&out).join(name));
        match command.arg(&source).status() {
            Ok(status) if status.success() => {}
            other => {
                println!("cargo::error={} cannot be compiled: {other:?}", source.display());
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
