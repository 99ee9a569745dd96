//! A ledger in the hands of somebody who may change its bytes.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in its helpers")]

mod kinds;
mod mutation;
mod strict;
mod support;
