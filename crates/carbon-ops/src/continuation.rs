//! Beginning a ledger that continues another one, whose road has ended: its key is lost or stolen, its lines are
//! damaged, gone, or fewer than were signed for.
//!
//! Rules. The old ledger is closed and stays as it is, byte for byte; the first entry of the new one says what of
//! it is continued. Where the old one still verifies as a whole, sums take both. Where it does not, whatever
//! stands of it is carried over, and the new one is enough: each record that a key of the old ledger signed for
//! it, with its corrections applied. Records that wait beside the old ledger go to the new one either way.
//!
//! Nobody finds two ledgers or none in the place of one: the new one is made beside it and takes its name at the
//! end. A beginning that was interrupted goes on where it stopped.
//!
//! Out of scope: whether there is a way that needs no new ledger.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use carbon_ops_ledger::Error as LedgerError;
use carbon_ops_ledger::append::{GenesisOptions, while_held};
use carbon_ops_ledger::keys::{PublicKey, Trust};
use carbon_ops_ledger::storage::{
    BEFORE_FILE, CONTINUED_FILE, DirStorage, LEDGER_FILE, Storage as _,
};
use carbon_ops_proof::canonical::Object;
use carbon_ops_proof::entry::{
    Before, ContinuationReason, Continued, Control, Durability, Entry, LedgerId, Outcome,
};
use carbon_ops_proof::merkle::leaf_hash;
use carbon_ops_proof::superseded::{Amendments, Standing, Superseded};
use carbon_ops_proof::verify::{Anchor, Report, Status};

use crate::before::{measure, open_if_there, seen_from};
use crate::carry::{Carrier, Signed, each_line, payload_of};
use crate::fault::Fault;
use crate::keys::renew_if;
use crate::spool::{left_behind, payload};
use crate::store::{Keyring, PATIENCE, Store, arrive, named_after, next_to};
use crate::verify::{self, Question, anchors, file_of};

/// What the file says that closes a ledger.
const CLOSED: &str = "carbon-ops/continued/v1\n";

/// The ledger that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The one that it continues.
    pub old: &'a Path,
    /// Its folder; none for that of the old one, which gets another name.
    pub into: Option<&'a Path>,
    /// Why; none for what the old one shows.
    pub reason: Option<ContinuationReason>,
    /// The same, for people.
    pub note: Option<String>,
    /// How many lines of the old one are continued; none for all that are in order.
    pub size: Option<u64>,
    /// When an entry counts as acknowledged.
    pub durability: Durability,
}

/// A ledger that was begun.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Begun {
    /// What its first entry says of the old one.
    pub pin: Continued,
    /// Its folder.
    pub ledger: PathBuf,
    /// Where the old one is now.
    pub old: PathBuf,
    /// How many records were carried over.
    pub carried: u64,
    /// How many were not, since they are not in order or may be somebody else's.
    pub left: u64,
    /// Whether the new one alone is to be summed.
    pub complete: bool,
    /// The first key of the old one, where it is not trusted here: sums of it ask for that.
    pub unknown: Option<PublicKey>,
    /// The key that signs the new one.
    pub key: PublicKey,
    /// Lines for the user.
    pub notices: Vec<String>,
}

/// What is known of the old ledger.
struct Old {
    file: PathBuf,
    unknown: Option<PublicKey>,
    pin: Continued,
    signed: Signed,
    complete: bool,
}

/// Begins a ledger that continues another, and closes that.
///
/// # Errors
///
/// When the old ledger cannot be read, its first key is not trusted, or it has fewer lines in order than are
/// wanted; when there is a ledger in the folder already; and when something cannot be written, after which the
/// same call goes on.
pub fn begin(store: &Store, wanted: &Wanted<'_>, trust: &Trust) -> Result<Begun> {
    let folder = if wanted.old.ends_with(LEDGER_FILE) {
        wanted.old.parent().unwrap_or(Path::new("."))
    } else {
        wanted.old
    };
    let in_place = wanted.into.is_none_or(|into| is_same(into, folder));
    if in_place && arrive(folder) {
        return arrived(folder);
    }
    let mut disk = DirStorage::new(folder);
    let held = while_held(&mut disk, PATIENCE, |disk| {
        begin_held(store, wanted, trust, folder, Some(disk))
    });
    match held {
        // What cannot be locked there, nobody of ours writes to.
        Err(error) if !in_place && is_closed_to_us(&error) => {
            begin_held(store, wanted, trust, folder, None)
        }
        other => other,
    }
}

fn begin_held(
    store: &Store,
    wanted: &Wanted<'_>,
    trust: &Trust,
    folder: &Path,
    disk: Option<&mut DirStorage>,
) -> Result<Begun> {
    let old = examine(store, folder, wanted, trust)?;
    let in_place = wanted.into.is_none_or(|into| is_same(into, folder));
    let aside = named_after(folder, old.pin.ledger_id.get(..8).unwrap_or_default());
    let (made_in, old_at) = if in_place {
        if aside.exists() {
            return Err(Fault::InTheWay { path: aside }.into());
        }
        (next_to(folder), aside)
    } else {
        (wanted.into.unwrap_or(folder).to_owned(), folder.to_owned())
    };
    let mut notices = Vec::new();
    if let Some(disk) = disk {
        disk.replace_beside(CONTINUED_FILE, CLOSED.as_bytes()).map_err(|source| {
            LedgerError::Io { action: "close", path: old.file.clone(), source }
        })?;
    } else {
        notices.push(format!(
            "{} could not be closed: whoever can write there, still can",
            folder.display()
        ));
    }
    let new = store.clone().at(Some(&made_in));
    let keyring = make(&new, wanted.durability, &old)?;
    let key = keyring.key.public_key();
    tell_where(&new, &old_at, in_place)?;
    let (carried, left) = carry(&new, keyring, &old)?;
    if in_place {
        take_place(folder, &old_at)?;
    }
    let ledger = if in_place { folder.to_owned() } else { made_in };
    let Old { pin, complete, unknown, .. } = old;
    Ok(Begun { pin, ledger, old: old_at, carried, left, complete, unknown, key, notices })
}

/// A ledger that an interrupted call had made, and which has its place now.
fn arrived(folder: &Path) -> Result<Begun> {
    let pin = pinned_in(folder)?.context("it continues another ledger")?;
    let before =
        fs::read_to_string(folder.join(BEFORE_FILE)).context("it says where that one is")?;
    let old = seen_from(folder, Path::new(before.trim_end_matches('\n')));
    let (mut carried, mut key) = (0, None);
    each_line(&folder.join(LEDGER_FILE), &mut |line| {
        let entry = Entry::parse(&line.bytes)?;
        carried += u64::from(entry.control()?.is_none());
        key.get_or_insert(entry.signing_key());
        Ok(())
    })?;
    let key = key.context("it has a first entry")?;
    let complete = pin.reason == ContinuationReason::KeyCompromise || !is_whole(pin.verdict);
    let ledger = folder.to_owned();
    let (unknown, notices) = (None, Vec::new());
    Ok(Begun { pin, ledger, old, carried, left: 0, complete, unknown, key, notices })
}

/// Whether a ledger with this verdict can be summed.
fn is_whole(verdict: Status) -> bool {
    matches!(verdict, Status::Valid | Status::TornTail | Status::Untrusted)
}

/// Makes the new ledger, or finds the one that an interrupted call made.
fn make(new: &Store, durability: Durability, old: &Old) -> Result<Keyring> {
    if old.pin.reason == ContinuationReason::KeyCompromise {
        // What was in other hands begins nothing.
        renew_if(new, &|key| old.signed.is_by(key))?;
    }
    let (key, _) = new.key(true)?;
    let before = Some(Before::Continued(old.pin.clone()));
    match new.make(&key, &GenesisOptions { durability, before })? {
        Some(_) => {}
        None if pinned_in(&new.ledger)?.is_some_and(|pin| pin.differences(&old.pin).is_empty()) => {
        }
        None => return Err(LedgerError::LedgerExists { path: new.ledger.join(LEDGER_FILE) }.into()),
    }
    new.keyring_with(key)
}

/// What the first entry of a ledger says that it continues.
fn pinned_in(folder: &Path) -> Result<Option<Continued>> {
    let mut first = None;
    each_line(&folder.join(LEDGER_FILE), &mut |line| {
        if first.is_none() {
            first = Some(Entry::parse(&line.bytes).and_then(|entry| entry.control()));
        }
        Ok(())
    })?;
    match first {
        Some(Ok(Some(Control::Genesis(genesis)))) => Ok(genesis.continues.map(|pin| *pin)),
        _ => Ok(None),
    }
}

/// Writes down where the old ledger is, as seen from the new one.
fn tell_where(new: &Store, old: &Path, in_place: bool) -> Result<()> {
    let path = if in_place {
        Path::new("..").join(old.file_name().context("a ledger's folder has a name")?)
    } else {
        std::path::absolute(old)?
    };
    let text = format!("{}\n", path.display());
    let mut disk = DirStorage::new(&new.ledger);
    while_held(&mut disk, PATIENCE, |disk| {
        disk.replace_beside(BEFORE_FILE, text.as_bytes()).map_err(|source| LedgerError::Io {
            action: "write beside",
            path: new.ledger.join(BEFORE_FILE),
            source,
        })
    })?;
    Ok(())
}

/// Gives the old folder another name and the new one its place. Between the two there is none; whoever looks for
/// it then finishes this.
fn take_place(folder: &Path, aside: &Path) -> Result<()> {
    fs::rename(folder, aside)
        .with_context(|| format!("cannot rename {} to {}", folder.display(), aside.display()))?;
    if arrive(folder) || folder.exists() {
        return Ok(());
    }
    Err(anyhow!("cannot rename {} to {}", next_to(folder).display(), folder.display()))
}

/// Verifies the old ledger as far as it is there, and says what of it is continued.
fn examine(store: &Store, folder: &Path, wanted: &Wanted<'_>, trust: &Trust) -> Result<Old> {
    let file = file_of(folder);
    let (claims, _) = anchors(&file, None)?;
    let claims: Vec<_> = claims.iter().filter_map(Anchor::checkpoint).collect();
    let report = match open_if_there(&file)? {
        None if claims.is_empty() => return Err(Fault::NoLedger { path: folder.to_owned() }.into()),
        None => None,
        Some(_) => {
            let question = Question { trust: trust.clone(), ..Question::default() };
            Some(verify::verify(&file, &question)?.report)
        }
    };
    let verdict = report.as_ref().map_or(Status::Rewritten, |report| report.status);
    let sound = report.as_ref().map_or(0, sound_lines);
    let size = wanted.size.unwrap_or(sound);
    if size > sound {
        return Err(Fault::NotSoMany { path: folder.to_owned(), sound, asked: size }.into());
    }
    let named = report.as_ref().and_then(|report| LedgerId::from_hex(report.ledger_id.as_deref()?));
    let id = named.or_else(|| claims.first().map(|claim| claim.ledger_id));
    let id = id.ok_or_else(|| Fault::Nameless { path: folder.to_owned() })?;
    let keys = report.as_ref().map_or(&[][..], |report| &report.keys);
    let genesis = keys.iter().find(|key| key.genesis);
    let first = genesis.or(keys.first()).filter(|key| !key.trusted);
    let unknown = first.and_then(|key| PublicKey::from_hex(&key.public_key).ok());
    let own = store.public(&store.key).ok().map(PublicKey::to_hex);
    let may_write =
        keys.iter().any(|key| key.retired_seq.is_none() && own.as_deref() == Some(&key.public_key));
    let claimed = claims.iter().map(|claim| claim.size).max().filter(|signed| *signed > size);
    let whole = report.as_ref().is_some_and(|report| size == report.tree_size);
    let measured = measure(&file, Some(size))?;
    let pin = measured.pin(&Continued {
        ledger_id: id.to_string(),
        size,
        root: String::new(),
        head_hash: None,
        file_bytes: 0,
        file_sha256: String::new(),
        signed_size: claimed.filter(|_| !whole || verdict == Status::Rewritten),
        verdict,
        reason: wanted.reason.unwrap_or_else(|| shown(verdict, wanted.size.is_some(), may_write)),
        note: wanted.note.clone(),
    });
    let complete = !(whole && is_whole(verdict));
    if complete && unknown.is_some() {
        // What is carried over, this user vouches for.
        return Err(Fault::Untrusted { path: folder.to_owned() }.into());
    }
    // What somebody else may have written is not carried.
    let stolen = pin.reason == ContinuationReason::KeyCompromise;
    let signed = Signed::of(id, keys, if stolen { pin.size } else { u64::MAX });
    Ok(Old { file, unknown, pin, signed, complete })
}

/// How many lines there are before the first that is at fault or torn.
fn sound_lines(report: &Report) -> u64 {
    let faults = report.faults.iter().map(|fault| fault.line);
    let torn = report.torn_tail.iter().map(|torn| torn.line);
    let first = faults.chain(torn).min();
    first.map_or(report.tree_size, |line| (line - 1).min(report.tree_size))
}

/// Why a ledger is continued, by what it shows.
fn shown(verdict: Status, is_cut: bool, may_write: bool) -> ContinuationReason {
    match verdict {
        Status::Tampered => ContinuationReason::Damaged,
        Status::Rewritten => ContinuationReason::Restored,
        _ if is_cut => ContinuationReason::KeyCompromise,
        _ if may_write => ContinuationReason::Superseded,
        _ => ContinuationReason::KeyLost,
    }
}

/// What stands of the old ledger, where it is not enough by itself, and the records beside it, into the new one:
/// how many, and how many not.
fn carry(new: &Store, keyring: Keyring, old: &Old) -> Result<(u64, u64)> {
    let mut carrier = Carrier::new(new)?;
    if old.complete {
        let standing = standing(old)?;
        old.signed.each(&old.file, &mut |entry, line| {
            if entry.control()?.is_some() {
                return Ok(());
            }
            let seq = entry.seq();
            let named = standing.leaves.get(&seq).is_none_or(|leaf| *leaf == leaf_hash(line).0);
            match standing.superseded.standing(seq).filter(|_| named) {
                Some(Standing::Corrected(by)) => {
                    standing
                        .replacements
                        .get(&by)
                        .cloned()
                        .into_iter()
                        .for_each(|it| carrier.take(it));
                }
                Some(Standing::Retracted(_)) => {}
                _ if standing.superseded.suspect(seq, entry.signing_key()).is_some() => {
                    carrier.left += 1;
                }
                _ => carrier.take(payload_of(line)?),
            }
            Ok(())
        })?;
        // What stands instead of a line that is gone.
        for (seq, leaf) in &standing.leaves {
            if !standing.there.contains(leaf)
                && let Some(Standing::Corrected(by)) = standing.superseded.standing(*seq)
                && let Some(replacement) = standing.replacements.get(&by)
            {
                carrier.take(replacement.clone());
            }
        }
    }
    let waiting = left_behind(old.file.parent().unwrap_or(Path::new(".")));
    for (_, record) in &waiting {
        carrier.take(payload(record)?);
    }
    let (carried, left) = carrier.append(new, keyring)?;
    for (spooled, _) in waiting {
        // A record that stays is appended again, and counts once.
        let _ = spooled.discard();
    }
    Ok((carried, left))
}

/// What the corrections of a ledger come to.
struct Settled {
    superseded: Superseded,
    /// What stands instead, by the number of the correction.
    replacements: BTreeMap<u64, Object>,
    /// Which lines the corrections mean, by their numbers.
    leaves: BTreeMap<u64, [u8; 32]>,
    /// The lines that are there.
    there: HashSet<[u8; 32]>,
}

fn standing(old: &Old) -> Result<Settled> {
    let (mut amendments, mut replacements, mut leaves) =
        (Amendments::default(), BTreeMap::new(), BTreeMap::new());
    let mut there = HashSet::new();
    old.signed.each(&old.file, &mut |entry, line| {
        there.insert(leaf_hash(line).0);
        let Some(control) = entry.control()? else { return Ok(()) };
        if let Control::Correction(correction) = &control {
            leaves.insert(correction.corrects, correction.corrects_leaf);
            if let Outcome::Replaced(replacement) = &correction.outcome {
                replacements.insert(entry.seq(), replacement.clone());
            }
        }
        amendments.note(entry.seq(), control);
        Ok(())
    })?;
    Ok(Settled { superseded: amendments.settle(), replacements, leaves, there })
}

/// Whether two paths are one folder.
fn is_same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).ok();
    whole(one) == whole(other)
}

/// Whether an error says that a ledger cannot be locked or written to by us, at all.
fn is_closed_to_us(error: &anyhow::Error) -> bool {
    use ErrorKind::{NotADirectory, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    let kinds = [NotADirectory, PermissionDenied, ReadOnlyFilesystem, Unsupported];
    matches!(error.downcast_ref(), Some(LedgerError::Io { source, .. }) if kinds.contains(&source.kind()))
}
