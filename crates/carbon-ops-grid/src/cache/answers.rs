//! Answers as they came, by their SHA-256: what a record's slots can be derived from again.
//!
//! `answers/AB/ABCD….gz` holds the bytes, gzip; `answers/AB/ABCD….json` what was asked, when, and under
//! which licence the answer may be used. Tokens are in neither: they travel in headers, and logins are
//! not kept.
//!
//! Out of scope: a limit, which is the folder's (`disk`).

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::disk::write_atomically;
use crate::fetch::{ANSWER_BYTES_MAX, Answer, Archive, Request};
use crate::provider::{Error, FileProblem};
use crate::{electricity_maps, gb, reread};
use carbon_ops_estimate::intensity::{AnySeries, Digest, Interval, Meta};

/// Where answers are kept.
#[derive(Debug, Clone)]
pub struct Answers {
    folder: PathBuf,
}

/// What is known of a kept answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Who gave it.
    pub provider: String,
    /// Path and parameters of the request.
    pub request: String,
    /// When it was complete.
    pub fetched_at: Timestamp,
    /// Under which terms it may be passed on, and who must be named.
    pub terms: String,
}

impl Answers {
    /// In `folder`, which is made when there is something to keep.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn path(&self, digest: Digest, ending: &str) -> PathBuf {
        let name = digest.to_string();
        self.folder.join(name.split_at(2).0).join(format!("{name}.{ending}"))
    }

    /// An answer that is still what its digest says.
    ///
    /// # Errors
    /// When it was not kept, or is not that any more.
    pub fn read(&self, digest: Digest) -> Result<(Answer, Kept), Error> {
        let path = self.path(digest, "gz");
        // Asking again gives other bytes: no way back to those that a record names.
        let failed = |path: &Path, what: String| Error::File {
            path: path.display().to_string(),
            what,
            why: FileProblem::NotKept,
        };
        let unread = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => "not kept: it came to another machine, or was removed \
                                             when the cache was full, the oldest first"
                .to_owned(),
            _ => error.to_string(),
        };
        let packed = fs::read(&path).map_err(|error| failed(&path, unread(error)))?;
        let mut body = Vec::new();
        let mut unpacked = GzDecoder::new(packed.as_slice()).take(ANSWER_BYTES_MAX + 1);
        unpacked.read_to_end(&mut body).map_err(|error| failed(&path, error.to_string()))?;
        if Digest(Sha256::digest(&body).into()) != digest {
            return Err(failed(&path, "not the bytes that its name says".to_owned()));
        }
        let path = self.path(digest, "json");
        let kept = fs::read(&path).map_err(|error| failed(&path, unread(error)))?;
        let kept: Kept =
            serde_json::from_slice(&kept).map_err(|error| failed(&path, error.to_string()))?;
        Ok((Answer { body, digest, fetched_at: kept.fetched_at }, kept))
    }

    /// The slots of `interval` that a kept answer gives, for what `meta` says was asked: the same, bit for
    /// bit, as on the day that it was fetched.
    ///
    /// # Errors
    /// When the answer was not kept, or is not an answer to that.
    pub fn rederive(&self, meta: &Meta, interval: Interval) -> Result<AnySeries, Error> {
        let unkept = |what: &str| Error::File {
            path: self.folder.display().to_string(),
            what: what.to_owned(),
            why: FileProblem::Values,
        };
        let digest = meta.raw_digest.ok_or_else(|| unkept("a slot that names no answer"))?;
        let (mut answer, kept) = self.read(digest)?;
        // The same bytes may have come more than once; the slot knows when its own came.
        answer.fetched_at = meta.fetched_at.unwrap_or(answer.fetched_at);
        let (zone, signal) = (meta.zone_requested.as_str(), meta.signal);
        let other = &kept.provider;
        reread(other, &answer, &kept.request, zone, interval, signal).unwrap_or_else(|| {
            Err(unkept(&format!("an answer of {other:?}, which cannot be read again")))
        })
    }
}

impl Archive for Answers {
    fn keep(&self, provider: &'static str, request: &Request, answer: &Answer) {
        let path = self.path(answer.digest, "gz");
        if path.exists() {
            return;
        }
        let terms = match provider {
            gb::ID => "CC-BY-4.0; NESO Carbon Intensity API",
            electricity_maps::ID => "terms of Electricity Maps; not to be passed on without leave",
            _ => "terms of the provider; not to be passed on without leave",
        };
        let kept = Kept {
            provider: provider.to_owned(),
            request: request.path_and_query(),
            fetched_at: answer.fetched_at,
            terms: terms.to_owned(),
        };
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        let packed = packer.write_all(&answer.body).and_then(|()| packer.finish());
        // A disk that is full costs the derivation of this answer, not the measurement.
        if let (Ok(packed), Ok(kept)) = (packed, serde_json::to_vec(&kept)) {
            let _ = write_atomically(&self.path(answer.digest, "json"), &kept)
                .and_then(|()| write_atomically(&path, &packed));
        }
    }
}
