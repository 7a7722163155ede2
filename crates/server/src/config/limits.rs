//! What is too much.

use super::section::section;
use super::value::Bytes;

section! {
    #[doc = "What is too much."]
    pub struct LimitSettings {
        #[doc = "Largest file that may be uploaded, in bytes (default 5 TiB)."]
        max_file_size: Bytes = "limits.max_file_bytes", "5497558138880";
        #[doc = "Most bytes that a workspace may hold, files and open sessions together, unless it has a limit of its own (`partway workspaces limit`). Empty: no limit."]
        workspace_storage: Option<Bytes> = "limits.workspace_storage_bytes", "";
    }
}
