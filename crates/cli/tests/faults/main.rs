//! Promises that hold under faults: the real binary is killed, loses its power, its disk and its
//! connections, and in the end no acknowledged byte is lost, none is wrong, and none is left over.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../cli/server.rs"]
mod server;

mod api;
mod cluster;
mod descriptors;
mod disk_errors;
mod full_disk;
mod fuse;
mod jobs;
mod kills;
mod memory;
mod network;
mod odd_filesystems;
mod panics;
mod power_cut;
mod proxy;
mod settings;
mod slow_readers;
mod store_proxy;
mod time_limit;
mod verification;
mod whole_kills;
