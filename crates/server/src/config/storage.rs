//! Where the bytes and the records are.

use std::path::PathBuf;

use super::section::section;
use super::value::Bytes;

section! {
    #[doc = "Where the bytes and the records are."]
    pub struct StorageSettings {
        #[doc = "Directory of the database and of all files. It is made if it is not there."]
        data_dir: PathBuf = "data_dir", "./partway-data";
        #[doc = "Reserve the full size of a file when its upload starts, so that a full disk refuses the start and not a part in the middle. Off: files are sparse and grow as parts arrive."]
        reserve: bool = "storage.reserve", "true";
        #[doc = "Bytes of the disk that files leave free, for the database and the rest of the machine (default 256 MiB). What would leave less is refused with 507."]
        min_free: Bytes = "storage.min_free_bytes", "268435456";
        #[doc = "Have the disk start writing each part as soon as it has arrived, so that completing a large file has little left to wait for. Costs some processor time."]
        early_writeback: bool = "storage.early_writeback", "true";
    }
}
