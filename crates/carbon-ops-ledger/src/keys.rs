//! Keys and lists of trusted keys in files.
//!
//! Out of scope: the keys themselves, which are `carbon_ops_proof::keys`, asking for passphrases,
//! and randomness: seeds are passed in.

mod encrypted;
mod file;
#[cfg(test)]
mod tests;
mod trust;

pub use carbon_ops_proof::keys::*;
pub use encrypted::Passphrase;
pub use file::{
    KeyOrigin, Protection, create_secret, create_secret_under, load_public, load_secret,
    load_secret_under, replace_secret,
};
pub use trust::{
    add_to_trust_file, load_trust, remove_from_trust_file, trust_from, trusted_in_file,
};
