//! The tree as files: C2SP tlog-tiles of height 8.
//!
//! A tile is 256 hashes of one level in a row, 8 levels apart, so that a proof needs one tile for
//! each 8 levels. Tiles are derived: whoever loses them makes them again from the lines, and a proof
//! made from wrong ones does not verify.
//!
//! Out of scope: entry bundles (the ledger's lines are the entries), files, and roots that somebody
//! signed (`checkpoint.rs`).

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::str::FromStr;

use crate::merkle::{Subtrees, TreeHash, empty_root, node_hash};

#[cfg(test)]
mod tests;

/// How many hashes a full tile has (C2SP tlog-tiles v0.1.0, "Merkle Tree").
const TILE_WIDTH: u16 = 256;
/// How many levels of the tree a tile spans.
const TILE_HEIGHT: u8 = 8;
/// The highest level that a path may name (C2SP tlog-tiles v0.1.0, "Merkle Tree").
const MAX_LEVEL: u8 = 63;
/// The size of a full tile.
pub const TILE_BYTES: u64 = 8192;

/// The name of a tile: `tile/<level>/<index>`, with `.p/<width>` behind it unless it is full.
///
/// ```
/// use carbon_ops_proof::tile::TilePath;
/// let path: TilePath = "tile/0/x001/x234/067.p/8".parse().unwrap();
/// assert_eq!((path.level(), path.index(), path.width()), (0, 1_234_067, 8));
/// assert!("tile/00/067".parse::<TilePath>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TilePath {
    level: u8,
    index: u64,
    width: u16,
}

/// A text that names no tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the path of a tile")]
pub struct NotATilePath;

impl TilePath {
    /// Names a tile of 1 to 256 hashes; none when there is no such tile.
    #[must_use]
    pub fn new(level: u8, index: u64, width: u16) -> Option<Self> {
        let exists = level <= MAX_LEVEL && (1..=TILE_WIDTH).contains(&width);
        exists.then_some(Self { level, index, width })
    }

    /// The level of tiles; level 0 holds the hashes of leaves.
    #[must_use]
    pub fn level(self) -> u8 {
        self.level
    }

    /// The tile's number within its level.
    #[must_use]
    pub fn index(self) -> u64 {
        self.index
    }

    /// How many hashes it holds, 1 to 256.
    #[must_use]
    pub fn width(self) -> u16 {
        self.width
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        while let Some(group) = groups.pop() {
            if groups.is_empty() {
                write!(f, "{group:03}")?;
            } else {
                write!(f, "x{group:03}/")?;
            }
        }
        if self.width < TILE_WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

impl FromStr for TilePath {
    type Err = NotATilePath;

    fn from_str(text: &str) -> Result<Self, NotATilePath> {
        let path = read_path(text).ok_or(NotATilePath)?;
        // One spelling per tile: no leading zeroes, no full width written out.
        if path.to_string() == text { Ok(path) } else { Err(NotATilePath) }
    }
}

fn read_path(text: &str) -> Option<TilePath> {
    let (level, rest) = text.strip_prefix("tile/")?.split_once('/')?;
    let (groups, width) = match rest.split_once(".p/") {
        Some((groups, width)) => (groups, width.parse().ok()?),
        None => (rest, TILE_WIDTH),
    };
    let mut index = 0_u64;
    for group in groups.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        let digits: u64 = digits.parse().ok().filter(|group| *group < 1000)?;
        index = index.checked_mul(1000)?.checked_add(digits)?;
    }
    TilePath::new(level.parse().ok()?, index, width)
}

/// A tile and its content.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tile {
    /// Its name.
    pub path: TilePath,
    /// Its hashes, one after the other.
    pub bytes: Vec<u8>,
}

fn tile(level: u8, index: u64, hashes: &[TreeHash]) -> Option<Tile> {
    let path = TilePath::new(level, index, u16::try_from(hashes.len()).ok()?)?;
    Some(Tile { path, bytes: hashes.iter().flat_map(|hash| hash.0).collect() })
}

/// The right edge of a growing tree: the incomplete tile of each level. At most 8 × 255 hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    levels: Vec<Vec<TreeHash>>,
}

impl Edge {
    /// The edge of the tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many leaves the tree has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; gives the tiles that it completes to `full`.
    pub fn push(&mut self, leaf: TreeHash, full: &mut Vec<Tile>) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0..=MAX_LEVEL / TILE_HEIGHT {
            if self.levels.len() == usize::from(level) {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(usize::from(level)) else { return };
            hashes.push(hash);
            if hashes.len() < usize::from(TILE_WIDTH) {
                return;
            }
            // The size is now a multiple of the tile's span, and the tile the last one before it.
            let index = (self.size >> (TILE_HEIGHT * level) >> TILE_HEIGHT) - 1;
            full.extend(tile(level, index, hashes));
            hash = perfect_root(hashes);
            hashes.clear();
        }
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> TreeHash {
        let mut root = None;
        for hashes in &self.levels {
            let mut rest = &hashes[..];
            while !rest.is_empty() {
                // The smallest subtrees are rightmost.
                let (left, peak) = rest.split_at(rest.len() - (1 << rest.len().trailing_zeros()));
                let peak = perfect_root(peak);
                root = Some(root.map_or(peak, |right| node_hash(peak, right)));
                rest = left;
            }
        }
        root.unwrap_or_else(empty_root)
    }

    /// The incomplete tiles of this size.
    #[must_use]
    pub fn partial(&self) -> Vec<Tile> {
        let tiles = (0_u8..).zip(&self.levels).filter_map(|(level, hashes)| {
            tile(level, self.size >> (TILE_HEIGHT * level) >> TILE_HEIGHT, hashes)
        });
        tiles.collect()
    }

    /// The edge of the tree of `size` leaves from its incomplete tiles; none when one is missing or
    /// has another length. Nothing is known of it until its root has been compared.
    ///
    /// # Errors
    ///
    /// When reading fails.
    pub fn load(
        size: u64,
        read: &mut dyn FnMut(TilePath) -> io::Result<Option<Vec<u8>>>,
    ) -> io::Result<Option<Self>> {
        let mut levels = Vec::new();
        for level in 0..=MAX_LEVEL / TILE_HEIGHT {
            let hashes = size >> (TILE_HEIGHT * level);
            if hashes == 0 {
                break;
            }
            let width = u16::try_from(hashes % u64::from(TILE_WIDTH)).unwrap_or_default();
            let Some(path) = TilePath::new(level, hashes / u64::from(TILE_WIDTH), width) else {
                levels.push(Vec::new());
                continue;
            };
            match read(path)?.and_then(|bytes| hashes_of(&bytes, width, width)) {
                Some(hashes) => levels.push(hashes),
                None => return Ok(None),
            }
        }
        Ok(Some(Self { size, levels }))
    }
}

/// The first `width` hashes of a tile that has `of` of them; none when it has not.
fn hashes_of(bytes: &[u8], of: u16, width: u16) -> Option<Vec<TreeHash>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    let fits = rest.is_empty() && hashes.len() == usize::from(of);
    fits.then(|| hashes.iter().take(usize::from(width)).copied().map(TreeHash).collect())
}

/// The root over a power of two of hashes.
fn perfect_root(hashes: &[TreeHash]) -> TreeHash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        let pairs = row.chunks(2).filter_map(|pair| pair.first().zip(pair.last()));
        row = pairs.map(|(left, right)| node_hash(*left, *right)).collect();
    }
    row.first().copied().unwrap_or_else(empty_root)
}

/// Where tiles come from, and leaves when there is no tile.
pub trait TileSource {
    /// A tile's bytes; none when it is not stored.
    ///
    /// # Errors
    ///
    /// When reading fails.
    fn tile(&mut self, path: TilePath) -> io::Result<Option<Vec<u8>>>;

    /// The hashes of `count` leaves from the one numbered `first`.
    ///
    /// # Errors
    ///
    /// When reading fails or there are fewer.
    fn leaves(&mut self, first: u64, count: u16) -> io::Result<Vec<TreeHash>>;
}

/// The tree of the first `size` lines, for proofs. Reads what a proof needs; what is not stored is
/// derived from the level below, in the end from the lines. Proofs that it leads to are only as true
/// as the tiles: compare their root with one that somebody signed.
#[derive(Debug)]
pub struct TileTree<S> {
    source: S,
    size: u64,
    read: BTreeMap<(u8, u64), Vec<TreeHash>>,
}

impl<S: TileSource> TileTree<S> {
    /// The tree of the first `size` leaves.
    pub fn new(source: S, size: u64) -> Self {
        Self { source, size, read: BTreeMap::new() }
    }

    fn hashes(&mut self, level: u8, index: u64) -> io::Result<Vec<TreeHash>> {
        let missing = || io::Error::new(io::ErrorKind::InvalidInput, "no such tile in this tree");
        let first = index.checked_mul(u64::from(TILE_WIDTH)).ok_or_else(missing)?;
        let there = (self.size >> (TILE_HEIGHT * level)).saturating_sub(first);
        let width = u16::try_from(there).unwrap_or(TILE_WIDTH).min(TILE_WIDTH);
        // A tile that was incomplete at this size may be complete by now, and only stored so.
        for of in [width, TILE_WIDTH] {
            let path = TilePath::new(level, index, of).ok_or_else(missing)?;
            if let Some(bytes) = self.source.tile(path)?
                && let Some(hashes) = hashes_of(&bytes, of, width)
            {
                return Ok(hashes);
            }
        }
        if level == 0 {
            return self.source.leaves(first, width);
        }
        let below = (first..first + u64::from(width)).map(|index| self.hashes(level - 1, index));
        below.map(|hashes| Ok(perfect_root(&hashes?))).collect()
    }
}

impl<S: TileSource> Subtrees for TileTree<S> {
    type Error = io::Error;

    fn subtree(&mut self, level: u8, index: u64) -> io::Result<TreeHash> {
        let (tile_level, rest) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
        let first = index << rest;
        let key = (tile_level, first / u64::from(TILE_WIDTH));
        if !self.read.contains_key(&key) {
            let hashes = self.hashes(key.0, key.1)?;
            self.read.insert(key, hashes);
        }
        let begin = usize::try_from(first % u64::from(TILE_WIDTH)).unwrap_or_default();
        let hashes = self.read.get(&key).and_then(|tile| tile.get(begin..begin + (1 << rest)));
        let outside = || io::Error::new(io::ErrorKind::UnexpectedEof, "the tree has fewer leaves");
        hashes.map(perfect_root).ok_or_else(outside)
    }
}
