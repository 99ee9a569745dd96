//! What the path of a cgroup says of the work in it: who made the cgroup has put ids into its name.
//!
//! Forms, as their makers write them, by version 1 and 2 and by both drivers of Kubernetes:
//!
//! ```text
//! /system.slice/nginx.service                        a unit, and the slice around it
//! /user.slice/user-1.slice/user@1.service/app.slice/a.service
//! /docker/ID    /system.slice/docker-ID.scope        a container
//! /machine.slice/libpod-ID.scope/container
//! /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/cri-containerd-ID.scope
//! /kubepods/burstable/podUID/ID                      a container of a pod
//! /slurm/uid_1/job_2/step_3/task_0                   a step of a job
//! /system.slice/slurmstepd.scope/job_2/step_3/user/task_0
//! ```
//!
//! Rule: of each kind the innermost part of the path that is one; a part that only looks like one, because it is not
//! where its maker puts it, is none.
//!
//! Out of scope: which kind wins.

use super::facts::Kind;

/// Digits of a container's id.
const ID_DIGITS: usize = 64;

/// What container runtimes put before the id, in the name of a scope (`NAME-ID.scope`).
const RUNTIMES: [&str; 6] = ["docker", "libpod", "cri-containerd", "crio", "nerdctl", "podman"];

/// All ids in a path, by their kind.
pub(super) fn ids(path: &str) -> Vec<(Kind, &'static str, String)> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let mut found = slurm(&parts);
    let container = parts.iter().rev().find_map(|part| container_of(part));
    match parts.iter().rev().find_map(|part| pod_of(part)) {
        Some(uid) => {
            found.push((Kind::Kubernetes, "pod_uid", uid));
            found.extend(container.map(|id| (Kind::Kubernetes, "container_id", id.to_owned())));
        }
        None => found.extend(container.map(|id| (Kind::Container, "container", id.to_owned()))),
    }
    let unit = parts.iter().rposition(|part| is_unit(part));
    let around = parts.get(..unit.unwrap_or(parts.len())).unwrap_or_default();
    let is_slice = |part: &&&str| part.strip_suffix(".slice").is_some_and(|stem| !stem.is_empty());
    let slice = around.iter().rev().find(is_slice);
    let unit = unit.and_then(|place| parts.get(place));
    found.extend(unit.map(|unit| (Kind::Systemd, "unit", (*unit).to_owned())));
    found.extend(slice.map(|slice| (Kind::Systemd, "slice", (*slice).to_owned())));
    found
}

/// `job_N`, below a part that is Slurm's, and `step_M` right below it.
fn slurm(parts: &[&str]) -> Vec<(Kind, &'static str, String)> {
    let number = |part: &str| {
        let job = part.strip_prefix("job_")?;
        (!job.is_empty() && job.bytes().all(|digit| digit.is_ascii_digit())).then(|| job.to_owned())
    };
    let mut found = Vec::new();
    for (place, part) in parts.iter().enumerate().rev() {
        let Some(job) = number(part) else { continue };
        let above = parts.get(..place).unwrap_or_default();
        if above.iter().any(|part| part.starts_with("slurm") || part.ends_with("slurmstepd.scope"))
        {
            found.push((Kind::Slurm, "job", job));
            let step = parts.get(place + 1).and_then(|part| part.strip_prefix("step_"));
            let step = step.filter(|step| !step.is_empty());
            found.extend(step.map(|step| (Kind::Slurm, "step", step.to_owned())));
            break;
        }
    }
    found
}

/// The id of the container whose cgroup a part is.
fn container_of(part: &str) -> Option<&str> {
    let is_id = |id: &&str| id.len() == ID_DIGITS && id.bytes().all(|c| c.is_ascii_hexdigit());
    if is_id(&part) {
        return Some(part);
    }
    let name = part.strip_suffix(".scope").unwrap_or(part);
    let (runtime, id) = name.rsplit_once('-')?;
    RUNTIMES.contains(&runtime).then_some(id).filter(is_id)
}

/// The uid of the pod whose cgroup a part is: `podUID`, or with the driver for systemd `…-podUID.slice`, where hyphens
/// of the uid are underscores. That of a static pod has no hyphens.
fn pod_of(part: &str) -> Option<String> {
    let name = part.strip_suffix(".slice").unwrap_or(part);
    let uid = match name.rsplit_once("-pod") {
        Some((before, uid)) if before.contains("kubepods") => uid.replace('_', "-"),
        _ => name.strip_prefix("pod")?.to_owned(),
    };
    let digits = uid.bytes().filter(|&c| c != b'-');
    let hex = digits.clone().all(|c| c.is_ascii_hexdigit()) && digits.count() == 32;
    (hex && (uid.len() == 32 || uid.len() == 36)).then_some(uid)
}

/// Endings of units that hold processes (systemd.unit(5)).
fn is_unit(part: &str) -> bool {
    let stem = [".service", ".scope", ".socket", ".mount", ".swap"];
    stem.iter().any(|end| part.strip_suffix(end).is_some_and(|stem| !stem.is_empty()))
}
