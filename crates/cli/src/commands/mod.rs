//! One file per command.

pub(crate) mod docs;
pub(crate) mod keys;
pub(crate) mod serve;
pub(crate) mod upload;
pub(crate) mod workspaces;
