//! Limits of workspaces and of keys.

/// Limits of one workspace; where there is none, that of the settings counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkspaceLimits {
    /// Most bytes of files and open sessions together.
    pub storage_bytes: Option<u64>,
    /// Most bytes of one file.
    pub max_file_bytes: Option<u64>,
    /// Most open sessions.
    pub max_open_sessions: Option<u64>,
    /// Most requests of one key in a second.
    pub requests_per_second: Option<u64>,
}

/// Limits of uploads with public keys.
#[derive(Debug, Clone, Copy)]
pub struct PublicLimits {
    /// Most bytes of one file.
    pub max_file_bytes: u64,
    /// Most open sessions of one key.
    pub key_sessions: u64,
    /// Most open sessions of all public keys.
    pub sessions: u64,
    /// Most bytes of the open sessions of one key.
    pub key_bytes: u64,
    /// Most bytes of the open sessions of all public keys.
    pub bytes: u64,
    /// Most of the disk's free room that the open sessions of all public keys may have, in percent.
    pub disk_percent: u64,
    /// How much of the disk is left alone, in percent.
    pub keep_free_percent: u64,
    /// How old a session may become, in seconds.
    pub session_age_seconds: u64,
    /// Most folders that were made by uploads with one key and are still there.
    pub key_folders: u32,
    /// Most folders of a workspace, whoever makes them.
    pub workspace_folders: u32,
}
