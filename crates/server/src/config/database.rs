//! Where the records are stored.

use std::path::PathBuf;

use super::section::section;
use super::source::SettingsReader;
use super::value::{Connections, DatabaseUrl};

section! {
    #[doc = "Where the records are stored: keys, sessions, files."]
    pub struct DatabaseSettings {
        #[doc = "A PostgreSQL database, such as `postgres://partway:secret@db.example.com/partway`. If unset, an SQLite file in `data_dir` is used. Add `?sslmode=verify-full` to require TLS with a verified certificate: by the system's authorities, or by those in `&sslrootcert=FILE`. `sslmode=require` is the same; `verify-ca` does not compare the host name; without `sslmode`, TLS is used if the server offers it. In user and password, characters such as `@`, `/`, `?`, `#` and `%` are percent-encoded (`%40` for `@`)."]
        url: Option<DatabaseUrl> = "database.url", "";
        #[doc = "File that contains `database.url`, to keep it out of the configuration."]
        url_file: Option<PathBuf> = "database.url_file", "";
        #[doc = "Most connections of this process to PostgreSQL."]
        max_connections: Connections = "database.max_connections", "16";
    }
}

impl DatabaseSettings {
    /// Reads the URL from its file.
    pub(super) fn resolve(&mut self, source: &mut SettingsReader) {
        source.read_file::<DatabaseUrl>("database.url", &mut self.url, self.url_file.as_deref());
    }
}
