//! A database of the version before is brought to this one at the first start, and nothing of it is lost.

use partway_server::db::file_list::{FileFilter, FileKey, FileOrder, list};
use partway_server::db::folders::{self, FolderOrder};
use partway_server::db::{files, usage};
use partway_server::{App, Config};
use rusqlite::Connection;

const VERSION_3: [&str; 3] = [
    include_str!("../../src/db/migrations/0001_first.sql"),
    include_str!("../../src/db/migrations/0002_sessions_as_resources.sql"),
    include_str!("../../src/db/migrations/0003_several_nodes.sql"),
];

/// A workspace with files in two folders and at the root, as version 3 kept it.
const CONTENT: &str = "
INSERT INTO workspaces (id, workspace_no, name, created_at, files_count, files_bytes)
    VALUES ('00000000-0000-0000-0000-000000000001', 'w000000000', 'default', 5, 3, 60);
INSERT INTO folders (id, folder_no, workspace_id, parent_id, name, path, created_at, updated_at) VALUES
    ('00000000-0000-0000-0000-000000000011', 'f000000001', '00000000-0000-0000-0000-000000000001', NULL, 'Ä', 'Ä', 5, 5),
    ('00000000-0000-0000-0000-000000000012', 'f000000002', '00000000-0000-0000-0000-000000000001',
        '00000000-0000-0000-0000-000000000011', 'b', 'Ä/b', 5, 5);
INSERT INTO files (id, file_no, workspace_id, folder_id, name, path, blob_id, size_bytes, mime_type, format, hash, tags,
        metadata, custom_id, upload_source, is_duplicate, created_at, updated_at) VALUES
    ('00000000-0000-0000-0000-000000000021', 'n000000001', '00000000-0000-0000-0000-000000000001', NULL, 'Root.TXT', 'Root.TXT',
        '00000000-0000-0000-0000-000000000031', 10, 'text/plain', 'txt', 'blake3:aa', '[]', NULL, NULL, 'api', 0, 7, 7),
    ('00000000-0000-0000-0000-000000000022', 'n000000002', '00000000-0000-0000-0000-000000000001',
        '00000000-0000-0000-0000-000000000011', 'x', 'Ä/x', '00000000-0000-0000-0000-000000000032', 20, 'image/png', 'png',
        NULL, '[\"red\",\"two\"]', '{\"k\":1}', 'mine', 'api', 1, 8, 8),
    ('00000000-0000-0000-0000-000000000023', 'n000000003', '00000000-0000-0000-0000-000000000001',
        '00000000-0000-0000-0000-000000000012', 'y', 'Ä/b/y', '00000000-0000-0000-0000-000000000033', 30, 'image/png', 'png',
        NULL, '[\"red\"]', NULL, NULL, 'api', 0, 9, 9);
";

#[tokio::test]
async fn a_database_of_version_3_becomes_one_of_this_version() {
    let directory = tempfile::tempdir().unwrap();
    let database = Connection::open(directory.path().join("partway.db")).unwrap();
    database.execute_batch(&VERSION_3.concat()).unwrap();
    database.execute_batch(CONTENT).unwrap();
    database.pragma_update(None, "user_version", 3).unwrap();
    drop(database);
    let mut config = Config::with_data_dir(directory.path());
    config.storage.reserve = false;
    let (app, first_run) = App::open(config, "127.0.0.1:1".parse().unwrap()).await.unwrap();
    assert!(first_run.is_none());
    let id = uuid::Uuid::from_u128(1);
    let order = FileOrder { key: FileKey::Name, descending: false };
    let found = app
        .db
        .read(move |tx| {
            let all = list(tx, id, &FileFilter::default(), order, 10, 0)?;
            let red = FileFilter { tags: vec!["red".into()], ..FileFilter::default() };
            let search = FileFilter { search: Some("root.txt".into()), ..FileFilter::default() };
            let below = FileFilter { path_prefix: Some("Ä/".into()), ..FileFilter::default() };
            let totals = [red, search, below].map(|filter| list(tx, id, &filter, order, 10, 0).map(|page| page.total));
            let folders = folders::list(
                tx,
                id,
                Some(folders::root(id)),
                None,
                FolderOrder { by_creation: false, descending: false },
            )?;
            let served = files::find_served(tx, "w000000000", "Ä/b/y")?;
            let counted = (usage::find(tx, id)?.unwrap(), usage::add_up(tx, id)?, usage::miscounted_folders(tx, id)?);
            Ok((all, totals, folders, served, counted))
        })
        .await
        .unwrap();
    let (all, totals, folders, served, (usage, (files, _), miscounted)) = found;
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
    assert_eq!((usage.files, miscounted), (files, 0));
    let database = Connection::open(directory.path().join("partway.db")).unwrap();
    let broken: Vec<String> = {
        let mut statement = database.prepare("PRAGMA foreign_key_check").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert!(broken.is_empty(), "{broken:?}");
}
