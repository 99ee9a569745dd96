//! The functions of NVML that we call, behind safe ones, with their proofs.
//!
//! Names, signatures and layouts are those of NVIDIA's `nvml.h`, which keeps them for as long as a name
//! exists; what changes gets a name with a higher `_v`.
//!
//! Out of scope: what the numbers mean (see [`super`]).
#![expect(unsafe_code, reason = "calling a C library that is loaded at run time")]

use std::error::Error as _;
use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::fmt;
use std::path::Path;
use std::ptr;

use crate::sensor::{Availability, ReadFault};

/// `NVML_DEVICE_UUID_V2_BUFFER_SIZE`.
const UUID_BYTES: usize = 96;

/// More processes at once on one GPU are not read.
const PROCESSES_MAX: usize = 4096;

/// Room for processes that appear between asking how many there are and asking for them.
const PROCESSES_SPARE: usize = 16;

/// The largest entry of any version of `nvmlProcessInfo_t`. The one that we ask for has 16 bytes, but
/// drivers have changed the layout behind a name before (535.54 that of `_v3`, from 24 to 32 bytes;
/// XuehaiPan/nvitop pull request 79). So much room is given for each.
const PROCESS_BYTES_MAX: usize = 32;

/// `nvmlReturn_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code(c_int);

impl Code {
    const SUCCESS: Self = Self(0);
    const UNINITIALIZED: Self = Self(1);
    pub(super) const NOT_SUPPORTED: Self = Self(3);
    pub(super) const NO_PERMISSION: Self = Self(4);
    pub(super) const NOT_FOUND: Self = Self(6);
    const INSUFFICIENT_SIZE: Self = Self(7);
    const DRIVER_NOT_LOADED: Self = Self(9);
    pub(super) const FUNCTION_NOT_FOUND: Self = Self(13);
    const GPU_IS_LOST: Self = Self(15);
    const RESET_REQUIRED: Self = Self(16);
    const VERSION_MISMATCH: Self = Self(18);
    const UNKNOWN: Self = Self(999);

    fn check(code: c_int) -> Result<(), Self> {
        if Self(code) == Self::SUCCESS { Ok(()) } else { Err(Self(code)) }
    }

    /// What a caller should do about a reading that failed so.
    pub(super) fn fault(self) -> ReadFault {
        match self {
            Self::NO_PERMISSION | Self::NOT_SUPPORTED | Self::FUNCTION_NOT_FOUND => {
                ReadFault::Fatal
            }
            Self::GPU_IS_LOST
            | Self::RESET_REQUIRED
            | Self::DRIVER_NOT_LOADED
            | Self::UNINITIALIZED => ReadFault::Gone,
            _ => ReadFault::Retry,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            Self::NOT_SUPPORTED => "not supported",
            Self::NO_PERMISSION => "no permission",
            Self::NOT_FOUND => "not found",
            Self::DRIVER_NOT_LOADED => "the NVIDIA driver is not loaded; `nvidia-smi` loads it",
            Self::FUNCTION_NOT_FOUND => "the driver's library is too old",
            Self::GPU_IS_LOST => "the GPU has fallen off the bus",
            Self::RESET_REQUIRED => "the GPU must be reset",
            Self::VERSION_MISMATCH => {
                "library and driver are of different versions; restart after the driver's update"
            }
            Self(10) => "the driver did not answer in time (NVML error 10)",
            Self(17) => "the operating system refuses the driver (NVML error 17)",
            Self(20) => "memory is short (NVML error 20)",
            Self(27) => {
                "the GPU is not ready; a service of its makers may have to start first (NVML error 27)"
            }
            Self(29) => "the GPU is in a state that does not allow it (NVML error 29)",
            Self(code) => return write!(f, "NVML error {code}"),
        };
        f.write_str(text)
    }
}

/// `nvmlDevice_t`: an opaque handle, valid from `nvmlInit` to `nvmlShutdown`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Device(*mut c_void);

// SAFETY: the handle is never dereferenced by us, and NVML may be called from any thread ("The NVML
// library is thread-safe", NVML API Reference, Known Issues and Overview).
unsafe impl Send for Device {}

/// `nvmlProcessUtilizationSample_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    pub(super) pid: c_uint,
    /// µs of NVML's own clock.
    pub(super) timestamp: c_ulonglong,
    /// Percent of the time in which multiprocessors worked for the process.
    pub(super) sm: c_uint,
    memory: c_uint,
    encoder: c_uint,
    decoder: c_uint,
}

/// `nvmlUtilization_t`: percent of the driver's last sampling period.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Utilization {
    /// In which a kernel ran.
    pub(super) gpu: c_uint,
    memory: c_uint,
}

/// `nvmlMemory_t`, in bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    pub(super) total: c_ulonglong,
    free: c_ulonglong,
    pub(super) used: c_ulonglong,
}

type Plain = unsafe extern "C" fn() -> c_int;
type Count = unsafe extern "C" fn(*mut c_uint) -> c_int;
type ByIndex = unsafe extern "C" fn(c_uint, *mut *mut c_void) -> c_int;
type Text = unsafe extern "C" fn(*mut c_void, *mut c_char, c_uint) -> c_int;
type Narrow = unsafe extern "C" fn(*mut c_void, *mut c_uint) -> c_int;
type Wide = unsafe extern "C" fn(*mut c_void, *mut c_ulonglong) -> c_int;
type Samples = unsafe extern "C" fn(*mut c_void, *mut Sample, *mut c_uint, c_ulonglong) -> c_int;
type Running = unsafe extern "C" fn(*mut c_void, *mut c_uint, *mut c_void) -> c_int;

type Load = unsafe extern "C" fn(*mut c_void, *mut Utilization) -> c_int;
type Space = unsafe extern "C" fn(*mut c_void, *mut Memory) -> c_int;

/// NVML, loaded and initialised.
#[derive(Debug)]
pub(super) struct Library {
    shutdown: Plain,
    count: Count,
    by_index: ByIndex,
    uuid: Text,
    power: Narrow,
    limit: Option<Narrow>,
    energy: Option<Wide>,
    samples: Option<Samples>,
    running: Option<Running>,
    load: Option<Load>,
    memory: Option<Space>,
    /// Keeps the functions above where they are. Dropped last.
    _loaded: libloading::Library,
}

impl Library {
    /// Loads the library and initialises it.
    pub(super) fn load(path: &Path) -> Result<Self, Availability> {
        let absent = |error: libloading::Error| {
            // The loader's own text stands behind the error, and opens with the path.
            let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            Availability::Absent(format!("no NVIDIA driver: {why}"))
        };
        // SAFETY: loading runs the library's initialisers. The caller names NVIDIA's own library, whose
        // initialisers are made for this; a path that an enemy controls is the caller's to refuse.
        let loaded = unsafe { libloading::Library::new(path) }.map_err(absent)?;
        // SAFETY: each type is the signature that `nvml.h` gives the function of that name. The
        // pointers are copied out of their symbols and are valid while `loaded` is, which is stored
        // with them and dropped after the last call, that to `shutdown`.
        let (init, library) = unsafe {
            let init: Plain = *loaded.get(c"nvmlInit_v2").map_err(absent)?;
            let library = Self {
                shutdown: *loaded.get(c"nvmlShutdown").map_err(absent)?,
                count: *loaded.get(c"nvmlDeviceGetCount_v2").map_err(absent)?,
                by_index: *loaded.get(c"nvmlDeviceGetHandleByIndex_v2").map_err(absent)?,
                uuid: *loaded.get(c"nvmlDeviceGetUUID").map_err(absent)?,
                power: *loaded.get(c"nvmlDeviceGetPowerUsage").map_err(absent)?,
                limit: optional(&loaded, c"nvmlDeviceGetPowerManagementLimit"),
                energy: optional(&loaded, c"nvmlDeviceGetTotalEnergyConsumption"),
                samples: optional(&loaded, c"nvmlDeviceGetProcessUtilization"),
                running: optional(&loaded, c"nvmlDeviceGetComputeRunningProcesses"),
                load: optional(&loaded, c"nvmlDeviceGetUtilizationRates"),
                memory: optional(&loaded, c"nvmlDeviceGetMemoryInfo"),
                _loaded: loaded,
            };
            (init, library)
        };
        // SAFETY: takes nothing and may be called at any time; it counts its callers. When it fails,
        // the shutdown in `drop` fails too, with an error that is ignored.
        let code = unsafe { init() };
        match Code::check(code) {
            Ok(()) => Ok(library),
            Err(code) => Err(refusal("starting NVML", code)),
        }
    }

    pub(super) fn count(&self) -> Result<u32, Code> {
        let mut count = 0;
        // SAFETY: one number is written, to a place that outlives the call.
        Code::check(unsafe { (self.count)(&raw mut count) })?;
        Ok(count)
    }

    pub(super) fn device(&self, index: u32) -> Result<Device, Code> {
        let mut handle = ptr::null_mut();
        // SAFETY: one handle is written, to a place that outlives the call.
        Code::check(unsafe { (self.by_index)(index, &raw mut handle) })?;
        Ok(Device(handle))
    }

    pub(super) fn uuid(&self, device: Device) -> Result<String, Code> {
        let mut text = [0u8; UUID_BYTES];
        let length = entries(text.len());
        // SAFETY: the handle is one of this library's. At most `length` bytes are written, which is
        // what the buffer has.
        Code::check(unsafe { (self.uuid)(device.0, text.as_mut_ptr().cast(), length) })?;
        let text = CStr::from_bytes_until_nul(&text).map_err(|_| Code::UNKNOWN)?;
        Ok(text.to_string_lossy().into_owned())
    }

    /// In mW, now or over the last second.
    pub(super) fn power_mw(&self, device: Device) -> Result<u32, Code> {
        narrow(Some(self.power), device)
    }

    /// The power-management limit, in mW.
    pub(super) fn power_limit_mw(&self, device: Device) -> Result<u32, Code> {
        narrow(self.limit, device)
    }

    /// In mJ since the driver was loaded.
    pub(super) fn total_energy_mj(&self, device: Device) -> Result<u64, Code> {
        let call = self.energy.ok_or(Code::FUNCTION_NOT_FOUND)?;
        let mut millijoules = 0;
        // SAFETY: the handle is one of this library's. One number of 64 bits is written, to a place
        // that outlives the call.
        Code::check(unsafe { call(device.0, &raw mut millijoules) })?;
        Ok(millijoules)
    }

    pub(super) fn utilization(&self, device: Device) -> Result<Utilization, Code> {
        let call = self.load.ok_or(Code::FUNCTION_NOT_FOUND)?;
        let mut load = Utilization::default();
        // SAFETY: the handle is one of this library's. One structure of two numbers is written, laid out
        // as `nvml.h` says, to a place that outlives the call.
        Code::check(unsafe { call(device.0, &raw mut load) })?;
        Ok(load)
    }

    pub(super) fn memory(&self, device: Device) -> Result<Memory, Code> {
        let call = self.memory.ok_or(Code::FUNCTION_NOT_FOUND)?;
        let mut memory = Memory::default();
        // SAFETY: as above, of three numbers.
        Code::check(unsafe { call(device.0, &raw mut memory) })?;
        Ok(memory)
    }

    /// Samples of multiprocessor use since a time of NVML's own clock.
    pub(super) fn process_utilization(
        &self,
        device: Device,
        since: u64,
    ) -> Result<Vec<Sample>, Code> {
        let call = self.samples.ok_or(Code::FUNCTION_NOT_FOUND)?;
        let mut count = 0;
        // SAFETY: the handle is one of this library's. Without a buffer, only the number of entries is
        // written, to a place that outlives the call.
        needed(unsafe { call(device.0, ptr::null_mut(), &raw mut count, since) })?;
        let (mut samples, mut count) = room::<Sample>(count, 1);
        // SAFETY: as above, and at most `count` entries are written, which is what the buffer has.
        Code::check(unsafe { call(device.0, samples.as_mut_ptr(), &raw mut count, since) })?;
        samples.truncate(size(count));
        Ok(samples)
    }

    /// Processes with a compute context, by the oldest name of the function: its layout, process
    /// number first, 16 bytes each, is fixed by all programs that were ever linked against it.
    pub(super) fn compute_processes(&self, device: Device) -> Result<Vec<u32>, Code> {
        let call = self.running.ok_or(Code::FUNCTION_NOT_FOUND)?;
        let mut count = 0;
        // SAFETY: the handle is one of this library's. With a count of 0, only the number of entries
        // is written, to a place that outlives the call.
        needed(unsafe { call(device.0, &raw mut count, ptr::null_mut()) })?;
        // An entry is two words. There is room for entries of four.
        let (mut words, mut count) = room::<[u64; 2]>(count, PROCESS_BYTES_MAX / 16);
        // SAFETY: as above, and at most `count` entries are written, for each of which the buffer has
        // the largest size that was ever seen.
        Code::check(unsafe { call(device.0, &raw mut count, words.as_mut_ptr().cast()) })?;
        words.truncate(size(count));
        // The process number is the first half of the first word, on machines that are little-endian.
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
        let low = |[word, _]: [u64; 2]| word as u32;
        Ok(words.into_iter().map(low).collect())
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: takes nothing; handles are not used afterwards, since they are used through `self`.
        let _ = unsafe { (self.shutdown)() };
    }
}

/// A function that older drivers do not have.
///
/// # Safety
/// `T` must be the type of the function of that name.
unsafe fn optional<T: Copy>(loaded: &libloading::Library, name: &CStr) -> Option<T> {
    // SAFETY: the caller's promise.
    unsafe { loaded.get::<T>(name) }.ok().map(|symbol| *symbol)
}

fn narrow(call: Option<Narrow>, device: Device) -> Result<u32, Code> {
    let call = call.ok_or(Code::FUNCTION_NOT_FOUND)?;
    let mut value = 0;
    // SAFETY: the handle is one of the library's, which the caller holds. One number of 32 bits is
    // written, to a place that outlives the call.
    Code::check(unsafe { call(device.0, &raw mut value) })?;
    Ok(value)
}

/// Asking for the size is answered with success or with `INSUFFICIENT_SIZE`, by function and driver.
fn needed(code: c_int) -> Result<(), Code> {
    match Code::check(code) {
        Err(Code::INSUFFICIENT_SIZE) | Ok(()) => Ok(()),
        Err(code) => Err(code),
    }
}

/// The library's count as ours.
#[expect(clippy::expect_used, reason = "no Linux has an address space of 16 bits")]
fn size(count: c_uint) -> usize {
    usize::try_from(count).expect("at least 32 bits")
}

/// Our size of a buffer as the library's.
#[expect(clippy::expect_used, reason = "called for what PROCESSES_MAX and UUID_BYTES bound")]
fn entries(size: usize) -> c_uint {
    c_uint::try_from(size).expect("a small buffer")
}

/// A buffer for so many entries and some more, `slots` of `T` each, and its size in entries.
fn room<T: Copy + Default>(count: c_uint, slots: usize) -> (Vec<T>, c_uint) {
    let wanted = size(count).min(PROCESSES_MAX) + PROCESSES_SPARE;
    (vec![T::default(); wanted * slots], entries(wanted))
}

/// What an error means for the sensor as a whole.
pub(super) fn refusal(what: &str, code: Code) -> Availability {
    match code {
        Code::NO_PERMISSION => Availability::Denied(format!(
            "{what}: NVML gives no permission; run as root, and on the host rather than in a \
             container that was given a slice of a GPU (MIG)"
        )),
        Code::NOT_SUPPORTED => Availability::Absent(format!(
            "{what}: the GPU tells neither energy nor power (a slice of one, a virtual or an old one)"
        )),
        code => Availability::Absent(format!("{what}: {code}")),
    }
}
