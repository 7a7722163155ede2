//! Several at once.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::app::{MIB, TestApp, bytes, read_available};

#[tokio::test]
async fn ten_completes_at_once_give_one_file_and_one_record() {
    let app = TestApp::start().await;
    for round in 0..100 {
        let session = app.upload(1000, json!({"file_name": format!("{round}")})).await;
        session.put_all(&app, &bytes(round, 1000)).await;
        let answers = join_all((0..10).map(|_| async {
            let response = session.complete(&app).await;
            assert_eq!(response.status(), 201);
            response.text().await.unwrap()
        }));
        assert_eq!(answers.await.into_iter().collect::<BTreeSet<_>>().len(), 1);
    }
    assert_eq!(app.count("files"), 100);
}

#[tokio::test]
async fn all_parts_at_once_make_the_file() {
    let app = TestApp::start().await;
    let data = bytes(1, 95 * MIB);
    let session = app.upload(data.len() as u64, json!({})).await;
    join_all((0..session.parts()).map(|index| session.put_part(&app, &data, index))).await;
    let record: Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &data).await;
}

#[tokio::test]
async fn of_two_requests_for_one_part_the_later_wins_and_bytes_never_mix() {
    let app = TestApp::start_local().await;
    for round in 0..10 {
        let (old, new) = (bytes(round, 8 * MIB), bytes(100 + round, 8 * MIB));
        let session = app.upload(8 * MIB, json!({"file_name": format!("{round}")})).await;
        let head = format!("PUT {} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", session.part_path(0), 8 * MIB);
        // The earlier request sends the most of its part and then waits, like a phone that changed networks.
        let address = app.address;
        let mut earlier = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&old[..old.len() - 1]).unwrap();
            (stream, old)
        })
        .await
        .unwrap();
        session.put_all(&app, &new).await;
        let record: Value = session.complete(&app).await.json().await.unwrap();
        app.assert_bytes(&record, &new).await;
        let answer = tokio::task::spawn_blocking(move || {
            let _ = earlier.0.write_all(&earlier.1[earlier.1.len() - 1..]);
            read_available(&mut earlier.0)
        });
        let answer = answer.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("later request"), "{answer:?}");
        let served = app.get(record["url"].as_str().unwrap()).await.bytes().await.unwrap();
        assert!(served == new);
    }
}

#[tokio::test]
async fn many_requests_for_one_part_leave_the_bytes_of_one() {
    let app = TestApp::start().await;
    let session = app.upload(3 * MIB, json!({})).await;
    let versions: Vec<_> = (0..16).map(|seed| bytes(seed, 3 * MIB)).collect();
    let answers = join_all(versions.iter().map(|version| app.put(session.part_url(0), version))).await;
    assert!(answers.iter().any(|answer| answer.status() == 200));
    let record: Value = session.complete(&app).await.json().await.unwrap();
    let served = app.get(record["url"].as_str().unwrap()).await.bytes().await.unwrap();
    assert!(versions.iter().any(|version| served == *version), "the bytes are of no single request");
    app.assert_bytes(&record, &served).await;
}

#[tokio::test]
async fn files_of_one_path_completed_at_once_leave_one_file_and_no_orphan() {
    let app = TestApp::start().await;
    let records = join_all((0..12).map(|seed| {
        let app = &app;
        async move { app.upload_whole(&bytes(seed, 5000), json!({"folder": "x/y/z", "file_name": "same"})).await }
    }))
    .await;
    assert_eq!(app.count("files"), 1);
    assert_eq!(app.count("folders WHERE path <> ''"), 3);
    let served = app.get(records[0]["url"].as_str().unwrap()).await.bytes().await.unwrap();
    assert!((0..12).any(|seed| served == bytes(seed, 5000)));
    app.until("the others are freed", |app| app.count("garbage") == 0).await;
}
