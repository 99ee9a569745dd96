//! What a witness needs of the place that keeps its state.
//!
//! Out of scope: the directory that is one (`dir.rs`).

use std::io;

use carbon_ops_proof::note::Note;

/// Where a witness keeps the last checkpoint of each log that it cosigned.
///
/// Only one witness may use a store at a time.
pub trait StateStore {
    /// The last checkpoint of the log; none when there never was one.
    ///
    /// # Errors
    ///
    /// When it cannot be read: never to be taken for "none".
    fn load(&mut self, origin: &str) -> io::Result<Option<Note>>;

    /// Replaces the last checkpoint. Durable when this returns, and whole or not at all if it fails.
    ///
    /// # Errors
    ///
    /// When it is not certain that it is durable.
    fn store(&mut self, origin: &str, checkpoint: &Note) -> io::Result<()>;

    /// Keeps a checkpoint that the log signed and that contradicts the stored one: proof that the log
    /// has two histories.
    ///
    /// # Errors
    ///
    /// When it could not be kept. The witness refuses the checkpoint all the same.
    fn keep_evidence(&mut self, origin: &str, forked: &Note) -> io::Result<()>;
}
