//! Measuring: blocks of this process, and samples of the host.
//!
//! A block is measured by a thread of the process that began it, which a fork does not copy: a child that ends the block
//! of its parent is told so.
//!
//! Out of scope: commands (`carbon-ops run`).

use std::sync::Mutex;
use std::time::Duration;

use carbon_ops::env::Env;
use carbon_ops::settings::{Overrides, Settings};
use carbon_ops::{self as library, Clocks, EnergyLogger, HostRoot, LoggerSettings};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::errors::{CarbonOpsError, of_part, raised};

/// Measures energy.
#[pyclass(frozen, module = "carbon_ops._native")]
pub(crate) struct Logger {
    logger: Mutex<EnergyLogger>,
}

/// Work that is being measured.
#[pyclass(frozen, module = "carbon_ops._native")]
pub(crate) struct Block {
    block: Mutex<Option<library::Block>>,
    process: u32,
}

/// What a block of work used.
#[pyclass(frozen, module = "carbon_ops._native")]
pub(crate) struct Measured {
    pub(crate) measured: library::Measured,
}

/// Settings as the command resolves them, from environment and file.
pub(crate) fn settings(region: Option<String>) -> PyResult<(Env, Settings)> {
    let env = Env::real();
    let stated = Overrides { region, ..Overrides::default() };
    let settings = Settings::resolve(&env, None, &stated).map_err(raised)?;
    Ok((env, settings))
}

#[pymethods]
impl Logger {
    /// Of this machine, or of a folder that stands for `/sys/class/powercap`.
    #[new]
    #[pyo3(signature = (powercap_root = None))]
    fn new(powercap_root: Option<String>) -> PyResult<Self> {
        let (_, settings) = settings(None)?;
        let of = match powercap_root {
            None => LoggerSettings::of(&settings),
            Some(root) => LoggerSettings::of_host(HostRoot::real().with_powercap(&root)),
        };
        Ok(Self { logger: Mutex::new(EnergyLogger::new(of)) })
    }

    /// Begins to measure this process: its threads, and the children that it waits for.
    fn start(&self, py: Python<'_>, name: &str) -> PyResult<Block> {
        let block = py.detach(|| {
            let logger = self.logger.lock().map_err(|_| poisoned())?;
            logger.start(name).map_err(raised)
        })?;
        Ok(Block { block: Mutex::new(Some(block)), process: std::process::id() })
    }

    /// A sample of the host since the one before, as JSON.
    fn sample(&self, py: Python<'_>, operation: &str) -> PyResult<String> {
        py.detach(|| {
            let mut logger = self.logger.lock().map_err(|_| poisoned())?;
            let metrics = logger.log_metrics(operation).map_err(raised)?;
            serde_json::to_string(metrics).map_err(of_part)
        })
    }

    /// What the host uses at rest, in W, and how far the readings scatter.
    fn calibrate_idle(&self, py: Python<'_>, seconds: f64) -> PyResult<(f64, f64)> {
        let duration = Duration::try_from_secs_f64(seconds)
            .map_err(|_| PyValueError::new_err(format!("{seconds} is no duration in seconds")))?;
        py.detach(|| {
            let logger = self.logger.lock().map_err(|_| poisoned())?;
            let idle = logger.calibrate_idle(duration, &Clocks).map_err(raised)?;
            Ok((idle.mean.as_watts(), idle.spread.as_watts()))
        })
    }
}

#[pymethods]
impl Block {
    /// Ends the measurement.
    fn finish(&self, py: Python<'_>) -> PyResult<Measured> {
        if self.process != std::process::id() {
            return Err(CarbonOpsError::new_err(
                "this block was begun by another process, of which this one is a fork",
            ));
        }
        let block = self.block.lock().map_err(|_| poisoned())?.take();
        let block = block.ok_or_else(|| PyRuntimeError::new_err("this block has ended already"))?;
        let measured = py.detach(|| block.finish()).map_err(raised)?;
        Ok(Measured { measured })
    }
}

#[pymethods]
impl Measured {
    /// Energies of the window in µJ: of the whole host, of the work, of others, at rest.
    fn energies(&self) -> (u64, u64, u64, u64) {
        let energy = self.measured.measurement.energy;
        (energy.host_uj, energy.workload_uj, energy.others_uj, energy.idle_uj)
    }

    /// Length of the window, and CPU time of the work, in s.
    fn times(&self) -> (f64, f64) {
        (self.measured.elapsed().as_secs_f64(), self.measured.cpu_time().as_secs_f64())
    }

    /// The measurement as records have it, as JSON.
    fn json(&self) -> PyResult<String> {
        serde_json::to_string(&self.measured.measurement).map_err(of_part)
    }

    /// What stands behind it: `measured`, `estimated`, `fallback`.
    fn quality(&self) -> &'static str {
        self.measured.quality.as_str()
    }

    /// Start and end, in RFC 3339.
    fn span(&self) -> (String, String) {
        let span = &self.measured.span;
        (format!("{:.6}", span.start()), format!("{:.6}", span.end()))
    }
}

/// A panic while it was held, which is a defect.
pub(crate) fn poisoned() -> PyErr {
    PyRuntimeError::new_err("an earlier call has failed in the midst of its work")
}
