//! Under which circumstances parts were received. What was written but not synced survives the end of a process, but
//! not that of the machine, and is not in a snapshot of its disk: records from before are verified before they are
//! trusted.

use std::os::unix::fs::MetadataExt;

use uuid::Uuid;

/// The boot of the machine, and the identity of the data directory by a file in it that is made once: a copy, a restored
/// backup or another mount has another one.
pub(crate) fn trust(identity: &std::fs::Metadata) -> String {
    let kernels = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    // Where the kernel does not tell, every start of the process counts as one of the machine: slower, never wrong.
    let boot_id = kernels.map_or_else(|_| Uuid::new_v4().to_string(), |id| id.trim().to_owned());
    let (device, inode, changed) = (identity.dev(), identity.ino(), identity.ctime());
    format!("{boot_id} {device}:{inode}:{changed}.{:09}", identity.ctime_nsec())
}
