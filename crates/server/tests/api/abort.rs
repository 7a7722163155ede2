//! `DELETE /api/v1/multipart/{session_id}`

use std::io::Write;
use std::net::TcpStream;

use futures_util::future::join_all;
use serde_json::json;

use crate::app::{MIB, TestApp, assert_error, bytes, read_available};
use crate::stopping::blob_has;

#[tokio::test]
async fn aborting_frees_the_bytes_and_repeating_it_changes_nothing() {
    let app = TestApp::start().await;
    let data = bytes(1, 10 * MIB + 1);
    let session = app.upload(data.len() as u64, json!({})).await;
    session.put_part(&app, &data, 0).await;
    for _ in 0..3 {
        let response = session.abort(&app).await;
        assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (204, ""));
    }
    app.until("the bytes are freed", |app| app.has_blobs(0) && app.count("parts") == 0).await;
    assert_error(session.complete(&app).await, 410, "SESSION_ABORTED", &[session.id()]).await;
    // One byte: the store refuses before it has read more, which a client may see as a connection that breaks.
    let late = app.put(session.part_url(1), b"x").await;
    if app.is_local() {
        assert_error(late, 410, "SESSION_ABORTED", &[]).await;
    } else {
        assert_eq!(late.status(), 404);
    }
    let state = session.status(&app).await;
    assert_eq!((&state["status"], &state["uploaded_parts"]), (&json!("aborted"), &json!([])));
    assert_eq!(state["bytes_uploaded"], 0);
}

#[tokio::test]
async fn a_completed_session_cannot_be_aborted() {
    let app = TestApp::start().await;
    let session = app.upload(3, json!({})).await;
    session.put_all(&app, b"abc").await;
    let record: serde_json::Value = session.complete(&app).await.json().await.unwrap();
    assert_error(session.abort(&app).await, 409, "SESSION_COMPLETED", &[session.id()]).await;
    assert_eq!(app.get(record["url"].as_str().unwrap()).await.text().await.unwrap(), "abc");
}

#[tokio::test]
async fn requests_that_are_sending_are_ended_at_once() {
    let app = TestApp::start_local().await;
    let session = app.upload(8 * MIB, json!({})).await;
    let mut sending = TcpStream::connect(app.address).unwrap();
    write!(sending, "PUT {} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", session.part_path(0), 8 * MIB).unwrap();
    sending.write_all(&bytes(1, MIB)).unwrap();
    // Starting makes the blob; only a request that is under way brings bytes.
    app.until("it is being written", |app| blob_has(app, &bytes(1, 1000))).await;
    assert_eq!(session.abort(&app).await.status(), 204);
    let answer = tokio::task::spawn_blocking(move || read_available(&mut sending)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 410") && answer.contains("SESSION_ABORTED"), "{answer:?}");
    app.until("the bytes are freed", |app| app.has_blobs(0)).await;
}

#[tokio::test]
async fn complete_and_abort_at_once_end_in_exactly_one_and_both_learn_which() {
    let app = TestApp::start().await;
    let (mut completed, mut aborted) = (0, 0);
    for round in 0..60_u64 {
        let session = app.upload(1000, json!({"file_name": format!("{round}")})).await;
        session.put_all(&app, &bytes(round, 1000)).await;
        // Sometimes the one has a head start, sometimes the other.
        let (first, second) = (round % 3, (round / 3) % 3);
        let answers = join_all((0..4).map(|client| {
            let (app, session) = (&app, &session);
            async move {
                let late = if client % 2 == 0 { first } else { second };
                tokio::time::sleep(std::time::Duration::from_micros(300 * late)).await;
                if client % 2 == 0 {
                    (true, session.complete(app).await.status().as_u16())
                } else {
                    (false, session.abort(app).await.status().as_u16())
                }
            }
        }));
        let answers = answers.await;
        let exists = app.count(&format!("files WHERE name = '{round}'")) == 1;
        for (is_complete, status) in answers {
            let expected = match (is_complete, exists) {
                (true, true) => 201,
                (true, false) => 410,
                (false, true) => 409,
                (false, false) => 204,
            };
            assert_eq!(status, expected, "round {round}: is_complete {is_complete}, file exists {exists}");
        }
        if exists { completed += 1 } else { aborted += 1 }
    }
    assert!(completed > 0 && aborted > 0, "{completed} completed, {aborted} aborted: nothing was raced");
    app.until("what was aborted is freed", |app| app.count("garbage") == 0).await;
}

#[tokio::test]
async fn a_session_that_is_not_open_in_memory_is_aborted_as_well() {
    let mut app = TestApp::start().await;
    let session = app.upload(3, json!({})).await;
    app.restart().await;
    assert_eq!(session.abort(&app).await.status(), 204);
    app.until("its bytes are freed", |app| app.has_blobs(0)).await;
}
