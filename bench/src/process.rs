//! Resources of the measured server: processor time and peak memory, from `/proc`.

use std::fs;

/// Processor time is counted in hundredths of a second on Linux (`USER_HZ`, fixed by its ABI).
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor seconds, user and system, of the processes and of those they have waited for.
pub(crate) fn cpu_seconds(pids: &[u32]) -> f64 {
    let ticks: u64 = pids.iter().filter_map(|pid| ticks_of(*pid)).sum();
    ticks as f64 / TICKS_PER_SECOND
}

fn ticks_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may have spaces; what follows it does not. utime to cstime are fields 14 to 17.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum()
}

/// Resident memory in KiB.
pub(crate) fn resident_kib(pid: u32) -> Option<u64> {
    status_kib(pid, "VmRSS:")
}

/// Starts a new peak: without it, what came before the run would count.
pub(crate) fn reset_peak(pids: &[u32]) {
    for pid in pids {
        let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
    }
}

/// Peak resident memory in MiB, added up over the processes.
pub(crate) fn peak_mib(pids: &[u32]) -> f64 {
    let kib: u64 = pids.iter().filter_map(|pid| status_kib(*pid, "VmHWM:")).sum();
    kib as f64 / 1024.0
}

fn status_kib(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Touches 2 GiB, so that the page cache of the run finds memory that the machine has given already. Memory that was
/// free for a while costs extra at its first touch in a virtual machine, and would make runs differ.
pub(crate) fn warm_memory() {
    const BYTES: usize = 2 << 30;
    let mut memory = vec![0_u8; BYTES];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(&memory);
}
