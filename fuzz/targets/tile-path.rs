//! Paths of tiles: any text names one tile or none, and a tile has one path.
#![no_main]

use carbon_ops_ledger::tile::TilePath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(path) = text.parse::<TilePath>()
    {
        assert_eq!(path.to_string(), text);
        assert_eq!(TilePath::new(path.level(), path.index(), path.width()), Some(path));
    }
    let mut words = [0; 11];
    for (word, byte) in words.iter_mut().zip(bytes) {
        *word = *byte;
    }
    let [level, w0, w1, index @ ..] = words;
    if let Some(path) =
        TilePath::new(level, u64::from_be_bytes(index), u16::from_be_bytes([w0, w1]))
    {
        assert_eq!(path.to_string().parse(), Ok(path));
    }
});
