//! The key of a pipeline, which another may follow while the pipeline lives.
//!
//! A ledger can retire a key at any time, by another process. Whoever appends one entry hears of it as
//! an error; a pipeline may live for months, so it asks its signer who comes after it. Which keys may
//! sign is still what the ledger says, in every turn.
//!
//! Out of scope: where the next key comes from.

use std::sync::{Arc, Mutex};

use carbon_ops_proof::keys::{PublicKey, Signer};

use super::intake::lock;

/// Whoever signs now.
pub(super) struct Succession {
    current: Mutex<Arc<dyn Signer>>,
}

impl std::fmt::Debug for Succession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Succession").field("key", &self.public_key()).finish_non_exhaustive()
    }
}

impl Succession {
    pub(super) fn new(first: Arc<dyn Signer>) -> Self {
        Self { current: Mutex::new(first) }
    }

    pub(super) fn current(&self) -> Arc<dyn Signer> {
        Arc::clone(&lock(&self.current))
    }

    /// Lets the next signer take over; false when there is none with another key. May take as long as
    /// that takes to appear, so not to be called under the ledger's lock.
    pub(super) fn succeed(&self) -> bool {
        let current = self.current();
        let next = current.successor().filter(|next| next.public_key() != current.public_key());
        let Some(next) = next else { return false };
        *lock(&self.current) = next;
        true
    }
}

impl Signer for Succession {
    fn public_key(&self) -> PublicKey {
        self.current().public_key()
    }

    fn sign(&self, message: &[u8]) -> carbon_ops_proof::Result<[u8; 64]> {
        self.current().sign(message)
    }

    fn signs_here(&self) -> bool {
        self.current().signs_here()
    }
}
