//! What a piece of work is called by others: by its owner, and by the measurement that it is a part of.
//!
//! Rule: the kind that the owner is nearest to wins ([`Kind::ALL`], in its order): a run of a pipeline in a pod is a
//! run of a pipeline. The ids are those of that kind alone. Of this process they come from an allow-list of variables
//! and files, read once; of other processes from their cgroups, since nobody's environment but our own is
//! looked into.
//!
//! Out of scope: names that a person gives, which are labels; names of people, and arguments.

mod cgroup;
mod facts;
mod pods;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::processes::cgroup_paths;
use carbon_ops_record::Unit;

use crate::env::Env;
use crate::fault::Fault;
use facts::{Attributes, FACTS, Source, bounded};
pub use facts::{Kind, VARIABLES};
use pods::Pods;

/// The variable that names the record of the measurement around a process. `run` sets it for its command,
/// and reads it where it is itself a part of one.
pub const PARENT: &str = "CARBON_OPS_PARENT";

/// Digits of a record's identity.
const DIGITS: usize = 32;

/// Ids that a record takes.
const IDS_MAX: usize = 64;

/// Where a pod finds the name of its namespace.
const NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The record of the measurement that this process is a part of.
///
/// # Errors
/// [`Fault::NoParent`] where the variable holds no identity of a record.
pub fn parent(env: &Env) -> Result<Option<String>, Fault> {
    let Some(id) = env.variable(PARENT).filter(|id| !id.is_empty()) else { return Ok(None) };
    let is_hex = id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if id.len() == DIGITS && is_hex {
        Ok(Some(id.to_owned()))
    } else {
        Err(Fault::NoParent(id.to_owned()))
    }
}

/// What this process, and so the command that it starts, is called by its owner; `None` where nothing tells.
pub fn own(env: &Env, host: &HostRoot) -> Option<Unit> {
    let mut found = Found::default();
    let attributes = Attributes::of(env.variable(facts::ATTRIBUTES));
    let in_pod = env.variable(facts::IN_POD).is_some();
    for fact in &FACTS {
        let value = match fact.source {
            Source::Variable(name) => env.variable(name).map(str::to_owned),
            Source::Attribute(name) => attributes.get(name),
            Source::PodVariable(name) => env.variable(name).filter(|_| in_pod).map(str::to_owned),
            Source::PodNamespace => host.text(NAMESPACE).ok().filter(|_| in_pod),
        };
        found.add(fact.kind, fact.id, value);
    }
    // Version 1 has a path for each controller, and not all of them say the same.
    let text = host.text("/proc/self/cgroup").unwrap_or_default();
    let mut pods = Pods::default();
    for path in cgroup_paths(&text) {
        found.read(path, host, &mut pods);
    }
    found.unit()
}

/// What somebody calls the work by hand, as ids by their names.
///
/// # Errors
/// [`Fault::NotAnId`] for one that is empty, longer than a record takes, or there twice.
pub fn manual<'a>(
    ids: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Option<Unit>, Fault> {
    let mut all = BTreeMap::new();
    for (name, id) in ids {
        let fits = |text: &str| (1..=facts::BYTES_MAX).contains(&text.len());
        let wrong = || Fault::NotAnId { name: name.to_owned(), id: id.to_owned() };
        let new = || all.len() < IDS_MAX && !all.contains_key(name);
        if !fits(name) || !fits(id) || !new() {
            return Err(wrong());
        }
        all.insert(name.to_owned(), id.to_owned());
    }
    let kind = Kind::Manual.as_str().to_owned();
    Ok((!all.is_empty()).then_some(Unit { ids: all, kind }))
}

/// A unit in few words, for people: `shop/web-0/app` of a pod, `nginx.service` of a service. Of an id that nobody types,
/// its first digits.
pub fn short(unit: &Unit) -> String {
    let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == unit.kind);
    let order = kind.map_or(&[][..], Kind::names);
    let mut named: Vec<&str> =
        order.iter().filter_map(|id| unit.ids.get(*id)).map(|id| digits(id)).collect();
    if named.is_empty() {
        named.extend(unit.ids.values().map(|id| digits(id)));
    }
    named.join("/")
}

/// Whether a unit is a slice, which holds other units and no processes of its own (systemd.slice(5)).
pub(crate) fn is_slice(unit: &Unit) -> bool {
    unit.kind == Kind::Systemd.as_str() && !unit.ids.contains_key("unit")
}

/// The first digits of a container's id, as Docker and Podman show it, or of a pod's; anything else as it is.
fn digits(id: &str) -> &str {
    let is_hex = |id: &str| id.bytes().all(|c| c.is_ascii_hexdigit() || c == b'-');
    let shown = match id.len() {
        64 if is_hex(id) => 12,
        36 if is_hex(id) => 8,
        _ => id.len(),
    };
    id.get(..shown).unwrap_or(id)
}

/// What was found, by its kind.
#[derive(Debug, Default)]
struct Found(BTreeMap<Kind, BTreeMap<String, String>>);

impl Found {
    /// Adds an id; what was found first stays.
    fn add(&mut self, kind: Kind, id: &str, value: Option<String>) {
        if let Some(value) = value.and_then(|value| bounded(&value)) {
            self.0.entry(kind).or_default().entry(id.to_owned()).or_insert(value);
        }
    }

    /// Adds what the path of a cgroup tells.
    fn read(&mut self, path: &str, host: &HostRoot, pods: &mut Pods) {
        for (kind, id, value) in cgroup::ids(path) {
            self.add(kind, id, Some(value));
        }
        let of = |id: &str| Some(self.0.get(&Kind::Kubernetes)?.get(id)?.clone());
        if let Some(uid) = of("pod_uid") {
            let container = of("container_id");
            let Some(names) = pods.find(host, &uid, container.as_deref()) else { return };
            let names = [("namespace", names.namespace), ("pod", names.pod)]
                .map(|(id, name)| (id, Some(name)));
            let container = pods.container(&uid, container.as_deref());
            for (id, name) in names.into_iter().chain([("container", container)]) {
                self.add(Kind::Kubernetes, id, name);
            }
        }
    }

    /// The unit of the kind that wins: the first one by which its owner can name it.
    fn unit(self) -> Option<Unit> {
        let known = |(kind, ids): &(Kind, BTreeMap<String, String>)| {
            kind.keys().iter().any(|key| ids.contains_key(*key))
        };
        let (kind, ids) = self.0.into_iter().find(known)?;
        Some(Unit { ids, kind: kind.as_str().to_owned() })
    }
}

/// Units of the cgroups of a host; each path is read once.
#[derive(Debug, Default)]
pub struct Units {
    known: HashMap<Arc<str>, (Option<Arc<Unit>>, u64)>,
    pods: Pods,
    round: u64,
}

impl Units {
    /// What the processes of a cgroup are called by their owner.
    pub fn of(&mut self, host: &HostRoot, cgroup: &Arc<str>) -> Option<Arc<Unit>> {
        if let Some((unit, used)) = self.known.get_mut(cgroup) {
            *used = self.round;
            return unit.clone();
        }
        let mut found = Found::default();
        found.read(cgroup, host, &mut self.pods);
        let unit = found.unit().map(Arc::new);
        // The folders of a pod are made a moment after its cgroup, so that one without its names is looked for again.
        let is_whole = |unit: &Arc<Unit>| {
            unit.kind != Kind::Kubernetes.as_str() || unit.ids.contains_key("pod")
        };
        if unit.as_ref().is_none_or(is_whole) {
            self.known.insert(cgroup.clone(), (unit.clone(), self.round));
        }
        unit
    }

    /// Forgets the paths that nobody has asked for since the last call, and lets names be looked for again.
    pub fn next_round(&mut self) {
        let round = self.round;
        self.known.retain(|_, (_, used)| *used == round);
        self.pods.next_round();
        self.round += 1;
    }
}

#[cfg(test)]
mod tests;
