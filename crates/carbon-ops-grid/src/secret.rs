//! A secret: a token or a password that no output ever shows.
//!
//! Out of scope: wiping memory, and where secrets come from.

use std::fmt;

/// A text that is used and never shown: `Debug` and `Display` print dots, and it cannot be serialised.
///
/// ```
/// use carbon_ops_grid::Secret;
/// let token = Secret::new("abc123")?;
/// assert_eq!(format!("{token} {token:?}"), "•••• Secret(••••)");
/// # Ok::<(), carbon_ops_grid::UnusableSecret>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// A text that cannot be sent in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is empty or holds a line break or another control character")]
pub struct UnusableSecret;

impl Secret {
    /// Blanks around the text are cut off, as files and shells leave them.
    ///
    /// # Errors
    /// When nothing is left, or a control character is inside: such a text could end a header early.
    pub fn new(text: &str) -> Result<Self, UnusableSecret> {
        let text = text.trim();
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(UnusableSecret);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text itself, for the request that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("••••")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(••••)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_cannot_end_a_header() {
        assert_eq!(Secret::new("abc\r\nHost: evil"), Err(UnusableSecret));
        assert_eq!(Secret::new(" \n"), Err(UnusableSecret));
        assert_eq!(Secret::new("abc\n").unwrap().reveal(), "abc");
    }
}
