//! `POST /api/v1/multipart/complete`

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::app::{MIB, TestApp, assert_error, bytes};

const COMPLETE: &str = "/api/v1/multipart/complete";

#[tokio::test]
async fn the_record_gives_back_every_field_of_the_start() {
    let app = TestApp::start().await;
    let data = bytes(1, 12 * MIB);
    let metadata = json!({"z": 1, "a": {"nested": [true, null]}});
    let more = json!({"file_name": "big-video.mp4", "format": "video/mp4", "folder": "uploads/videos", "tags": "campaign, raw",
                      "metadata": metadata, "custom_id": "vid_001"});
    let session = app.upload(data.len() as u64, more).await;
    session.put_all(&app, &data).await;
    let response = session.complete(&app).await;
    assert_eq!(response.status(), 201);
    let record: Value = response.json().await.unwrap();
    let url = app.url(&format!("/{}/uploads/videos/big-video.mp4", app.workspace_no));
    for (field, value) in [
        ("id", session.start["uuid"].clone()),
        ("workspace_id", session.start["workspace_id"].clone()),
        ("workspace_no", json!(app.workspace_no)),
        ("name", json!("big-video.mp4")),
        ("path", json!("uploads/videos/big-video.mp4")),
        ("url", json!(url)),
        ("width", Value::Null),
        ("height", Value::Null),
        ("size", json!(data.len())),
        ("format", json!("mp4")),
        ("mime_type", json!("video/mp4")),
        ("hash", if app.is_local() { json!(format!("blake3:{}", blake3::hash(&data))) } else { Value::Null }),
        ("tags", json!(["campaign", "raw"])),
        ("metadata", metadata),
        ("custom_id", json!("vid_001")),
        ("is_private", json!(false)),
        ("is_duplicate", json!(false)),
        ("upload_source", json!("api")),
        ("thumbnail", json!("")),
        ("extension", json!("video")),
        ("success", json!(true)),
    ] {
        assert_eq!(record[field], value, "{field}");
    }
    assert_eq!(record["file_no"].as_str().unwrap().len(), 10);
    assert_eq!(record["folder_no"].as_str().unwrap().len(), 10);
    let created = record["created_at"].as_str().unwrap();
    assert!(created.len() == 24 && created.ends_with('Z') && &created[19..20] == ".", "{created}");
    assert_eq!(record["data"]["path"], "uploads/videos");
    assert_eq!(record["data"]["file_size"], data.len());
    assert_eq!(record["data"]["url"], url);
    let members: Vec<_> = record.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        members,
        [
            "id",
            "file_no",
            "workspace_id",
            "workspace_no",
            "name",
            "path",
            "url",
            "version_url",
            "width",
            "height",
            "size",
            "format",
            "mime_type",
            "declared_type",
            "hash",
            "tags",
            "metadata",
            "custom_id",
            "folder_no",
            "is_private",
            "is_duplicate",
            "created_at",
            "upload_source",
            "thumbnail",
            "extension",
            "success",
            "data"
        ]
    );
    assert_eq!(app.count("folders WHERE path <> ''"), 2);
    app.until("the parts are forgotten", |app| app.count("parts") == 0).await;
}

#[tokio::test]
async fn missing_parts_are_listed_and_nothing_is_lost() {
    let app = TestApp::start().await;
    let data = bytes(2, 45 * MIB);
    let session = app.upload(data.len() as u64, json!({})).await;
    for (sent, missing) in [(vec![], vec![0, 1, 2, 3, 4]), (vec![1, 3], vec![0, 2, 4]), (vec![0, 4], vec![2])] {
        for index in sent {
            session.put_part(&app, &data, index).await;
        }
        let error = assert_error(session.complete(&app).await, 400, "PARTS_MISSING", &["missing_parts"]).await;
        assert_eq!(error["missing_parts"], json!(missing));
    }
    session.put_part(&app, &data, 2).await;
    let record: Value = session.complete(&app).await.json().await.unwrap();
    app.assert_bytes(&record, &data).await;
}

#[tokio::test]
async fn a_request_that_names_no_session_is_refused() {
    let app = TestApp::start().await;
    let session = app.upload(1, json!({})).await;
    session.put_all(&app, b"x").await;
    for (body, status, code, named) in [
        (json!({}), 400, "INVALID_PARAMETER", "`session_id` is missing"),
        (json!({"session_id": null}), 400, "INVALID_PARAMETER", "`session_id` is missing"),
        (json!({"session_id": 7}), 400, "INVALID_PARAMETER", "`session_id` is 7"),
        (json!({"session_id": ""}), 404, "SESSION_NOT_FOUND", ""),
        (json!({"session_id": "nonsense"}), 404, "SESSION_NOT_FOUND", "nonsense"),
        (json!({"session_id": "00000000-0000-4000-8000-000000000000"}), 404, "SESSION_NOT_FOUND", "00000000"),
        (
            json!({"session_id": session.id(), "uuid": "00000000-0000-4000-8000-000000000000"}),
            400,
            "UUID_MISMATCH",
            "`uuid`",
        ),
        (json!({"session_id": session.id(), "uuid": "x"}), 400, "UUID_MISMATCH", "`uuid` is \"x\""),
        (json!({"session_id": session.id(), "uuid": 5}), 400, "INVALID_PARAMETER", "`uuid` is 5"),
    ] {
        assert_error(app.post(COMPLETE, &body).await, status, code, &[named]).await;
    }
    assert_eq!(app.count("files"), 0);
    let body = json!({"session_id": session.id(), "uuid": session.start["uuid"]});
    assert_eq!(app.post(COMPLETE, &body).await.status(), 201);
}

#[tokio::test]
async fn the_file_is_made_of_the_parts_that_its_client_means_or_not_at_all() {
    let app = TestApp::start().await;
    let (mine, theirs) = (bytes(1, 12 * MIB), bytes(2, 12 * MIB));
    let session = app.upload(mine.len() as u64, json!({})).await;
    session.put_all(&app, &mine).await;
    let body = |etags: &str| json!({"session_id": session.id(), "etags_sha256": etags});
    assert_error(app.post(COMPLETE, &body("x")).await, 400, "INVALID_PARAMETER", &["`etags_sha256` is \"x\""]).await;
    if app.is_local() {
        assert!(session.status(&app).await.get("part_etags").is_none());
        let refused = app.post(COMPLETE, &body(&"0".repeat(64))).await;
        assert_error(refused, 400, "INVALID_PARAMETER", &["`etags_sha256`", "`hash` is compared"]).await;
        return;
    }
    let digest = async || {
        let status = session.status(&app).await;
        let etags: Vec<_> =
            status["part_etags"].as_array().unwrap().iter().map(|etag| etag.as_str().unwrap()).collect();
        assert_eq!(etags.len(), 2);
        let text: String = etags.iter().map(|etag| format!("{etag}\n")).collect();
        Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let of_mine = digest().await;
    session.put_part(&app, &theirs, 0).await;
    let of_both = digest().await;
    assert_ne!(of_mine, of_both);
    for _ in 0..2 {
        let refused = app.post(COMPLETE, &body(&of_mine)).await;
        assert_error(refused, 400, "CHECKSUM_MISMATCH", &["`etags_sha256`", session.id()]).await;
    }
    session.put_part(&app, &mine, 0).await;
    let answer = app.post(COMPLETE, &body(&of_mine)).await;
    assert_eq!(answer.status(), 201);
    let record: Value = answer.json().await.unwrap();
    app.assert_bytes(&record, &mine).await;
    assert_eq!(app.post(COMPLETE, &body(&of_mine.to_uppercase())).await.status(), 201);
    assert_error(app.post(COMPLETE, &body(&of_both)).await, 400, "CHECKSUM_MISMATCH", &[session.id()]).await;
    assert_eq!(session.complete(&app).await.status(), 201);
}

#[tokio::test]
async fn completing_twice_gives_one_file_and_the_same_record() {
    let app = TestApp::start().await;
    let session = app.upload(3, json!({"folder": "d"})).await;
    session.put_all(&app, b"abc").await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        let response = session.complete(&app).await;
        assert_eq!(response.status(), 201);
        answers.push(response.text().await.unwrap());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(app.count("files"), 1);
    // Even after the file is replaced, the session's answer is what it was.
    app.upload_whole(b"newer", json!({"folder": "d"})).await;
    assert_eq!(session.complete(&app).await.text().await.unwrap(), answers[0]);
}

#[tokio::test]
async fn a_file_of_the_same_path_is_replaced_and_its_bytes_are_freed() {
    let app = TestApp::start().await;
    let first = app.upload_whole(b"first", json!({"folder": "a/b"})).await;
    let second = app.upload_whole(b"second!", json!({"folder": "a/b"})).await;
    assert_eq!(first["url"], second["url"]);
    assert_ne!(first["id"], second["id"]);
    assert_eq!(first["folder_no"], second["folder_no"]);
    assert_eq!(app.get(second["url"].as_str().unwrap()).await.text().await.unwrap(), "second!");
    assert_eq!(app.count("files"), 1);
    app.until("the old bytes are freed", |app| app.count("garbage") == 0).await;
}

#[tokio::test]
async fn random_prefixes_keep_files_of_one_name_apart() {
    let app = TestApp::start().await;
    let mut names = std::collections::BTreeSet::new();
    for random_prefix in [json!(true), json!("true")] {
        let record = app.upload_whole(b"x", json!({"random_prefix": random_prefix, "file_name": "v.mp4"})).await;
        let name = record["name"].as_str().unwrap().to_owned();
        assert!(name.len() == 14 && name.ends_with("-v.mp4") && record["path"] == name.as_str(), "{name}");
        names.insert(name);
    }
    assert_eq!(names.len(), 2);
}

#[tokio::test]
async fn a_second_file_of_the_same_bytes_is_a_duplicate() {
    let app = TestApp::start_local().await;
    for (name, data, duplicate) in [("a", "same", false), ("b", "same", true), ("c", "other", false)] {
        let record = app.upload_whole(data.as_bytes(), json!({"file_name": name})).await;
        assert_eq!(record["is_duplicate"], duplicate, "{name}");
    }
}

#[tokio::test]
async fn the_hash_is_that_of_the_file_at_every_edge_of_the_tree() {
    let app = TestApp::start_local().await;
    let data = bytes(9, 21 * MIB);
    for size in [1, 1024, 1025, MIB, 8 * MIB, 10 * MIB, 10 * MIB + 1, 16 * MIB, 20 * MIB, 20 * MIB + 1, 21 * MIB] {
        let data = &data[..usize::try_from(size).unwrap()];
        let record = app.upload_whole(data, json!({"file_name": format!("{size}")})).await;
        app.assert_bytes(&record, data).await;
    }
}

#[tokio::test]
async fn an_expired_session_frees_its_bytes() {
    let app = TestApp::start().await;
    let session = app.upload(100, json!({"ttl_seconds": 5})).await;
    session.put_all(&app, &[5; 100]).await;
    session.until_expired().await;
    // The cleaner does this periodically.
    app.app().uploads.expire_overdue().await.unwrap();
    assert_eq!(app.count("sessions WHERE status = 'expired'"), 1);
    assert_error(session.complete(&app).await, 410, "SESSION_EXPIRED", &[]).await;
    app.app().uploads.garbage_bell().notify_one();
    app.until("the bytes are freed", |app| {
        app.count("garbage") + app.count("parts") + app.count("ended_sessions") == 0
    })
    .await;
}

#[tokio::test]
async fn ten_thousand_parts_are_forgotten_in_steps_and_those_of_others_are_not() {
    use partway_server::db::{Durability, parts};
    let app = TestApp::start_local().await;
    let (ended, open) = (app.upload(10_000 * 10 * MIB, json!({})).await, app.upload(30 * MIB, json!({})).await);
    let ids = [&ended, &open].map(|session| session.id().parse::<uuid::Uuid>().unwrap());
    let recorded = app.app().db.write(Durability::Process, move |tx| {
        for index in 0..10_000 {
            parts::record(tx, ids[0], index, &[1; 32])?;
        }
        parts::record(tx, ids[1], 0, &[1; 32])?;
        parts::forget_later(tx, ids[0])
    });
    recorded.await.unwrap();
    let mut steps = 0;
    while app.app().db.read(parts::any_ended).await.unwrap() {
        app.app().db.write(Durability::Process, |tx| parts::forget_ended(tx, 1000)).await.unwrap();
        steps += 1;
    }
    assert_eq!(steps, 11);
    assert_eq!((app.count("parts"), app.count("ended_sessions")), (1, 0));
}

#[tokio::test]
async fn a_blob_that_cannot_be_deleted_does_not_keep_the_others() {
    use partway_server::db::{Durability, garbage};
    use partway_server::model::{BlobRef, StorageKind};
    let app = TestApp::start_local().await;
    // A directory where a blob should be cannot be deleted as one, by anybody.
    let stuck = uuid::Uuid::from_u128(1 << 8);
    let obstacle = app.directory.path().join("blobs/00").join(stuck.to_string());
    std::fs::create_dir(&obstacle).unwrap();
    let listed = app.app().db.write(Durability::Process, move |tx| {
        let stuck = garbage::NewGarbage {
            blob: BlobRef { storage: StorageKind::Local, id: stuck },
            workspace_id: None,
            reason: garbage::Reason::Expired,
            size_bytes: 1,
            keep_seconds: 0,
        };
        garbage::insert(tx, &stuck)
    });
    listed.await.unwrap();
    app.upload_whole(b"first", json!({})).await;
    app.upload_whole(b"second", json!({})).await;
    app.until("the other is deleted", |app| app.count("garbage") == 1).await;
    std::fs::remove_dir(&obstacle).unwrap();
}
