//! `GET /api/v1/multipart`

use partway_server::db::api_keys::KeyKind;
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{MIB, TestApp, assert_error, bytes};
use crate::auth::new_key;

async fn list(app: &TestApp, query: &str) -> Value {
    let response = app.request(Method::GET, &format!("/api/v1/multipart{query}")).send().await.unwrap();
    assert_eq!(response.status(), 200, "{:?}", response.text().await);
    response.json().await.unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    list["sessions"].as_array().unwrap().iter().map(|session| session["file_name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn sessions_are_listed_newest_first_in_pages() {
    let app = TestApp::start().await;
    for number in 0..5 {
        app.upload(10, json!({"file_name": format!("{number}")})).await;
        // Times have milliseconds; the order of what starts in the same one is not promised.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let all = list(&app, "").await;
    assert_eq!(names(&all), ["4", "3", "2", "1", "0"]);
    assert_eq!(all["meta"], json!({"page": 1, "limit": 20, "total": 5, "hasNext": false, "hasPrev": false}));
    let second = list(&app, "?page=2&limit=2&unknown=1").await;
    assert_eq!(names(&second), ["2", "1"]);
    assert_eq!(second["meta"], json!({"page": 2, "limit": 2, "total": 5, "hasNext": true, "hasPrev": true}));
    assert_eq!(names(&list(&app, "?page=9&status=").await), Vec::<&str>::new());
    // Nobody else sees them.
    let stranger = new_key(&app, KeyKind::Private, true).await;
    let theirs = app.http.get(app.url("/api/v1/multipart")).bearer_auth(&stranger).send().await.unwrap();
    assert_eq!(theirs.json::<Value>().await.unwrap()["meta"]["total"], 0);
}

#[tokio::test]
async fn each_says_how_far_it_is() {
    let app = TestApp::start().await;
    let data = bytes(1, 25 * MIB);
    let [first, last, done, aborted] = ["first", "last", "done", "aborted"].map(|name| json!({"file_name": name}));
    let first = app.upload(data.len() as u64, first).await;
    let last = app.upload(data.len() as u64, last).await;
    let done = app.upload(3, done).await;
    let aborted = app.upload(25 * MIB, aborted).await;
    first.put_part(&app, &data, 0).await;
    last.put_part(&app, &data, 1).await;
    last.put_part(&app, &data, 2).await;
    done.put_all(&app, b"abc").await;
    done.complete(&app).await;
    aborted.put_part(&app, &data, 2).await;
    aborted.abort(&app).await;
    let find = |list: &Value, name: &str| {
        list["sessions"].as_array().unwrap().iter().find(|session| session["file_name"] == name).cloned().unwrap()
    };
    let all = list(&app, "").await;
    for (name, status, parts, bytes) in [
        ("first", "uploading", Some(1), Some(10 * MIB)),
        ("last", "uploading", Some(2), Some(15 * MIB)),
        ("done", "completed", Some(1), Some(3)),
        ("aborted", "aborted", Some(0), Some(0)),
    ] {
        // Only the store knows about sessions whose parts go to it.
        let (parts, bytes) = if app.is_local() || status != "uploading" { (parts, bytes) } else { (None, None) };
        let session = find(&all, name);
        assert_eq!(session["status"], status, "{session}");
        assert_eq!(
            (&session["parts_uploaded"], &session["bytes_uploaded"]),
            (&json!(parts), &json!(bytes)),
            "{session}"
        );
        assert_eq!(session["verifying"], false);
    }
    assert_eq!(list(&app, "?status=uploading").await["meta"]["total"], 2);
    assert_eq!(names(&list(&app, "?status=completed").await), ["done"]);
    assert_eq!(names(&list(&app, "?status=aborted").await), ["aborted"]);
    assert_eq!(list(&app, "?status=expired").await["meta"]["total"], 0);
}

#[tokio::test]
async fn mistakes_are_named_and_public_keys_refused() {
    let app = TestApp::start().await;
    for (query, named) in [
        ("status=done", "uploading, completed, aborted, expired"),
        ("page=0", "page"),
        ("page=x", "page"),
        ("limit=0", "limit"),
        ("limit=101", "from 1 to 100"),
        ("limit=-1", "limit"),
    ] {
        let response = app.request(Method::GET, &format!("/api/v1/multipart?{query}")).send().await.unwrap();
        assert_error(response, 400, "INVALID_PARAMETER", &[named]).await;
    }
    let public = app.http.get(app.url("/api/v1/multipart")).bearer_auth(&app.public_key).send().await.unwrap();
    assert_error(public, 403, "FORBIDDEN", &["private key"]).await;
}
