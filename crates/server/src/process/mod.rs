//! The process: its directory, who owns it, the circumstances it runs under, and how many threads it has.

mod boot_id;
pub mod data_dir;
mod directory_owner;
pub mod runtime;
pub(crate) mod single_node;
pub(crate) mod storage_epoch;
