//! One file per command.

mod database;
pub(crate) mod docs;
pub(crate) mod fsck;
pub(crate) mod keys;
pub(crate) mod serve;
pub(crate) mod upload;
pub(crate) mod usage;
pub(crate) mod workspaces;
