//! What an agent knows, for those who collect metrics: as text, over HTTP, and in a file.
//!
//! Out of scope: where the numbers come from ([`carbon_ops::agent`]).

pub mod dashboards;
mod prometheus;
mod server;
mod textfile;

pub use prometheus::{About, text};
pub use server::{Metrics, serve};
pub use textfile::replace;
