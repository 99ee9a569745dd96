//! The names of pods and containers, from the folders in which a node keeps their logs.
//!
//! `/var/log/pods/NAMESPACE_POD_UID/CONTAINER/` is a folder of each container, and
//! `/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log` a link of each (kubelet, `pkg/kubelet/kuberuntime`). Both are
//! lists of names: no log is opened, and no server is asked.
//!
//! Out of scope: what a cgroup says of a pod.

use std::collections::HashMap;
use std::path::Path;

use carbon_ops_meter::host_root::HostRoot;

/// Where the logs of pods are.
const PODS: &str = "/var/log/pods";

/// Where links to logs of containers are.
const CONTAINERS: &str = "/var/log/containers";

/// More than a node has (Kubernetes, "Considerations for large clusters": 110 pods), by far.
const NAMES_MAX: usize = 10_000;

/// Names of the pods of a node, as they were when last looked for.
#[derive(Debug, Default)]
pub(super) struct Pods {
    by_uid: HashMap<String, Names>,
    by_id: HashMap<String, String>,
    has_looked: bool,
}

/// The names of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) namespace: String,
    pub(super) pod: String,
    /// Names of its containers.
    containers: Vec<String>,
}

impl Pods {
    /// The names of a pod. Folders are listed once in a round, and only for what is not known.
    pub(super) fn find(
        &mut self,
        host: &HostRoot,
        uid: &str,
        container: Option<&str>,
    ) -> Option<Names> {
        let unknown = |id: &str| !self.by_id.contains_key(id);
        if (!self.by_uid.contains_key(uid) || container.is_some_and(unknown)) && !self.has_looked {
            self.look(host);
        }
        self.by_uid.get(uid).cloned()
    }

    /// The name of a container: by its id, or else the only one of its pod.
    pub(super) fn container(&self, uid: &str, id: Option<&str>) -> Option<String> {
        let by_id = id.and_then(|id| self.by_id.get(id)).cloned();
        by_id.or_else(|| match &*self.by_uid.get(uid)?.containers {
            [only] => Some(only.clone()),
            _ => None,
        })
    }

    /// Lets folders be listed again.
    pub(super) fn next_round(&mut self) {
        self.has_looked = false;
    }

    fn look(&mut self, host: &HostRoot) {
        self.has_looked = true;
        let folder = host.path(PODS);
        let pod = |name: &str| {
            // Names of namespaces and pods have no underscore (RFC 1123).
            let (namespace, rest) = name.split_once('_')?;
            let (pod, uid) = rest.rsplit_once('_')?;
            let (namespace, pod) = (namespace.to_owned(), pod.to_owned());
            let containers = names(&folder.join(name));
            Some((uid.to_owned(), Names { namespace, pod, containers }))
        };
        self.by_uid = names(&folder).iter().filter_map(|name| pod(name)).collect();
        let container = |name: &str| {
            let (_, rest) = name.strip_suffix(".log")?.rsplit_once('_')?;
            let (container, id) = rest.rsplit_once('-')?;
            Some((id.to_owned(), container.to_owned()))
        };
        let listed = names(&host.path(CONTAINERS));
        self.by_id = listed.iter().filter_map(|name| container(name)).collect();
    }
}

/// What is in a folder, by name; nothing of one that cannot be listed, and no name that is no UTF-8.
fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let entries = entries.take(NAMES_MAX).filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
