//! What is too much.

use super::section::section;
use super::value::Bytes;

section! {
    #[doc = "What is too much."]
    pub struct LimitSettings {
        #[doc = "Largest file that may be uploaded, in bytes (default 5 TiB)."]
        max_file_size: Bytes = "limits.max_file_bytes", "5497558138880";
    }
}
