//! What is read of the surroundings to name a piece of work: one table, and nothing else is.
//!
//! Out of scope: reading it, and what the path of a cgroup says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Bytes of a name or id that a record takes.
pub(super) const BYTES_MAX: usize = 256;

/// Attributes of a resource, as OpenTelemetry's programs get them.
pub(super) const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// Set in each container of a pod (Kubernetes, "Accessing the API from a Pod").
pub(super) const IN_POD: &str = "KUBERNETES_SERVICE_HOST";

/// More attributes than anybody sets.
const ATTRIBUTES_MAX: usize = 128;

/// Whose words a unit is named in. The order is the rank: the one that its owner is nearest to comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Somebody's, by hand.
    Manual,
    /// A run of `MLflow`.
    Mlflow,
    /// A job of a workflow of GitHub Actions.
    Github,
    /// A job of a pipeline of GitLab.
    Gitlab,
    /// A job of Slurm, or a step of one.
    Slurm,
    /// A service by OpenTelemetry's attributes.
    Otel,
    /// A container of a pod.
    Kubernetes,
    /// A container of another runtime.
    Container,
    /// A unit of systemd.
    Systemd,
}

impl Kind {
    /// All, by rank.
    pub const ALL: [Self; 9] = [
        Self::Manual,
        Self::Mlflow,
        Self::Github,
        Self::Gitlab,
        Self::Slurm,
        Self::Otel,
        Self::Kubernetes,
        Self::Container,
        Self::Systemd,
    ];

    /// As records have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Mlflow => "mlflow",
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Slurm => "slurm",
            Self::Otel => "otel",
            Self::Kubernetes => "kubernetes",
            Self::Container => "container",
            Self::Systemd => "systemd",
        }
    }

    /// The ids without any of which there is no such unit.
    pub(super) const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Manual => &[],
            Self::Mlflow | Self::Github | Self::Gitlab => &["run"],
            Self::Slurm => &["job"],
            Self::Otel => &["service"],
            Self::Kubernetes => &["pod", "pod_uid"],
            Self::Container => &["container"],
            Self::Systemd => &["unit", "slice"],
        }
    }

    /// The ids that name it to people, in their order.
    pub(super) const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Manual => &[],
            Self::Mlflow => &["experiment", "run"],
            Self::Github | Self::Gitlab => &["repository", "workflow", "run", "job"],
            Self::Slurm => &["job", "step"],
            Self::Otel => &["namespace", "service"],
            Self::Kubernetes => &["namespace", "pod", "container"],
            Self::Container => &["container"],
            Self::Systemd => &["unit"],
        }
    }
}

/// Where an id of this process is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// A variable.
    Variable(&'static str),
    /// An attribute of [`ATTRIBUTES`].
    Attribute(&'static str),
    /// A variable, in a container of a pod.
    PodVariable(&'static str),
    /// The file in which a container of a pod finds its namespace.
    PodNamespace,
}

/// An id of a kind, and where it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fact {
    pub(super) kind: Kind,
    pub(super) id: &'static str,
    pub(super) source: Source,
}

const fn variable(kind: Kind, id: &'static str, name: &'static str) -> Fact {
    Fact { kind, id, source: Source::Variable(name) }
}

const fn attribute(kind: Kind, id: &'static str, name: &'static str) -> Fact {
    Fact { kind, id, source: Source::Attribute(name) }
}

/// All that is read; where two say an id, the first does. Names as in the documents of each: Slurm `sbatch(1)` and
/// `srun(1)`, GitHub "Variables", GitLab "Predefined CI/CD variables", `mlflow.environment_variables`,
/// OpenTelemetry "Resource semantic conventions".
pub(super) const FACTS: [Fact; 34] = [
    variable(Kind::Mlflow, "run", "MLFLOW_RUN_ID"),
    variable(Kind::Mlflow, "experiment", "MLFLOW_EXPERIMENT_ID"),
    variable(Kind::Github, "repository", "GITHUB_REPOSITORY"),
    variable(Kind::Github, "workflow", "GITHUB_WORKFLOW"),
    variable(Kind::Github, "run", "GITHUB_RUN_ID"),
    variable(Kind::Github, "attempt", "GITHUB_RUN_ATTEMPT"),
    variable(Kind::Github, "job", "GITHUB_JOB"),
    variable(Kind::Github, "commit", "GITHUB_SHA"),
    variable(Kind::Gitlab, "repository", "CI_PROJECT_PATH"),
    variable(Kind::Gitlab, "run", "CI_PIPELINE_ID"),
    variable(Kind::Gitlab, "stage", "CI_JOB_STAGE"),
    variable(Kind::Gitlab, "job", "CI_JOB_NAME"),
    variable(Kind::Gitlab, "job_id", "CI_JOB_ID"),
    variable(Kind::Gitlab, "commit", "CI_COMMIT_SHA"),
    variable(Kind::Slurm, "cluster", "SLURM_CLUSTER_NAME"),
    variable(Kind::Slurm, "job", "SLURM_JOB_ID"),
    variable(Kind::Slurm, "array_job", "SLURM_ARRAY_JOB_ID"),
    variable(Kind::Slurm, "array_task", "SLURM_ARRAY_TASK_ID"),
    variable(Kind::Slurm, "step", "SLURM_STEP_ID"),
    variable(Kind::Slurm, "partition", "SLURM_JOB_PARTITION"),
    variable(Kind::Slurm, "account", "SLURM_JOB_ACCOUNT"),
    variable(Kind::Otel, "service", "OTEL_SERVICE_NAME"),
    attribute(Kind::Otel, "service", "service.name"),
    attribute(Kind::Otel, "namespace", "service.namespace"),
    attribute(Kind::Otel, "instance", "service.instance.id"),
    attribute(Kind::Otel, "version", "service.version"),
    attribute(Kind::Otel, "environment", "deployment.environment.name"),
    attribute(Kind::Kubernetes, "namespace", "k8s.namespace.name"),
    attribute(Kind::Kubernetes, "pod", "k8s.pod.name"),
    attribute(Kind::Kubernetes, "pod_uid", "k8s.pod.uid"),
    attribute(Kind::Kubernetes, "container", "k8s.container.name"),
    attribute(Kind::Kubernetes, "cluster", "k8s.cluster.name"),
    // The name of a pod is that of its host, unless its specification says otherwise.
    Fact { kind: Kind::Kubernetes, id: "pod", source: Source::PodVariable("HOSTNAME") },
    Fact { kind: Kind::Kubernetes, id: "namespace", source: Source::PodNamespace },
];

/// How many variables [`FACTS`] reads by their own names.
const NAMED: usize = {
    let (mut named, mut place) = (0, 0);
    while place < FACTS.len() {
        if variable_of(place).is_some() {
            named += 1;
        }
        place += 1;
    }
    named
};

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, below the length")]
const fn variable_of(place: usize) -> Option<&'static str> {
    match FACTS[place].source {
        Source::Variable(name) | Source::PodVariable(name) => Some(name),
        Source::Attribute(_) | Source::PodNamespace => None,
    }
}

/// The names of all variables that are read to name a piece of work.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, below the length")]
pub const VARIABLES: [&str; NAMED + 2] = {
    let mut names = [ATTRIBUTES; NAMED + 2];
    names[1] = IN_POD;
    let (mut count, mut place) = (2, 0);
    while place < FACTS.len() {
        if let Some(name) = variable_of(place) {
            names[count] = name;
            count += 1;
        }
        place += 1;
    }
    names
};

/// Attributes by their names: `key=value` with commas between, values percent-encoded (W3C Baggage).
#[derive(Debug, Default)]
pub(super) struct Attributes(BTreeMap<String, String>);

impl Attributes {
    pub(super) fn of(text: Option<&str>) -> Self {
        let pairs = text.unwrap_or_default().split(',').take(ATTRIBUTES_MAX);
        let pairs = pairs.filter_map(|pair| pair.split_once('='));
        let decoded = pairs.map(|(key, value)| (key.trim().to_owned(), decoded(value.trim())));
        Self(decoded.collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// An id as a record takes it: what a terminal would obey is written out, and of one that is too long the end is the
/// digest of the whole, so that two that differ stay two. `None` of one that is empty.
pub(super) fn bounded(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len().min(BYTES_MAX));
    for c in text.trim().chars() {
        if c.is_control() {
            let _ = write!(plain, "\\u{{{:x}}}", u32::from(c));
        } else {
            plain.push(c);
        }
        if plain.len() > 2 * BYTES_MAX {
            break;
        }
    }
    if plain.len() > BYTES_MAX {
        let digest = Sha256::digest(text.as_bytes());
        let mut end = String::from("…");
        for byte in digest.iter().take(8) {
            let _ = write!(end, "{byte:02x}");
        }
        let room = (0..=BYTES_MAX - end.len()).rev().find(|&at| plain.is_char_boundary(at));
        plain.truncate(room.unwrap_or_default());
        plain.push_str(&end);
    }
    (!plain.is_empty()).then_some(plain)
}
