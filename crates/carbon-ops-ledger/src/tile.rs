//! The tiles and lines of a ledger's directory, for proofs and packs.
//!
//! Out of scope: what a tile is, which is `carbon_ops_proof::tile`, and writing tiles
//! (`storage.rs`).

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use carbon_ops_proof::merkle::{TreeHash, leaf_hash};
use carbon_ops_proof::pack::LineSource;
use carbon_ops_proof::read::last;
use carbon_ops_proof::seek::{lines_from, offset_of};

pub use carbon_ops_proof::tile::*;

use crate::files::RealFiles;
use crate::segment::LedgerReader;

/// A ledger directory, or a bare ledger file, as a source of tiles and lines.
#[derive(Debug)]
pub struct DirTiles {
    dir: Option<RealFiles>,
    ledger: LedgerReader,
}

impl DirTiles {
    /// The tiles in `dir`, if it is given, and the lines of the ledger `ledger`: see
    /// [`LedgerReader::open`].
    ///
    /// # Errors
    ///
    /// When the ledger cannot be opened.
    pub fn open(dir: Option<&Path>, ledger: &Path) -> io::Result<Self> {
        Ok(Self { dir: dir.map(RealFiles::new), ledger: LedgerReader::open(ledger)? })
    }

    /// How many complete lines there are, counted by the last one's own number where it tells it.
    ///
    /// # Errors
    ///
    /// When reading fails.
    pub fn size(&mut self) -> io::Result<u64> {
        let mut size = 0;
        for line in last(&mut self.ledger, 1)? {
            size = line.map_or_else(|_| 0, |(number, _)| number);
        }
        Ok(size)
    }
}

impl LineSource for DirTiles {
    fn lines(
        &mut self,
        seq: u64,
        each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let len = self.ledger.size();
        let mut read = |offset, len| self.ledger.read_at(offset, len);
        match offset_of(seq, len, &mut read)? {
            Some(offset) => lines_from(offset, len, &mut read, each),
            None => Ok(()),
        }
    }
}

impl TileSource for DirTiles {
    fn tile(&mut self, path: TilePath) -> io::Result<Option<Vec<u8>>> {
        let Some(dir) = &self.dir else { return Ok(None) };
        dir.read(&path.to_string(), 1 + usize::try_from(TILE_BYTES).unwrap_or(usize::MAX - 1))
    }

    fn leaves(&mut self, first: u64, count: u16) -> io::Result<Vec<TreeHash>> {
        let mut hashes = Vec::new();
        self.lines(first, &mut |line| {
            hashes.push(leaf_hash(line));
            if hashes.len() < usize::from(count) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        if hashes.len() == usize::from(count) {
            return Ok(hashes);
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the ledger has fewer lines"))
    }
}
