//! The rules. Routes and commands call services; services call the queries of the database and the storages. They have no HTTP
//! requests, no HTTP answers and no SQL.

pub mod admin;
mod admin_error;
pub mod blob_retention;
pub mod bootstrap;
pub mod error;
pub mod event;
pub mod file;
pub mod file_dto;
pub mod folder;
pub mod fsck;
pub mod key;
pub mod part_urls;
mod public_id;
pub mod public_keys;
mod publish;
pub mod readiness;
mod replacement;
pub mod secret;
pub mod serve;
pub mod state_gauges;
pub mod storage_migration;
mod unfinished;
pub mod upload;
pub mod urls;
pub mod usage;
pub mod webhook;
pub mod webhook_signer;
pub mod workspace;
