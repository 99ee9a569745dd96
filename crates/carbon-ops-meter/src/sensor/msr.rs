//! RAPL through the processor's own registers, `/dev/cpu/N/msr`: Intel, AMD and Hygon.
//!
//! # What is read
//!
//! One CPU per package reads for all of it, since every CPU of a package shows the same register: as
//! many domains as there are packages (or dies, on Intel's Cascade Lake-AP), never one per CPU. A
//! machine whose topology files are missing counts as one package. Reading is a `pread` of exactly 8
//! bytes at the register's number: a buffered read would read 512 registers.
//!
//! Registers (Intel SDM vol. 4; AMD PPR 55898, `MSRC001_0299` to `029B`; Linux
//! `intel_rapl_msr.c`):
//!
//! | | Intel | AMD, Hygon |
//! |---|---|---|
//! | unit, bits 12:8 | 0x606 | 0xC0010299 |
//! | package | 0x611 | 0xC001029B |
//! | DRAM | 0x619 | |
//! | cores | 0x639 | 0xC001029A, not offered |
//! | uncore | 0x641 | |
//! | platform | 0x64D, of the first package | |
//!
//! AMD's core register counts the single core that reads it. A package's cores would be one reading
//! per core and step, for a figure that lies inside the package and is never summed: it is listed as
//! excluded instead.
//!
//! # Units and widths
//!
//! A tick is 2^−ESU J, with the exceptions that `Processor::scale` names. Intel's registers count 32
//! bits; a reading above is refused by the scale. AMD's count 32 or 64 bits: 64 where AMD says so, or
//! where two readings at the start lie above 2³². Otherwise the low 32 bits are taken, which are a
//! 32-bit counter in either case, so that nothing breaks should the upper ones come alive later.
//!
//! Out of scope: subtraction (see [`crate::counter`]), writing, power limits. Ceilings are those
//! of [`Kind::ceiling`].

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::socket::{self, Scope, Socket};
use super::{Availability, Backend, Domain, Excluded, Exclusion, Kind, ReadFault};
use crate::counter::Scale;
use crate::host_root::HostRoot;

const INTEL_UNIT: u32 = 0x606;
const AMD_UNIT: u32 = 0xC001_0299;
const AMD_CORE: u32 = 0xC001_029A;

/// `IA32_ARCH_CAPABILITIES`; bit 11, `ENERGY_FILTERING_CTL`, says that the next one has its bit 0
/// (Intel, "Running Average Power Limit Energy Reporting", INTEL-SA-00389).
const ARCH_CAPABILITIES: u32 = 0x10A;

/// `IA32_MISC_PACKAGE_CTLS`; bit 0, `ENERGY_FILTERING_ENABLE` (ibid.).
const MISC_PACKAGE_CTLS: u32 = 0xBC;

/// EPERM and EACCES of `errno-base.h`.
const EPERM: i32 = 1;
const EACCES: i32 = 13;

/// Who made the processor, as far as its energy registers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vendor {
    Intel,
    /// Hygon's processors are AMD's in this respect.
    Amd,
}

/// What `/proc/cpuinfo` says of the first CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Processor {
    vendor: Vendor,
    family: u32,
    model: u32,
}

/// What is wanted of `/proc/cpuinfo` stands in the first lines on the first CPU; the kernel makes its text
/// anew for each reader, CPU by CPU.
const CPUINFO_BYTES: u64 = 4096;

impl Processor {
    fn identify(host: &HostRoot) -> Result<Self, String> {
        let mut bytes = Vec::new();
        let file = File::open(host.path("/proc/cpuinfo"));
        let _ = file.and_then(|file| file.take(CPUINFO_BYTES).read_to_end(&mut bytes));
        let text = String::from_utf8_lossy(&bytes);
        let first = |wanted: &str| {
            let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
            pairs.find(|(key, _)| key.trim() == wanted).map(|(_, value)| value.trim())
        };
        let number = |wanted: &str| {
            let number = first(wanted).and_then(|text| text.parse().ok());
            // Units and widths of the registers depend on it.
            number.ok_or_else(|| format!("/proc/cpuinfo does not tell the processor's {wanted}"))
        };
        let vendor = match first("vendor_id") {
            Some("GenuineIntel") => Vendor::Intel,
            Some("AuthenticAMD" | "HygonGenuine") => Vendor::Amd,
            Some(other) => {
                return Err(format!("no energy register of {other} processors is known"));
            }
            None => return Err("/proc/cpuinfo names no x86 processor".to_owned()),
        };
        Ok(Self { vendor, family: number("cpu family")?, model: number("model")? })
    }

    fn unit_register(self) -> u32 {
        match self.vendor {
            Vendor::Intel => INTEL_UNIT,
            Vendor::Amd => AMD_UNIT,
        }
    }

    fn registers(self) -> &'static [(Kind, u32)] {
        match self.vendor {
            Vendor::Intel => &[
                (Kind::Package, 0x611),
                (Kind::Dram, 0x619),
                (Kind::Core, 0x639),
                (Kind::Uncore, 0x641),
                (Kind::Psys, 0x64D),
            ],
            Vendor::Amd => &[(Kind::Package, 0xC001_029B)],
        }
    }

    fn scope(self) -> Scope {
        match self.vendor {
            Vendor::Intel => Scope::Die,
            Vendor::Amd => Scope::Package,
        }
    }

    fn is_intel_6(self, models: &[u32]) -> bool {
        self.vendor == Vendor::Intel && self.family == 6 && models.contains(&self.model)
    }

    /// Atoms whose unit is 2^ESU µJ: Silvermont (0x37), Merrifield (0x4A), Airmont (0x4C), Moorefield
    /// (0x5A) (Linux `intel_rapl_common.c`, `rapl_check_unit_atom` and its four users). Not Avoton
    /// (0x4D), of which the SDM says so too: there 1/2^ESU J gives 10 W and 2^ESU µJ 10 kW
    /// (powercap/raplcap issue 13).
    fn counts_microjoules(self) -> bool {
        self.is_intel_6(&[0x37, 0x4A, 0x4C, 0x5A])
    }

    /// Servers whose DRAM unit is 2^−16 J, whatever the unit register says: Haswell-EP (0x3F),
    /// Broadwell-EP (0x4F) and -DE (0x56), Skylake-X to Cooper Lake (0x55), Ice Lake-X and -D (0x6A,
    /// 0x6C), Knights Landing and Mill (0x57, 0x85) (Linux `arch/x86/events/rapl.c`, `model_hsx` and
    /// `model_knl`, after Intel 330784-001, 5.3.2). `intel_rapl_common.c` agrees but for Broadwell-DE.
    /// Not Sapphire Rapids, where the register holds.
    fn has_own_dram_unit(self) -> bool {
        self.is_intel_6(&[0x3F, 0x4F, 0x56, 0x55, 0x6A, 0x6C, 0x57, 0x85])
    }

    /// Servers whose platform domain counts whole joules: Sapphire and Emerald Rapids (Linux
    /// `arch/x86/events/rapl.c`, `RAPL_UNIT_QUIRK_INTEL_SPR`).
    fn has_own_psys_unit(self) -> bool {
        self.is_intel_6(&[0x8F, 0xCF])
    }

    /// Whether the register of this kind does not count in 2^−ESU J of the unit register.
    fn has_own_unit(self, kind: Kind) -> bool {
        self.counts_microjoules()
            || (kind == Kind::Dram && self.has_own_dram_unit())
            || (kind == Kind::Psys && self.has_own_psys_unit())
    }

    fn scale(self, kind: Kind, esu: u32, bits: u32) -> Scale {
        if self.counts_microjoules() {
            Scale::register_of_microjoules(1 << esu, bits)
        } else if kind == Kind::Dram && self.has_own_dram_unit() {
            Scale::register(16, bits)
        } else if kind == Kind::Psys && self.has_own_psys_unit() {
            Scale::register(0, bits)
        } else {
            Scale::register(esu, bits)
        }
    }

    /// Processors with 64-bit energy registers: those that AMD's own driver supports and does not
    /// list among its 32-bit ones (`amd/amd_energy`: README.md and `bit32_rapl_cpus`).
    fn counts_64_bits(self) -> bool {
        let models: &[u32] = match (self.vendor, self.family) {
            (Vendor::Amd, 0x19) => &[0x10, 0x11, 0x90, 0xA0],
            (Vendor::Amd, 0x1A) => &[0x00, 0x02, 0x10, 0x11],
            _ => &[],
        };
        models.contains(&self.model)
    }
}

/// The CPUs that may read the registers of one socket; the first that answers does.
#[derive(Debug)]
struct Reader {
    candidates: Vec<(u32, PathBuf)>,
    open: Option<(u32, File)>,
}

impl Reader {
    fn new(host: &HostRoot, cpus: &[u32]) -> Self {
        let candidates = cpus.iter().map(|&cpu| (cpu, host.path(&path_of(cpu)))).collect();
        Self { candidates, open: None }
    }

    /// Reads a register, on another CPU when the one before has gone offline (ENXIO).
    fn read(&mut self, register: u32) -> io::Result<u64> {
        let value = self.file().and_then(|file| read_register(file, register));
        if value.as_ref().is_err_and(|error| ReadFault::of(error) == ReadFault::Gone) {
            self.open = None;
        }
        value
    }

    fn file(&mut self) -> io::Result<&File> {
        if self.open.is_none() {
            self.open = Some(self.first_that_opens()?);
        }
        self.open.as_ref().map(|(_, file)| file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn first_that_opens(&self) -> io::Result<(u32, File)> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for (cpu, path) in &self.candidates {
            match File::open(path) {
                Ok(file) => return Ok((*cpu, file)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The CPU that reads now, or would be asked first.
    fn cpu(&self) -> u32 {
        let first = self.candidates.first().map(|(cpu, _)| *cpu);
        self.open.as_ref().map(|(cpu, _)| *cpu).or(first).unwrap_or(0)
    }
}

fn path_of(cpu: u32) -> String {
    format!("/dev/cpu/{cpu}/msr")
}

/// Exactly 8 bytes, little-endian as the x86 is. Fewer are no register.
fn read_register(file: &File, register: u32) -> io::Result<u64> {
    let mut bytes = [0; 8];
    match file.read_at(&mut bytes, register.into())? {
        8 => Ok(u64::from_le_bytes(bytes)),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The energy status unit of a unit register; `None` for a register that is all zero, as a virtual
/// machine shows it (Linux `arch/x86/kvm/x86.c` answers these reads with 0).
fn esu(unit_register: u64) -> Option<u32> {
    let esu = u32::try_from(unit_register >> 8 & 0x1F).ok();
    esu.filter(|_| unit_register != 0)
}

/// A register that is a domain.
#[derive(Debug)]
struct Register {
    number: u32,
    mask: u64,
    /// Place in [`Msr::readers`].
    reader: usize,
}

/// The energy registers of a host as a backend.
#[derive(Debug)]
pub struct Msr {
    domains: Vec<Domain>,
    registers: Vec<Register>,
    readers: Vec<Reader>,
    excluded: Vec<Excluded>,
}

impl Msr {
    /// Looks for energy registers. With `cpus` (the option `--msr-cpus=0,1`), only these CPUs read; a
    /// package that holds none of them is excluded as unreadable.
    pub fn discover(host: &HostRoot, cpus: Option<&[u32]>) -> (Availability, Option<Self>) {
        let processor = match Processor::identify(host) {
            Ok(processor) => processor,
            Err(why) => return (Availability::Absent(why), None),
        };
        let all = match readable_cpus(host, cpus) {
            Ok(all) => all,
            Err(why) => return (Availability::Absent(why), None),
        };
        let may = |cpu: &u32| cpus.is_none_or(|cpus| cpus.contains(cpu));
        let mut found = Self {
            domains: Vec::new(),
            registers: Vec::new(),
            readers: Vec::new(),
            excluded: Vec::new(),
        };
        let mut worst = None;
        for (socket, of_socket) in socket::group(host, &all, processor.scope()) {
            let readers: Vec<_> = of_socket.into_iter().filter(may).collect();
            if readers.is_empty() {
                let package = socket.name(Kind::Package);
                found.exclude(&package, "msr".to_owned(), Exclusion::Unreadable);
                continue;
            }
            let reader = Reader::new(host, &readers);
            if let Err(why) = found.add(host, processor, socket, reader) {
                worst.get_or_insert(why);
            }
        }
        if found.domains.iter().any(|domain| domain.kind == Kind::Package) {
            return (Availability::Present, Some(found));
        }
        let none = || Availability::Absent("no package register could be read".to_owned());
        (worst.unwrap_or_else(none), None)
    }

    /// What is there and not offered: packages that cannot be read, AMD's core registers.
    pub fn excluded(&self) -> &[Excluded] {
        &self.excluded
    }

    /// Adds the domains of one socket, or says why it has none.
    fn add(
        &mut self,
        host: &HostRoot,
        processor: Processor,
        socket: Socket,
        mut reader: Reader,
    ) -> Result<(), Availability> {
        let package = socket.name(Kind::Package);
        let unit = match reader.read(processor.unit_register()) {
            Ok(unit) => unit,
            Err(error) => return Err(self.unreadable(host, &package, &reader, &error)),
        };
        let Some(esu) = esu(unit) else {
            self.exclude(&package, format!("msr@cpu{}", reader.cpu()), Exclusion::Unreadable);
            let why = "the unit register reads 0, as in a virtual machine".to_owned();
            return Err(Availability::Absent(why));
        };
        let place = self.readers.len();
        for &(kind, number) in processor.registers() {
            let only_first = kind == Kind::Psys && !self.readers.is_empty();
            if !only_first && is_there(&mut reader, number) {
                let bits = width(processor, &mut reader, number);
                let cpu = reader.cpu();
                self.domains.push(Domain {
                    name: socket.name(kind),
                    key: format!("{}:msr", socket.name(kind)),
                    kind,
                    source: format!("{}@cpu{cpu}", register_name(number)),
                    scale: processor.scale(kind, esu, bits),
                    ceiling: kind.ceiling(),
                    likely: kind.ceiling(),
                    excluded: kind.exclusion(),
                });
                let mask = if masks(processor, bits) { u64::from(u32::MAX) } else { u64::MAX };
                self.registers.push(Register { number, mask, reader: place });
            } else if kind == Kind::Package {
                self.exclude(&package, format!("msr@cpu{}", reader.cpu()), Exclusion::Unreadable);
                let why = format!("the register of {package} cannot be read, or reads 0");
                return Err(Availability::Absent(why));
            }
        }
        if processor.vendor == Vendor::Amd {
            let core = socket.name(Kind::Core);
            self.exclude(&core, register_name(AMD_CORE), Exclusion::InsidePackage);
        }
        self.readers.push(reader);
        Ok(())
    }

    fn unreadable(
        &mut self,
        host: &HostRoot,
        package: &str,
        reader: &Reader,
        error: &io::Error,
    ) -> Availability {
        let path = path_of(reader.cpu());
        let why = refusal(host, &path, error);
        let reason = match why {
            Availability::Denied(_) => Exclusion::Denied,
            _ => Exclusion::Unreadable,
        };
        self.exclude(package, format!("msr@cpu{}", reader.cpu()), reason);
        why
    }

    fn exclude(&mut self, name: &str, id: String, reason: Exclusion) {
        self.excluded.push(Excluded { name: name.to_owned(), id, reason });
    }
}

impl Backend for Msr {
    fn name(&self) -> &'static str {
        "msr"
    }

    fn domains(&self) -> &[Domain] {
        &self.domains
    }

    fn read(&mut self, index: usize) -> Result<u64, ReadFault> {
        let register = self.registers.get(index).ok_or(ReadFault::Gone)?;
        let reader = self.readers.get_mut(register.reader).ok_or(ReadFault::Gone)?;
        let value = reader.read(register.number).map_err(|error| ReadFault::of(&error))?;
        Ok(value & register.mask)
    }
}

/// `msr:0x64D`.
fn register_name(number: u32) -> String {
    format!("msr:0x{number:X}")
}

/// A register that faults is not there, nor one that reads zero (Linux, `rapl_check_domain`). Two
/// looks, since a counter may pass through zero.
fn is_there(reader: &mut Reader, number: u32) -> bool {
    (0..2).any(|_| reader.read(number).is_ok_and(|value| value != 0))
}

fn width(processor: Processor, reader: &mut Reader, number: u32) -> u32 {
    let mut above = || reader.read(number).is_ok_and(|value| value > u32::MAX.into());
    let wide =
        processor.vendor == Vendor::Amd && (processor.counts_64_bits() || (above() && above()));
    if wide { 64 } else { 32 }
}

/// Whether the low 32 bits are taken: see the head of this file.
fn masks(processor: Processor, bits: u32) -> bool {
    processor.vendor == Vendor::Amd && bits == 32
}

/// The CPUs with a register file, or why there are none.
fn readable_cpus(host: &HostRoot, wanted: Option<&[u32]>) -> Result<Vec<u32>, String> {
    let mut cpus = Vec::new();
    for entry in fs::read_dir(host.path("/dev/cpu")).into_iter().flatten().flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        cpus.extend(number.filter(|&cpu| host.path(&path_of(cpu)).exists()));
    }
    cpus.sort_unstable();
    if cpus.is_empty() {
        return Err(format!("{} is not there; `modprobe msr` provides it", path_of(0)));
    }
    match wanted.unwrap_or_default().iter().find(|cpu| !cpus.contains(cpu)) {
        Some(cpu) => Err(format!("{} is not there: no such CPU, or offline", path_of(*cpu))),
        None => Ok(cpus),
    }
}

/// Why the registers of a CPU cannot be read, and what would help. The file's mode refuses with
/// EACCES; the driver refuses with EPERM who lacks `CAP_SYS_RAWIO`, and so do kernels in lockdown
/// (Linux `arch/x86/kernel/msr.c`, `msr_open`; distributions' lockdown patches).
fn refusal(host: &HostRoot, path: &str, error: &io::Error) -> Availability {
    let lockdown = host.text("/sys/kernel/security/lockdown").unwrap_or_default();
    let locked = ["integrity", "confidentiality"]
        .into_iter()
        .find(|mode| lockdown.contains(&format!("[{mode}]")));
    match (error.raw_os_error(), locked) {
        (Some(EACCES), _) => Availability::Denied(format!(
            "{path} is open to its owner only; run as root with CAP_SYS_RAWIO, or let the governor \
             serve it"
        )),
        (Some(EPERM), Some(mode)) => Availability::Denied(format!(
            "the kernel refuses {path}, since it is locked down ({mode}; Secure Boot does that); \
             use the sysfs or perf backend"
        )),
        (Some(EPERM), None) => Availability::Denied(format!(
            "the kernel refuses {path} without CAP_SYS_RAWIO; give it, as by \
             AmbientCapabilities=CAP_SYS_RAWIO in the service's unit"
        )),
        _ => Availability::Absent(format!("{path}: {error}")),
    }
}

/// The energy units that a host's unit registers tell, for readings of other sensors that do not tell
/// their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Units {
    esus: Vec<u32>,
    other: Vec<Kind>,
}

impl Units {
    /// Of these exponents of 2^−ESU J, the likeliest first, and of kinds that count otherwise.
    pub fn new(esus: Vec<u32>, other: Vec<Kind>) -> Self {
        Self { esus, other }
    }

    /// The exponents that may be the unit of domains of this kind; none where the kind is known to
    /// have a unit of its own.
    pub fn candidates(&self, kind: Kind) -> &[u32] {
        if self.other.contains(&kind) { &[] } else { &self.esus }
    }
}

/// Reads the unit registers: the vendor's own first, then the other vendor's, should it be readable
/// too. Empty where none is.
pub fn units(host: &HostRoot, cpus: Option<&[u32]>) -> Units {
    let (Ok(processor), Ok(all)) = (Processor::identify(host), readable_cpus(host, cpus)) else {
        return Units::default();
    };
    let mut reader = Reader::new(host, cpus.unwrap_or(&all));
    let mut order = [INTEL_UNIT, AMD_UNIT];
    order.sort_by_key(|&register| register != processor.unit_register());
    let mut esus = Vec::new();
    for register in order {
        let found = reader.read(register).ok().and_then(esu);
        esus.extend(found.filter(|esu| !esus.contains(esu)));
    }
    let kinds = [Kind::Package, Kind::Dram, Kind::Core, Kind::Uncore, Kind::Psys];
    let other = kinds.into_iter().filter(|&kind| processor.has_own_unit(kind)).collect();
    Units { esus, other }
}

/// Whether software has switched Intel's energy filtering on, which blurs energies against
/// side-channel attacks: readings may then be off by up to a half (Intel, as quoted by Green Coding,
/// "RAPL, SGX and energy filtering"). `None` where that cannot be told: another vendor, a processor
/// without the switch, no access. `false` is no proof of sharp readings: SGX filters as well, whatever
/// this bit says.
pub fn energy_filtering(host: &HostRoot, cpus: Option<&[u32]>) -> Option<bool> {
    let processor = Processor::identify(host).ok()?;
    let all = readable_cpus(host, cpus).ok()?;
    if processor.vendor != Vendor::Intel {
        return None;
    }
    let mut reader = Reader::new(host, cpus.unwrap_or(&all));
    let has_switch = reader.read(ARCH_CAPABILITIES).ok()? >> 11 & 1 == 1;
    let controls = reader.read(MISC_PACKAGE_CTLS).ok().filter(|_| has_switch)?;
    Some(controls & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intel(model: u32) -> Processor {
        Processor { vendor: Vendor::Intel, family: 6, model }
    }

    fn unit(processor: Processor, kind: Kind, esu: u32) -> f64 {
        processor.scale(kind, esu, 32).unit_microjoules()
    }

    /// Factors of 4 (15.3 against 61 µJ) and of 16384 (1 J) are at stake.
    #[test]
    #[expect(clippy::float_cmp, reason = "quotients of powers of two")]
    fn exceptions_from_the_unit_register_are_those_of_the_kernel() {
        let usual = 1e6 / 16384.0;
        for model in [0x3F, 0x4F, 0x56, 0x55, 0x6A, 0x6C, 0x57, 0x85] {
            assert_eq!(unit(intel(model), Kind::Dram, 14), 1e6 / 65536.0, "{model:#x}");
            assert_eq!(unit(intel(model), Kind::Package, 14), usual, "{model:#x}");
        }
        // Sapphire Rapids, and a client.
        for model in [0x8F, 0x9E] {
            assert_eq!(unit(intel(model), Kind::Dram, 14), usual, "{model:#x}");
        }
        for (model, joule) in [(0x8F, 1e6), (0xCF, 1e6), (0x9E, usual)] {
            assert_eq!(unit(intel(model), Kind::Psys, 14), joule, "{model:#x}");
        }
        // Bay Trail reads 5 for 32 µJ; Avoton counts as all others do.
        assert_eq!(unit(intel(0x37), Kind::Package, 5), 32.0);
        assert_eq!(unit(intel(0x4D), Kind::Package, 16), 1e6 / 65536.0);
        let amd = Processor { vendor: Vendor::Amd, family: 0x17, model: 0x31 };
        assert_eq!(unit(amd, Kind::Package, 16), 1e6 / 65536.0);
    }

    /// The examples of turbostat and of AMD: 0xA0E03 is 61 µJ, 0xA1000 15.3 µJ.
    #[test]
    fn the_unit_stands_in_bits_12_to_8() {
        assert_eq!(esu(0xA_0E03), Some(14));
        assert_eq!(esu(0xA_1000), Some(16));
        assert_eq!(esu(0), None);
    }

    #[test]
    fn a_refusal_names_its_own_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let host = HostRoot::at(dir.path());
        let denied =
            |code| match refusal(&host, "/dev/cpu/0/msr", &io::Error::from_raw_os_error(code)) {
                Availability::Denied(text) => text,
                other => panic!("{other:?}"),
            };
        assert!(denied(EACCES).contains("run as root"));
        assert!(denied(EPERM).contains("AmbientCapabilities=CAP_SYS_RAWIO"));
        let security = dir.path().join("sys/kernel/security");
        fs::create_dir_all(&security).unwrap();
        fs::write(security.join("lockdown"), "none [integrity] confidentiality\n").unwrap();
        assert!(denied(EPERM).contains("locked down (integrity"));
        fs::write(security.join("lockdown"), "[none] integrity confidentiality\n").unwrap();
        assert!(!denied(EPERM).contains("locked down"));
        let gone = refusal(&host, "/dev/cpu/0/msr", &io::Error::from_raw_os_error(5));
        assert!(matches!(gone, Availability::Absent(_)));
    }
}
