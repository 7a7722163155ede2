//! The process: the data directory and its owner, the storage epoch, and the number of threads.

mod boot_id;
pub mod data_dir;
mod owner_record;
pub mod runtime;
pub(crate) mod single_node;
pub(crate) mod storage_epoch;
