//! Two workspaces: nothing of one is visible with a key of the other. And what a public key may not do.

use partway_server::db::Durability;
use partway_server::db::api_keys::KeyKind;
use partway_server::service::key::create_key;
use partway_server::service::workspace::create_workspace;
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{TestApp, assert_error};

/// Every route that needs a key, with what stands for ids in it, and a body that would be taken.
fn routes() -> Vec<(Method, &'static str, Value)> {
    vec![
        (Method::GET, "/api/v1/multipart/{session}", Value::Null),
        (Method::DELETE, "/api/v1/multipart/{session}", Value::Null),
        (Method::POST, "/api/v1/multipart/{session}/parts", json!({})),
        (Method::POST, "/api/v1/multipart/complete", json!({"session_id": "{session}"})),
        (Method::GET, "/api/v1/files/{file}", Value::Null),
        (Method::PATCH, "/api/v1/files/{file}", json!({"add_tags": ["x"]})),
        (Method::PATCH, "/api/v1/files/{file}/rename", json!({"name": "x"})),
        (Method::DELETE, "/api/v1/files/{file}", Value::Null),
        (Method::DELETE, "/api/v1/files/{file}?dry_run=true", Value::Null),
        (Method::GET, "/api/v1/files?folder_no={folder}", Value::Null),
        (Method::GET, "/api/v1/folders?parent_folder_no={folder}", Value::Null),
        (Method::POST, "/api/v1/folders", json!({"name": "x", "parent_folder_no": "{folder}"})),
        (Method::POST, "/api/v1/folders/rename/{folder}", json!({"name": "x"})),
        (Method::DELETE, "/api/v1/folders/{folder}", Value::Null),
        (Method::DELETE, "/api/v1/folders/{folder}?dry_run=true", Value::Null),
    ]
}

/// Routes that need a key and take no id.
fn routes_without_ids() -> Vec<(Method, &'static str, Value)> {
    vec![
        (Method::POST, "/api/v1/multipart/start", json!({"file_name": "f", "size": 1, "format": "bin"})),
        (Method::GET, "/api/v1/multipart", Value::Null),
        (Method::POST, "/api/v1/uploads", Value::Null),
        (Method::POST, "/api/v1/uploads/remote", json!({"remote_url": "http://127.0.0.1/"})),
        (Method::GET, "/api/v1/files", Value::Null),
        (Method::GET, "/api/v1/folders", Value::Null),
        (Method::POST, "/api/v1/folders", json!({"name": "x"})),
    ]
}

struct Ids {
    session: String,
    file: String,
    folder: String,
}

impl Ids {
    fn put_into(&self, text: &str) -> String {
        text.replace("{session}", &self.session).replace("{file}", &self.file).replace("{folder}", &self.folder)
    }
}

async fn ids(app: &TestApp) -> Ids {
    let record = app.whole(b"secret", &[("file_name", "f"), ("folder", "d")]).await;
    let session = app.upload(10, json!({})).await;
    let text = |member: &str| record[member].as_str().unwrap().to_owned();
    Ids { session: session.id().to_owned(), file: text("file_no"), folder: text("folder_no") }
}

async fn call(app: &TestApp, key: Option<&str>, method: &Method, path: &str, body: &Value) -> reqwest::Response {
    let mut request = app.http.request(method.clone(), app.url(path));
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    if !body.is_null() {
        request = request.json(body);
    }
    request.send().await.unwrap()
}

/// Every path of the document that needs a key is in one of the lists above.
#[test]
fn no_route_is_forgotten() {
    let document = serde_json::to_value(partway_server::openapi::document()).unwrap();
    let listed: Vec<(String, String)> = routes()
        .into_iter()
        .chain(routes_without_ids())
        .map(|(method, path, _)| {
            let path = path.split('?').next().unwrap();
            let path = path
                .replace("{session}", "{session_id}")
                .replace("{file}", "{file_no}")
                .replace("{folder}", "{folder_no}");
            (path, method.as_str().to_ascii_lowercase())
        })
        .collect();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if operation.get("security").is_some() {
                assert!(listed.contains(&(path.clone(), method.clone())), "{method} {path} is in no list");
            }
        }
    }
}

#[tokio::test]
async fn ids_of_another_workspace_are_as_unknown_as_those_of_none() {
    let app = TestApp::start().await;
    let theirs = ids(&app).await;
    let nobody =
        Ids { session: uuid::Uuid::new_v4().to_string(), file: "0000000000".into(), folder: "0000000000".into() };
    let other_key = app
        .app()
        .db
        .write(Durability::Process, |tx| {
            let workspace = create_workspace(tx, "other")?;
            Ok(create_key(tx, &workspace, KeyKind::Private)?.key)
        })
        .await
        .unwrap();
    for (method, path, body) in routes() {
        let mut answers = Vec::new();
        for ids in [&theirs, &nobody] {
            let body: Value = serde_json::from_str(&ids.put_into(&body.to_string())).unwrap();
            let response = call(&app, Some(&other_key), &method, &ids.put_into(path), &body).await;
            assert_eq!(response.status(), 404, "{method} {path}");
            let mut answer: Value = response.json().await.unwrap();
            answer.as_object_mut().unwrap().remove("requestId");
            answers.push(answer.to_string().replace(&ids.session, "").replace(&ids.file, "").replace(&ids.folder, ""));
        }
        assert_eq!(answers[0], answers[1], "{method} {path}: the answers differ");
    }
    for path in ["/api/v1/files", "/api/v1/folders", "/api/v1/multipart"] {
        let list: Value = call(&app, Some(&other_key), &Method::GET, path, &Value::Null).await.json().await.unwrap();
        let rows = list.as_object().unwrap().values().find_map(Value::as_array).unwrap();
        assert!(rows.is_empty(), "{path}: {list}");
    }
    // Its own things are as they were.
    assert_eq!((app.count("files"), app.count("sessions WHERE status = 'uploading'")), (1, 1));
}

#[tokio::test]
async fn no_route_opens_without_a_key() {
    let app = TestApp::start().await;
    let ids = ids(&app).await;
    for (method, path, body) in routes().into_iter().chain(routes_without_ids()) {
        for key in [None, Some("sk_nonsense"), Some("")] {
            let response = call(&app, key, &method, &ids.put_into(path), &body).await;
            assert_eq!(response.headers()["www-authenticate"], "Bearer", "{method} {path}");
            assert_error(response, 401, "UNAUTHORIZED", &[]).await;
        }
    }
}

#[tokio::test]
async fn a_public_key_may_upload_and_nothing_else() {
    let app = TestApp::start().await;
    let ids = ids(&app).await;
    for (method, path, body) in routes().into_iter().chain(routes_without_ids()) {
        let body: Value = serde_json::from_str(&ids.put_into(&body.to_string())).unwrap();
        let response = call(&app, Some(&app.public_key), &method, &ids.put_into(path), &body).await;
        let status = response.status().as_u16();
        match (path, method.as_str()) {
            ("/api/v1/multipart/start", _) => assert_eq!(status, 201),
            // Let in, and refused for what is wrong with the form.
            ("/api/v1/uploads", _) => assert_eq!(status, 415),
            // Its own sessions alone: these were started with another key.
            _ => {
                assert_error(response, 403, "FORBIDDEN", &[]).await;
            }
        }
    }
    assert_eq!((app.count("files"), app.count("folders WHERE path <> ''")), (1, 1));
}
