//! One file per command.

pub(crate) mod completions;
mod database;
pub(crate) mod db;
pub(crate) mod docs;
pub(crate) mod doctor;
pub(crate) mod files;
pub(crate) mod folders;
pub(crate) mod fsck;
pub(crate) mod keys;
pub(crate) mod man;
pub(crate) mod secrets;
pub(crate) mod serve;
pub(crate) mod storage;
pub(crate) mod upload;
pub(crate) mod usage;
mod webhook_secret;
pub(crate) mod webhooks;
pub(crate) mod workspaces;
