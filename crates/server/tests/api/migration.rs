//! A database of any earlier version is brought to this one at the first start, and nothing of it is lost. PostgreSQL is
//! there since version 3.

use partway_server::db::file_list::{FileFilter, FileKey, FileOrder, list};
use partway_server::db::folders::{self, FolderFilter, FolderOrder};
use partway_server::db::{Db, files, sessions, usage};
use partway_server::{App, Config};
use uuid::Uuid;

use crate::services::{Database, Services};

const VERSIONS: [&str; 7] = [
    include_str!("../../src/db/schema/migrations/0001_first.sql"),
    include_str!("../../src/db/schema/migrations/0002_sessions_as_resources.sql"),
    include_str!("../../src/db/schema/migrations/0003_several_nodes.sql"),
    include_str!("../../src/db/schema/migrations/0004_whole_workspace.sql"),
    include_str!("../../src/db/schema/migrations/0005_trust.sql"),
    include_str!("../../src/db/schema/migrations/0006_bounds.sql"),
    include_str!("../../src/db/schema/migrations/0007_renewal.sql"),
];

/// Short names of ids: `{w}` is the workspace, `{k1}` a key, `{s1}` a session and so on.
const IDS: [(&str, u128); 16] = [
    ("w", 0x01),
    ("k1", 0x51),
    ("k2", 0x52),
    ("d1", 0x11),
    ("d2", 0x12),
    ("f1", 0x21),
    ("f2", 0x22),
    ("f3", 0x23),
    ("b1", 0x31),
    ("b2", 0x32),
    ("b3", 0x33),
    ("s1", 0x61),
    ("s2", 0x62),
    ("s3", 0x63),
    ("s4", 0x64),
    ("h", 0x71),
];

/// The rows of every version: a workspace and its keys.
const KEYS: &str = "
INSERT INTO workspaces (id, workspace_no, name, created_at) VALUES ('{w}', 'w000000000', 'default', 5);
INSERT INTO api_keys (id, workspace_id, kind, key_sha256, created_at, revoked_at) VALUES
    ('{k1}', '{w}', 'private', {blob:aa}, 5, NULL), ('{k2}', '{w}', 'public', {blob:bb}, 5, 6);
INSERT INTO secrets (name, value) VALUES ('mine', {blob:00ff});
";

/// Sessions of every version: one completed, two that take parts, and one that ended otherwise.
const SESSIONS: &str = "
INSERT INTO sessions (id, workspace_id, api_key_id, status, file_id, blob_id, file_name, folder, size_bytes, part_size_bytes,
        mime_type, tags, created_at, expires_at, trusted_boot_id) VALUES
    ('{s1}', '{w}', '{k1}', 'completed', '{f2}', '{b2}', 'x', 'Ä', 20, 20, 'image/png', '[]', 7, 3600007, 'boot'),
    ('{s2}', '{w}', '{k2}', 'uploading', '00000000-0000-0000-0000-000000000a02', '00000000-0000-0000-0000-000000000b02', 'open',
        '', 5000000000, 20, 'image/png', '[]', 8, 99999999999999, 'boot'),
    ('{s3}', '{w}', '{k2}', 'uploading', '00000000-0000-0000-0000-000000000a03', '00000000-0000-0000-0000-000000000b03', 'open',
        '', 7, 7, 'image/png', '[]', 9, 99999999999999, 'boot'),
    ('{s4}', '{w}', '{k2}', 'aborted', '00000000-0000-0000-0000-000000000a04', '00000000-0000-0000-0000-000000000b04', 'gone',
        '', 11, 11, 'image/png', '[]', 9, 44, 'boot');
INSERT INTO parts (session_id, part_index, subtrees) VALUES ('{s2}', 3, {blob:0102});
INSERT INTO ended_sessions (session_id) VALUES ('{s4}');
INSERT INTO garbage (blob_id, reason, size_bytes, created_at) VALUES
    ('00000000-0000-0000-0000-000000000b04', 'aborted', 11, 44);
";

/// Files in two folders and at the root, as versions 1 to 3 kept them.
const FILES: &str = "
INSERT INTO folders (id, folder_no, workspace_id, parent_id, name, path, created_at, updated_at) VALUES
    ('{d1}', 'f000000001', '{w}', NULL, 'Ä', 'Ä', 5, 5), ('{d2}', 'f000000002', '{w}', '{d1}', 'b', 'Ä/b', 5, 5);
INSERT INTO files (id, file_no, workspace_id, folder_id, name, path, blob_id, size_bytes, mime_type, format, hash, tags,
        metadata, custom_id, upload_source, is_duplicate, created_at, updated_at) VALUES
    ('{f1}', 'n000000001', '{w}', NULL, 'Root.TXT', 'Root.TXT', '{b1}', 10, 'text/plain', 'txt', 'blake3:aa', '[]', NULL, NULL,
        'api', FALSE, 7, 7),
    ('{f2}', 'n000000002', '{w}', '{d1}', 'x', 'Ä/x', '{b2}', 20, 'image/png', 'png', NULL, '[\"red\",\"two\"]', '{\"k\":1}', 'mine',
        'api', TRUE, 8, 8),
    ('{f3}', 'n000000003', '{w}', '{d2}', 'y', 'Ä/b/y', '{b3}', 30, 'image/png', 'png', NULL, '[\"red\"]', NULL, NULL, 'api', FALSE, 9, 9);
";

/// The same as version 4 keeps them, found by their tags and folded names.
const FILES_OF_FOLDERS: &str = "
INSERT INTO folders (id, folder_no, workspace_id, parent_id, name, path, created_at, updated_at, files_count, files_bytes,
        name_folded) VALUES
    ('{w}', '/w000000000', '{w}', NULL, '', '', 5, 5, 1, 10, ''),
    ('{d1}', 'f000000001', '{w}', '{w}', 'Ä', 'Ä', 5, 5, 1, 20, 'ä'), ('{d2}', 'f000000002', '{w}', '{d1}', 'b', 'Ä/b', 5, 5, 1, 30, 'b');
INSERT INTO files (id, file_no, workspace_id, folder_id, name, name_folded, blob_id, size_bytes, mime_type, format, hash, tags,
        metadata, custom_id, upload_source, is_duplicate, created_at, updated_at, storage, origin_id) VALUES
    ('{f1}', 'n000000001', '{w}', '{w}', 'Root.TXT', 'root.txt', '{b1}', 10, 'text/plain', 'txt', 'blake3:aa', '[]', NULL, NULL,
        'api', FALSE, 7, 7, 'local', '{f1}'),
    ('{f2}', 'n000000002', '{w}', '{d1}', 'x', 'x', '{b2}', 20, 'image/png', 'png', NULL, '[\"red\",\"two\"]', '{\"k\":1}', 'mine',
        'api', TRUE, 8, 8, 'local', '{f2}'),
    ('{f3}', 'n000000003', '{w}', '{d2}', 'y', 'y', '{b3}', 30, 'image/png', 'png', NULL, '[\"red\"]', NULL, NULL, 'api', FALSE, 9, 9,
        'local', '{f3}');
INSERT INTO file_tags (workspace_id, tag, created_at, file_id, folder_id, name_folded, size_bytes, updated_at) VALUES
    ('{w}', 'red', 8, '{f2}', '{d1}', 'x', 20, 8), ('{w}', 'two', 8, '{f2}', '{d1}', 'x', 20, 8),
    ('{w}', 'red', 9, '{f3}', '{d2}', 'y', 30, 9);
INSERT INTO webhooks (id, workspace_id, url, events, created_at) VALUES ('{h}', '{w}', 'https://example.com', '[]', 5);
INSERT INTO deliveries (id, event_id, workspace_id, webhook_id, url, event, subject_id, sequence, payload, created_at, attempts,
        next_attempt_at, dead_at) VALUES
    ('00000000-0000-0000-0000-000000000d01', 'e', '{w}', '{h}', 'https://example.com', 'file.created', '{f1}', 1, '{}', 5, 9, 5, 6);
";

/// Counters and rows that version 2 adds.
const COUNTED: &str = "
UPDATE workspaces SET files_count = 3, files_bytes = 60, sessions_count = 2, sessions_bytes = 5000000007;
INSERT INTO idempotency_keys (api_key_id, idempotency_key, request_sha256, session_id, created_at) VALUES
    ('{k1}', 'once', {blob:cc}, '{s1}', 7);
INSERT INTO installation (name, value) VALUES ('mine', 'kept');
";

fn id(name: &str) -> Uuid {
    let (_, number) = IDS.into_iter().find(|(known, _)| *known == name).unwrap();
    Uuid::from_u128(number)
}

/// A database of `version` with data in it.
fn make(database: &Database, version: usize) {
    // As these versions were translated.
    let translated = |sql: String| match database {
        Database::Sqlite(_) => sql,
        Database::Postgres(_) => {
            sql.replace(" WITHOUT ROWID", "").replace(" BLOB", " BYTEA").replace(" TEXT", " TEXT COLLATE \"C\"")
        }
    };
    // The rows are those of version 4 at the latest: its successors fill their columns by SQL alone.
    let sql = translated(VERSIONS[..version.min(4)].concat());
    let later = translated(VERSIONS[version.min(4)..version].concat());
    let mut content = format!("{KEYS}{}{SESSIONS}", if version < 4 { FILES } else { FILES_OF_FOLDERS });
    if version >= 2 {
        content.push_str(COUNTED);
    }
    for (name, _) in IDS {
        content = content.replace(&format!("{{{name}}}"), &id(name).to_string());
    }
    for hex in ["aa", "bb", "cc", "0102", "00ff"] {
        let written = match database {
            Database::Sqlite(_) => format!("X'{hex}'"),
            Database::Postgres(_) => format!("'\\x{hex}'"),
        };
        content = content.replace(&format!("{{blob:{hex}}}"), &written);
    }
    let noted = match database {
        Database::Sqlite(_) => format!("PRAGMA user_version = {version}"),
        Database::Postgres(_) => format!(
            "CREATE TABLE schema_version (version BIGINT NOT NULL); INSERT INTO schema_version VALUES ({version})"
        ),
    };
    database.execute_all(&format!("{sql}{content}{later}{noted}"));
}

#[tokio::test]
async fn a_database_of_every_earlier_version_becomes_one_of_this_version() {
    for (version, postgres) in [
        (1, false),
        (2, false),
        (3, false),
        (3, true),
        (4, false),
        (4, true),
        (5, false),
        (5, true),
        (6, false),
        (7, true),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::with_data_dir(directory.path());
        config.storage.reserve = false;
        let database = Services { postgres, s3: false }.configure(&mut config, directory.path());
        make(&database, version);
        let (app, first_run) = App::open(config, "127.0.0.1:1".parse().unwrap()).await.unwrap();
        assert!(first_run.is_none(), "from version {version}");
        assert_files(&app.db).await;
        assert_sessions(&app.db).await;
        assert_kept(&database, version);
        drop(app);
        if let Database::Sqlite(path) = &database {
            let database = rusqlite::Connection::open(path).unwrap();
            let mut statement = database.prepare("PRAGMA foreign_key_check").unwrap();
            let broken: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
            assert!(broken.is_empty(), "from version {version}: {broken:?}");
        }
    }
}

/// All files are found by all that they are found by.
async fn assert_files(db: &Db) {
    let order = FileOrder { key: FileKey::Name, descending: false };
    let found = db
        .read(move |tx| {
            let id = id("w");
            let all = list(tx, id, &FileFilter::default(), order, 10, 0)?;
            let red = FileFilter { tags: vec!["red".into()], ..FileFilter::default() };
            let search = FileFilter { search: Some("root.txt".into()), ..FileFilter::default() };
            let below = FileFilter { path_prefix: Some("Ä/".into()), ..FileFilter::default() };
            let totals = [red, search, below].map(|filter| list(tx, id, &filter, order, 10, 0).map(|page| page.total));
            let folders = folders::list(
                tx,
                id,
                &FolderFilter { parent_id: Some(folders::root(id)), ..FolderFilter::default() },
                FolderOrder { by_creation: false, descending: false },
                10,
                0,
            )?
            .folders;
            let served = files::find_served(tx, "w000000000", "Ä/b/y")?;
            let counted = (usage::find(tx, id)?.unwrap(), usage::add_up(tx, id)?, usage::miscounted_folders(tx, id)?);
            Ok((all, totals, folders, served, counted))
        })
        .await
        .unwrap();
    let (all, totals, folders, served, (usage, (files, sessions), miscounted)) = found;
    let paths: Vec<_> = all.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["Root.TXT", "Ä/x", "Ä/b/y"]);
    let x = &all.files[1];
    assert_eq!((x.tags.len(), x.custom_id.as_deref(), x.folder_no.as_deref()), (2, Some("mine"), Some("f000000001")));
    assert_eq!((x.metadata.as_ref().unwrap()["k"].as_i64(), x.declared_type.as_deref()), (Some(1), None));
    assert_eq!(totals.map(Result::unwrap), [2, 1, 2]);
    assert_eq!(
        (folders.len(), folders[0].path.as_str(), folders[0].total_files, folders[0].total_bytes),
        (1, "Ä", 2, 50)
    );
    assert_eq!(served.unwrap().size_bytes, 30);
    assert_eq!((usage.files, usage.sessions, miscounted), (files, sessions, 0));
}

/// Sessions go on, and their parts are known.
async fn assert_sessions(db: &Db) {
    let (open, ended) = db
        .read(|tx| Ok((sessions::find(tx, id("s2"))?.unwrap(), sessions::find(tx, id("s4"))?.unwrap())))
        .await
        .unwrap();
    assert_eq!((open.status, open.size_bytes, open.declared_hash), (sessions::Status::Uploading, 5_000_000_000, None));
    assert_eq!(ended.status, sessions::Status::Aborted);
}

/// The rows that no query above looks at, and what versions 5 and 6 fill.
fn assert_kept(database: &Database, version: usize) {
    let one = |condition: &str| {
        let condition = IDS
            .into_iter()
            .fold(condition.to_owned(), |text, (name, _)| text.replace(&format!("{{{name}}}"), &id(name).to_string()));
        let count = database.number(&format!("SELECT count(*) FROM {condition}"));
        assert_eq!(count, 1, "from version {version}: {condition}");
    };
    one("workspaces WHERE id = '{w}' AND folders_count = 2 AND events_forgotten = 0");
    one("parts WHERE session_id = '{s2}' AND part_index = 3 AND length(subtrees) = 2");
    one("ended_sessions WHERE session_id = '{s4}'");
    one("garbage WHERE size_bytes = 11 AND storage = 'local' AND not_before = 0");
    one("secrets WHERE name = 'mine' AND previous_value IS NULL AND rotated_at IS NULL");
    one("files WHERE api_key_id = '{k1}' AND id = '{f2}'");
    one("(SELECT count(*) AS unknown FROM files WHERE api_key_id IS NULL) AS f WHERE unknown = 2");
    one("api_keys WHERE id = '{k1}' AND sessions_count = 0 AND sessions_bytes = 0 AND revoked_at IS NULL");
    one("api_keys WHERE id = '{k2}' AND sessions_count = 2 AND sessions_bytes = 5000000007 AND revoked_at = 6");
    one(
        "(SELECT count(*) AS none FROM api_keys WHERE NOT (may_replace OR may_name_webhooks OR random_prefix)) AS k WHERE none = 2",
    );
    one("sessions WHERE id = '{s1}' AND ended_at = 3600007");
    one("sessions WHERE id = '{s4}' AND ended_at = 44");
    one("(SELECT count(*) AS open FROM sessions WHERE ended_at IS NULL) AS s WHERE open = 2");
    if version >= 2 {
        one("idempotency_keys WHERE idempotency_key = 'once' AND session_id = '{s1}'");
        one("installation WHERE name = 'mine' AND value = 'kept'");
    }
    if version >= 4 {
        one("webhooks WHERE id = '{h}' AND events_forgotten = 0");
        one("deliveries WHERE webhook_id = '{h}' AND attempts = 9 AND dead_at = 6 AND api_key_id IS NULL");
    }
}
