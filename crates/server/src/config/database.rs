//! Where the records are.

use std::path::PathBuf;

use super::section::section;
use super::source::SettingsReader;
use super::value::{Connections, DatabaseUrl};

section! {
    #[doc = "Where the records are: keys, sessions, files."]
    pub struct DatabaseSettings {
        #[doc = "A PostgreSQL database, such as `postgres://partway:secret@db.example.com/partway`, with `?sslmode=verify-full` behind it for encryption with a certificate that is verified: against the system's authorities, or those of `&sslrootcert=FILE`. `require` is the same, `verify-ca` does not compare the host; without, whatever encryption the server offers. In user and password, characters such as `@`, `/`, `?`, `#` and `%` are written `%40` and so on. Without it: an SQLite file in `data_dir`."]
        url: Option<DatabaseUrl> = "database.url", "";
        #[doc = "File that has `database.url`, so that it need not stand in the configuration."]
        url_file: Option<PathBuf> = "database.url_file", "";
        #[doc = "Most connections of this process to PostgreSQL."]
        max_connections: Connections = "database.max_connections", "16";
    }
}

impl DatabaseSettings {
    /// Takes what stands in files.
    pub(super) fn resolve(&mut self, source: &mut SettingsReader) {
        source.read_file("database.url", &mut self.url, self.url_file.as_deref());
    }
}
