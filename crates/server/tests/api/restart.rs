//! State that survives a restart of the server.

use serde_json::{Value, json};

use crate::app::{MIB, Session, TestApp, bytes};

/// The same URLs, at the new port of the test.
fn follow(session: &mut Session, old_address: &str, app: &TestApp) {
    let start = session.start.to_string().replace(old_address, &app.address.to_string());
    session.start = serde_json::from_str(&start).unwrap();
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart() {
    goes_on(TestApp::start_local().await).await;
}

#[tokio::test]
async fn an_upload_whose_bytes_are_left_to_the_sync_goes_on_after_a_restart() {
    goes_on(TestApp::start_local_with(|config| config.storage.early_writeback = false).await).await;
}

async fn goes_on(mut app: TestApp) {
    let data = bytes(1, 25 * MIB);
    let mut session = app.upload(data.len() as u64, json!({})).await;
    session.put_part(&app, &data, 1).await;
    let completed = app.upload_whole(b"before", json!({"file_name": "before"})).await;
    let old_address = app.address.to_string();
    app.restart().await;
    follow(&mut session, &old_address, &app);
    let error: Value = session.complete(&app).await.json().await.unwrap();
    assert_eq!(error["missing_parts"], json!([0, 2]));
    session.put_part(&app, &data, 0).await;
    session.put_part(&app, &data, 2).await;
    let record: Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &data).await;
    let url = completed["url"].as_str().unwrap().replace(&old_address, &app.address.to_string());
    assert_eq!(app.get(&url).await.text().await.unwrap(), "before");
}

/// State after a reboot: the parts were recorded in another boot of the machine.
fn pretend_reboot(app: &TestApp) {
    app.sql("UPDATE sessions SET trusted_boot_id = 'another'");
}

fn only_blob(app: &TestApp) -> std::path::PathBuf {
    let shards = std::fs::read_dir(app.directory.path().join("blobs")).unwrap();
    let mut blobs = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    blobs.next().unwrap().unwrap().path()
}

#[tokio::test]
async fn after_a_reboot_parts_are_verified_and_exactly_the_damaged_ones_are_missing() {
    use std::os::unix::fs::FileExt;
    let mut app = TestApp::start_local().await;
    let data = bytes(1, 45 * MIB);
    let mut session = app.upload(data.len() as u64, json!({})).await;
    for index in [0, 1, 2, 4] {
        session.put_part(&app, &data, index).await;
    }
    // Blocks that were written but had not reached the disk come back as zeros; one bit is enough to be found.
    let blob = std::fs::OpenOptions::new().write(true).open(only_blob(&app)).unwrap();
    blob.write_all_at(&[0; 4096], 12 * MIB).unwrap();
    blob.write_all_at(&[data[data.len() - 1] ^ 1], 45 * MIB - 1).unwrap();
    let old_address = app.address.to_string();
    app.restart_after(pretend_reboot).await;
    follow(&mut session, &old_address, &app);
    let error: Value = session.complete(&app).await.json().await.unwrap();
    assert_eq!(error["missing_parts"], json!([1, 3, 4]), "{error}");
    for index in [1, 3, 4] {
        session.put_part(&app, &data, index).await;
    }
    let record: Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &data).await;
    assert!(std::fs::read(only_blob(&app)).unwrap() == data);
}

#[tokio::test]
async fn a_blob_that_a_power_cut_took_is_made_again_and_its_parts_are_missing() {
    let mut app = TestApp::start_local().await;
    let data = bytes(2, 15 * MIB);
    let mut session = app.upload(data.len() as u64, json!({})).await;
    session.put_all(&app, &data).await;
    std::fs::remove_file(only_blob(&app)).unwrap();
    let old_address = app.address.to_string();
    app.restart_after(pretend_reboot).await;
    follow(&mut session, &old_address, &app);
    let error: Value = session.complete(&app).await.json().await.unwrap();
    assert_eq!(error["missing_parts"], json!([0, 1]), "{error}");
    session.put_all(&app, &data).await;
    let record: Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &data).await;
}

#[tokio::test]
async fn a_second_server_on_the_same_directory_refuses() {
    let app = TestApp::start_local().await;
    let config = partway_server::Config::with_data_dir(app.directory.path());
    let Err(refused) = partway_server::App::open(config, app.address).await else { panic!("it started") };
    assert!(refused.to_string().contains("is using the data directory"), "{refused}");
    assert_eq!(app.upload_whole(b"still serving", json!({})).await["size"], 13);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let database = rusqlite::Connection::open(directory.path().join("partway.db")).unwrap();
    database.pragma_update(None, "user_version", 999).unwrap();
    drop(database);
    let config = partway_server::Config::with_data_dir(directory.path());
    let Err(refused) = partway_server::App::open(config, "127.0.0.1:1".parse().unwrap()).await else {
        panic!("it started")
    };
    let text = partway_server::error_chain(&refused);
    assert!(text.contains("999") && text.contains("newer version"), "{text}");
}
