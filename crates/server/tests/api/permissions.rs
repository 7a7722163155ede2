//! Files of the server are for its own user alone, in a directory that others may enter, too.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::app::TestApp;
use crate::services::Services;

const LOCAL: Services = Services { postgres: false, s3: false };

/// Everything below the directory that others may do anything with.
fn open_to_others(directory: &Path) -> Vec<String> {
    let mut open = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        // A file that SQLite or the server just removed is nobody's.
        let Ok(found) = entry.metadata() else { continue };
        if found.permissions().mode() & 0o077 != 0 {
            open.push(format!("{} {:o}", entry.path().display(), found.permissions().mode()));
        }
        if found.is_dir() {
            open.extend(open_to_others(&entry.path()));
        }
    }
    open
}

#[tokio::test]
async fn nothing_that_is_made_is_open_to_others() {
    let app = TestApp::start_on(LOCAL, |config| {
        fs::set_permissions(&config.storage.data_dir, Permissions::from_mode(0o755)).unwrap();
        config.storage.reserve = true;
    })
    .await;
    app.upload_whole(b"parts", json!({"file_name": "a"})).await;
    app.whole(b"whole", &[("file_name", "b")]).await;
    let open = app.upload(3, json!({"file_name": "c"})).await;
    app.until("the room for the database is taken", |app| app.directory.path().join("reserve").exists()).await;
    assert!(app.directory.path().join("partway.db-wal").exists());
    assert_eq!(open_to_others(app.directory.path()), Vec::<String>::new());
    assert_eq!(open.abort(&app).await.status(), 204);
}

#[tokio::test]
async fn files_that_an_older_version_left_open_are_closed_at_the_next_start() {
    let mut app = TestApp::start_on(LOCAL, |_| {}).await;
    app.upload_whole(b"abc", json!({})).await;
    app.restart_after(|app| {
        let directory = app.directory.path();
        for (name, mode) in [("partway.db", 0o644), ("lock", 0o666), ("blobs", 0o755)] {
            fs::set_permissions(directory.join(name), Permissions::from_mode(mode)).unwrap();
        }
    })
    .await;
    for name in ["partway.db", "lock", "blobs"] {
        let mode = fs::metadata(app.directory.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
    assert_eq!(app.count("files"), 1);
}
