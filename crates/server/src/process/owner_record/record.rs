//! The record of the process that owns a data directory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use uuid::Uuid;

use crate::process::boot_id::boot_id;

/// Bytes of a record, padded with spaces, so that each one is written over the last.
pub(super) const RECORD_BYTES: usize = 256;

/// A record as it was found.
pub(super) struct Record {
    pub(super) text: String,
    /// `None` if it cannot be parsed: torn by a power cut, or written by a later version.
    pub(super) process: Option<Process>,
}

/// The record at a path; `None` where there is no file.
pub(super) fn read(path: &Path) -> io::Result<Option<Record>> {
    // Opened again each time: network filesystems ask their server for the newest version at an open.
    let text = match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let process = Process::parse(&text);
    Ok(Some(Record { text, process }))
}

/// Overwrites the record with this process and its number of heartbeats.
pub(super) fn write(file: &File, process: &Process, beats: u64) -> io::Result<()> {
    let Process { server, boot, namespace, pid, started } = process;
    let line = format!("{server} {boot} {namespace} {pid} {started} {beats}");
    file.write_all_at(format!("{line:<width$}\n", width = RECORD_BYTES - 1).as_bytes(), 0)
}

/// The identity of a process, unlike that of every other one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    /// Random: two containers may agree in all other fields.
    pub(super) server: Uuid,
    /// The kernel's boot id.
    pub(super) boot: String,
    /// The namespace in which `pid` has a meaning.
    pub(super) namespace: String,
    pub(super) pid: u32,
    /// Start time in clock ticks after the boot, because kernels reuse pids.
    pub(super) started: u64,
}

impl Process {
    /// The identity of this process. Each call makes another one.
    pub(super) fn this() -> Self {
        let pid = std::process::id();
        Self {
            server: Uuid::new_v4(),
            boot: boot_id(),
            namespace: namespace(),
            pid,
            started: started(pid).unwrap_or_default(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_whitespace();
        let process = Self {
            server: Uuid::try_parse(fields.next()?).ok()?,
            boot: fields.next()?.to_owned(),
            namespace: fields.next()?.to_owned(),
            pid: fields.next()?.parse().ok()?,
            started: fields.next()?.parse().ok()?,
        };
        fields.next()?.parse::<u64>().ok().map(|_| process)
    }

    /// Whether the process is known to have ended. Processes of another machine or container are unknown. This process
    /// counts as ended: it has the lock, so an earlier record of its own is a leftover.
    pub(super) fn has_ended(&self) -> bool {
        let is_near = self.boot == boot_id() && self.namespace == namespace();
        is_near && (self.pid == std::process::id() || started(self.pid) != Some(self.started))
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.boot == boot_id() && self.namespace == namespace() {
            true => write!(f, "process {} of this machine", self.pid),
            false => write!(f, "process {} of another machine or container", self.pid),
        }
    }
}

fn namespace() -> String {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    Some(link.display().to_string()).filter(|name| !name.is_empty()).unwrap_or_else(|| "-".to_owned())
}

/// The start time of a process in clock ticks after the boot (proc(5), field 22 of `stat`). The name before it, in brackets,
/// may contain spaces and brackets.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_has_ended_holds_nobody_up() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let started = started(child.id()).unwrap();
        let process = Process { pid: child.id(), started, ..Process::this() };
        assert!(!process.has_ended());
        assert!(Process { started: started + 1, ..process.clone() }.has_ended(), "the pid is another process's by now");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(process.has_ended());
    }
}
