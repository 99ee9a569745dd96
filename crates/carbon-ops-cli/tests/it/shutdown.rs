//! A real kernel: an ext4 file system on a loop device is shut down under a writer, a hundred times.
//!
//! The ioctl stops all writes to the device at once, the journal's too, so what was not synced is gone
//! when the file system is mounted again. Acknowledgements are counted before the ioctl is called: ext4
//! lets a sync that is in flight return success after it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::home::Home;
use crate::writer::{NOW, Random, Told, World, check, create, opened, payload, start};
use carbon_ops_testkit::skip::{can, is_root, say, skip};

const SHUTDOWNS: u32 = 100;
/// After so many a new ledger is begun, so that verifying it again and again stays cheap.
const SHUTDOWNS_OF_A_LEDGER: u32 = 5;
const SEED: u64 = 20_261_124;

/// Calls the ioctl, which takes a C function: `EXT4_IOC_SHUTDOWN` = `_IOR('X', 125, __u32)` with
/// `EXT4_GOING_FLAGS_NOLOGFLUSH` = 2 (Linux, `fs/ext4/ext4.h`). One process for all of them.
const SHUTDOWN_PY: &str = "\
import fcntl, os, struct, sys
for line in sys.stdin:
    fd = os.open(line.rstrip('\\n'), os.O_RDONLY)
    fcntl.ioctl(fd, 0x8004587d, struct.pack('=I', 2))
    os.close(fd)
    print('down', flush=True)
";

/// A file system in a file, on a loop device.
struct Ext4 {
    device: String,
    mount: PathBuf,
}

fn does(program: &str, arguments: &[&str]) -> Result<String, String> {
    let done = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let done = done.map_err(|error| format!("{program}: {error}"))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned());
    }
    Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr).trim()))
}

impl Ext4 {
    fn make(home: &Home) -> Result<Self, String> {
        let (image, mount) = (home.path("image"), home.path("mount"));
        let file = fs::File::create(&image).unwrap();
        file.set_len(64 << 20).unwrap();
        fs::create_dir(&mount).unwrap();
        let image = image.to_str().unwrap();
        does("mkfs.ext4", &["-q", "-F", image])?;
        let device = does("losetup", &["--find", "--show", image])?;
        let made = Self { device, mount };
        made.mount()?;
        Ok(made)
    }

    /// Mounts it, afresh: as long as another mount namespace keeps the one that was shut down, the kernel
    /// gives that again.
    fn mount(&self) -> Result<(), String> {
        let began = Instant::now();
        loop {
            does("mount", &["-t", "ext4", &self.device, self.mount.to_str().unwrap()])?;
            let probe = self.mount.join("probe");
            match fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)) {
                Err(_) if began.elapsed() < Duration::from_secs(20) => self.unmount()?,
                Err(error) => return Err(format!("{}: {error}", self.mount.display())),
                Ok(()) => return Ok(()),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn unmount(&self) -> Result<(), String> {
        let began = Instant::now();
        loop {
            match does("umount", &[self.mount.to_str().unwrap()]) {
                // Somebody that was killed may still be on the way out.
                Err(error)
                    if error.contains("busy") && began.elapsed() < Duration::from_secs(10) =>
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
                other => return other.map(drop),
            }
        }
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        let _ = does("umount", &["-l", self.mount.to_str().unwrap()]);
        let _ = does("losetup", &["-d", &self.device]);
    }
}

/// The process that calls the ioctl.
struct Switch(Child, ChildStdin, BufReader<ChildStdout>);

impl Switch {
    fn new() -> Self {
        let mut child = Command::new("python3")
            .args(["-c", SHUTDOWN_PY])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self(child, to, BufReader::new(from))
    }

    fn off(&mut self, mount: &Path) {
        writeln!(self.1, "{}", mount.display()).unwrap();
        let mut answer = String::new();
        self.2.read_line(&mut answer).unwrap();
        assert_eq!(answer, "down\n");
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A fresh ext4, or the reason why there is none.
fn ext4(home: &Home) -> Option<Ext4> {
    if !is_root() {
        skip("ext4", "loop devices and mounts take root");
        return None;
    }
    if !can("command -v mkfs.ext4 losetup mount umount python3") {
        skip("ext4", "mkfs.ext4 (e2fsprogs), losetup, mount and python3 are needed");
        return None;
    }
    match Ext4::make(home) {
        Ok(made) => Some(made),
        Err(why) => {
            skip("ext4", &why);
            None
        }
    }
}

#[test]
fn a_file_system_that_is_shut_down_a_hundred_times_loses_nothing_that_was_acknowledged() {
    let home = Home::new();
    let Some(ext4) = ext4(&home) else { return };
    let (mut switch, mut random, began) = (Switch::new(), Random(SEED), Instant::now());
    let (mut told, mut dir) = (Told::default(), PathBuf::new());
    let (mut acknowledged, mut signed, mut torn) = (0, 0, 0);
    for shutdown in 0..SHUTDOWNS {
        if shutdown % SHUTDOWNS_OF_A_LEDGER == 0 {
            dir = ext4.mount.join(format!("ledger-{shutdown}"));
            create(&dir);
            told = Told::default();
        }
        let world = World::default();
        let mut writer =
            start(&dir, shutdown, u32::try_from(random.below(1 << 31)).unwrap(), &world);
        // Not before it has written, and then at any moment.
        while world.lock().unwrap().acknowledged.is_empty() {
            std::thread::sleep(Duration::from_millis(1));
            assert_eq!(world.lock().unwrap().stopped, [""; 0]);
        }
        std::thread::sleep(Duration::from_micros(random.below(60_000)));
        // Crash here: only what was told before counts.
        let heard = std::mem::take(&mut *world.lock().unwrap());
        switch.off(&ext4.mount);
        writer.kill().unwrap();
        writer.wait().unwrap();
        while Arc::strong_count(&world) > 1 {
            std::thread::sleep(Duration::from_millis(1));
        }
        acknowledged += heard.acknowledged.values().sum::<u32>();
        signed += heard.signed.len();
        told.acknowledged.extend(heard.acknowledged);
        told.signed.extend(heard.signed);
        ext4.unmount().unwrap();
        ext4.mount().unwrap();
        check(&dir, &told);
        let evidence = fs::read_dir(&dir).unwrap();
        torn = torn.max(evidence.filter(is_evidence).count());
    }
    say(&format!(
        "{SHUTDOWNS} shutdowns in {:.1} s: {acknowledged} acknowledged records and {signed} \
         checkpoints, none lost; at most {torn} torn ends in a ledger",
        began.elapsed().as_secs_f64()
    ));
}

fn is_evidence(item: &std::io::Result<fs::DirEntry>) -> bool {
    item.as_ref().is_ok_and(|item| item.file_name().to_string_lossy().contains(".torn-"))
}

#[test]
fn a_file_system_that_turns_read_only_stops_the_writer_and_nothing_else() {
    let home = Home::new();
    let Some(ext4) = ext4(&home) else { return };
    let (dir, now) = (ext4.mount.join("ledger"), NOW);
    create(&dir);
    let mount = ext4.mount.to_str().unwrap();
    opened(&dir, |ledger| {
        ledger.append(payload(0, 0), now)?;
        does("mount", &["-o", "remount,ro", mount]).unwrap();
        let error = ledger.append(payload(0, 1), now).unwrap_err();
        assert!(error.to_string().contains("Read-only file system"), "{error}");
        does("mount", &["-o", "remount,rw", mount]).unwrap();
        ledger.append(payload(0, 1), now).map(drop)
    })
    .unwrap();
    let acknowledged = [(0, 2)].into();
    assert_eq!(check(&dir, &Told { acknowledged, ..Told::default() }), 3);
}
