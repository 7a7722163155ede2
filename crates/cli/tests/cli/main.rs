//! The real binary, as a person, a script or another tool would use it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod backup;
mod cluster;
mod crash;
mod databases;
mod exposure;
mod fake;
mod files;
mod folders;
mod get;
mod help;
mod hostile;
mod keys;
mod manual;
mod media;
mod mixing;
mod mounts;
mod own_network;
mod proxies;
mod proxy_chain;
mod readme;
mod sdk;
mod secrets;
mod serve;
mod server;
mod slow_readers;
mod stores;
mod tls;
mod unheard;
mod upload;
mod usage;
mod virtual_hosts;
mod webhooks;
mod workspace;
