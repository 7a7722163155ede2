//! One file per command.

pub(crate) mod completions;
mod database;
pub(crate) mod db;
pub(crate) mod docs;
#[deny(clippy::print_stdout, clippy::print_stderr, reason = "output.rs prints what others say")]
pub(crate) mod doctor;
#[deny(clippy::print_stdout, clippy::print_stderr, reason = "output.rs prints what others say")]
pub(crate) mod files;
#[deny(clippy::print_stdout, clippy::print_stderr, reason = "output.rs prints what others say")]
pub(crate) mod folders;
pub(crate) mod fsck;
pub(crate) mod keys;
pub(crate) mod man;
pub(crate) mod secrets;
pub(crate) mod serve;
pub(crate) mod storage;
#[deny(clippy::print_stdout, clippy::print_stderr, reason = "output.rs prints what others say")]
pub(crate) mod upload;
pub(crate) mod usage;
mod webhook_secret;
pub(crate) mod webhooks;
mod workspace;
pub(crate) mod workspaces;
