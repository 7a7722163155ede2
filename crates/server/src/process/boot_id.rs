//! The boot of the machine, by its id.

use uuid::Uuid;

/// The kernel's boot id; a new one at each call if the kernel has none.
pub(crate) fn boot_id() -> String {
    let kernels = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    // Without the kernel's id, every start of the process counts as a boot of the machine.
    kernels.map_or_else(|_| Uuid::new_v4().to_string(), |id| id.trim().to_owned())
}
