//! An audit pack of a ledger on disk.
//!
//! Out of scope: what a pack is, which is `carbon_ops_proof::pack`.

use std::io::Write;
use std::path::Path;

pub use carbon_ops_proof::pack::*;

use crate::tile::DirTiles;

/// Writes a pack of the ledger `ledger`, whose tiles are in `tiles`. Reads every line once, and holds
/// none of them.
///
/// # Errors
///
/// As [`write_pack_from`].
pub fn write_pack(
    tiles: Option<&Path>,
    ledger: &Path,
    contents: &Contents<'_>,
    to: &mut dyn Write,
) -> Result<Packed, PackError> {
    let mut lines = DirTiles::open(tiles, ledger)?;
    write_pack_from(&mut lines, DirTiles::open(tiles, ledger)?, contents, to)
}
