//! What the process has to itself: its directory, who owns it, the modes of what it makes there, and how many threads it runs.

pub mod data_dir;
mod directory_owner;
pub mod permissions;
pub mod runtime;
pub(crate) mod single_node;
pub(crate) mod storage_epoch;
