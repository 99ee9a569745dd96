//! Runs a part of a test as another user, in a thread of its own: Linux keeps credentials by thread,
//! and a socket remembers those of the thread that connected.
#![expect(unsafe_code, reason = "the C library would change all threads; the proof stands below")]

/// The user and the group `nobody`, as Linux has them (the overflow ids).
pub(crate) const NOBODY: u32 = 65_534;

/// Runs `part` as nobody, in no other group; its result.
pub(crate) fn as_nobody<T: Send>(part: impl FnOnce() -> T + Send) -> T {
    as_user(NOBODY, part)
}

/// Runs `part` as this user, in the group of the same number alone; its result.
pub(crate) fn as_user<T: Send>(id: u32, part: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            become_user(id);
            part()
        });
        thread.join().unwrap()
    })
}

fn become_user(id: u32) {
    let id = libc::c_long::from(id);
    let none: *const libc::gid_t = std::ptr::null();
    // SAFETY: these system calls take integers and a list of no groups, and touch no memory of ours.
    // Called directly, they change this thread alone, which ends with the test's part.
    let results = unsafe {
        [
            libc::syscall(libc::SYS_setgroups, 0, none),
            libc::syscall(libc::SYS_setresgid, id, id, id),
            libc::syscall(libc::SYS_setresuid, id, id, id),
        ]
    };
    assert_eq!(results, [0; 3], "{}", std::io::Error::last_os_error());
}
