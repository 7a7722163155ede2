//! Stores that behave otherwise than Garage: no file is lost by what they list, and completing that was cut off between the
//! store and the record ends well.

use std::time::Duration;

use partway_server::input::EtagsHash;
use partway_server::storage::{BlobStore, S3Store};
use partway_testing::{Lacks, Manners, OddStore};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::app::{MIB, Session, TestApp, assert_error, bytes};
use crate::services::{Services, endpoint, garage};
use crate::storage::headers;

async fn start_on(manners: Manners) -> (TestApp, OddStore) {
    let odd = OddStore::start(&garage().0.endpoint(0), manners);
    let url = odd.url.clone();
    let services = Services { s3: true, ..Services::of_this_run() };
    let app = TestApp::start_on(services, |config| {
        config.storage.public_endpoint = config.storage.endpoint.replace(endpoint(&url));
        // The tests sweep when they mean to.
        config.storage.sweep_seconds = std::time::Duration::from_secs(86_400);
    })
    .await;
    (app, odd)
}

fn store(app: &TestApp) -> &S3Store {
    app.app().stores.s3().unwrap()
}

fn column(app: &TestApp, session: &Session, name: &str) -> String {
    app.text(&format!("SELECT {name} FROM sessions WHERE id = '{}'", session.id()))
}

async fn sweep(app: &TestApp) {
    for _ in 0..3 {
        app.app().uploads.sweep().await.unwrap();
    }
}

/// The process that completed the session ended when the store had made the object.
async fn complete_at_store_alone(app: &TestApp, session: &Session) {
    complete_at_store(app, session, true).await;
}

/// The same; the session's row does or does not say that it was asked for.
async fn complete_at_store(app: &TestApp, session: &Session, is_noted: bool) {
    let blob_id: Uuid = column(app, session, "blob_id").parse().unwrap();
    let upload_id = column(app, session, "store_upload_id");
    if is_noted {
        app.sql(&format!("UPDATE sessions SET complete_hash = '' WHERE id = '{}'", session.id()));
    }
    let parts = store(app).list_parts(blob_id, &upload_id).await.unwrap().unwrap();
    assert!(store(app).complete_upload(blob_id, &upload_id, &parts).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_other_parts_that_completing_left_is_not_taken_for_ones_own() {
    let (app, _odd) = start_on(Manners::default()).await;
    let data = bytes(1, 12 * MIB);
    let session = app.upload(data.len() as u64, json!({})).await;
    session.put_all(&app, &data).await;
    let etags: Vec<String> = serde_json::from_value(session.status(&app).await["part_etags"].clone()).unwrap();
    let own = EtagsHash::of(etags.iter().map(String::as_str)).note();
    complete_at_store_alone(&app, &session).await;
    app.sql(&format!("UPDATE sessions SET complete_hash = '{own}' WHERE id = '{}'", session.id()));
    assert_eq!(session.status(&app).await["part_etags"], json!([]));
    let complete = async |digest: &str| {
        app.post("/api/v1/multipart/complete", &json!({"session_id": session.id(), "etags_sha256": digest})).await
    };
    for _ in 0..2 {
        assert_error(complete(&"0".repeat(64)).await, 400, "CHECKSUM_MISMATCH", &[session.id()]).await;
    }
    let answer = complete(own.rsplit(':').next().unwrap()).await;
    assert_eq!(answer.status(), 201);
    app.assert_bytes(&answer.json().await.unwrap(), &data).await;
}

/// The session, whose time is over, ends without a file.
async fn assert_expires(app: &TestApp, session: &Session) {
    app.app().uploads.expire_overdue().await.unwrap();
    app.app().uploads.garbage_bell().notify_one();
    app.until("it expires", |app| column(app, session, "status") == "expired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upload_that_became_a_file_is_never_given_up_and_a_second_one_is_after_two_looks() {
    let (app, odd) = start_on(Manners { lists_completed: true, ..Manners::default() }).await;
    let data = bytes(1, 12 * MIB);
    let session = app.upload(data.len() as u64, json!({})).await;
    session.put_all(&app, &data).await;
    let record: Value = session.complete(&app).await.json().await.unwrap();
    let blob_id: Uuid = column(&app, &session, "blob_id").parse().unwrap();
    let upload_id = column(&app, &session, "store_upload_id");
    let listed = store(&app).list_uploads(Some(blob_id)).await.unwrap();
    assert_eq!(listed.len(), 1, "the store does not list what was completed: {listed:?}");
    sweep(&app).await;
    assert!(!odd.given_up().contains(&upload_id));
    app.assert_bytes(&record, &data).await;
    let second = store(&app).create_upload(blob_id, &headers()).await.unwrap();
    app.app().uploads.sweep().await.unwrap();
    assert!(!odd.given_up().contains(&second), "it may be about to be used");
    app.app().uploads.sweep().await.unwrap();
    assert!(odd.given_up().contains(&second) && !odd.given_up().contains(&upload_id));
    // The session is forgotten: nothing tells any more which upload was whose.
    app.sql(&format!("DELETE FROM sessions WHERE id = '{}'", session.id()));
    sweep(&app).await;
    assert!(!odd.given_up().contains(&upload_id) && !odd.has_destroyed(&blob_id.to_string()));
    app.assert_bytes(&record, &data).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn completing_that_was_cut_off_after_the_store_answered_goes_on_on_every_kind_of_store() {
    for manners in [
        Manners { says_no_such_key: true, ..Manners::default() },
        Manners { completed_is_open_and_empty: true, ..Manners::default() },
        Manners { completed_is_open_and_empty: true, completes_once: true, ..Manners::default() },
        Manners { completes_once: true, ..Manners::default() },
        Manners { completed_keeps_parts: true, ..Manners::default() },
        Manners { completed_keeps_parts: true, completes_once: true, ..Manners::default() },
    ] {
        let (app, _odd) = start_on(manners).await;
        let data = bytes(2, 12 * MIB);
        let session = app.upload(data.len() as u64, json!({})).await;
        session.put_all(&app, &data).await;
        complete_at_store_alone(&app, &session).await;
        assert_eq!(session.status(&app).await["missing_parts"], json!([]), "{manners:?}");
        let resigned: Value = session.resign(&app, &json!({})).await.json().await.unwrap();
        assert_eq!(resigned["parts"], json!([]), "{manners:?}");
        let completed = session.complete(&app).await;
        assert_eq!(completed.status(), 201, "{manners:?}: {:?}", completed.text().await);
        let record: Value = session.complete(&app).await.json().await.unwrap();
        app.assert_bytes(&record, &data).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stalls_after_its_headers_is_waited_for_until_one_deadline_and_a_slow_one_completes() {
    let (app, odd) = start_on(Manners::default()).await;
    let session = app.upload(3, json!({})).await;
    session.put_all(&app, b"abc").await;
    let blob_id: Uuid = column(&app, &session, "blob_id").parse().unwrap();
    let upload_id = column(&app, &session, "store_upload_id");
    let parts = store(&app).list_parts(blob_id, &upload_id).await.unwrap().unwrap();
    odd.hold_completions();
    let deadline = Instant::now() + Duration::from_secs(2);
    let stalled = store(&app).complete_upload_by(blob_id, &upload_id, &parts, deadline);
    let stalled = tokio::time::timeout(Duration::from_secs(100), stalled).await.expect("the deadline does not hold");
    let error = stalled.unwrap_err();
    assert!(error.is_transient() && Instant::now() >= deadline, "{error}");
    let refused = store(&app).find_refused_part(blob_id, &upload_id, &parts, Instant::now()).await;
    assert!(refused.unwrap_err().is_transient());
    assert_eq!(store(&app).find_blob(blob_id).await.unwrap(), None);
    let before = odd.completions();
    let let_go = async {
        app.until("it is being completed", |_| odd.completions() > before).await;
        odd.let_completions_go();
    };
    let (completed, ()) = tokio::join!(session.complete(&app), let_go);
    app.assert_bytes(&completed.json().await.unwrap(), b"abc").await;
    assert_eq!(odd.completions(), before + 1, "a slow answer was not waited for");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_opening_could_not_be_read_is_aborted_by_the_cleaner_or_the_sweep() {
    let (app, odd) = start_on(Manners::default()).await;
    odd.garble_openings(true);
    let body = json!({"file_name": "f", "size": 3, "format": "bin"});
    assert_error(app.post("/api/v1/multipart/start", &body).await, 500, "INTERNAL", &[]).await;
    assert_eq!(app.count("sessions WHERE status = 'uploading'"), 0);
    app.until("what was taken back is cleaned up", |app| app.count("garbage") == 0).await;
    assert_eq!(store(&app).list_uploads(None).await.unwrap(), []);
    odd.garble_openings(false);
    // A session that goes on under the same blob.
    let session = app.upload(3, json!({})).await;
    let blob_id: Uuid = column(&app, &session, "blob_id").parse().unwrap();
    store(&app).abort_upload(blob_id, &column(&app, &session, "store_upload_id")).await.unwrap();
    odd.garble_openings(true);
    assert_error(session.resign(&app, &json!({})).await, 500, "INTERNAL", &[]).await;
    odd.garble_openings(false);
    let resigned: Value = session.resign(&app, &json!({})).await.json().await.unwrap();
    let uploads = async || store(&app).list_uploads(Some(blob_id)).await.unwrap();
    assert_eq!(uploads().await.len(), 2);
    sweep(&app).await;
    let left: Vec<_> = uploads().await.into_iter().map(|upload| upload.upload_id).collect();
    assert_eq!(left, [column(&app, &session, "store_upload_id")]);
    assert_eq!(app.put(resigned["parts"][0]["url"].as_str().unwrap(), b"abc").await.status(), 200);
    app.assert_bytes(&session.complete(&app).await.json().await.unwrap(), b"abc").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_has_gone_starts_over_where_the_store_says_that_there_is_no_such_key() {
    let (app, _odd) = start_on(Manners { says_no_such_key: true, ..Manners::default() }).await;
    let session = app.upload(3, json!({})).await;
    let blob_id: Uuid = column(&app, &session, "blob_id").parse().unwrap();
    store(&app).abort_upload(blob_id, &column(&app, &session, "store_upload_id")).await.unwrap();
    assert_eq!(session.status(&app).await["missing_parts"], json!([0]));
    assert_eq!(session.complete(&app).await.status(), 400);
    let resigned: Value = session.resign(&app, &json!({})).await.json().await.unwrap();
    assert_eq!(app.put(resigned["parts"][0]["url"].as_str().unwrap(), b"abc").await.status(), 200);
    let record: Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, b"abc").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_before_its_first_part_goes_on_where_the_store_fails_to_list_it() {
    let (app, _odd) = start_on(Manners { fails_empty_lists: true, ..Manners::default() }).await;
    let data = bytes(4, 12 * MIB);
    let session = app.upload(data.len() as u64, json!({})).await;
    assert_eq!(session.status(&app).await["missing_parts"], json!([0, 1]));
    let answer = session.complete(&app).await;
    assert_error(answer, 400, "PARTS_MISSING", &[]).await;
    let resigned: Value = session.resign(&app, &json!({})).await.json().await.unwrap();
    let urls: Vec<_> = resigned["parts"].as_array().unwrap().iter().map(|part| part["url"].as_str().unwrap()).collect();
    assert_eq!(urls.len(), 2);
    let part = data.len().min(resigned["part_size"].as_u64().unwrap() as usize);
    assert_eq!(app.put(urls[0], &data[..part]).await.status(), 200);
    assert_eq!(session.status(&app).await["missing_parts"], json!([1]));
    assert_eq!(app.put(urls[1], &data[part..]).await.status(), 200);
    // The sweep takes the part of one byte, which is beyond the last, for none that is too large.
    sweep(&app).await;
    let record: Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &data).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_deleted_and_uploads_end_where_the_store_does_not_list_uploads() {
    let (app, odd) = start_on(Manners { lacks: Some(Lacks::ListUploads), ..Manners::default() }).await;
    let record = app.whole(b"abc", &[("file_name", "f")]).await;
    let session = app.upload(3, json!({"file_name": "open"})).await;
    let blob_id: Uuid = column(&app, &session, "blob_id").parse().unwrap();
    let upload_id = column(&app, &session, "store_upload_id");
    app.app().uploads.sweep().await.unwrap();
    let path = format!("/api/v1/files/{}", record["file_no"].as_str().unwrap());
    assert_eq!(app.call(Method::DELETE, &path, Value::Null).await.status(), 204);
    assert_eq!(
        app.call(Method::DELETE, &format!("/api/v1/multipart/{}", session.id()), Value::Null).await.status(),
        204
    );
    app.until("the bytes are freed", |app| app.count("garbage") == 0).await;
    // The unfinished upload is not seen, and everything else is checked.
    assert_eq!(deep_check(&app).await.findings, []);
    // As the store's own rule would.
    odd.lack_nothing();
    store(&app).abort_upload(blob_id, &upload_id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_is_written_to_a_store_that_wants_the_length_of_each_body() {
    let (app, _odd) = start_on(Manners { wants_lengths: true, ..Manners::default() }).await;
    let record = app.whole(b"", &[("file_name", "empty")]).await;
    assert_eq!(record["size"], 0);
    let served = app.get(record["url"].as_str().unwrap()).await;
    assert_eq!((served.status().as_u16(), served.bytes().await.unwrap().len()), (200, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_upload_goes_on_where_the_store_refuses_parts_that_are_sent_at_the_same_time() {
    let (app, _odd) = start_on(Manners { refuses_parts_once: true, ..Manners::default() }).await;
    let data = bytes(5, 20 * MIB);
    let record = app.whole(&data, &[("file_name", "f")]).await;
    let served = app.get(record["url"].as_str().unwrap()).await.bytes().await.unwrap();
    assert!(served == data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_object_is_published_when_its_session_expires_and_not_deleted() {
    let stores = [
        Manners::default(),
        Manners { completed_is_open_and_empty: true, lists_completed: true, ..Manners::default() },
        Manners { completed_keeps_parts: true, lists_completed: true, ..Manners::default() },
        Manners { says_no_such_key: true, ..Manners::default() },
    ];
    // The row is silent after a power cut, and where an older version was completing.
    for (manners, is_noted) in stores.into_iter().flat_map(|manners| [(manners, true), (manners, false)]) {
        let (app, odd) = start_on(manners).await;
        let data = bytes(3, 12 * MIB);
        let session = app.upload(data.len() as u64, json!({})).await;
        session.put_all(&app, &data).await;
        complete_at_store(&app, &session, is_noted).await;
        // One that was never asked to be completed goes, as ever.
        let open = app.upload(3, json!({"file_name": "open"})).await;
        open.put_all(&app, b"abc").await;
        app.sql("UPDATE sessions SET expires_at = 1");
        app.app().uploads.expire_overdue().await.unwrap();
        app.app().uploads.garbage_bell().notify_one();
        let completes = format!("completing with {manners:?}, noted: {is_noted}");
        app.until(&completes, |app| column(app, &session, "status") == "completed").await;
        app.until("it expires", |app| column(app, &open, "status") == "expired").await;
        let record: Value = session.complete(&app).await.json().await.unwrap();
        app.assert_bytes(&record, &data).await;
        assert!(!odd.has_destroyed(&column(&app, &session, "blob_id")));
        app.until("the other is freed", |app| app.count("garbage") == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_expire_while_the_store_is_away_end_when_it_is_back_and_are_not_all_tried_before() {
    let (app, odd) = start_on(Manners::default()).await;
    for number in 0..20 {
        app.upload(3, json!({"file_name": number.to_string()})).await;
    }
    odd.go_away();
    app.sql("UPDATE sessions SET expires_at = 1");
    app.app().uploads.expire_overdue().await.unwrap();
    assert_eq!(app.count("sessions WHERE status = 'uploading'"), 20, "it is not known whether they have an object");
    // Each of three is looked at four times; the cleaner comes by itself, too, every fifteen seconds.
    let closed = odd.come_back();
    assert!((12..=36).contains(&closed), "{closed} calls of a store that is away");
    app.app().uploads.expire_overdue().await.unwrap();
    assert_eq!(app.count("sessions WHERE status = 'expired'"), 20);
    app.app().uploads.garbage_bell().notify_one();
    app.until("they are freed", |app| app.count("garbage") == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_not_what_its_client_named_is_not_published_when_its_session_expires() {
    let other = "crc64nvme:AAAAAAAAAAA=";
    // Named when it was completed, or at the start alone: then the row does not say that it was completed.
    for (column_of_hash, is_noted) in [("complete_hash", true), ("declared_hash", true), ("declared_hash", false)] {
        let (app, _odd) = start_on(Manners::default()).await;
        let session = app.upload(3, json!({})).await;
        session.put_all(&app, b"abc").await;
        complete_at_store(&app, &session, is_noted).await;
        app.sql(&format!("UPDATE sessions SET {column_of_hash} = '{other}', expires_at = 1"));
        assert_expires(&app, &session).await;
        assert_eq!(app.count("files"), 0);
        app.until("it is freed", |app| app.count("garbage") == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_completing_left_never_takes_the_place_of_a_newer_file() {
    let (app, _odd) = start_on(Manners::default()).await;
    for is_renamed in [false, true] {
        let older = app.whole(b"newer", &[("file_name", "other.bin")]).await;
        let session = app.upload(3, json!({"file_name": "n.bin"})).await;
        session.put_all(&app, b"old").await;
        complete_at_store_alone(&app, &session).await;
        // Its client heard nothing, and put the file there in another way.
        if is_renamed {
            let path = format!("/api/v1/files/{}/rename", older["file_no"].as_str().unwrap());
            assert_eq!(app.call(Method::PATCH, &path, json!({"name": "n.bin"})).await.status(), 200);
        } else {
            app.whole(b"newer", &[("file_name", "n.bin")]).await;
        }
        app.sql(&format!("UPDATE sessions SET expires_at = 1 WHERE id = '{}'", session.id()));
        assert_expires(&app, &session).await;
        let there = app.look("/api/v1/files?file_path=n.bin").await["files"][0].clone();
        let served = app.get(there["url"].as_str().unwrap()).await;
        assert_eq!(served.bytes().await.unwrap(), b"newer"[..]);
        let path = format!("/api/v1/files/{}", there["file_no"].as_str().unwrap());
        assert_eq!(app.call(Method::DELETE, &path, Value::Null).await.status(), 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_for_which_there_is_no_room_ends_when_it_expires() {
    let (app, _odd) = start_on(Manners::default()).await;
    let session = app.upload(3, json!({})).await;
    session.put_all(&app, b"abc").await;
    complete_at_store_alone(&app, &session).await;
    app.sql("UPDATE workspaces SET storage_limit_bytes = 2");
    app.sql("UPDATE sessions SET expires_at = 1");
    assert_expires(&app, &session).await;
    assert_eq!(app.count("files"), 0);
    app.until("it is freed", |app| app.count("garbage") == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn completing_that_is_refused_makes_no_object_and_may_be_repeated() {
    let (app, _odd) = start_on(Manners::default()).await;
    let session = app.upload(3, json!({})).await;
    session.put_all(&app, b"abc").await;
    app.sql("UPDATE workspaces SET storage_limit_bytes = 2");
    assert_error(session.complete(&app).await, 403, "STORAGE_LIMIT_EXCEEDED", &[]).await;
    let blob_id: Uuid = column(&app, &session, "blob_id").parse().unwrap();
    assert_eq!(store(&app).find_blob(blob_id).await.unwrap(), None);
    app.sql("UPDATE workspaces SET storage_limit_bytes = NULL");
    let record: Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, b"abc").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_takes_more_than_it_was_started_for_is_aborted_by_the_sweep() {
    let (app, _odd) = start_on(Manners::default()).await;
    let greedy = app.upload(3, json!({})).await;
    let honest = app.upload(3, json!({"file_name": "honest"})).await;
    honest.put_all(&app, b"abc").await;
    let blob_id: Uuid = column(&app, &greedy, "blob_id").parse().unwrap();
    let upload_id = column(&app, &greedy, "store_upload_id");
    // A store that does not check the signed length takes this by the part's own URL.
    let url = store(&app).presign_parts(blob_id, &upload_id, &[(0, 1000)], 600).unwrap().remove(0);
    assert_eq!(app.put(&url, &[0; 1000]).await.status(), 200);
    app.app().uploads.sweep().await.unwrap();
    assert_eq!(column(&app, &greedy, "status"), "aborted");
    app.until("its bytes are freed", |app| app.count("garbage") == 0).await;
    assert!(store(&app).list_uploads(Some(blob_id)).await.unwrap().is_empty());
    assert_eq!(honest.complete(&app).await.status(), 201);
}

/// A check of all bytes that changes nothing.
async fn deep_check(app: &TestApp) -> partway_server::service::fsck::Report {
    let (db, stores) = (app.app().db.clone(), app.app().stores.clone());
    let fsck = partway_server::service::fsck::Fsck { db, stores, deep: true, repair: false, alone: false };
    fsck.run(&|_| {}).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_check_names_the_files_that_it_could_not_compare_and_reads_their_end() {
    let (app, _odd) = start_on(Manners::default()).await;
    app.upload_whole(b"abc", json!({"file_name": "parts"})).await;
    app.whole(b"whole", &[("file_name", "whole")]).await;
    let report = deep_check(&app).await;
    assert_eq!(report.findings, []);
    assert_eq!((report.files_verified, report.bytes_verified), (1, 5));
    assert_eq!(report.files_without_hash, [format!("{}/parts", app.workspace_no)]);
}

/// The store goes on answering HEAD with the right length, as Swift does after a late part.
#[tokio::test(flavor = "multi_thread")]
async fn a_deep_check_finds_a_file_whose_end_cannot_be_read() {
    let (app, _odd) = start_on(Manners { fails_ranges: true, ..Manners::default() }).await;
    app.upload_whole(b"abc", json!({"file_name": "parts"})).await;
    let findings = deep_check(&app).await.findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].detail.contains("409"), "{findings:?}");
}
