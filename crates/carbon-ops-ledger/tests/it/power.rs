//! Loss of power at every step: what a writer does is recorded on a simulated disk, every state that
//! the disk can then be in is made (all of them where they are few, else drawn at random from a fixed
//! seed), and each is opened, verified, recovered, appended to and signed again. With
//! `CARBON_OPS_LONG=1` that is done for 100,000 states, otherwise for a sample of each kind.
//!
//! What must hold for each: before the recovery it verifies, up to a torn end; after it, it is a
//! prefix of what was submitted with all that was acknowledged; what was cut off is kept; and no two
//! checkpoints that were ever signed contradict each other.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write as _};
use std::sync::{Arc, LazyLock, Mutex};

use carbon_ops_ledger::append::Ledger;
use carbon_ops_ledger::keys::{PublicKey, SecretKey, Signer, Trust};
use carbon_ops_ledger::storage::DirStorage;
use carbon_ops_proof::canonical::Object;
use carbon_ops_proof::checkpoint::{
    CHECKPOINT_FILE, CHECKPOINT_LOG, Checkpoint, SIGNER_STATE_FILE,
};
use carbon_ops_proof::entry::LedgerId;
use carbon_ops_proof::note::Note;
use carbon_ops_proof::verify::{Anchor, AnchorKind, Report, Settings, Status, verify_records};
use carbon_ops_testkit::skip::stride;
use sha2::{Digest, Sha256};

use crate::batches::{Script, UnderWay, play};
use crate::simulated::{Disk, Effect, Fault, Image, Lasting, SimulatedFiles};
use crate::support::{LATER, LEDGER_ID, NOW, key, lines, numbers, options, payload, trust};
use crate::tree::root_of_file;

/// The states that a whole run looks at, at the least.
const DISTINCT_IMAGES: usize = 100_000;
/// How much of that a run looks at unless it may take its time: one state in so many, of each kind.
const SAMPLED: usize = 16;

/// Made once: a hundred thousand sessions use them.
static KEY: LazyLock<SecretKey> = LazyLock::new(key);
static TRUST: LazyLock<Trust> = LazyLock::new(trust);

/// `SplitMix64` (Steele, Lea, Flood 2014): fixed, small, good enough to pick states.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }
}

/// What the world outside of the disk knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    /// Records 0 to this, exclusive, were handed over at some time.
    pub(crate) submitted: u32,
    /// Records 0 to this, exclusive, were acknowledged.
    pub(crate) acknowledged: u32,
    /// Every checkpoint that the key ever signed, published or not.
    pub(crate) signed: Vec<Checkpoint>,
}

/// A key that tells the world of each checkpoint that it signs.
#[derive(Clone)]
pub(crate) struct Notary {
    key: &'static SecretKey,
    world: Arc<Mutex<World>>,
}

impl Notary {
    pub(crate) fn world(&self) -> Arc<Mutex<World>> {
        Arc::clone(&self.world)
    }
}

impl Signer for Notary {
    fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    fn sign(&self, message: &[u8]) -> carbon_ops_proof::Result<[u8; 64]> {
        let checkpoint = str::from_utf8(message).ok().and_then(Checkpoint::parse);
        self.world.lock().unwrap().signed.extend(checkpoint);
        self.key.sign(message)
    }
}

/// A process that writes to a simulated disk, and the world that sees it.
pub(crate) struct Session {
    pub(crate) files: SimulatedFiles,
    pub(crate) notary: Notary,
    pub(crate) under_way: Arc<Mutex<UnderWay>>,
}

impl Session {
    pub(crate) fn on(files: SimulatedFiles, world: Arc<Mutex<World>>) -> Self {
        Self { files, notary: Notary { key: &KEY, world }, under_way: Arc::default() }
    }

    pub(crate) fn world(&self) -> World {
        self.notary.world.lock().unwrap().clone()
    }

    pub(crate) fn open(&self) -> carbon_ops_ledger::Result<Ledger<'_, DirStorage<SimulatedFiles>>> {
        let storage = DirStorage::over(self.files.clone());
        Ledger::open_for_append(storage, &self.notary, &TRUST, LATER, options())
    }

    pub(crate) fn create(
        &self,
    ) -> carbon_ops_ledger::Result<Ledger<'_, DirStorage<SimulatedFiles>>> {
        let storage = DirStorage::over(self.files.clone());
        Ledger::create(storage, &self.notary, LEDGER_ID, NOW, options())
    }

    /// Appends the record that follows those in the ledger, of about so many bytes.
    pub(crate) fn append<F: carbon_ops_ledger::files::Files>(
        &self,
        ledger: &mut Ledger<'_, DirStorage<F>>,
        n: u32,
        bytes: usize,
    ) -> carbon_ops_ledger::Result<()> {
        {
            let mut world = self.notary.world.lock().unwrap();
            world.submitted = world.submitted.max(n + 1);
        }
        ledger.append(padded(n, bytes), LATER)?;
        let mut world = self.notary.world.lock().unwrap();
        world.acknowledged = world.acknowledged.max(n + 1);
        Ok(())
    }

    /// How many records a reader finds now.
    pub(crate) fn found(&self) -> u32 {
        u32::try_from(numbers(&logical(&self.files.seen()).unwrap_or_default()).len()).unwrap()
    }
}

pub(crate) fn padded(n: u32, bytes: usize) -> Object {
    let mut payload = payload(n);
    payload.insert("pad", format!("{n:08}").repeat(bytes / 8));
    payload
}

fn file<'i>(image: &'i Image, name: &str) -> Option<&'i Vec<u8>> {
    image.get(name)?.as_ref()
}

/// The ledger of a directory by the format's words: the segments in order and the active file, which
/// counts as empty if it is the last segment once more.
pub(crate) fn logical(image: &Image) -> Option<Vec<u8>> {
    let names = image.range("seg/".to_owned().."seg0".to_owned());
    let sealed: Vec<_> = names.filter(|(name, _)| name.ends_with(".ndjson")).collect();
    let active = file(image, "ledger.ndjson");
    if active.is_none() && sealed.is_empty() {
        return None;
    }
    let mut bytes = Vec::new();
    for (_, content) in &sealed {
        bytes.extend(content.as_ref().unwrap());
    }
    let last = sealed.last().and_then(|(_, content)| content.as_ref());
    bytes.extend(active.filter(|active| Some(*active) != last).into_iter().flatten());
    Some(bytes)
}

/// How long the segments are together: where the active file begins.
fn sealed_len(image: &Image) -> u64 {
    let sealed = image.iter().filter(|(name, _)| name.starts_with("seg/"));
    sealed.flat_map(|(_, content)| content).map(|bytes| bytes.len() as u64).sum()
}

fn digest(image: &Image) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (name, content) in image {
        let content = content.as_deref();
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name);
        hash.update(content.map_or(u64::MAX, |bytes| bytes.len() as u64).to_be_bytes());
        hash.update(content.unwrap_or_default());
    }
    hash.finalize().into()
}

/// What stands beside the ledger and says something of it; and the root of lines that are known to
/// be good, which a verification then only compares.
fn anchors(image: &Image, good: &[u8]) -> (Vec<Anchor>, u64) {
    let beside =
        [(CHECKPOINT_FILE, AnchorKind::Checkpoint), (SIGNER_STATE_FILE, AnchorKind::SignerState)];
    let mut anchors: Vec<_> = beside
        .into_iter()
        .filter_map(|(name, kind)| {
            Some(Anchor { source: name.to_owned(), bytes: file(image, name)?.clone(), kind })
        })
        .collect();
    let size = lines(good).len() as u64;
    if size > 0 {
        let (ledger_id, root) = (LedgerId(LEDGER_ID), root_of_file(good, size));
        let bytes = Checkpoint { ledger_id, size, root }.to_string().into_bytes();
        anchors.push(Anchor { source: "good".to_owned(), bytes, kind: AnchorKind::SignerState });
    }
    (anchors, size)
}

fn verified(ledger: &[u8], image: &Image, good: &[u8]) -> Report {
    verified_with(ledger, sealed_len(image), anchors(image, good))
}

fn verified_with(ledger: &[u8], active: u64, (anchors, since): (Vec<Anchor>, u64)) -> Report {
    let settings = Settings { anchors: &anchors, since, active, ..Settings::new(&TRUST) };
    verify_records(ledger, &settings, &|_| Ok(()), &mut |_, ()| Ok(())).unwrap()
}

/// The whole lines that two ledgers begin with alike.
fn common<'l>(one: &'l [u8], other: &[u8]) -> &'l [u8] {
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    &one[..one[..same].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)]
}

/// Where an exploration begins: a disk, and what the world knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beginning {
    pub(crate) image: Image,
    pub(crate) world: World,
}

/// All states that were looked at, with what had to hold when they were.
#[derive(Default)]
pub(crate) struct Explorer {
    seen: HashMap<[u8; 32], (u32, usize)>,
    /// Of those, what the next writer meets: all but the bytes that are cut off.
    classes: HashSet<[u8; 32]>,
    /// Checkpoints whose signatures were verified already.
    notes: HashSet<Vec<u8>>,
}

/// Walks through all sequences of choices, or draws them.
struct Choices {
    /// The choices of this walk, each with the number of possibilities.
    path: Vec<(usize, usize)>,
    depth: usize,
}

impl Choices {
    fn choose(&mut self, possibilities: usize) -> usize {
        if self.depth == self.path.len() {
            self.path.push((0, possibilities));
        }
        self.depth += 1;
        self.path[self.depth - 1].0
    }

    /// Whether there is another walk.
    fn next(&mut self) -> bool {
        self.depth = 0;
        while let Some((choice, possibilities)) = self.path.pop() {
            if choice + 1 < possibilities {
                self.path.push((choice + 1, possibilities));
                return true;
            }
        }
        false
    }
}

/// All images of a crash now if there are at most `most`, else as many at random, and the two that are
/// as old and as new as can be.
pub(crate) fn images(disk: &Disk, most: usize, random: &mut Random) -> Vec<Image> {
    let mut images = Vec::new();
    let mut choices = Choices { path: Vec::new(), depth: 0 };
    loop {
        images.push(disk.after_crash(&mut |possibilities| choices.choose(possibilities)));
        if !choices.next() {
            return images;
        }
        if images.len() == most {
            break;
        }
    }
    images.clear();
    images.push(disk.after_crash(&mut |_| 0));
    images.push(disk.after_crash(&mut |possibilities| possibilities - 1));
    images.extend((2..most).map(|_| disk.after_crash(&mut |limit| random.below(limit))));
    images
}

impl Explorer {
    /// Runs a script, makes every crash of it, and checks each; the states that were new.
    fn explore(
        &mut self,
        from: &Beginning,
        most: usize,
        random: &mut Random,
        script: impl FnOnce(&Session),
    ) -> Vec<Beginning> {
        let world = Arc::new(Mutex::new(from.world.clone()));
        let moments: Arc<Mutex<Vec<(Disk, World)>>> = Arc::default();
        let under_way: Arc<Mutex<UnderWay>> = Arc::default();
        let watch = {
            let (world, moments, under_way) = (world.clone(), moments.clone(), under_way.clone());
            Arc::new(move |disk: &Disk| {
                under_way.lock().unwrap().hear(&world);
                moments.lock().unwrap().push((disk.clone(), world.lock().unwrap().clone()));
            })
        };
        let files = SimulatedFiles::watched(Disk::holding(&from.image), watch);
        let session = Session { under_way, ..Session::on(files, world) };
        script(&session);
        let end = (session.files.disk(), session.world());
        let good = good_lines(&end.0.seen());
        let moments = std::mem::take(&mut *moments.lock().unwrap());
        let mut reached = Vec::new();
        for (disk, world) in moments.into_iter().chain([end]) {
            for image in images(&disk, most, random) {
                if self.is_new(&image, &world) {
                    self.check(&image, &world, &good);
                    reached.push(Beginning { image, world: world.clone() });
                }
            }
        }
        reached
    }

    /// Whether this state was not looked at yet, or had to fulfil less when it was.
    pub(crate) fn is_new(&mut self, image: &Image, world: &World) -> bool {
        let now = (world.acknowledged, world.signed.len());
        match self.seen.insert(digest(image), now) {
            Some(before) => before.0 < now.0 || before.1 < now.1,
            None => true,
        }
    }

    /// What must hold of a disk after a crash. Lines that are byte for byte those of `good` were
    /// verified with it.
    pub(crate) fn check(&mut self, image: &Image, world: &World, good: &[u8]) {
        let context = || format!("{world:?}\n{:?}", image.keys().collect::<Vec<_>>());
        let session = Session::on(
            SimulatedFiles::on(Disk::holding(image)),
            Arc::new(Mutex::new(world.clone())),
        );
        let Some(before) = logical(image) else {
            assert_eq!((world.acknowledged, world.signed.len()), (0, 0), "{}", context());
            session.create().unwrap_or_else(|e| panic!("{e}: {}", context()));
            return;
        };
        let good = common(good, &before);
        let (mut anchors, since) = anchors(image, good);
        anchors.retain(|anchor| {
            anchor.kind != AnchorKind::Checkpoint || self.notes.insert(anchor.bytes.clone())
        });
        let report = verified_with(&before, sealed_len(image), (anchors, since));
        assert!(
            matches!(report.status, Status::Valid | Status::TornTail),
            "before: {report:?}\n{}",
            context()
        );

        let mut ledger = session.open().unwrap_or_else(|e| panic!("{e}: {}", context()));
        let recovered = session.files.seen();
        let after = logical(&recovered).unwrap();
        let there = numbers(&after);
        let found = u32::try_from(there.len()).unwrap();
        assert!(there.iter().copied().eq(0..found), "{there:?}\n{}", context());
        assert!((world.acknowledged..=world.submitted).contains(&found), "{found}: {}", context());
        check_evidence(&before, &after, &recovered);
        // What differs from a state that was looked at only in the bytes that are gone now is not
        // signed once more.
        if !self.classes.insert(class(&recovered, common(&before, &after), world)) {
            return;
        }
        session.append(&mut ledger, found, 8).unwrap();
        ledger.checkpoint(LATER).unwrap();
        let end = session.files.seen();
        let after = logical(&end).unwrap();
        let report = verified(&after, &end, common(&before, &after));
        assert_eq!(report.status, Status::Valid, "after: {report:?}\n{}", context());
        assert!(numbers(&after).into_iter().eq(0..=found), "{}", context());
        check_signed(&session.world().signed, &after, &end);
    }
}

/// All valid lines of a ledger, verified now.
pub(crate) fn good_lines(image: &Image) -> Vec<u8> {
    let ledger = logical(image).unwrap();
    let report = verified(&ledger, image, &[]);
    assert!(matches!(report.status, Status::Valid | Status::TornTail), "{report:?}");
    let torn = report.torn_tail.map_or(0, |torn| torn.bytes);
    ledger[..ledger.len() - usize::try_from(torn).unwrap()].to_vec()
}

/// What a writer finds after the recovery, but for the evidence and the record of it.
fn class(recovered: &Image, kept: &[u8], world: &World) -> [u8; 32] {
    let mut beside = recovered.clone();
    beside.retain(|name, _| !name.contains(".ndjson"));
    beside.insert("ledger".to_owned(), Some(kept.to_vec()));
    beside.insert("world".to_owned(), Some(format!("{world:?}").into_bytes()));
    digest(&beside)
}

/// What is no longer in the ledger is beside it, byte for byte, and the ledger says so.
fn check_evidence(before: &[u8], after: &[u8], image: &Image) {
    if after.starts_with(before) {
        return;
    }
    let cut = &before[common(before, after).len()..];
    let evidence = image.iter().find(|(name, content)| {
        name.starts_with("ledger.ndjson.torn-") && content.as_deref() == Some(cut)
    });
    let (name, _) = evidence.unwrap_or_else(|| panic!("what was cut off is gone"));
    let recorded = after.windows(name.len()).any(|part| part == name.as_bytes());
    assert!(recorded, "{name} is not recorded");
}

/// Everything that was ever signed is of this ledger, which pure Merkle code tells, and what is in the
/// log of checkpoints was signed.
fn check_signed(signed: &[Checkpoint], ledger: &[u8], image: &Image) {
    let size = lines(ledger).len() as u64;
    let mut roots = HashMap::new();
    for checkpoint in signed {
        assert!(checkpoint.size <= size, "{checkpoint:?} of {size} lines");
        let root =
            roots.entry(checkpoint.size).or_insert_with(|| root_of_file(ledger, checkpoint.size));
        assert_eq!(checkpoint.root, *root, "two checkpoints contradict each other");
    }
    let log = String::from_utf8_lossy(file(image, CHECKPOINT_LOG).unwrap()).into_owned();
    let logged = logged_notes(&log);
    assert!(logged.iter().all(|checkpoint| signed.contains(checkpoint)));
    assert_eq!(logged.last(), signed.last(), "the last one is readable behind torn ones");
}

/// The whole notes in a log of checkpoints: each begins with the line of the origin.
pub(crate) fn logged_notes(log: &str) -> Vec<Checkpoint> {
    let mut notes = Vec::new();
    let mut starts: Vec<_> = log.match_indices("carbon-ops/ledger/").map(|(at, _)| at).collect();
    starts.retain(|at| *at == 0 || log.as_bytes()[at - 1] == b'\n');
    starts.push(log.len());
    for pair in starts.windows(2) {
        let note = Note::parse(&log.as_bytes()[pair[0]..pair[1]]);
        notes.extend(note.and_then(|note| Checkpoint::of_note(&note)));
    }
    notes
}

/// A ledger of so many records, with a checkpoint of all its lines, all durable.
pub(crate) fn beginning(records: u32) -> Beginning {
    let session = Session::on(SimulatedFiles::on(Disk::holding(&Image::new())), Arc::default());
    let mut ledger = session.create().unwrap();
    for n in 0..records {
        session.append(&mut ledger, n, 8).unwrap();
    }
    ledger.checkpoint(LATER).unwrap();
    Beginning { image: session.files.seen(), world: session.world() }
}

/// So many states of a kind in a whole run; a part of them, but never only the oldest and the newest,
/// in any other.
fn part(whole: usize) -> usize {
    (whole / stride(SAMPLED)).max(4)
}

/// Opens, and appends records of these sizes until something fails.
fn append_all(session: &Session, sizes: &[usize]) {
    let Ok(mut ledger) = session.open() else { return };
    for (n, bytes) in (session.found()..).zip(sizes) {
        if session.append(&mut ledger, n, *bytes).is_err() {
            return;
        }
    }
}

/// Opens, appends a record, signs, appends another, signs, until something fails.
fn sign_twice(session: &Session) {
    let Ok(mut ledger) = session.open() else { return };
    for n in session.found()..session.found() + 2 {
        if session.append(&mut ledger, n, 8).is_err() || ledger.checkpoint(LATER).is_err() {
            return;
        }
    }
}

/// Opens, and appends and seals by turns until something fails.
fn seal_twice(session: &Session) {
    let Ok(mut ledger) = session.open() else { return };
    for n in session.found()..session.found() + 2 {
        if session.append(&mut ledger, n, 200).is_err() || ledger.seal(0, LATER).is_err() {
            return;
        }
    }
    let _ = session.append(&mut ledger, session.found(), 8);
}

/// Kills the process at one of its calls and lets another one work on what the kernel holds.
fn killed(
    at: usize,
    effect: Effect,
    first: impl Fn(&Session),
    second: impl Fn(&Session),
) -> impl FnOnce(&Session) {
    move |session| {
        let (kind, lasting) = (io::ErrorKind::Other, Lasting::Death);
        session.files.fail(Fault { call: at, kind, effect, lasting });
        first(session);
        session.files.next_process();
        second(session);
    }
}

/// The same with pipelines: whole batches torn, in every way where they are short; pipelines that are
/// killed at each of their calls and followed by another; and, until there is enough, pipelines that
/// begin with what crashes left.
fn explore_batches(
    explorer: &mut Explorer,
    two: &Beginning,
    mut left: Vec<Beginning>,
    random: &mut Random,
    tell: &dyn Fn(&str, &Explorer),
) {
    let script = Script::of(&[&[8, 200, 90], &[400, 8], &[8, 8, 300, 8]], u64::MAX);
    let sealing = Script { segment_bytes: 2500, ..script.clone() };
    for script in [&script, &sealing] {
        left.extend(explorer.explore(two, part(1 << 12), random, |session| {
            let stored = play(session, script).end.unwrap();
            assert_eq!((stored.entries, stored.batches), (9, 3), "each round is a batch");
            assert!(stored.checkpoints >= 2, "{stored:?}");
            assert_eq!(stored.segments > 0, script.segment_bytes < u64::MAX);
        }));
    }
    tell("batches", explorer);
    for at in (0..250).step_by(stride(SAMPLED)) {
        for effect in [Effect::None, Effect::Whole] {
            let work = |session: &Session| drop(play(session, &sealing));
            let reached = explorer.explore(two, 4, random, killed(at, effect, work, work));
            left.extend(reached.into_iter().take(4));
        }
    }
    tell("kills of pipelines before a crash", explorer);
    while explorer.seen.len() < DISTINCT_IMAGES / stride(SAMPLED) {
        let (from, script) = (&left[random.below(left.len())], Script::drawn(random));
        explorer.explore(from, part(256), random, |session| drop(play(session, &script)));
    }
    tell("batches behind what a crash left", explorer);
}

#[test]
fn every_crash_leaves_a_ledger_that_recovers_to_a_prefix_with_all_that_was_acknowledged() {
    let (mut explorer, mut random) = (Explorer::default(), Random(1));
    let started = std::time::Instant::now();
    // To the stream itself, which the test harness does not capture.
    let tell = |what: &str, explorer: &Explorer| {
        let (seen, classes) = (explorer.seen.len(), explorer.classes.len());
        let took = started.elapsed().as_secs_f64();
        let _ = writeln!(
            io::stderr(),
            "power: {what}: {seen} distinct images so far in {classes} classes, {took:.1} s"
        );
    };

    explorer.explore(&Beginning::default(), part(4096), &mut random, |session| {
        let mut ledger = session.create().unwrap();
        session.append(&mut ledger, 0, 8).unwrap();
    });
    tell("creation", &explorer);

    let two = beginning(2);
    explorer.explore(&two, part(4096), &mut random, sign_twice);
    tell("checkpoints", &explorer);
    explorer.explore(&two, part(4096), &mut random, seal_twice);
    tell("segments", &explorer);

    let mut torn = Vec::new();
    for bytes in [8, 200, 1000, 2000, 3000] {
        torn.extend(explorer.explore(&two, part(1 << 14), &mut random, |session| {
            append_all(session, &[bytes, 8]);
        }));
    }
    tell("appends", &explorer);
    let mut again = Vec::new();
    for _ in (0..40).step_by(stride(4)) {
        let from = &torn[random.below(torn.len())];
        again.extend(
            explorer.explore(from, part(64), &mut random, |session| append_all(session, &[8])),
        );
    }
    tell("recoveries", &explorer);
    for _ in (0..20).step_by(stride(4)) {
        let from = &again[random.below(again.len())];
        explorer.explore(from, 8, &mut random, sign_twice);
    }
    tell("recoveries of recoveries", &explorer);
    for script in [sign_twice, seal_twice, |session: &Session| append_all(session, &[900, 8])] {
        for at in (0..100).step_by(stride(SAMPLED)) {
            for effect in [Effect::None, Effect::Whole] {
                explorer.explore(&two, 8, &mut random, killed(at, effect, script, script));
            }
        }
    }
    tell("kills before a crash", &explorer);
    let mut from = torn;
    from.append(&mut again);
    explore_batches(&mut explorer, &two, from, &mut random, &tell);
    assert!(explorer.seen.len() >= DISTINCT_IMAGES / stride(SAMPLED));
}
