//! What an agent knows, for those who collect metrics: as text, over HTTP, in a file, and sent to a collector.
//!
//! Out of scope: where the numbers come from ([`carbon_ops::agent`]).

pub mod dashboards;
mod otlp;
mod prometheus;
mod push;
mod server;
mod textfile;

pub use otlp::request;
pub use prometheus::{About, text};
pub use push::{Collector, Push};
pub use server::{Metrics, serve};
pub use textfile::replace;
