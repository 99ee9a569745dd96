//! Names of work, from real-looking paths and variables.

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;

use super::*;

const ID: &str = "0f4b6a9d3c2e1f0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0c9d8e7f60";
const UID: &str = "7b1e4c2a-90d3-4f5e-8a6b-1c2d3e4f5a6b";

#[test]
fn only_an_identity_of_a_record_is_a_parent() {
    let of = |id: &str| parent(&Env::fake(&[(PARENT, id)])).ok();
    let id = "0123456789abcdef0123456789abcdef";
    assert_eq!(of(id), Some(Some(id.to_owned())));
    assert_eq!(of(""), Some(None));
    assert_eq!(parent(&Env::fake(&[])).unwrap(), None);
    for wrong in ["1", "0123456789ABCDEF0123456789ABCDEF", &format!("{id}0"), &"x".repeat(32)] {
        assert_eq!(of(wrong), None, "{wrong}");
    }
}

/// Kind and ids with spaces between.
fn text(unit: &Unit) -> String {
    let ids = unit.ids.iter().map(|(name, id)| format!(" {name}={id}"));
    format!("{}{}", unit.kind, ids.collect::<String>())
}

/// A host without any file.
fn nowhere() -> (tempfile::TempDir, HostRoot) {
    let dir = tempfile::tempdir().unwrap();
    let host = HostRoot::at(dir.path());
    (dir, host)
}

fn of_path(path: &str) -> Option<String> {
    let (_dir, host) = nowhere();
    Units::default().of(&host, &Arc::from(path)).map(|unit| text(&unit))
}

/// Paths as each runtime makes them, by both versions and both of Kubernetes' drivers.
#[test]
fn the_path_of_a_cgroup_names_the_work_in_it() {
    let escaped = UID.replace('-', "_");
    let pod = format!("kubernetes container_id={ID} pod_uid={UID}");
    let container = format!("container container={ID}");
    for (path, expected) in [
        ("/system.slice/nginx.service".to_owned(), "systemd slice=system.slice unit=nginx.service"),
        (
            "/system.slice/system-getty.slice/getty@tty1.service".to_owned(),
            "systemd slice=system-getty.slice unit=getty@tty1.service",
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/editor.service".to_owned(),
            "systemd slice=app.slice unit=editor.service",
        ),
        (
            "/user.slice/user-1000.slice/session-3.scope".to_owned(),
            "systemd slice=user-1000.slice unit=session-3.scope",
        ),
        ("/user.slice".to_owned(), "systemd slice=user.slice"),
        ("/init.scope".to_owned(), "systemd unit=init.scope"),
        (format!("/docker/{ID}"), &container),
        (format!("/system.slice/docker-{ID}.scope"), &container),
        (format!("/system.slice/docker-{ID}.scope/init"), &container),
        (format!("/machine.slice/libpod-{ID}.scope/container"), &container),
        (
            format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"),
            &container,
        ),
        (format!("/libpod_parent/libpod-{ID}"), &container),
        (format!("/system.slice/nerdctl-{ID}.scope"), &container),
        (
            format!(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{escaped}.slice/cri-containerd-{ID}.scope"
            ),
            &pod,
        ),
        (format!("/kubepods.slice/kubepods-pod{escaped}.slice/crio-{ID}.scope"), &pod),
        (format!("/kubepods/burstable/pod{UID}/{ID}"), &pod),
        (format!("/kubepods/pod{UID}/{ID}/nested"), &pod),
        (format!("/docker/{}/kubelet/kubepods/besteffort/pod{UID}/{ID}", "a".repeat(64)), &pod),
        (
            format!(
                "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{escaped}.slice/cri-containerd-{ID}.scope"
            ),
            &pod,
        ),
        (format!("/kubepods/burstable/pod{UID}"), &format!("kubernetes pod_uid={UID}")),
        // A static pod has the digest of its file.
        (
            format!("/kubepods/burstable/pod{}/{ID}", "5".repeat(32)),
            &format!("kubernetes container_id={ID} pod_uid={}", "5".repeat(32)),
        ),
        ("/slurm/uid_1000/job_4711/step_0/task_0".to_owned(), "slurm job=4711 step=0"),
        ("/slurm_n1/uid_1000/job_4711/step_extern".to_owned(), "slurm job=4711 step=extern"),
        ("/slurm/uid_1000/job_4711".to_owned(), "slurm job=4711"),
        (
            "/system.slice/slurmstepd.scope/job_4711/step_batch/user/task_0".to_owned(),
            "slurm job=4711 step=batch",
        ),
        (
            "/system.slice/n1_slurmstepd.scope/job_4711/step_2/user".to_owned(),
            "slurm job=4711 step=2",
        ),
        // A container in a job of Slurm is that job's.
        (format!("/slurm/uid_1000/job_7/step_0/libpod-{ID}.scope"), "slurm job=7 step=0"),
    ] {
        assert_eq!(of_path(&path).as_deref(), Some(expected), "{path}");
    }
}

#[test]
fn what_only_looks_like_a_unit_of_work_is_none() {
    for (path, expected) in [
        ("/", None),
        ("", None),
        ("/home/job_5/step_1", None),
        ("/slurm/job_x/step_1", None),
        ("/slurm/job_/step_1", None),
        ("/kubepods/pod1234", None),
        ("/docker/abc", None),
        ("/.service/.scope", None),
    ] {
        assert_eq!(of_path(path).as_deref(), expected, "{path}");
    }
    // One digit short, or another runtime's word.
    for path in [format!("/docker/{}", &ID[1..]), format!("/x/other-{ID}")] {
        assert_eq!(of_path(&path), None, "{path}");
    }
}

#[test]
fn a_pod_has_its_names_from_the_folders_of_its_logs() {
    let (dir, host) = nowhere();
    let path = Arc::from(format!("/kubepods/burstable/pod{UID}/{ID}"));
    let mut units = Units::default();
    let mut found = || {
        units.next_round();
        text(&units.of(&host, &path).unwrap())
    };
    assert_eq!(found(), format!("kubernetes container_id={ID} pod_uid={UID}"));
    let logs = dir.path().join("var/log/pods");
    fs::create_dir_all(logs.join(format!("shop_web-0_{UID}/app"))).unwrap();
    fs::create_dir_all(logs.join("not-a-pod")).unwrap();
    // What was not there yet is found when it is.
    let names = format!("container=app container_id={ID} namespace=shop pod=web-0 pod_uid={UID}");
    assert_eq!(found(), format!("kubernetes {names}"));
}

#[test]
fn what_nobody_types_is_shown_by_its_first_digits() {
    let short_of = |path: String| {
        let (_dir, host) = nowhere();
        short(&Units::default().of(&host, &Arc::from(path)).unwrap())
    };
    assert_eq!(short_of(format!("/docker/{ID}")), "0f4b6a9d3c2e");
    assert_eq!(short_of(format!("/kubepods/pod{UID}/{ID}")), "0f4b6a9d3c2e/7b1e4c2a");
    assert_eq!(short_of("/system.slice/nginx.service".into()), "nginx.service");
    assert_eq!(short_of("/user.slice".into()), "user.slice");
}

#[test]
fn of_several_containers_the_id_tells_the_name() {
    let (dir, host) = nowhere();
    let log = dir.path().join("var/log");
    for container in ["app", "proxy"] {
        fs::create_dir_all(log.join(format!("pods/shop_web-0_{UID}/{container}"))).unwrap();
    }
    let of = |host: &HostRoot| {
        let path = Arc::from(format!("/kubepods/pod{UID}/{ID}"));
        short(&Units::default().of(host, &path).unwrap())
    };
    assert_eq!(of(&host), "shop/web-0");
    fs::create_dir_all(log.join("containers")).unwrap();
    fs::write(log.join(format!("containers/web-0_shop_proxy-{ID}.log")), "").unwrap();
    assert_eq!(of(&host), "shop/web-0/proxy");
}

fn own_of(variables: &[(&str, &str)], cgroup: &str) -> Option<String> {
    let (dir, host) = nowhere();
    fs::create_dir_all(dir.path().join("proc/self")).unwrap();
    fs::write(dir.path().join("proc/self/cgroup"), cgroup).unwrap();
    own(&Env::fake(variables), &host).map(|unit| text(&unit))
}

const GITHUB: [(&str, &str); 6] = [
    ("GITHUB_REPOSITORY", "o/r"),
    ("GITHUB_WORKFLOW", "ci"),
    ("GITHUB_RUN_ID", "42"),
    ("GITHUB_RUN_ATTEMPT", "2"),
    ("GITHUB_JOB", "build"),
    ("GITHUB_SHA", "c0ffee"),
];

#[test]
fn variables_name_the_work_of_this_process() {
    let slurm =
        [("SLURM_JOB_ID", "12"), ("SLURM_JOB_PARTITION", "gpu"), ("SLURM_JOB_ACCOUNT", "ml")];
    let otel = "service.name=pay%20ment,service.namespace=shop,service.instance.id=i-1";
    for (variables, expected) in [
        (&GITHUB[..], "github attempt=2 commit=c0ffee job=build repository=o/r run=42 workflow=ci"),
        (
            &[("CI_PROJECT_PATH", "g/p"), ("CI_PIPELINE_ID", "9"), ("CI_JOB_NAME", "test")],
            "gitlab job=test repository=g/p run=9",
        ),
        (&slurm, "slurm account=ml job=12 partition=gpu"),
        (&[("MLFLOW_RUN_ID", "abc"), ("MLFLOW_EXPERIMENT_ID", "3")], "mlflow experiment=3 run=abc"),
        (
            &[("OTEL_RESOURCE_ATTRIBUTES", otel)],
            "otel instance=i-1 namespace=shop service=pay ment",
        ),
        (
            &[("OTEL_RESOURCE_ATTRIBUTES", "service.name=a"), ("OTEL_SERVICE_NAME", "b")],
            "otel service=b",
        ),
        (
            &[("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=web-0,k8s.namespace.name=shop")],
            "kubernetes namespace=shop pod=web-0",
        ),
        (&[("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("HOSTNAME", "web-0")], "kubernetes pod=web-0"),
    ] {
        assert_eq!(own_of(variables, "0::/\n").as_deref(), Some(expected), "{variables:?}");
    }
    // A name of a host alone is no pod's, and a workflow without a run is none.
    for nothing in [&[("HOSTNAME", "laptop")][..], &[("GITHUB_WORKFLOW", "ci")], &[]] {
        assert_eq!(own_of(nothing, "0::/\n"), None, "{nothing:?}");
    }
}

/// Each kind beats all that come after it.
#[test]
fn the_kind_that_its_owner_is_nearest_to_wins() {
    let pod = format!("0::/kubepods/pod{UID}/{ID}\n");
    let of = |variables: &[(&str, &str)], cgroup: &str| {
        own_of(variables, cgroup).map(|text| text.split(' ').next().unwrap().to_owned())
    };
    let mut variables =
        vec![("MLFLOW_RUN_ID", "a"), ("GITHUB_RUN_ID", "1"), ("CI_PIPELINE_ID", "1")];
    variables.extend([("SLURM_JOB_ID", "1"), ("OTEL_SERVICE_NAME", "s")]);
    for expected in ["mlflow", "github", "gitlab", "slurm", "otel", "kubernetes"] {
        assert_eq!(of(&variables, &pod).as_deref(), Some(expected));
        if !variables.is_empty() {
            variables.remove(0);
        }
    }
    let docker = format!("0::/system.slice/docker-{ID}.scope\n");
    assert_eq!(of(&[], &docker).as_deref(), Some("container"));
    let ranks: Vec<_> = Kind::ALL.into_iter().collect();
    assert!(ranks.is_sorted() && ranks.len() == 9);
}

#[test]
fn of_version_1_any_hierarchy_may_tell() {
    let text = "12:memory:/slurm/uid_0/job_5/step_1/task_0\n5:cpuacct,cpu:/\n1:name=systemd:/system.slice/slurmd.service\n";
    assert_eq!(own_of(&[], text).as_deref(), Some("slurm job=5 step=1"));
}

#[test]
fn what_is_read_stands_in_one_list_and_names_nobody() {
    let names: BTreeSet<_> = VARIABLES.into_iter().collect();
    assert_eq!(names.len(), VARIABLES.len(), "each once");
    let of_people = ["ACTOR", "USER", "EMAIL", "AUTHOR", "TRIGGERING", "TOKEN", "LOGIN", "SECRET"];
    assert!(names.iter().all(|name| !of_people.iter().any(|word| name.contains(word))));
    assert!(names.contains("SLURM_JOB_ID") && names.contains("HOSTNAME"));
}

#[test]
fn ids_by_hand_are_named_once_and_have_room() {
    let unit = manual([("job", "nightly"), ("shard", "3")]).unwrap().unwrap();
    assert_eq!(text(&unit), "manual job=nightly shard=3");
    assert_eq!(manual([]).unwrap(), None);
    let long = "x".repeat(257);
    for wrong in [&[("", "x")][..], &[("a", "")], &[("a", &long)], &[("a", "1"), ("a", "2")]] {
        assert!(manual(wrong.iter().copied()).is_err(), "{wrong:?}");
    }
}

#[test]
fn ids_that_differ_beyond_the_room_for_them_stay_two() {
    let (one, other) = (format!("{}1", "é".repeat(400)), format!("{}2", "é".repeat(400)));
    let [one, other] = [one, other].map(|text| bounded(&text).unwrap());
    assert!(one != other && one.len() <= 256 && other.len() <= 256, "{one} {other}");
    assert_eq!(bounded("a\u{1b}[2Jb\n").as_deref(), Some("a\\u{1b}[2Jb"));
    assert_eq!((bounded(""), bounded(" \n")), (None, None));
}

proptest! {
    /// Whatever a path or a variable holds: a unit that a record takes, without control characters.
    #[test]
    fn hostile_names_are_bounded(
        path in "(/[\\x00-\\x7fé]{0,300}(\\.service|\\.slice|)){0,6}",
        job in "\\PC{0,600}|[\\x00-\\x1f]{0,9}",
        slurm in any::<bool>(),
    ) {
        let path = if slurm { format!("/slurm/job_1/step_{job}{path}") } else { path };
        let (_dir, host) = nowhere();
        let of_path = Units::default().of(&host, &Arc::from(&*path)).map(|unit| (*unit).clone());
        let of_own = own(&Env::fake(&[("SLURM_JOB_ID", &job)]), &host);
        for unit in [of_path, of_own].into_iter().flatten() {
            prop_assert!(!unit.ids.is_empty() && unit.ids.len() <= 64);
            for id in unit.ids.values() {
                prop_assert!((1..=256).contains(&id.len()) && !id.chars().any(char::is_control));
            }
        }
    }
}
