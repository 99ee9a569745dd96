//! A file in memory, as atomic words: the one place of this crate that needs unsafe code.
//!
//! Out of scope: what the words mean; see [`crate::page`].
#![expect(unsafe_code, reason = "a mapping is seen as atomic words; the proof stands below")]

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::atomic::AtomicU64;

use memmap2::{MmapOptions, MmapRaw};

/// Words of a mapped file, shared with other processes.
#[derive(Debug)]
pub(crate) struct Mapped {
    map: MmapRaw,
    words: usize,
}

impl Mapped {
    /// Maps the first `words` of the file for reading and writing.
    pub(crate) fn writable(file: &File, words: usize) -> io::Result<Self> {
        Ok(Self { map: MmapOptions::new().len(8 * words).map_raw(file)?, words })
    }

    /// Maps the first `words` of the file for reading; they must not be stored to.
    pub(crate) fn read_only(file: &File, words: usize) -> io::Result<Self> {
        Ok(Self { map: MmapOptions::new().len(8 * words).map_raw_read_only(file)?, words })
    }
}

impl Deref for Mapped {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        #[expect(clippy::cast_ptr_alignment, reason = "a mapping starts at a memory page")]
        let first = self.map.as_ptr().cast::<AtomicU64>();
        // SAFETY: the mapping is 8 · words bytes long, lives as long as `self`, and starts at a
        // memory page, so that it is aligned for u64. Every access on our side and in the other
        // processes goes through atomics of eight bytes, so that there is no data race; any bytes
        // are a valid u64. A read-only mapping is only loaded from: `PageReader` stores nothing, and
        // loads of eight bytes are plain loads on the targets that have 64-bit atomics. A file that
        // is shortened would raise SIGBUS, which is an end of the process and no undefined
        // behaviour; the pages are regular files of the governor alone.
        unsafe { std::slice::from_raw_parts(first, self.words) }
    }
}
