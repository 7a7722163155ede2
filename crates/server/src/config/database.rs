//! Where the records are.

use std::path::PathBuf;

use super::section::section;
use super::source::Source;
use super::value::{Connections, DatabaseUrl};

section! {
    #[doc = "Where the records are: keys, sessions, files."]
    pub struct DatabaseSettings {
        #[doc = "A PostgreSQL database, such as `postgres://partway:secret@db.example.com/partway`, with `?sslmode=require` behind it for encryption with a certificate that the system trusts; without, whatever encryption the server offers. Without it: an SQLite file in `data_dir`."]
        url: Option<DatabaseUrl> = "database.url", "";
        #[doc = "File that has `database.url`, so that it need not stand in the configuration."]
        url_file: Option<PathBuf> = "database.url_file", "";
        #[doc = "Most connections of this process to PostgreSQL."]
        max_connections: Connections = "database.max_connections", "16";
    }
}

impl DatabaseSettings {
    /// Takes what stands in files.
    pub(super) fn resolve(&mut self, source: &mut Source) {
        source.read_file("database.url", &mut self.url, self.url_file.as_deref());
    }
}
