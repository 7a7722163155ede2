//! Limits of workspaces and of keys.

/// Limits of one workspace. `None`: the limit of the settings applies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkspaceLimits {
    /// Most bytes of files and open sessions together.
    pub storage_bytes: Option<u64>,
    /// Most bytes of one file.
    pub max_file_bytes: Option<u64>,
    /// Most open sessions.
    pub max_open_sessions: Option<u64>,
    /// Most requests of one key per second.
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
    /// Most of the disk's free space that the open sessions of all public keys may have, in percent.
    pub disk_percent: u64,
    /// Free space that stays, in percent of the disk's size.
    pub keep_free_percent: u64,
    /// Oldest age of a session, in seconds.
    pub session_age_seconds: u64,
    /// Most folders that uploads with one key made and that still exist.
    pub key_folders: u32,
    /// Most folders of a workspace, from all keys.
    pub workspace_folders: u32,
}
