//! The wire contract, promise by promise, against real servers on real ports, each with a data directory of its own.
//! `services.rs` says on which database and storage.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod abort;
mod app;
mod auth;
mod bucket;
mod caching;
mod complete;
mod concurrency;
mod database;
mod delivery;
mod direct;
mod encryption;
mod file_lists;
mod files;
mod folders;
mod forgetting;
mod fsck;
mod generated_docs;
mod idempotency;
mod integrity;
mod limits;
mod list;
mod migration;
mod odd_stores;
mod pace;
mod part;
mod peers;
mod permissions;
mod public_keys;
mod rate_limits;
mod remote;
mod resign;
mod restart;
mod revocation;
mod secrets;
mod services;
mod start;
mod state_machine;
mod status;
mod stopping;
mod storage;
mod tenancy;
mod unread_body;
mod urls;
mod webhooks;
