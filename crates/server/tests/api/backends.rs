//! The contract of `service::upload::backend`, promise by promise, held by every kind of storage: local storage and a bucket, on the
//! database under test. A new backend is one more line at the end.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use partway_api::PartPlan;
use partway_server::db::Timestamp;
use partway_server::db::api_keys::KeyKind;
use partway_server::db::files::File;
use partway_server::db::sessions::{Session, Status};
use partway_server::input::{EtagsHash, FileHash, IdempotencyKey, JsonBody, StartUpload};
use partway_server::service::key::Identity;
use partway_server::service::upload::backend::{Arrival, IncomingFile, PartsBackend};
use partway_server::service::upload::session::{Ending, ExpectedHashes, Idempotency, NewSession, SessionState};
use partway_server::service::upload::{BodyError, UploadError};
use partway_server::storage::PartDigests;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::{MIB, TestApp, bytes};
use crate::services::Services;
use crate::storage::headers;

/// Bytes of a file of three parts.
const SIZE: u64 = 25 * MIB;

/// A backend under test, and the server around it.
struct Harness {
    app: TestApp,
    backend: Arc<dyn PartsBackend>,
    identity: Identity,
}

impl Harness {
    async fn new(s3: bool) -> Self {
        let app = TestApp::start_on(Services { s3, ..Services::of_this_run() }, |_| {}).await;
        let identity = app.app().keys.identify(&app.private_key).await.unwrap().unwrap();
        Self { backend: app.app().uploads.backend().unwrap(), app, identity }
    }

    /// A session that is to be; `name`: that of its request.
    async fn new_session(&self, size: u64, name: Option<&str>) -> NewSession {
        let body = json!({"file_name": "file.bin", "size": size, "format": "application/octet-stream"});
        let uploads = &self.app.app().uploads;
        let body = JsonBody::parse(body.to_string().as_bytes()).unwrap();
        let upload = StartUpload::read(&body, &uploads.rules(&self.identity)).unwrap();
        let named = name.map(|name| Idempotency {
            key: IdempotencyKey::parse(&name.parse().unwrap()).unwrap(),
            request_sha256: body.sha256(),
        });
        uploads.new_session(&self.identity, upload, named).await.unwrap()
    }

    async fn start(&self) -> Session {
        let started = self.backend.start(self.new_session(SIZE, None).await).await.unwrap();
        assert!(!started.is_repeated);
        started.session
    }

    /// Sends a part as a client does: to the store, or to this server. Its entity tag.
    async fn send(&self, session: &Session, index: u32, bytes: &[u8]) -> Result<String, String> {
        let expires_at = Timestamp::now().plus_seconds(600);
        match self.backend.part_urls(session.clone(), vec![index], expires_at).await.unwrap() {
            // A store that refuses a part may close the connection before it has read the body.
            Some(urls) => match self.app.http.put(&urls[0]).body(bytes.to_vec()).send().await {
                Ok(response) if response.status().is_success() => {
                    Ok(response.headers()["etag"].to_str().unwrap().to_owned())
                }
                Ok(response) => Err(response.status().to_string()),
                Err(error) => Err(error.to_string()),
            },
            None => self.receive(session.id, index, Arrival::now(), bytes).await.map_err(|error| error.to_string()),
        }
    }

    async fn receive(&self, id: Uuid, index: u32, arrival: Arrival, bytes: &[u8]) -> Result<String, UploadError> {
        let receiver = self.app.app().uploads.receiver().unwrap();
        let body = stream::iter([Ok::<_, BodyError>(Bytes::copy_from_slice(bytes))]).boxed();
        receiver.receive_part(id, index, arrival, PartDigests::default(), body).await
    }

    /// Deletes a blob as the cleaner does.
    async fn delete(&self, blob_id: Uuid) {
        self.app.app().stores.all().first().unwrap().delete_blob(blob_id).await.unwrap();
    }

    async fn send_all(&self, session: &Session, bytes: &[u8]) {
        for index in [2, 0, 1] {
            self.send(session, index, &bytes[part(index)]).await.unwrap();
        }
    }

    async fn state(&self, session: &Session) -> SessionState {
        self.backend.state(session.clone()).await.unwrap()
    }

    /// The session as the database has it.
    async fn row(&self, session: &Session) -> Session {
        let id = session.id;
        let found = self.app.app().db.read(move |tx| partway_server::db::sessions::find(tx, id));
        found.await.unwrap().unwrap()
    }

    async fn complete(&self, session: &Session) -> Result<File, UploadError> {
        self.backend.complete(session.clone(), ExpectedHashes::default()).await
    }

    async fn status(&self, session: &Session) -> String {
        self.app.text(&format!("SELECT status FROM sessions WHERE id = '{}'", session.id))
    }

    async fn assert_file(&self, file: &File, bytes: &[u8]) {
        assert_eq!(file.size_bytes, bytes.len() as u64);
        let record: Value = self
            .app
            .request(reqwest::Method::GET, &format!("/api/v1/files/{}", file.file_no))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        self.app.assert_bytes(&record["data"], bytes).await;
    }
}

/// Where a part of the file is.
fn part(index: u32) -> std::ops::Range<usize> {
    let range = PartPlan::for_size(SIZE).range(index).unwrap();
    range.start as usize..range.end as usize
}

async fn starting_again_under_one_name_answers_the_first_session(on: Harness) {
    let first = on.backend.start(on.new_session(SIZE, Some("one")).await).await.unwrap();
    let again = on.backend.start(on.new_session(SIZE, Some("one")).await).await.unwrap();
    assert_eq!((first.is_repeated, again.is_repeated), (false, true));
    assert_eq!(first.session.id, again.session.id);
    let other = on.backend.start(on.new_session(SIZE + 1, Some("one")).await).await;
    assert!(matches!(other, Err(UploadError::IdempotencyKeyReused(_))));
    // Preparing its place changes nothing of a session that has one.
    let bytes = bytes(1, SIZE);
    on.send_all(&again.session, &bytes).await;
    for _ in 0..2 {
        assert_eq!(on.backend.ensure_blob(again.session.clone()).await.unwrap().id, first.session.id);
    }
    on.assert_file(&on.complete(&first.session).await.unwrap(), &bytes).await;
}

async fn a_start_that_is_refused_leaves_nothing(mut on: Harness) {
    on.app.configure(|config| config.limits.open_sessions = Some(0)).await;
    on.backend = on.app.app().uploads.backend().unwrap();
    let refused = on.backend.start(on.new_session(SIZE, Some("one")).await).await;
    assert!(matches!(refused, Err(UploadError::TooManySessions { .. })));
    on.app.assert_nothing_left();
    assert_eq!(on.app.count("idempotency_keys"), 0, "the name of the request stays taken");
}

async fn parts_arrive_in_any_order_and_the_last_of_each_counts(on: Harness) {
    let session = on.start().await;
    let (bytes, other) = (bytes(2, SIZE), bytes(3, SIZE));
    for index in [2, 1, 0, 1] {
        on.send(&session, index, &other[part(index)]).await.unwrap();
    }
    assert_eq!(on.state(&session).await.missing, [0_u32; 0]);
    for index in [0, 2, 1] {
        on.send(&session, index, &bytes[part(index)]).await.unwrap();
    }
    on.assert_file(&on.complete(&session).await.unwrap(), &bytes).await;
}

async fn the_state_names_exactly_the_parts_that_are_there(on: Harness) {
    let session = on.start().await;
    let bytes = bytes(4, SIZE);
    let empty = on.state(&session).await;
    assert_eq!((empty.uploaded.as_slice(), empty.missing.as_slice()), (&[][..], &[0, 1, 2][..]));
    let etag = on.send(&session, 1, &bytes[part(1)]).await.unwrap();
    let state = on.state(&session).await;
    assert_eq!((state.uploaded.as_slice(), state.missing.as_slice()), (&[1][..], &[0, 2][..]));
    assert_eq!(state.bytes_uploaded(), part(1).len() as u64);
    assert_eq!((state.session.status, state.expires_at), (Status::Uploading, session.expires_at));
    if let Some(etags) = state.etags {
        assert_eq!(etags, [etag.trim_matches('"')]);
    }
}

async fn resigning_extends_a_life_and_never_shortens_it(on: Harness) {
    let session = on.start().await;
    on.send(&session, 1, &bytes(5, SIZE)[part(1)]).await.unwrap();
    let missing = on.backend.resign(session.clone(), None, 60).await.unwrap();
    assert_eq!(missing.parts, [0, 2]);
    assert_eq!(on.state(&session).await.expires_at, session.expires_at, "a life was shortened");
    assert_eq!(on.row(&session).await.expires_at, session.expires_at, "a life was shortened");
    let chosen = on.backend.resign(session.clone(), Some(vec![2, 1, 2]), 7 * 86_400).await.unwrap();
    assert_eq!((chosen.session_id, chosen.parts.as_slice()), (session.id, &[1, 2][..]));
    let row = on.row(&session).await;
    assert_eq!(row.expires_at, chosen.expires_at);
    assert!(row.expires_at > session.expires_at, "the life is not longer");
    assert_eq!(on.state(&row).await.expires_at, chosen.expires_at);
    if let Some(urls) = &chosen.store_urls {
        assert_eq!(urls.len(), 2);
    }
    let beyond = on.backend.resign(session.clone(), Some(vec![3]), 60).await;
    assert!(matches!(beyond, Err(UploadError::NoSuchPart { part_index: 3, total: 3 })));
}

async fn completing_without_a_part_changes_nothing(on: Harness) {
    let session = on.start().await;
    let bytes = bytes(6, SIZE);
    on.send(&session, 0, &bytes[part(0)]).await.unwrap();
    for _ in 0..2 {
        match on.complete(&session).await {
            Err(UploadError::PartsMissing { missing, total }) => assert_eq!((missing, total), (vec![1, 2], 3)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(on.state(&session).await.uploaded, [0]);
    on.send(&session, 2, &bytes[part(2)]).await.unwrap();
    on.send(&session, 1, &bytes[part(1)]).await.unwrap();
    on.assert_file(&on.complete(&session).await.unwrap(), &bytes).await;
}

async fn completing_twice_gives_one_file(on: Harness) {
    let session = on.start().await;
    on.send_all(&session, &bytes(7, SIZE)).await;
    let (one, other) = tokio::join!(on.complete(&session), on.complete(&session));
    let later = on.complete(&session).await.unwrap();
    assert_eq!((one.unwrap().id, other.unwrap().id), (later.id, later.id));
    assert_eq!(on.app.count("files"), 1);
    assert_eq!(on.status(&session).await, "completed");
}

async fn a_file_of_another_hash_is_not_completed(on: Harness) {
    let session = on.start().await;
    let bytes = bytes(8, SIZE);
    on.send_all(&session, &bytes).await;
    if !on.backend.keeps_hashes().await.unwrap() {
        return;
    }
    let is_store = on.state(&session).await.etags.is_some();
    let wrong = if is_store { "crc64nvme:AAAAAAAAAAA=".to_owned() } else { format!("blake3:{}", "0".repeat(64)) };
    let expected = ExpectedHashes { file: Some(FileHash::parse(&wrong).unwrap()), etags: None };
    let refused = on.backend.complete(session.clone(), expected).await;
    assert!(matches!(refused, Err(UploadError::HashMismatch { .. })), "{refused:?}");
    assert_eq!((on.status(&session).await.as_str(), on.app.count("files")), ("uploading", 0));
    let now = on.row(&session).await;
    // A store has consumed the parts: they have to be sent again.
    let missing = on.state(&now).await.missing;
    assert_eq!(missing, if is_store { vec![0, 1, 2] } else { vec![] });
    for index in missing {
        on.send(&now, index, &bytes[part(index)]).await.unwrap();
    }
    on.assert_file(&on.complete(&now).await.unwrap(), &bytes).await;
}

async fn parts_with_other_etags_are_not_completed(on: Harness) {
    let session = on.start().await;
    let bytes = bytes(9, SIZE);
    on.send_all(&session, &bytes).await;
    // Without ETags of a store there is nothing to compare.
    let Some(etags) = on.state(&session).await.etags else { return };
    let of =
        |etags: &[String]| ExpectedHashes { file: None, etags: Some(EtagsHash::of(etags.iter().map(String::as_str))) };
    let refused = on.backend.complete(session.clone(), of(&etags[1..])).await;
    assert!(matches!(refused, Err(UploadError::OtherParts(_))), "{refused:?}");
    assert_eq!(on.state(&session).await.uploaded, [0, 1, 2]);
    let file = on.backend.complete(session.clone(), of(&etags)).await.unwrap();
    on.assert_file(&file, &bytes).await;
}

async fn complete_and_end_at_once_have_one_outcome(on: Harness) {
    let bytes = bytes(10, SIZE);
    for _ in 0..4 {
        let session = on.start().await;
        on.send_all(&session, &bytes).await;
        let (completed, ended) = tokio::join!(on.complete(&session), on.backend.end(session.id, Ending::Abort));
        ended.unwrap();
        match (completed, on.status(&session).await.as_str()) {
            (Ok(file), "completed") => on.assert_file(&file, &bytes).await,
            (Err(UploadError::SessionAborted(_)), "aborted") => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn an_ended_session_takes_nothing_more(on: Harness) {
    for ending in [Ending::Abort, Ending::Revoke] {
        let session = on.start().await;
        let bytes = bytes(11, SIZE);
        on.send_all(&session, &bytes).await;
        for _ in 0..2 {
            on.backend.end(session.id, ending).await.unwrap();
        }
        assert_eq!(on.status(&session).await, "aborted");
        assert!(matches!(on.complete(&session).await, Err(UploadError::SessionAborted(_))));
        let resigned = on.backend.resign(session.clone(), None, 60).await;
        assert!(matches!(resigned, Err(UploadError::SessionAborted(_))), "{resigned:?}");
        // A store may take parts until its upload is aborted, which `Revoke` does at once.
        if ending == Ending::Revoke || on.app.is_local() {
            on.send(&session, 0, &bytes[part(0)]).await.unwrap_err();
        }
    }
    on.app.app().uploads.garbage_bell().notify_one();
    on.app.until("the bytes of ended sessions are deleted", |app| app.has_blobs(0)).await;
}

async fn a_part_that_is_on_its_way_ends_with_its_session(on: Harness) {
    if !on.app.is_local() {
        return;
    }
    for ending in [Ending::Abort, Ending::Revoke] {
        let session = on.start().await;
        let (first, rest) = (Bytes::from_static(b"its first bytes"), CancellationToken::new());
        let asked = rest.clone();
        // Once the rest is asked for, the first bytes are written; the rest never comes.
        let never = stream::once(async move {
            asked.cancel();
            std::future::pending().await
        });
        let body = stream::iter([Ok::<_, BodyError>(first)]).chain(never).boxed();
        let receiver = on.app.app().uploads.receiver().unwrap();
        let sending = receiver.receive_part(session.id, 0, Arrival::now(), PartDigests::default(), body);
        let end = async {
            rest.cancelled().await;
            on.backend.end(session.id, ending).await.unwrap();
        };
        let (sent, ()) = tokio::join!(sending, end);
        assert!(matches!(sent, Err(UploadError::SessionAborted(_))), "{sent:?}");
    }
    on.app.app().uploads.garbage_bell().notify_one();
    on.app.until("the bytes of ended sessions are deleted", |app| app.has_blobs(0)).await;
}

async fn a_completed_session_stays_completed(on: Harness) {
    let session = on.start().await;
    let bytes = bytes(12, SIZE);
    on.send_all(&session, &bytes).await;
    let file = on.complete(&session).await.unwrap();
    for ending in [Ending::Abort, Ending::Revoke, Ending::Expire] {
        on.backend.end(session.id, ending).await.unwrap();
    }
    assert_eq!(on.status(&session).await, "completed");
    on.assert_file(&file, &bytes).await;
}

async fn only_overdue_sessions_expire(on: Harness) {
    let session = on.start().await;
    on.send(&session, 0, &bytes(13, SIZE)[part(0)]).await.unwrap();
    on.backend.end(session.id, Ending::Expire).await.unwrap();
    assert_eq!((on.status(&session).await.as_str(), on.state(&session).await.uploaded), ("uploading", vec![0]));
    on.app.sql(&format!("UPDATE sessions SET expires_at = 1 WHERE id = '{}'", session.id));
    on.backend.end(session.id, Ending::Expire).await.unwrap();
    assert_eq!(on.status(&session).await, "expired");
}

async fn an_unknown_session_is_not_found(on: Harness) {
    let mut session = on.start().await;
    on.backend.end(session.id, Ending::Abort).await.unwrap();
    session.id = Uuid::now_v7();
    session.blob_id = Uuid::now_v7();
    let not_found = |error: &UploadError| matches!(error, UploadError::SessionNotFound(_));
    assert!(not_found(&on.complete(&session).await.unwrap_err()));
    on.backend.end(session.id, Ending::Abort).await.unwrap();
    if on.app.is_local() {
        assert!(not_found(&on.backend.state(session.clone()).await.unwrap_err()));
        assert!(not_found(&on.backend.resign(session.clone(), None, 60).await.unwrap_err()));
        assert!(not_found(&on.receive(session.id, 0, Arrival::now(), &[1]).await.unwrap_err()));
    }
}

async fn maintenance_leaves_open_sessions_alone(on: Harness) {
    let session = on.start().await;
    let bytes = bytes(14, SIZE);
    on.send(&session, 0, &bytes[part(0)]).await.unwrap();
    for _ in 0..2 {
        on.backend.sweep().await.unwrap();
        on.backend.close_idle();
        on.backend.verify_untrusted(&CancellationToken::new()).await.unwrap();
    }
    assert!(!on.backend.needs_verification(&session));
    assert_eq!(on.state(&session).await.uploaded, [0]);
    on.send(&session, 1, &bytes[part(1)]).await.unwrap();
    on.send(&session, 2, &bytes[part(2)]).await.unwrap();
    on.assert_file(&on.complete(&session).await.unwrap(), &bytes).await;
}

async fn of_two_requests_for_a_part_the_later_one_counts(on: Harness) {
    let session = on.start().await;
    if !on.app.is_local() {
        return;
    }
    let bytes = bytes(15, SIZE);
    let (earlier, later) = (Arrival::now(), Arrival::now());
    let etag = on.receive(session.id, 0, later, &bytes[part(0)]).await.unwrap();
    let refused = on.receive(session.id, 0, earlier, &bytes[part(1)]).await;
    assert!(matches!(refused, Err(UploadError::Superseded(0))), "{refused:?}");
    assert_eq!(on.send(&session, 0, &bytes[part(0)]).await.unwrap(), etag);
    // A request that breaks a rule before its first byte leaves the part alone; after it, the part is missing.
    let none = on.receive(session.id, 0, Arrival::now(), &[]).await;
    assert!(matches!(none, Err(UploadError::PartTooShort { received: 0, .. })), "{none:?}");
    assert_eq!(on.state(&session).await.uploaded, [0]);
    let short = on.receive(session.id, 0, Arrival::now(), &bytes[..100]).await;
    assert!(matches!(short, Err(UploadError::PartTooShort { received: 100, .. })), "{short:?}");
    assert_eq!(on.state(&session).await.uploaded, [0_u32; 0]);
}

async fn a_direct_file_is_stored_whole_or_not_at_all(on: Harness) {
    let bytes = bytes(16, 6 * MIB);
    let headers = headers();
    let file = |blob_id| IncomingFile {
        blob_id,
        workspace_id: on.identity.workspace_id,
        key_kind: KeyKind::Private,
        about_bytes: Some(bytes.len() as u64),
        headers: &headers,
    };
    let pieces = || bytes.chunks(100_000).map(|piece| Ok(Bytes::copy_from_slice(piece)));
    let blob_id = Uuid::now_v7();
    let stored = on.backend.receive_file(file(blob_id), stream::iter(pieces()).boxed()).await.unwrap();
    on.backend.confirm_file(blob_id, bytes.len() as u64).await.unwrap();
    if stored.is_none() {
        let other_size = on.backend.confirm_file(blob_id, bytes.len() as u64 - 1).await;
        assert!(matches!(other_size, Err(UploadError::Storage(_))), "{other_size:?}");
    }
    drop(stored);
    on.app.until("unclaimed local bytes are freed", |app| !app.is_local() || bytes_on_disk(app) == 0).await;
    on.delete(blob_id).await;
    let broken = pieces().take(20).chain([Err(UploadError::BodyBroken("injected".to_owned()))]);
    let blob_id = Uuid::now_v7();
    let refused = on.backend.receive_file(file(blob_id), stream::iter(broken).boxed()).await;
    assert!(matches!(refused.err(), Some(UploadError::BodyBroken(text)) if text == "injected"));
    on.app.until("the bytes of a broken body are freed", |app| !app.is_local() || bytes_on_disk(app) == 0).await;
    on.delete(blob_id).await;
    assert!(on.app.has_blobs(0));
}

/// Bytes of all blobs in the data directory.
fn bytes_on_disk(app: &TestApp) -> u64 {
    let shards = std::fs::read_dir(app.directory.path().join("blobs")).unwrap();
    let blobs = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).into_iter().flatten());
    blobs.map(|blob| blob.unwrap().metadata().unwrap().len()).sum()
}

/// Tests of every promise, on one backend.
macro_rules! conforms {
    ($backend:ident, $s3:expr, $($promise:ident),* $(,)?) => {
        mod $backend {
            $(#[tokio::test]
            async fn $promise() {
                super::$promise(super::Harness::new($s3).await).await;
            })*
        }
    };
}

macro_rules! on_every_backend {
    ($($promise:ident),* $(,)?) => {
        conforms!(local, false, $($promise),*);
        conforms!(bucket, true, $($promise),*);
    };
}

on_every_backend!(
    starting_again_under_one_name_answers_the_first_session,
    a_start_that_is_refused_leaves_nothing,
    parts_arrive_in_any_order_and_the_last_of_each_counts,
    the_state_names_exactly_the_parts_that_are_there,
    resigning_extends_a_life_and_never_shortens_it,
    completing_without_a_part_changes_nothing,
    completing_twice_gives_one_file,
    a_file_of_another_hash_is_not_completed,
    parts_with_other_etags_are_not_completed,
    complete_and_end_at_once_have_one_outcome,
    an_ended_session_takes_nothing_more,
    a_part_that_is_on_its_way_ends_with_its_session,
    a_completed_session_stays_completed,
    only_overdue_sessions_expire,
    an_unknown_session_is_not_found,
    maintenance_leaves_open_sessions_alone,
    of_two_requests_for_a_part_the_later_one_counts,
    a_direct_file_is_stored_whole_or_not_at_all,
);
