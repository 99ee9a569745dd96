//! What a piece of work is called by others: the measurement that it is a part of.
//!
//! Out of scope: names that a person gives, which are labels.

use crate::env::Env;
use crate::fault::Fault;

/// The variable that names the record of the measurement around a process. `run` sets it for its command,
/// and reads it where it is itself a part of one.
pub const PARENT: &str = "CARBON_OPS_PARENT";

/// Digits of a record's identity.
const DIGITS: usize = 32;

/// The record of the measurement that this process is a part of.
///
/// # Errors
/// [`Fault::NoParent`] where the variable holds no identity of a record.
pub fn parent(env: &Env) -> Result<Option<String>, Fault> {
    let Some(id) = env.variable(PARENT).filter(|id| !id.is_empty()) else { return Ok(None) };
    let is_hex = id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if id.len() == DIGITS && is_hex {
        Ok(Some(id.to_owned()))
    } else {
        Err(Fault::NoParent(id.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_identity_of_a_record_is_a_parent() {
        let of = |id: &str| parent(&Env::fake(&[(PARENT, id)])).ok();
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(of(id), Some(Some(id.to_owned())));
        assert_eq!(of(""), Some(None));
        assert_eq!(parent(&Env::fake(&[])).unwrap(), None);
        for wrong in ["1", "0123456789ABCDEF0123456789ABCDEF", &format!("{id}0"), &"x".repeat(32)] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
