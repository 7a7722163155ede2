//! Which start of the machine this is. What was written but not synced survives the end of a process, not that of the
//! machine: records made in another boot are verified before they are trusted.

use std::sync::LazyLock;

use uuid::Uuid;

static BOOT_ID: LazyLock<String> = LazyLock::new(|| {
    let kernels = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    // Where the kernel does not tell, every start of the process counts as one of the machine: slower, never wrong.
    kernels.map_or_else(|_| Uuid::new_v4().to_string(), |id| id.trim().to_owned())
});

/// The id of the machine's current boot.
pub(crate) fn boot_id() -> &'static str {
    &BOOT_ID
}
