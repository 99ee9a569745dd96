//! The governor from outside: is its socket there, does somebody listen, may this user come in?
//!
//! Out of scope: what the answer says.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use super::check::{Check, Remedy, Status, Touch};
use super::process::{Process, owned};
use crate::host_root::HostRoot;

/// Whose members it serves.
pub const GROUP: &str = "carbon-users";

/// `useful`: there are counters that a governor could read.
pub(super) fn socket(
    host: &HostRoot,
    who: Option<&Process>,
    touch: Touch<'_>,
    useful: bool,
) -> Check {
    let check = |status, detail: String| Check::new("governor", status, detail);
    let socket = touch.socket;
    // As whoever asks takes it.
    let path = Path::new(socket);
    let path = if path.is_absolute() { host.path(socket) } else { path.to_owned() };
    let file = match fs::symlink_metadata(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let check = check(Status::Absent, format!("no governor listens at {socket}"));
            return if useful { check.remedy(Remedy::StartGovernor) } else { check };
        }
        Err(error) => return check(Status::Problem, format!("{socket}: {error}")),
    };
    if !file.file_type().is_socket() {
        let detail = format!("{socket} is there, but is not a socket");
        let path = socket.to_owned();
        return check(Status::Problem, detail).remedy(Remedy::InspectSocket { path });
    }
    let mode = owned(host, &file);
    match (touch.ask)(&path) {
        Ok(answer) if answer.contains("\"status\":\"stale\"") => {
            let detail = format!("{socket} answers ({mode}), but has taken no sample lately");
            check(Status::Problem, detail).remedy(Remedy::InspectGovernor)
        }
        Ok(answer) if answer.starts_with('{') && answer.contains("\"status\"") => {
            check(Status::Ok, format!("answers at {socket} ({mode})"))
        }
        Ok(_) => {
            let detail = format!("something answers at {socket}, but no governor");
            check(Status::Problem, detail).remedy(Remedy::RestartGovernor)
        }
        Err(error) => match error.kind() {
            io::ErrorKind::PermissionDenied => {
                let user = who.map_or("this user", |who| &who.user);
                let detail = format!("{socket} is {mode}, and refuses {user}");
                check(Status::Denied, detail).remedy(join(user))
            }
            io::ErrorKind::ConnectionRefused => {
                let detail = format!("{socket} is left over: nobody listens");
                check(Status::Problem, detail).remedy(Remedy::RestartGovernor)
            }
            io::ErrorKind::WouldBlock => {
                let detail = format!("{socket} does not answer: its queue is full");
                check(Status::Problem, detail).remedy(Remedy::RestartGovernor)
            }
            // A service manager holds the socket also while the service fails.
            io::ErrorKind::TimedOut => {
                let detail = format!("{socket} takes the question, but nobody answers");
                check(Status::Problem, detail).remedy(Remedy::InspectGovernor)
            }
            _ => {
                check(Status::Problem, format!("{socket}: {error}")).remedy(Remedy::InspectGovernor)
            }
        },
    }
}

fn join(user: &str) -> Remedy {
    Remedy::JoinGroup { user: user.to_owned() }
}

pub(super) fn group(host: &HostRoot, who: Option<&Process>) -> Check {
    let check = |status, detail: String| Check::new("group", status, detail);
    let table = host.text("/etc/group").unwrap_or_default();
    let row = table.lines().find_map(|line| line.strip_prefix(GROUP)?.strip_prefix(':'));
    let Some(row) = row else {
        return check(Status::Absent, format!("no group {GROUP}, which the governor serves"));
    };
    let mut fields = row.split(':').skip(1);
    let gid = fields.next().and_then(|gid| gid.parse::<u32>().ok());
    let mut members = fields.next().unwrap_or_default().split(',');
    let Some(who) = who else {
        return check(Status::Problem, "who asks cannot be told without /proc/self/status".into());
    };
    if who.uid == 0 {
        return check(Status::Ok, format!("root needs no membership of {GROUP}"));
    }
    if gid.is_some_and(|gid| who.groups.contains(&gid)) {
        return check(Status::Ok, format!("{} is in {GROUP}", who.user));
    }
    if members.any(|member| member == who.user) {
        let detail = format!("{} is in {GROUP}, but this session began before that", who.user);
        return check(Status::Problem, detail).remedy(Remedy::LogInAgain);
    }
    check(Status::Denied, format!("{} is not in {GROUP}", who.user)).remedy(join(&who.user))
}
