//! Permissions of each kind of key: every operation of the document, over the whole list, and what a key may do to things of
//! others: in another workspace, and in its own.
//!
//! The list has the key that each operation needs. An operation that is missing here fails a test, and so does one whose route
//! does not ask for the key that the list and the document say.

use std::collections::BTreeSet;

use partway_server::db::Durability;
use partway_server::db::api_keys::KeyKind;
use partway_server::service::key::create_key;
use partway_server::service::workspace::create_workspace;
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{TestApp, assert_error};

/// The permission that an operation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// No key at all. Each of these is public on purpose.
    Nothing,
    /// The signature in its URL, which start and re-sign give to those who have a key.
    SignedUrl,
    /// A key of any kind; a public one only for its own uploads.
    AnyKey,
    /// A private key.
    PrivateKey,
}

use Needs::{AnyKey, Nothing, PrivateKey, SignedUrl};

struct Operation {
    method: Method,
    /// As the document has it, with a query if need be.
    path: &'static str,
    needs: Needs,
    /// A body that would be taken.
    body: Value,
}

/// Every operation of the document.
fn operations() -> Vec<Operation> {
    let operation = |method, path, needs, body| Operation { method, path, needs, body };
    let (get, post, patch, delete) = (|| Method::GET, || Method::POST, || Method::PATCH, || Method::DELETE);
    let start = json!({"file_name": "f", "size": 1, "format": "bin"});
    let remote = json!({"remote_url": "http://127.0.0.1/"});
    let below = json!({"name": "x", "parent_folder_no": "{folder_no}"});
    vec![
        operation(get(), "/healthz", Nothing, Value::Null),
        operation(get(), "/readyz", Nothing, Value::Null),
        operation(get(), "/{workspace_no}/{path}", Nothing, Value::Null),
        operation(Method::PUT, "/api/v1/multipart/{session_id}/parts/{part_index}", SignedUrl, Value::Null),
        operation(post(), "/api/v1/multipart/start", AnyKey, start),
        operation(post(), "/api/v1/multipart/complete", AnyKey, json!({"session_id": "{session_id}"})),
        operation(get(), "/api/v1/multipart", PrivateKey, Value::Null),
        operation(get(), "/api/v1/multipart/{session_id}", AnyKey, Value::Null),
        operation(delete(), "/api/v1/multipart/{session_id}", AnyKey, Value::Null),
        operation(post(), "/api/v1/multipart/{session_id}/parts", AnyKey, json!({})),
        operation(post(), "/api/v1/uploads", AnyKey, Value::Null),
        operation(post(), "/api/v1/uploads/remote", PrivateKey, remote),
        operation(get(), "/api/v1/files", PrivateKey, Value::Null),
        operation(get(), "/api/v1/files?folder_no={folder_no}", PrivateKey, Value::Null),
        operation(get(), "/api/v1/files/{file_no}", PrivateKey, Value::Null),
        operation(patch(), "/api/v1/files/{file_no}", PrivateKey, json!({"add_tags": ["x"]})),
        operation(patch(), "/api/v1/files/{file_no}/rename", PrivateKey, json!({"name": "x"})),
        operation(delete(), "/api/v1/files/{file_no}?dry_run=true", PrivateKey, Value::Null),
        operation(delete(), "/api/v1/files/{file_no}", PrivateKey, Value::Null),
        operation(get(), "/api/v1/folders", PrivateKey, Value::Null),
        operation(get(), "/api/v1/folders?parent_folder_no={folder_no}", PrivateKey, Value::Null),
        operation(post(), "/api/v1/folders", PrivateKey, json!({"name": "x"})),
        operation(post(), "/api/v1/folders", PrivateKey, below),
        operation(post(), "/api/v1/folders/rename/{folder_no}", PrivateKey, json!({"name": "x"})),
        operation(delete(), "/api/v1/folders/{folder_no}?dry_run=true", PrivateKey, Value::Null),
        operation(delete(), "/api/v1/folders/{folder_no}", PrivateKey, Value::Null),
    ]
}

/// Routes that the document does not describe. All are public, and none does anything but read.
const UNDOCUMENTED: [&str; 5] = ["/openapi.json", "/nobody/file", "/api/v1/nothing", "/api/", "/"];

impl Operation {
    fn names_something(&self) -> bool {
        format!("{}{}", self.path, self.body).contains("_no}") || format!("{}{}", self.path, self.body).contains("_id}")
    }

    async fn call(&self, app: &TestApp, key: Option<&str>, ids: &Ids) -> reqwest::Response {
        let mut request = app.http.request(self.method.clone(), app.url(&ids.put_into(self.path)));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        if !self.body.is_null() {
            let body: Value = serde_json::from_str(&ids.put_into(&self.body.to_string())).unwrap();
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

struct Ids {
    session: String,
    file: String,
    folder: String,
    workspace: String,
}

impl Ids {
    /// Those of nothing.
    fn nobody() -> Self {
        let number = || "0000000000".to_owned();
        Self { session: uuid::Uuid::new_v4().to_string(), file: number(), folder: number(), workspace: number() }
    }

    fn put_into(&self, text: &str) -> String {
        text.replace("{session_id}", &self.session)
            .replace("{file_no}", &self.file)
            .replace("{folder_no}", &self.folder)
            .replace("{part_index}", "0")
            .replace("{workspace_no}", &self.workspace)
            .replace("{path}", "d/f")
    }
}

/// A file in a folder, and an open session, made with the private key.
async fn ids(app: &TestApp) -> Ids {
    let record = app.whole(b"secret", &[("file_name", "f"), ("folder", "d")]).await;
    let session = app.upload(10, json!({"file_name": "open"})).await;
    let text = |member: &str| record[member].as_str().unwrap().to_owned();
    Ids {
        session: session.id().to_owned(),
        file: text("file_no"),
        folder: text("folder_no"),
        workspace: app.workspace_no.clone(),
    }
}

/// The contents of the workspace: each file with its name and bytes, each session with its state, each folder.
fn contents(app: &TestApp) -> BTreeSet<String> {
    let blob = "name || ' ' || id || ' ' || blob_id || ' ' || tags || ' ' || coalesce(metadata, '')";
    let mut rows = app.database.texts(&format!("SELECT 'file ' || {blob} FROM files"));
    rows.extend(app.database.texts("SELECT 'folder ' || path FROM folders WHERE deleted_at IS NULL"));
    let session = "'session ' || id || ' ' || status || ' ' || CAST(expires_at AS TEXT)";
    rows.extend(app.database.texts(&format!("SELECT {session} FROM sessions")));
    rows
}

/// The document and the list have the same operations, and say the same of their keys.
#[test]
fn every_operation_of_the_document_is_in_the_list_with_what_it_needs() {
    let document = serde_json::to_value(partway_server::api_document::document()).unwrap();
    let mut documented = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let is_method =
                ["get", "put", "post", "delete", "patch", "head", "options", "trace"].contains(&method.as_str());
            assert!(is_method, "{path}: {method}");
            let needs_key = operation["security"].as_array().is_some_and(|needed| !needed.is_empty());
            documented.insert((method.to_ascii_uppercase(), path.clone(), needs_key));
        }
    }
    let listed: BTreeSet<_> = operations()
        .iter()
        .map(|operation| {
            let path = operation.path.split('?').next().unwrap().to_owned();
            (operation.method.to_string(), path, matches!(operation.needs, AnyKey | PrivateKey))
        })
        .collect();
    assert_eq!(documented, listed);
}

#[tokio::test]
async fn no_operation_opens_without_what_it_needs() {
    let app = TestApp::start().await;
    let ids = ids(&app).await;
    let before = contents(&app);
    for operation in operations() {
        for key in [None, Some("sk_nonsense"), Some("pk_nonsense"), Some("")] {
            let response = operation.call(&app, key, &ids).await;
            match operation.needs {
                Nothing => assert_eq!(response.status(), 200, "{operation}"),
                // A key does not take the place of the signature; see below.
                SignedUrl => drop(assert_error(response, 403, "SIGNATURE_INVALID", &[]).await),
                AnyKey | PrivateKey => {
                    assert_eq!(response.status(), 401, "{operation} opens without a key");
                    assert_eq!(response.headers()["www-authenticate"], "Bearer", "{operation}");
                    assert_error(response, 401, "UNAUTHORIZED", &[]).await;
                }
            }
        }
        if operation.needs == SignedUrl {
            let with_key = operation.call(&app, Some(&app.private_key), &ids).await;
            assert_error(with_key, 403, "SIGNATURE_INVALID", &[]).await;
        }
    }
    assert_eq!(contents(&app), before);
}

#[tokio::test]
async fn routes_that_the_document_does_not_have_change_nothing_and_tell_nothing() {
    let app = TestApp::start().await;
    let ids = ids(&app).await;
    let before = contents(&app);
    for path in UNDOCUMENTED {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let response = app.http.request(method.clone(), app.url(path)).send().await.unwrap();
            let status = response.status().as_u16();
            let text = response.text().await.unwrap();
            let is_document = path == "/openapi.json" && [Method::GET, Method::HEAD].contains(&method);
            assert!(
                if is_document { status == 200 } else { [404, 405].contains(&status) },
                "{method} {path}: {status}"
            );
            for secret in [&ids.session, &ids.file, &ids.folder, &app.workspace_no, &app.public_key] {
                assert!(!text.contains(secret.as_str()), "{method} {path} tells {secret}");
            }
        }
    }
    assert_eq!(contents(&app), before);
}

#[tokio::test]
async fn ids_of_another_workspace_are_as_unknown_as_those_of_none() {
    let app = TestApp::start().await;
    let theirs = ids(&app).await;
    let before = contents(&app);
    let other = app.app().db.write(Durability::Process, |tx| {
        let workspace = create_workspace(tx, "other")?;
        Ok([KeyKind::Private, KeyKind::Public].map(|kind| create_key(tx, &workspace, kind)))
    });
    let [private, public] = other.await.unwrap().map(|made| made.unwrap().key);
    for operation in operations().into_iter().filter(Operation::names_something) {
        let keys = match operation.needs {
            AnyKey => vec![&private, &public],
            PrivateKey => vec![&private],
            Nothing | SignedUrl => continue,
        };
        for key in keys {
            let mut answers = Vec::new();
            for ids in [&theirs, &Ids::nobody()] {
                let response = operation.call(&app, Some(key), ids).await;
                assert_eq!(response.status(), 404, "{operation}");
                let mut answer: Value = response.json().await.unwrap();
                answer.as_object_mut().unwrap().remove("requestId");
                let ids = [&ids.session, &ids.file, &ids.folder];
                answers.push(ids.into_iter().fold(answer.to_string(), |text, id| text.replace(id.as_str(), "")));
            }
            assert_eq!(answers[0], answers[1], "{operation}: the answers differ");
        }
    }
    for path in [
        "/api/v1/files",
        "/api/v1/files?file_path=d/f",
        "/api/v1/folders",
        "/api/v1/folders?path=d",
        "/api/v1/folders?search=d",
        "/api/v1/multipart",
    ] {
        let list = app.http.get(app.url(path)).bearer_auth(&private).send().await.unwrap();
        let list: Value = list.json().await.unwrap();
        let rows = list.as_object().unwrap().values().find_map(Value::as_array).unwrap();
        assert!(rows.is_empty(), "{path}: {list}");
    }
    let now = contents(&app);
    assert!(before.is_subset(&now), "{before:?} became {now:?}");
}

/// Things of the private key, and of another public key of the same workspace.
#[tokio::test]
async fn a_public_key_touches_nothing_that_another_key_made() {
    let app = TestApp::start().await;
    let made_privately = ids(&app).await;
    let (_, other) = app.new_key(KeyKind::Public).await;
    let session = app.upload_with(&other, 3).await;
    let by_other = app
        .http
        .post(app.url("/api/v1/uploads"))
        .bearer_auth(&other)
        .multipart(form("others.bin", b"other"))
        .send()
        .await
        .unwrap();
    assert_eq!(by_other.status(), 201);
    let record: Value = by_other.json().await.unwrap();
    let made_by_other = Ids {
        session: session.id().to_owned(),
        file: record["file_no"].as_str().unwrap().to_owned(),
        folder: made_privately.folder.clone(),
        workspace: app.workspace_no.clone(),
    };
    let before = contents(&app);
    for ids in [&made_privately, &made_by_other] {
        for operation in operations() {
            let is_start = operation.path == "/api/v1/multipart/start";
            if matches!(operation.needs, Nothing | SignedUrl) || is_start {
                continue;
            }
            let response = operation.call(&app, Some(&app.public_key), ids).await;
            match operation.path {
                // Let in, and refused for what is wrong with the form.
                "/api/v1/uploads" => assert_eq!(response.status(), 415, "{operation}"),
                _ => drop(assert_error(response, 403, "FORBIDDEN", &[]).await),
            }
        }
    }
    // A private key works on what the public ones started: its workspace's.
    for method in [Method::GET, Method::POST] {
        let path = if method == Method::POST { format!("{}/parts", session.path()) } else { session.path() };
        let seen = app.request(method, &path).json(&json!({})).send().await.unwrap();
        assert_eq!(seen.status(), 200, "{path}");
    }
    assert_eq!(
        contents(&app).iter().filter(|row| !row.starts_with("session")).collect::<Vec<_>>(),
        before.iter().filter(|row| !row.starts_with("session")).collect::<Vec<_>>()
    );
    assert_eq!(app.count("sessions WHERE status = 'uploading'"), 2);
}

fn form(name: &str, bytes: &[u8]) -> reqwest::multipart::Form {
    let file = reqwest::multipart::Part::bytes(bytes.to_vec()).file_name("f");
    reqwest::multipart::Form::new().part("file", file).text("file_name", name.to_owned())
}
