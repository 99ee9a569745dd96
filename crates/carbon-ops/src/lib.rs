//! What software emits, and the proof of it: the engine behind the command `carbon-ops`.

#![expect(missing_docs, reason = "the names of many fields say all")]

pub use carbon_ops_estimate as estimate;
pub use carbon_ops_grid as grid;
pub use carbon_ops_ledger as ledger;
pub use carbon_ops_meter as meter;
pub use carbon_ops_proof as proof;
pub use carbon_ops_record as record;
pub use carbon_ops_units as units;
pub use error::{Error, Other};

pub mod bytes;
pub mod cgroup;
pub mod compose;
pub mod env;
mod error;
pub mod gpus;
mod head;
pub mod host;
pub mod keys;
pub mod measure;
pub mod pack;
pub mod price;
pub mod prove;
pub mod recompute;
pub mod records;
pub mod row;
pub mod settings;
pub mod site;
pub mod sources;
mod spawn_in_cgroup;
pub mod store;
pub mod supervise;
pub mod text;
pub mod unsafe_calls;
pub mod verify;
pub mod watch;
pub mod witnessed;
pub mod witnesses;
