//! `cargo xtask package`: a Debian package, tarballs and a list of what is in them, the same bytes from any folder.
//!
//! What is installed where stands in `packaging/debian/files`, once for the package and the tarball. The package is put
//! together by `dpkg-deb`, which every Debian machine has, from that table: no tool that generates packaging has to be
//! fetched, and an auditor sees each file by name.
//!
//! Out of scope: signing, uploading, and packages of other distributions, which may start from the tarball.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use serde_json::Value;

use crate::tidy::{self, sha256_hex};

mod sbom;

/// Programs that are linked dynamically, with their packages.
const DYNAMIC: [(&str, &str); 2] =
    [("carbon-ops-cli", "carbon-ops"), ("carbon-ops-governor", "carbon-governor")];

/// Programs without anything around them; a governor without GPUs, whose library no static program can load.
const STATIC: [(&str, &str); 2] =
    [("carbon-ops-verify", "carbon-ops-verify"), ("carbon-ops-governor", "carbon-governor")];

/// Where the table of files stands.
const FILES: &str = "packaging/debian/files";

/// What dpkg runs.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// What `--check` needs beside a compiler.
const CHECKERS: [&str; 2] = ["lintian", "debootstrap"];

/// What is asked for.
#[derive(Debug, Default)]
pub(crate) struct Options {
    out: Option<PathBuf>,
    check: bool,
}

impl Options {
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--out" => {
                    options.out =
                        Some(PathBuf::from(words.next().context("--out names a folder")?));
                }
                "--check" => options.check = true,
                other => bail!("cargo xtask package knows no {other}"),
            }
        }
        Ok(options)
    }
}

/// How it ended.
pub(crate) enum Packages {
    Fine,
    /// What was not checked, and why.
    NotChecked(String),
}

/// Makes the packages; with `--check` twice, from two folders, and installs them.
pub(crate) fn run(root: &Path, options: &Options) -> Result<Packages> {
    let target = target(root)?.join("packages");
    let out = options.out.clone().unwrap_or_else(|| target.join("out"));
    let moment = Moment::of(root)?;
    let first = make(root, &target, &moment, &out)?;
    println!("packages in {}:", out.display());
    for (name, sum) in &first {
        println!("  {sum}  {name}");
    }
    if !options.check {
        return Ok(Packages::Fine);
    }
    twice(root, &target, &moment, &first)?;
    let missing: Vec<_> = CHECKERS.into_iter().filter(|program| !answers(program)).collect();
    if !missing.is_empty() {
        return Ok(Packages::NotChecked(format!("packages: no {}", missing.join(", no "))));
    }
    let package = first.keys().find(|name| is_package(name)).context("no package was made")?;
    lint(&out.join(package))?;
    let script = root.join("packaging/debian/try-in-chroot");
    done(Command::new(script).arg(out.join(package)).arg(target.join("chroot")))?;
    Ok(Packages::Fine)
}

fn is_package(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|ending| ending == "deb")
}

/// When it is said to have been made, and of what: the commit's own, so that nobody's clock is in the bytes.
#[derive(Debug)]
struct Moment {
    epoch: u64,
    commit: String,
}

impl Moment {
    fn of(root: &Path) -> Result<Self> {
        let said =
            |arguments: &[&str]| output(Command::new("git").args(arguments).current_dir(root));
        let epoch = std::env::var("SOURCE_DATE_EPOCH")
            .or_else(|_| said(&["log", "-1", "--format=%ct"]))?
            .trim()
            .parse()
            .context("SOURCE_DATE_EPOCH is a number of seconds")?;
        let commit = said(&["rev-parse", "--short=12", "HEAD"])?.trim().to_owned();
        let changed = said(&["status", "--porcelain", "--untracked-files=no"])?;
        let commit = if changed.is_empty() { commit } else { format!("{commit}, changed") };
        Ok(Self { epoch, commit })
    }
}

/// Builds everything from the sources in `root` into `target`, and puts it together in `out`; the sums by name.
fn make(
    root: &Path,
    target: &Path,
    moment: &Moment,
    out: &Path,
) -> Result<BTreeMap<String, String>> {
    let host = host()?;
    let build = Build { root, target, host: &host, moment };
    build.cargo(&DYNAMIC, "")?;
    build.cargo(&STATIC, "-Ctarget-feature=+crt-static")?;
    let stage = target.join("stage");
    for folder in [&stage, &out.to_owned()] {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let built = stage.join("built");
    build.take(&DYNAMIC, "dynamic", &built)?;
    written(&built, root)?;
    let version = tidy::string(&package_of(root, "carbon-ops-cli")?, "version")
        .context("no version")?
        .to_owned();
    let all = stage.join("all");
    lay(root, &built, &all, moment)?;
    let named = format!("carbon-ops-{version}-{host}");
    deb(root, &all, &stage.join("deb"), (&version, moment), out)?;
    tarball(&all, &named, moment, out)?;
    for program in STATIC {
        let alone = stage.join(program.1);
        build.take(&[program], "static", &alone)?;
        fs::copy(root.join("LICENSE"), alone.join("LICENSE"))?;
        fs::write(alone.join(format!("{}.cdx.json", program.1)), sbom::of(root, &[program])?)?;
        tarball(&alone, &format!("{}-{version}-{host}-static", program.1), moment, out)?;
    }
    let mut sums = BTreeMap::new();
    for entry in fs::read_dir(out)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        sums.insert(name, sha256_hex(&fs::read(&path)?));
    }
    let list: String = sums.iter().flat_map(|(name, sum)| [sum, "  ", name, "\n"]).collect();
    fs::write(out.join("SHA256SUMS"), list)?;
    Ok(sums)
}

/// One build of programs, whose bytes hang on sources and compiler alone.
struct Build<'a> {
    root: &'a Path,
    target: &'a Path,
    host: &'a str,
    moment: &'a Moment,
}

impl Build<'_> {
    fn cargo(&self, programs: &[(&str, &str)], flags: &str) -> Result<()> {
        let home = std::env::var("CARGO_HOME").map(PathBuf::from);
        let home =
            home.or_else(|_| std::env::var("HOME").map(|home| Path::new(&home).join(".cargo")))?;
        // The folders of this machine stay out of the program.
        let named = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
        let mut words = vec![
            named(&home, "/cargo"),
            named(self.target, "/target"),
            named(self.root, "/carbon-ops"),
        ];
        words.extend((!flags.is_empty()).then(|| flags.to_owned()));
        let mut command = Command::new("cargo");
        command.args(["build", "--release", "--locked", "--target", self.host]);
        for (package, program) in programs {
            command.args(["--package", package, "--bin", program]);
        }
        command
            .env("CARGO_TARGET_DIR", self.folder(flags.is_empty()))
            .env("CARGO_ENCODED_RUSTFLAGS", words.join("\u{1f}"))
            .env("CARBON_OPS_COMMIT", &self.moment.commit)
            .env("SOURCE_DATE_EPOCH", self.moment.epoch.to_string())
            .env("CARGO_INCREMENTAL", "0")
            .current_dir(self.root);
        done(&mut command)
    }

    fn folder(&self, is_dynamic: bool) -> PathBuf {
        self.target.join(if is_dynamic { "dynamic" } else { "static" })
    }

    /// Copies programs without the names of their functions.
    fn take(&self, programs: &[(&str, &str)], how: &str, to: &Path) -> Result<()> {
        fs::create_dir_all(to)?;
        for (_, program) in programs {
            let from = self.target.join(how).join(self.host).join("release").join(program);
            let taken = to.join(program);
            fs::copy(&from, &taken).with_context(|| format!("copying {}", from.display()))?;
            done(Command::new("strip").arg("--strip-unneeded").arg(&taken))?;
        }
        Ok(())
    }
}

/// What the command says of itself: manual pages and completions; and what it is made of.
fn written(built: &Path, root: &Path) -> Result<()> {
    let program = built.join("carbon-ops");
    done(Command::new(&program).arg("man").arg(built.join("man")))?;
    for entry in fs::read_dir(built.join("man"))? {
        let path = entry?.path();
        let packed = path.with_extension("1.gz");
        fs::write(&packed, gzipped(&fs::read(&path)?)?)?;
        fs::remove_file(&path)?;
    }
    let completions = built.join("completions");
    fs::create_dir_all(&completions)?;
    for (shell, name) in
        [("bash", "carbon-ops.bash"), ("zsh", "_carbon-ops"), ("fish", "carbon-ops.fish")]
    {
        let text = output(Command::new(&program).args(["completions", shell]))?;
        fs::write(completions.join(name), text)?;
    }
    fs::write(built.join("carbon-ops.cdx.json"), sbom::of(root, &DYNAMIC)?)?;
    Ok(())
}

/// Lays every file of the table into a folder.
fn lay(root: &Path, built: &Path, all: &Path, moment: &Moment) -> Result<()> {
    let table = fs::read_to_string(root.join(FILES)).context(FILES)?;
    for (number, line) in (1..).zip(table.lines()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (from, to, mode) = match words.as_slice() {
            [] => continue,
            [first, ..] if first.starts_with('#') => continue,
            [from, to, mode] => (*from, *to, u32::from_str_radix(mode, 8)?),
            _ => bail!("{FILES}: line {number} is not FROM TO MODE"),
        };
        let here = || format!("{FILES}: line {number}");
        let (how, name) = from.split_once(':').unwrap_or(("", from));
        let path = if how == "built" { built.join(name) } else { root.join(name) };
        let places = if let Some(folder) = to.strip_suffix('/') {
            let mut places = Vec::new();
            for entry in fs::read_dir(&path).with_context(here)? {
                let entry = entry?;
                places.push((entry.path(), all.join(folder).join(entry.file_name())));
            }
            places
        } else {
            vec![(path, all.join(to))]
        };
        for (path, place) in places {
            let bytes = fs::read(&path).with_context(here)?;
            let bytes = match how {
                "packed" => gzipped(&bytes)?,
                "unit" => {
                    String::from_utf8(bytes)?.replace("/usr/local/bin/", "/usr/bin/").into_bytes()
                }
                "" | "built" => bytes,
                other => bail!("{FILES}: line {number}: {other} is unknown"),
            };
            fs::create_dir_all(place.parent().unwrap_or(all))?;
            fs::write(&place, bytes)?;
            fs::set_permissions(&place, fs::Permissions::from_mode(mode))?;
        }
    }
    dated(all, moment)
}

/// All of a folder as of one time, with the modes that folders have everywhere.
fn dated(folder: &Path, moment: &Moment) -> Result<()> {
    let mut all = vec![folder.to_owned()];
    while let Some(path) = all.pop() {
        if path.is_dir() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            for entry in fs::read_dir(&path)? {
                all.push(entry?.path());
            }
        }
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(moment.epoch);
        File::open(&path)?.set_modified(time)?;
    }
    Ok(())
}

/// The Debian package of what was laid out.
fn deb(
    root: &Path,
    all: &Path,
    stage: &Path,
    (version, moment): (&str, &Moment),
    out: &Path,
) -> Result<()> {
    done(Command::new("cp").arg("-a").arg(all).arg(stage))?;
    let control = stage.join("DEBIAN");
    fs::create_dir(&control)?;
    let mut kib = 0;
    let mut glibc = (0, 0);
    let mut sums = String::new();
    for path in files(all)? {
        let bytes = fs::read(&path)?;
        kib += bytes.len().div_ceil(1024);
        let name = path.strip_prefix(all)?.display().to_string();
        if bytes.starts_with(b"\x7fELF") {
            glibc = glibc.max(oldest_glibc(&bytes));
        }
        if !name.starts_with("etc/") {
            let output = output(Command::new("md5sum").arg(&path))?;
            let sum = output.split(' ').next().unwrap_or_default();
            writeln!(sums, "{sum}  {name}")?;
        }
    }
    let architecture = output(Command::new("dpkg").arg("--print-architecture"))?;
    let text = fs::read_to_string(root.join("packaging/debian/control"))?
        .replace("@VERSION@", version)
        .replace("@ARCHITECTURE@", architecture.trim())
        .replace("@KIB@", &kib.to_string())
        .replace("@GLIBC@", &format!("{}.{}", glibc.0, glibc.1));
    fs::write(control.join("control"), text)?;
    fs::write(control.join("md5sums"), sums)?;
    fs::copy(root.join("packaging/debian/conffiles"), control.join("conffiles"))?;
    for script in SCRIPTS {
        let place = control.join(script);
        fs::copy(root.join("packaging/debian").join(script), &place)?;
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755))?;
    }
    for name in ["control", "md5sums", "conffiles"] {
        fs::set_permissions(control.join(name), fs::Permissions::from_mode(0o644))?;
    }
    dated(stage, moment)?;
    let mut command = Command::new("dpkg-deb");
    command.args(["--root-owner-group", "-Zxz", "--build"]).arg(stage).arg(out);
    // As many threads as cores would cut the stream otherwise on each machine.
    command.env("SOURCE_DATE_EPOCH", moment.epoch.to_string()).env("DPKG_DEB_THREADS_MAX", "1");
    done(&mut command)
}

/// The newest version of the C library that a program asks for.
fn oldest_glibc(program: &[u8]) -> (u32, u32) {
    const MARK: &[u8] = b"GLIBC_";
    let marks = program.windows(MARK.len()).enumerate().filter(|(_, bytes)| *bytes == MARK);
    let read = |(at, _): (usize, &[u8])| {
        let digits = program.get(at + MARK.len()..)?.split(|byte| *byte == 0).next()?;
        let (major, minor) = std::str::from_utf8(digits).ok()?.split_once('.')?;
        let minor = minor.split('.').next()?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    marks.filter_map(read).max().unwrap_or((2, 31))
}

/// Every file of a folder, in the order of names.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut left, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(path) = left.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                left.push(entry?.path());
            }
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// What was laid out, below one folder of this name, as a tar file in gzip.
fn tarball(all: &Path, named: &str, moment: &Moment, out: &Path) -> Result<()> {
    let file = File::create(out.join(format!("{named}.tar.gz")))?;
    let mut tar = tar::Builder::new(encoder(file));
    for path in files(all)? {
        let bytes = fs::read(&path)?;
        let mut header = tar::Header::new_gnu();
        header.set_mode(fs::metadata(&path)?.permissions().mode() & 0o777);
        header.set_mtime(moment.epoch);
        header.set_size(u64::try_from(bytes.len())?);
        let place = Path::new(named).join(path.strip_prefix(all)?);
        tar.append_data(&mut header, place, bytes.as_slice())?;
    }
    tar.into_inner()?.finish()?;
    Ok(())
}

/// No name and no time in the header.
fn encoder<W: std::io::Write>(to: W) -> GzEncoder<W> {
    GzBuilder::new().mtime(0).write(to, Compression::best())
}

fn gzipped(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut packed = encoder(Vec::new());
    packed.write_all(bytes)?;
    Ok(packed.finish()?)
}

/// Makes all of it again from a copy of the sources in another folder, and compares.
fn twice(
    root: &Path,
    target: &Path,
    moment: &Moment,
    first: &BTreeMap<String, String>,
) -> Result<()> {
    let again = target.join("again");
    if again.exists() {
        fs::remove_dir_all(&again)?;
    }
    let sources = again.join("a-longer-name-than-the-first");
    fs::create_dir_all(&sources)?;
    let tracked = output(Command::new("git").args(["ls-files", "-z"]).current_dir(root))?;
    for name in tracked.split_terminator('\0') {
        let (from, to) = (root.join(name), sources.join(name));
        fs::create_dir_all(to.parent().unwrap_or(&sources))?;
        fs::copy(&from, &to).with_context(|| name.to_owned())?;
    }
    let second = make(&sources, &again.join("target"), moment, &again.join("out"))?;
    let differ: Vec<_> =
        first.iter().filter(|(name, sum)| second.get(*name) != Some(*sum)).collect();
    ensure!(differ.is_empty() && first.len() == second.len(), "not the same bytes: {differ:?}");
    println!("{} files are the same bytes from another folder", first.len());
    fs::remove_dir_all(&again)?;
    Ok(())
}

/// What Debian's own judge says: any error or warning is one of ours.
fn lint(package: &Path) -> Result<()> {
    let mut command = Command::new("lintian");
    done(command.args(["--fail-on", "error,warning", "--allow-root"]).arg(package))
}

fn answers(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn package_of(root: &Path, name: &str) -> Result<Value> {
    let metadata = tidy::metadata(root, &["--no-deps"])?;
    let found = tidy::list(&metadata, "packages")
        .iter()
        .find(|package| tidy::string(package, "name") == Some(name));
    found.cloned().with_context(|| format!("no package {name}"))
}

/// The triple of this machine.
fn host() -> Result<String> {
    let text = output(Command::new("rustc").arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

fn target(root: &Path) -> Result<PathBuf> {
    let metadata = tidy::metadata(root, &["--no-deps"])?;
    Ok(PathBuf::from(tidy::string(&metadata, "target_directory").context("no target directory")?))
}

fn output(command: &mut Command) -> Result<String> {
    let done = command.output().with_context(|| format!("starting {command:?}"))?;
    ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?)
}

fn done(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_of_the_table_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let table = fs::read_to_string(root.join(FILES)).unwrap();
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [from, _, mode] = words[..] else { panic!("{line}") };
            assert!(["644", "755"].contains(&mode), "{line}");
            let (how, name) = from.split_once(':').unwrap_or(("", from));
            assert!(how == "built" || root.join(name).is_file(), "{line}");
            let is_local = |text: String| text.contains("/usr/local/bin/");
            assert!(how == "unit" || !name.ends_with("service"), "{line}");
            if name.ends_with("service") {
                assert!(is_local(fs::read_to_string(root.join(name)).unwrap()), "{line}");
            }
        }
    }

    #[test]
    fn the_changelog_of_the_package_is_of_this_version() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let text = fs::read_to_string(root.join("packaging/debian/changelog")).unwrap();
        assert!(
            text.starts_with(&format!("carbon-ops ({}) ", env!("CARGO_PKG_VERSION"))),
            "{text}"
        );
    }

    #[test]
    fn the_newest_version_that_a_program_asks_for_counts() {
        let program = b"x\0GLIBC_2.4\0GLIBC_2.34\0GLIBC_2.2.5\0GLIBC_PRIVATE\0 and some more text";
        assert_eq!(oldest_glibc(program), (2, 34));
    }

    #[test]
    fn a_tarball_is_the_same_bytes_each_time() {
        let room = tempfile::tempdir().unwrap();
        let all = room.path().join("all");
        fs::create_dir_all(all.join("usr/bin")).unwrap();
        fs::write(all.join("usr/bin/a"), "a").unwrap();
        let moment = Moment { epoch: 1_700_000_000, commit: String::new() };
        let make = |name: &str| {
            let out = room.path().join(name);
            fs::create_dir(&out).unwrap();
            tarball(&all, "x-1", &moment, &out).unwrap();
            fs::read(out.join("x-1.tar.gz")).unwrap()
        };
        let first = make("one");
        // Another time and owner of the files is no other content.
        fs::write(all.join("usr/bin/a"), "a").unwrap();
        assert_eq!(make("two"), first);
    }

    /// A package of programs that stand in for ours.
    #[test]
    fn a_package_has_each_file_of_the_table_and_what_dpkg_runs() {
        if !answers("dpkg-deb") {
            eprintln!("not tried: dpkg-deb is not installed");
            return;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let room = tempfile::tempdir().unwrap();
        let (built, all, out) =
            (room.path().join("built"), room.path().join("all"), room.path().join("out"));
        for folder in ["man", "completions"] {
            fs::create_dir_all(built.join(folder)).unwrap();
        }
        fs::create_dir(&out).unwrap();
        let program = b"\x7fELF\0GLIBC_2.34\0".as_slice();
        for name in ["carbon-ops", "carbon-governor"] {
            fs::write(built.join(name), program).unwrap();
        }
        fs::write(built.join("man/carbon-ops.1.gz"), gzipped(b".TH A 1\n").unwrap()).unwrap();
        for name in ["carbon-ops.bash", "_carbon-ops", "carbon-ops.fish"] {
            fs::write(built.join("completions").join(name), "# complete\n").unwrap();
        }
        fs::write(built.join("carbon-ops.cdx.json"), "{}\n").unwrap();
        let moment = Moment { epoch: 1_700_000_000, commit: String::new() };
        let package = |times: u32| {
            let stage = room.path().join(format!("deb-{times}"));
            lay(&root, &built, &all, &moment).unwrap();
            deb(&root, &all, &stage, ("0.2.0", &moment), &out).unwrap();
            let made = files(&out).unwrap();
            assert_eq!(made.len(), 1, "{made:?}");
            (made[0].clone(), fs::read(&made[0]).unwrap())
        };
        let (path, bytes) = package(1);
        assert_eq!(package(2).1, bytes, "the same bytes");
        let said = |flag: &str| output(Command::new("dpkg-deb").arg(flag).arg(&path)).unwrap();
        let listed = said("-c");
        for line in fs::read_to_string(root.join(FILES)).unwrap().lines() {
            let place = line.split_whitespace().nth(1).filter(|_| !line.starts_with('#'));
            assert!(place.is_none_or(|place| listed.contains(place)), "{line}\n{listed}");
        }
        assert!(listed.lines().all(|line| line.contains(" root/root ")), "{listed}");
        let about = said("-I");
        for word in
            ["Version: 0.2.0", "libc6 (>= 2.34)", "postinst", "prerm", "postrm", "conffiles"]
        {
            assert!(about.contains(word), "{word}\n{about}");
        }
    }
}
