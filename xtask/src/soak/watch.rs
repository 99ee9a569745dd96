//! The client that behaves, and sees to it that the governor does: what was said once stays true,
//! whatever is done to the governor, and the socket and both pages say the same.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Violations;
use super::seen::{Client, Domain, Snapshot, page};

/// Between two looks: several for each sample.
const EVERY: Duration = Duration::from_millis(25);

/// Samples that are remembered until the public page shows them.
const RECENT: usize = 64;

/// Whether everything must be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Each request.
    All,
    /// What is answered must be right; the governor is killed and stopped.
    Truth,
}

/// What was looked at.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Looks {
    pub(crate) answers: u64,
    pub(crate) unanswered: u64,
    pub(crate) same_as_page: u64,
    pub(crate) same_as_public: u64,
}

/// A client of one governor, for all of its lives.
#[derive(Debug)]
pub(crate) struct Watcher<'w> {
    host: &'static str,
    socket: PathBuf,
    state: PathBuf,
    violations: &'w Violations,
    client: Option<Client>,
    last: Option<Snapshot>,
    /// The last that was seen of each domain, whether it is there now or not.
    known: BTreeMap<String, Domain>,
    public: BTreeMap<String, Domain>,
    recent: VecDeque<Snapshot>,
    pub(crate) looks: Looks,
    /// How long an answer took at most, since that was last asked for.
    pub(crate) slowest: Duration,
}

impl<'w> Watcher<'w> {
    pub(crate) fn new(
        host: &'static str,
        socket: PathBuf,
        state: PathBuf,
        violations: &'w Violations,
    ) -> Self {
        Self {
            host,
            socket,
            state,
            violations,
            client: None,
            last: None,
            known: BTreeMap::new(),
            public: BTreeMap::new(),
            recent: VecDeque::new(),
            looks: Looks::default(),
            slowest: Duration::ZERO,
        }
    }

    pub(crate) fn watch(&mut self, until: Instant, demand: Demand) {
        while Instant::now() < until {
            let start = Instant::now();
            match self.look() {
                Ok(took) => {
                    self.looks.answers += 1;
                    self.slowest = self.slowest.max(took);
                }
                Err(error) => {
                    self.client = None;
                    self.looks.unanswered += 1;
                    if demand == Demand::All {
                        self.blame(&format!("no answer: {error:#}"));
                    }
                }
            }
            std::thread::sleep(EVERY.saturating_sub(start.elapsed()));
        }
        self.client = None;
    }

    fn blame(&self, what: &str) {
        self.violations.add(self.host, what);
    }

    /// Asks once, and compares with the pages; how long the answer took.
    fn look(&mut self) -> Result<Duration> {
        let before = page(&self.state.join("state"))?;
        let start = Instant::now();
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(Client::connect(&self.socket, Duration::from_secs(10))?),
        };
        let now = client.snapshot()?;
        let took = start.elapsed();
        let after = page(&self.state.join("state"))?;
        self.agree(&before, &now, &after);
        self.follow(&now);
        self.recent.push_back(now);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        self.public_page()?;
        Ok(took)
    }

    /// The exact page and the socket: the same samples, in the same order.
    fn agree(&mut self, before: &Snapshot, now: &Snapshot, after: &Snapshot) {
        if !(before.seq <= now.seq && now.seq <= after.seq) {
            let (a, b, c) = (before.seq, now.seq, after.seq);
            self.blame(&format!("sample {b} over the socket, {a} and {c} in the page around it"));
        }
        for page in [before, after] {
            if page.seq == now.seq {
                self.looks.same_as_page += 1;
                if without_flags(page) != without_flags(now) {
                    self.blame(&format!("sample {}: socket and page differ", now.seq));
                }
            }
        }
    }

    /// What follows from one snapshot for the next.
    fn follow(&mut self, now: &Snapshot) {
        if let Some(last) = &self.last {
            let (old, new) = (last, now);
            if old.boot_id != new.boot_id {
                self.blame("the boot id changed");
            }
            for (what, before, after) in [
                ("the number of the sample", old.seq, new.seq),
                ("the time of the sample", old.boottime_ns, new.boottime_ns),
                ("the number of missed samples", old.missed, new.missed),
            ] {
                if after < before {
                    self.blame(&format!("{what} fell from {before} to {after}"));
                }
            }
        }
        for (key, domain) in &now.domains {
            if let Some(old) = self.known.insert(key.clone(), *domain) {
                self.follow_domain(key, &old, domain);
            }
        }
        self.last = Some(now.clone());
    }

    fn follow_domain(&self, key: &str, old: &Domain, new: &Domain) {
        for (what, before, after) in [
            ("total", old.total_uj, new.total_uj),
            ("epoch", old.epoch, new.epoch),
            ("wraps", old.wraps, new.wraps),
            ("gaps", old.gaps, new.gaps),
            ("gap_most", old.gap_most_uj, new.gap_most_uj),
            ("skipped", old.skipped, new.skipped),
            ("read_ns", old.read_ns, new.read_ns),
        ] {
            if after < before {
                self.blame(&format!("{key}: {what} fell from {before} to {after}"));
            }
        }
        if (old.epoch == new.epoch) != (old.gaps == new.gaps) {
            self.blame(&format!(
                "{key}: epoch {} to {} with gaps {} to {}",
                old.epoch, new.epoch, old.gaps, new.gaps
            ));
        }
    }

    /// The page of those without rights: rounded down, and otherwise the same.
    fn public_page(&mut self) -> Result<()> {
        let public = page(&self.state.join("snapshot"))?;
        let exact = self.recent.iter().find(|exact| exact.boottime_ns == public.boottime_ns);
        for (key, domain) in &public.domains {
            let quantum = public.quantum_uj.max(1);
            if let Some(exact) = exact {
                let Some(exact) = exact.domains.get(key) else {
                    self.blame(&format!("{key} is in the public page alone"));
                    continue;
                };
                self.looks.same_as_public += 1;
                let same = domain.total_uj == exact.total_uj / quantum * quantum
                    && (domain.epoch, domain.gaps) == (exact.epoch, exact.gaps);
                if !same {
                    self.blame(&format!("{key}: public {domain:?}, exact {exact:?}"));
                }
            }
            if let Some(old) = self.public.insert(key.clone(), *domain)
                && domain.total_uj < old.total_uj
            {
                let (before, after) = (old.total_uj, domain.total_uj);
                self.blame(&format!("{key}: the public total fell from {before} to {after}"));
            }
        }
        Ok(())
    }
}

/// A snapshot as pages and socket both have it.
fn without_flags(snapshot: &Snapshot) -> Snapshot {
    let mut same = snapshot.clone();
    for domain in same.domains.values_mut() {
        *domain = Domain { stale: false, stuck: false, exact: false, ..*domain };
    }
    same
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follows(old: Domain, new: Domain) -> usize {
        let violations = Violations::default();
        let watcher = Watcher::new("host", PathBuf::new(), PathBuf::new(), &violations);
        watcher.follow_domain("a", &old, &new);
        violations.count()
    }

    #[test]
    fn what_may_not_happen_is_noticed() {
        let old = Domain { total_uj: 10, epoch: 5, gaps: 1, ..Domain::default() };
        assert_eq!(follows(old, Domain { total_uj: 11, ..old }), 0);
        assert_eq!(follows(old, Domain { epoch: 6, gaps: 2, ..old }), 0);
        assert_eq!(follows(old, Domain { total_uj: 9, ..old }), 1);
        assert_eq!(follows(old, Domain { epoch: 6, ..old }), 1);
        assert_eq!(follows(old, Domain { gaps: 2, ..old }), 1);
    }
}
