//! Paths, edges and proofs against the specification's examples and the plain tree.

use proptest::prelude::*;

use super::*;
use crate::merkle::{
    Frontier, consistency_proof, inclusion_proof, leaf_hash, root_at, verify_inclusion,
};

fn leaf(n: u64) -> TreeHash {
    leaf_hash(&n.to_be_bytes())
}

/// Tiles in memory, and leaves that are counted when they are asked for.
#[derive(Debug, Default)]
struct Memory {
    tiles: BTreeMap<TilePath, Vec<u8>>,
    size: u64,
    asked: usize,
}

impl TileSource for &mut Memory {
    fn tile(&mut self, path: TilePath) -> io::Result<Option<Vec<u8>>> {
        Ok(self.tiles.get(&path).cloned())
    }

    fn leaves(&mut self, first: u64, count: u16) -> io::Result<Vec<TreeHash>> {
        self.asked += usize::from(count);
        assert!(first + u64::from(count) <= self.size);
        Ok((first..first + u64::from(count)).map(leaf).collect())
    }
}

#[test]
fn paths_are_those_of_the_specification() {
    let text = |level, index, width| TilePath::new(level, index, width).unwrap().to_string();
    assert_eq!(text(0, 1_234_067, 256), "tile/0/x001/x234/067");
    assert_eq!(text(63, 0, 255), "tile/63/000.p/255");
    assert_eq!(text(1, 1000, 1), "tile/1/x001/000.p/1");
    for bad in [
        "tile/64/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/x001",
        "tile/0/001/002",
        "tile/0/+01",
        "tile/+0/001",
        "tile/0/001.p/01",
        "tile/0/001.p/",
        "tile/0/",
        "tile/0",
        "tile//001",
        "0/001",
        "",
        "tile/0/x001/x234/067/",
        "/tile/0/001",
        "tile/0/../001",
        "tile/entries/001",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/é01",
    ] {
        assert_eq!(bad.parse::<TilePath>(), Err(NotATilePath), "{bad}");
    }
    let last = "tile/0/x018/x446/x744/x073/x709/x551/615";
    assert_eq!(last.parse::<TilePath>().unwrap().index(), u64::MAX);
}

/// C2SP tlog-tiles v0.1.0, "Partial Tiles": the example of 70,000 leaves.
#[test]
fn tiles_are_those_of_the_specification() {
    let (mut edge, mut full) = (Edge::new(), Vec::new());
    let mut frontier = Frontier::new();
    for n in 0..70_000 {
        edge.push(leaf(n), &mut full);
        frontier.push(leaf(n));
        if n % 997 == 0 {
            assert_eq!(edge.root(), frontier.root(), "{n}");
        }
    }
    let count = |level| full.iter().filter(|tile| tile.path.level() == level).count();
    assert_eq!((count(0), count(1), count(2)), (273, 1, 0));
    let widths: Vec<_> = edge.partial().iter().map(|t| (t.path.level(), t.path.width())).collect();
    assert_eq!(widths, [(0, 112), (1, 17), (2, 1)]);
    let indexes: Vec<_> = edge.partial().iter().map(|tile| tile.path.index()).collect();
    assert_eq!(indexes, [273, 1, 0]);
    assert!(full.iter().all(|tile| tile.bytes.len() == 8192));
}

#[test]
fn an_edge_is_what_its_partial_tiles_say() {
    let (mut edge, mut full) = (Edge::new(), Vec::new());
    for n in 0..1025 {
        let tiles: BTreeMap<_, _> =
            edge.partial().into_iter().map(|tile| (tile.path, tile.bytes)).collect();
        let loaded = Edge::load(n, &mut |path| Ok(tiles.get(&path).cloned())).unwrap().unwrap();
        assert_eq!((loaded.root(), loaded.size()), (edge.root(), n));
        if let Some((path, bytes)) = tiles.iter().next() {
            let mut other = |asked| Ok(if asked == *path { None } else { Some(bytes.clone()) });
            assert_eq!(Edge::load(n, &mut other).unwrap(), None);
        }
        edge.push(leaf(n), &mut full);
    }
}

#[test]
fn proofs_from_tiles_need_no_lines_and_without_tiles_are_the_same() {
    let mut memory = Memory::default();
    let (mut edge, mut full) = (Edge::new(), Vec::new());
    let mut roots = vec![edge.root()];
    for n in 0..1500 {
        edge.push(leaf(n), &mut full);
        roots.push(edge.root());
    }
    memory.size = edge.size();
    let mut bare = Memory { size: edge.size(), ..Memory::default() };
    memory.tiles.extend(full.into_iter().chain(edge.partial()).map(|t| (t.path, t.bytes)));
    let mut asked = Vec::new();
    for size in [1, 255, 256, 257, 511, 512, 1024, 1279, 1280, 1499, 1500] {
        for index in [0, 1, 254, 255, 256, 300, 1023, 1024, 1498, 1499] {
            let path = inclusion_proof(index, size, &mut TileTree::new(&mut memory, size)).unwrap();
            let again = inclusion_proof(index, size, &mut TileTree::new(&mut bare, size)).unwrap();
            assert_eq!(path, again);
            let root = roots[usize::try_from(size).unwrap()];
            assert_eq!(root_at(size, &mut TileTree::new(&mut memory, size)).unwrap(), root);
            let Some(path) = path else { continue };
            verify_inclusion(leaf(index), index, size, root, &path).unwrap();
            let a = consistency_proof(index + 1, size, &mut TileTree::new(&mut memory, size));
            let b = consistency_proof(index + 1, size, &mut TileTree::new(&mut bare, size));
            assert_eq!(a.unwrap(), b.unwrap());
        }
        if std::mem::take(&mut memory.asked) > 0 {
            asked.push(size);
        }
    }
    // Only the size 1499 had no checkpoint of its own, and ends within an incomplete tile.
    assert_eq!(asked, [1499]);
    assert!(bare.asked > 0);
}

proptest! {
    #[test]
    fn a_path_is_read_as_it_was_written(level in 0_u8..64, index: u64, width in 1_u16..=256) {
        let path = TilePath::new(level, index, width).unwrap();
        prop_assert_eq!(path.to_string().parse::<TilePath>(), Ok(path));
    }

    #[test]
    fn only_one_spelling_of_a_path_is_read(text in "tile/[0-9]{1,2}/(x[0-9]{3}/){0,2}[0-9x]{2,4}(.p/[0-9]{1,3})?") {
        if let Ok(path) = text.parse::<TilePath>() {
            prop_assert_eq!(path.to_string(), text);
        }
    }
}
