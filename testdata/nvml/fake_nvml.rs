//! A stand-in for NVIDIA's management library, for tests: `rustc --crate-type cdylib fake_nvml.rs`.
//!
//! What it answers stands in a text file beside it, `<its own path>.txt`, read anew at each call: lines
//! of a key and a value, where `!N` is the error N of `nvmlReturn_t` and a missing key is error 3, not
//! supported. Keys: `init`, `count`, and per GPU `0.uuid`, `0.energy` (mJ), `0.power` (mW), `0.limit`
//! (mW), `0.load` (percent), `0.memory` (TOTAL:USED in bytes), `0.samples` (PID:MICROSECONDS:PERCENT,…) and
//! `0.processes` (PID,…). A copy of the library under
//! another path is another library to the loader.
//!
//! What drivers do when they fail: `hang` in the place of a value never returns, as long as the text file is
//! there; `slow MS VALUE` takes that long; `abort` and `exit` end the process, the latter with code 0.
//!
//! Deliberately absent: all other functions, and any check of what it is given.
use std::ffi::{c_char, c_int, c_uint, c_ulonglong, c_void, CStr};
use std::ptr;

const NOT_SUPPORTED: c_int = 3;
const NOT_FOUND: c_int = 6;
const INSUFFICIENT_SIZE: c_int = 7;

#[repr(C)]
struct Place { file: *const c_char, base: *mut c_void, symbol: *const c_char, address: *mut c_void }

extern "C" {
    fn dladdr(address: *const c_void, place: *mut Place) -> c_int;
}

fn answer(key: &str) -> Result<String, c_int> {
    let mut place = Place { file: ptr::null(), base: ptr::null_mut(), symbol: ptr::null(), address: ptr::null_mut() };
    let own = unsafe {
        dladdr(nvmlShutdown as *const c_void, &mut place);
        CStr::from_ptr(place.file).to_str().unwrap().to_owned()
    };
    let file = own + ".txt";
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let pause = |ms| std::thread::sleep(std::time::Duration::from_millis(ms));
    let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
    let value = pairs.find(|(name, _)| *name == key).map(|(_, value)| value.trim().to_owned());
    let mut value = value.ok_or(NOT_SUPPORTED)?;
    match value.as_str() {
        "hang" => {
            while std::path::Path::new(&file).exists() { pause(100) }
            std::process::exit(0)
        }
        "abort" => std::process::abort(),
        "exit" => std::process::exit(0),
        _ => {}
    }
    if let Some((ms, rest)) = value.strip_prefix("slow ").and_then(|slow| slow.split_once(' ')) {
        pause(ms.parse().unwrap());
        value = rest.to_owned();
    }
    match value.strip_prefix('!') {
        Some(code) => Err(code.parse().unwrap()),
        None => Ok(value),
    }
}

fn key(device: *mut c_void, what: &str) -> String { format!("{}.{what}", device as usize - 1) }

fn number<T: std::str::FromStr>(key: &str, to: *mut T) -> c_int {
    match answer(key) {
        Ok(text) => { unsafe { *to = text.parse().ok().unwrap() } 0 }
        Err(code) => code,
    }
}

#[no_mangle]
extern "C" fn nvmlInit_v2() -> c_int { answer("init").err().filter(|&code| code != NOT_SUPPORTED).unwrap_or(0) }

#[no_mangle]
extern "C" fn nvmlShutdown() -> c_int { 0 }

#[no_mangle]
extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> c_int { number("count", count) }

#[no_mangle]
extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: *mut *mut c_void) -> c_int {
    unsafe { *device = (index as usize + 1) as *mut c_void }
    0
}

#[no_mangle]
extern "C" fn nvmlDeviceGetUUID(device: *mut c_void, to: *mut c_char, length: c_uint) -> c_int {
    match answer(&key(device, "uuid")) {
        Ok(text) if text.len() < length as usize => {
            for (place, byte) in text.bytes().chain([0]).enumerate() {
                unsafe { *to.add(place) = byte as c_char }
            }
            0
        }
        Ok(_) => INSUFFICIENT_SIZE,
        Err(code) => code,
    }
}

#[no_mangle]
extern "C" fn nvmlDeviceGetPowerUsage(device: *mut c_void, to: *mut c_uint) -> c_int { number(&key(device, "power"), to) }

#[no_mangle]
extern "C" fn nvmlDeviceGetPowerManagementLimit(device: *mut c_void, to: *mut c_uint) -> c_int { number(&key(device, "limit"), to) }

#[no_mangle]
extern "C" fn nvmlDeviceGetTotalEnergyConsumption(device: *mut c_void, to: *mut c_ulonglong) -> c_int { number(&key(device, "energy"), to) }

#[no_mangle]
extern "C" fn nvmlDeviceGetUtilizationRates(device: *mut c_void, to: *mut [c_uint; 2]) -> c_int { number(&key(device, "load"), to.cast::<c_uint>()) }

#[no_mangle]
extern "C" fn nvmlDeviceGetMemoryInfo(device: *mut c_void, to: *mut [c_ulonglong; 3]) -> c_int {
    let text = match answer(&key(device, "memory")) { Ok(text) => text, Err(code) => return code };
    let part = |place: usize| text.split(':').nth(place).unwrap().parse::<u64>().unwrap();
    unsafe { *to = [part(0), part(0) - part(1), part(1)] }
    0
}

#[repr(C)]
struct Sample { pid: c_uint, at: c_ulonglong, sm: c_uint, memory: c_uint, encoder: c_uint, decoder: c_uint }

/// Writes a list as NVML does: without a buffer, or with one that is too small, only its length.
fn list<T>(key: &str, to: *mut T, count: *mut c_uint, entry: impl Fn(&str) -> T) -> c_int {
    let text = match answer(key) { Ok(text) => text, Err(code) => return code };
    let entries: Vec<T> = text.split(',').filter(|text| *text != "-").map(entry).collect();
    let room = unsafe { *count } as usize;
    unsafe { *count = entries.len() as c_uint }
    if to.is_null() || room < entries.len() {
        return if entries.is_empty() { 0 } else { INSUFFICIENT_SIZE };
    }
    for (place, entry) in entries.into_iter().enumerate() {
        unsafe { to.add(place).write(entry) }
    }
    0
}

#[no_mangle]
extern "C" fn nvmlDeviceGetProcessUtilization(device: *mut c_void, to: *mut Sample, count: *mut c_uint, _since: c_ulonglong) -> c_int {
    let key = key(device, "samples");
    if answer(&key).is_ok_and(|text| text == "-") { return NOT_FOUND }
    list(&key, to, count, |text| {
        let part = |place: usize| text.split(':').nth(place).unwrap().parse::<u64>().unwrap();
        Sample { pid: part(0) as c_uint, at: part(1), sm: part(2) as c_uint, memory: 7, encoder: 7, decoder: 7 }
    })
}

#[repr(C)]
struct Process { pid: c_uint, memory: c_ulonglong }

#[no_mangle]
extern "C" fn nvmlDeviceGetComputeRunningProcesses(device: *mut c_void, count: *mut c_uint, to: *mut Process) -> c_int {
    list(&key(device, "processes"), to, count, |text| Process { pid: text.parse().unwrap(), memory: u64::MAX })
}
