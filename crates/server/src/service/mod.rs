//! The rules. No HTTP requests or answers and no SQL: services are called by routes, and call the database's queries and the
//! storage.

pub mod admin;
pub mod bootstrap;
pub mod error;
pub mod event;
pub mod file;
pub mod file_dto;
pub mod folder;
pub mod fsck;
pub mod grace;
pub mod key;
pub mod part_urls;
mod public_id;
pub mod public_keys;
mod publish;
pub mod readiness;
pub mod secret;
pub mod serve;
pub mod storage_migration;
mod unfinished;
pub mod upload;
pub mod urls;
pub mod usage;
pub mod webhook;
pub mod webhook_signer;
pub mod workspace;
