//! The boot of the machine, by its id.

use uuid::Uuid;

/// The kernel's boot id; another one at each call where the kernel does not tell.
pub(crate) fn boot_id() -> String {
    let kernels = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    // Where the kernel does not tell, every start of the process counts as one of the machine.
    kernels.map_or_else(|_| Uuid::new_v4().to_string(), |id| id.trim().to_owned())
}
