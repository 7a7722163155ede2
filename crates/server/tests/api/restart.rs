//! What a server that starts again still knows.

use serde_json::{Value, json};

use crate::app::{MIB, TestApp, bytes};

#[tokio::test]
async fn an_upload_goes_on_after_a_restart() {
    let mut app = TestApp::start().await;
    let data = bytes(1, 25 * MIB);
    let mut session = app.upload(data.len() as u64, json!({})).await;
    session.put_part(&app, &data, 1).await;
    let completed = app.upload_whole(b"before", json!({"file_name": "before"})).await;
    let old_address = app.address.to_string();
    app.restart().await;
    // The same URLs, at the new port of the test.
    let start = session.start.to_string().replace(&old_address, &app.address.to_string());
    session.start = serde_json::from_str(&start).unwrap();
    let error: Value = session.complete(&app).await.json().await.unwrap();
    assert_eq!(error["missing_parts"], json!([0, 2]));
    session.put_part(&app, &data, 0).await;
    session.put_part(&app, &data, 2).await;
    let record: Value = session.complete(&app).await.json().await.unwrap();
    assert_eq!(record["hash"], format!("blake3:{}", blake3::hash(&data)));
    let url = completed["url"].as_str().unwrap().replace(&old_address, &app.address.to_string());
    assert_eq!(app.get(&url).await.text().await.unwrap(), "before");
}

#[tokio::test]
async fn a_second_server_on_the_same_directory_refuses() {
    let app = TestApp::start().await;
    let config = partway_server::Config::with_data_dir(app.directory.path());
    let Err(refused) = partway_server::App::open(config, app.address).await else { panic!("it started") };
    assert!(refused.to_string().contains("another partway server is using"), "{refused}");
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
