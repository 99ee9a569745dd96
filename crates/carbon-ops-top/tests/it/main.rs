//! Frames of made-up samples, keys and the mouse, from outside.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in its helpers")]

mod frames;
mod made_up;
mod panics;
