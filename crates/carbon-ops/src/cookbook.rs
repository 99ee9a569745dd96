//! A recipe for each task; every one runs as it stands, on any Linux machine.
//!
//! * [Measure work of this process](#measure-work-of-this-process)
//! * [Measure a command](#measure-a-command)
//! * [Measure what runs already](#measure-what-runs-already)
//! * [Know what each request uses](#know-what-each-request-uses)
//! * [Watch samples](#watch-samples)
//! * [Know what the machine uses at rest](#know-what-the-machine-uses-at-rest)
//! * [Price the energy of a time and place](#price-the-energy-of-a-time-and-place)
//! * [Make a record of what was measured](#make-a-record-of-what-was-measured)
//! * [Append it to a ledger](#append-it-to-a-ledger)
//! * [Verify a ledger](#verify-a-ledger)
//! * [Do as the command does](#do-as-the-command-does)
//!
//! # Measure work of this process
//!
//! Counted are all its threads, and children that it waits for meanwhile. What the work gives back comes back
//! whether it could be measured or not.
//!
//! ```
//! use carbon_ops::EnergyLogger;
//!
//! let logger = EnergyLogger::default();
//! let (longest, measured) = logger.measure("longest", || "to be or not".split(' ').max());
//! let measured = measured?;
//! println!("{} of {} µJ", measured.workload().as_microjoules(), measured.host().as_microjoules());
//!
//! // Where a closure does not fit:
//! let block = logger.start("the rest")?;
//! let measured = block.finish()?;
//! # assert!(longest.is_some() && measured.workload() <= measured.host());
//! # Ok::<(), carbon_ops::Error>(())
//! ```
//!
//! # Measure a command
//!
//! ```
//! use std::process::Command;
//! use carbon_ops::EnergyLogger;
//!
//! let logger = EnergyLogger::default();
//! let (status, measured) = logger.run(Command::new("sh").args(["-c", "exit 3"]))?;
//! assert_eq!(status.code(), Some(3));
//! println!("{:?} of a processor", measured.cpu_time());
//!
//! let missing = logger.run(&mut Command::new("/no/such/program"));
//! assert!(missing.unwrap_err().is_not_started());
//! # Ok::<(), carbon_ops::Error>(())
//! ```
//!
//! # Measure what runs already
//!
//! A process with its descendants by [`What::Pid`](crate::What::Pid), a cgroup by
//! [`What::Cgroup`](crate::What::Cgroup), a service by [`What::Unit`](crate::What::Unit); for a time, or
//! until it ends.
//!
//! ```
//! use std::time::Duration;
//! use carbon_ops::{EnergyLogger, What};
//!
//! let pid = i32::try_from(std::process::id())?;
//! let sample = EnergyLogger::default().observe(What::Pid(pid), Duration::from_millis(20))?;
//! for row in &sample.rows {
//!     println!("{}: {} of {} µJ", row.name, row.energy_uj, sample.host.energy_uj);
//! }
//! # assert_eq!(sample.rows.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Know what each request uses
//!
//! One measurement over all of them, shared by the CPU time of the threads that answered.
//!
//! ```
//! use carbon_ops::{EnergyLogger, thread_cpu_time};
//!
//! let block = EnergyLogger::default().start("service")?;
//! let began = thread_cpu_time();
//! let answer = (1..=1_000u64).sum::<u64>();
//! let of_request = thread_cpu_time().saturating_sub(began);
//! let measured = block.finish()?;
//! assert!(measured.part(of_request) <= measured.workload());
//! # assert_eq!(answer, 500_500);
//! # Ok::<(), carbon_ops::Error>(())
//! ```
//!
//! # Watch samples
//!
//! Each sample tells of the time since the one before; the first begins it.
//!
//! ```
//! use carbon_ops::EnergyLogger;
//!
//! let mut logger = EnergyLogger::default();
//! logger.log_metrics("start")?;
//! let metrics = logger.log_metrics("first step")?;
//! println!("{} W, {:?} MHz", metrics.sample.host.power_w, metrics.sample.cpu.frequency_mhz);
//!
//! let mut csv = Vec::new();
//! logger.export_csv(&mut csv)?;
//! assert_eq!(csv.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).count(), 3);
//! assert_eq!(logger.summary().map(|summary| summary.samples), Some(2));
//! # Ok::<(), carbon_ops::Error>(())
//! ```
//!
//! # Know what the machine uses at rest
//!
//! By its counters alone; a machine without them says so.
//!
//! ```
//! use std::time::Duration;
//! use carbon_ops::{Clocks, EnergyLogger, HostRoot, LoggerSettings};
//!
//! # let folder = tempfile::tempdir()?;
//! # let host = HostRoot::at(folder.path());
//! # let here = LoggerSettings::of_host(host);
//! # /*
//! let here = LoggerSettings::default();
//! # */
//! let logger = EnergyLogger::new(here.clone());
//! match logger.calibrate_idle(Duration::from_secs(60), &Clocks) {
//!     Ok(idle) => {
//!         println!("{} ± {} W", idle.mean.as_watts(), idle.spread.as_watts());
//!         let logger = EnergyLogger::new(LoggerSettings { idle: Some(idle.mean), ..here });
//!     }
//!     Err(error) if error.is_no_counters() => println!("{error}"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Price the energy of a time and place
//!
//! ```
//! use carbon_ops::{CarbonEstimator, Energy, EstimatorSettings};
//!
//! let estimator = CarbonEstimator::new(EstimatorSettings {
//!     place: Some("eu-west-1".into()),
//!     pue: Some("1.15 ± 0.05".into()),
//!     ..EstimatorSettings::default()
//! })?;
//! let energy: Energy = "1.2 kWh ± 2%".parse()?;
//! let [from, to] = ["2026-03-01T09:00Z", "2026-03-01T10:00Z"].map(|time| time.parse().unwrap());
//! let record = estimator.estimate_over_span(energy, from, to, None)?;
//! let carbon = record.carbon().expect("it emits something");
//! println!("{:?} to {:?}, by {}", carbon.low(), carbon.high(), record.source);
//!
//! // Another place for one span; and a name that nobody knows.
//! assert!(estimator.estimate_over_span(energy, from, to, Some("FR")).is_ok());
//! let unknown = estimator.estimate_over_span(energy, from, to, Some("Atlantis"));
//! assert!(unknown.unwrap_err().is_unknown_place());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Make a record of what was measured
//!
//! ```
//! use std::collections::BTreeMap;
//! use carbon_ops::{CarbonEstimator, EnergyLogger, EstimatorSettings, Quality};
//!
//! let (_, measured) = EnergyLogger::default().measure("nothing", || ());
//! let estimator = CarbonEstimator::new(EstimatorSettings {
//!     labels: BTreeMap::from([("team".into(), "search".into())]),
//!     ..EstimatorSettings::default()
//! })?;
//! let record = estimator.estimate_measured(&measured?)?;
//! assert_eq!(record.labels["team"], "search");
//! // No place was given, so that the world stands in.
//! assert_eq!((record.region.as_str(), record.quality_flag), ("world", Quality::Fallback));
//! record.check()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Append it to a ledger
//!
//! ```
//! use carbon_ops::{CarbonEstimator, EnergyLogger, Ledger};
//!
//! # let home = tempfile::tempdir()?;
//! # let home = home.path();
//! let ledger = Ledger::open_or_make(home.join("ledger"), home.join("key.pem"))?;
//! let (_, measured) = EnergyLogger::default().measure("nothing", || ());
//! let entry = ledger.append(&CarbonEstimator::at("DE")?.estimate_measured(&measured?)?)?;
//! // The ledger's own first line has the number 0.
//! assert_eq!(entry.seq, 1);
//!
//! // To be kept elsewhere: it shows later whether lines were cut off.
//! let checkpoint = ledger.checkpoint()?;
//! assert_eq!(checkpoint.checkpoint.size, 2);
//!
//! // Elsewhere there is none, and none is made.
//! let error = Ledger::open(home.join("elsewhere"), home.join("key.pem")).unwrap_err();
//! assert!(error.is_no_ledger());
//! # Ok::<(), carbon_ops::Error>(())
//! ```
//!
//! # Verify a ledger
//!
//! The key comes from somewhere else than the ledger. Whatever is wrong is told in the report of the verdict.
//!
//! ```
//! use carbon_ops::{Answer, Ledger, Trust, verify_ledger};
//!
//! # let home = tempfile::tempdir()?;
//! # let home = home.path();
//! let ledger = Ledger::open_or_make(home.join("ledger"), home.join("key.pem"))?;
//! let trust = Trust::from_iter([ledger.public_key()]);
//! assert_eq!(verify_ledger(home.join("ledger"), &trust)?.answer(), Answer::Valid);
//!
//! let nobody = verify_ledger(home.join("ledger"), &Trust::new())?;
//! assert_eq!(nobody.answer(), Answer::Untrusted);
//! # Ok::<(), carbon_ops::Error>(())
//! ```
//!
//! # Do as the command does
//!
//! Settings from variables, file and defaults, as [`Settings::resolve`](crate::Settings::resolve) finds them;
//! the ledger is the user's own.
//!
//! ```no_run
//! use carbon_ops::settings::Overrides;
//! use carbon_ops::{CarbonEstimator, EnergyLogger, Env, Ledger, LoggerSettings, Settings};
//!
//! let env = Env::real();
//! let settings = Settings::resolve(&env, None, &Overrides::default())?;
//! let ledger = Ledger::of(&settings, &env)?;
//! let (_, measured) = EnergyLogger::new(LoggerSettings::of(&settings)).measure("work", || ());
//! ledger.append(&CarbonEstimator::of(settings)?.estimate_measured(&measured?)?)?;
//! # Ok::<(), carbon_ops::Error>(())
//! ```
