//! `/api/v1/files`

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::app::{TestApp, assert_error};

impl TestApp {
    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> Response {
        let request = self.request(method, path);
        let request = if body.is_null() { request } else { request.json(&body) };
        request.send().await.unwrap()
    }

    /// The answer to a GET that succeeds.
    pub(crate) async fn look(&self, path: &str) -> Value {
        let response = self.call(Method::GET, path, Value::Null).await;
        assert_eq!(response.status(), 200, "{path}: {:?}", response.text().await);
        response.json().await.unwrap()
    }

    /// Names of the files that a query lists, in its order, and how many there are in all.
    async fn names(&self, query: &str) -> (Vec<String>, u64) {
        let list = self.look(&format!("/api/v1/files?{query}")).await;
        let names = list["files"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned());
        (names.collect(), list["meta"]["total"].as_u64().unwrap())
    }
}

#[tokio::test]
async fn a_file_is_found_by_its_number_with_every_member_of_a_row() {
    let app = TestApp::start().await;
    let record = app
        .whole(
            b"words",
            &[("file_name", "a.txt"), ("folder", "x/y"), ("tags", "t"), ("metadata", "{\"k\":1}"), ("custom_id", "c")],
        )
        .await;
    let path = format!("/api/v1/files/{}", record["file_no"].as_str().unwrap());
    let found = app.look(&path).await;
    assert_eq!(found["success"], true);
    let row = &found["data"];
    for (member, value) in [
        ("id", record["id"].clone()),
        ("file_no", record["file_no"].clone()),
        ("name", json!("a.txt")),
        ("path", json!("x/y/a.txt")),
        ("url", record["url"].clone()),
        ("version_url", record["version_url"].clone()),
        ("thumbnail", json!("")),
        ("thumbanil", json!("")),
        ("size", json!(5)),
        ("file_size", json!(5)),
        ("format", json!("txt")),
        ("mime_type", json!("text/plain")),
        ("tags", json!(["t"])),
        ("metadata", json!({"k": 1})),
        ("custom_id", json!("c")),
        ("folder_no", record["folder_no"].clone()),
        ("folder_name", json!("y")),
        ("workspace_no", record["workspace_no"].clone()),
        ("source", json!("api")),
        ("extension", json!("document")),
        ("hash", record["hash"].clone()),
        ("created_at", record["created_at"].clone()),
        ("updated_at", record["created_at"].clone()),
    ] {
        assert_eq!(row[member], value, "{member}");
    }
    let root = app.whole(b"x", &[("file_name", "r")]).await;
    let row = app.look(&format!("/api/v1/files/{}", root["file_no"].as_str().unwrap())).await;
    assert_eq!((&row["data"]["folder_no"], &row["data"]["folder_name"]), (&Value::Null, &Value::Null));
    for unknown in ["0000000000", "x", "a%2Fb", "%00", "%ff"] {
        let response = app.call(Method::GET, &format!("/api/v1/files/{unknown}"), Value::Null).await;
        assert_eq!(response.status().as_u16() / 100, 4, "{unknown}");
    }
    let unknown = app.call(Method::GET, "/api/v1/files/0000000000", Value::Null).await;
    assert_error(unknown, 404, "FILE_NOT_FOUND", &["0000000000"]).await;
}

#[tokio::test]
async fn lists_are_sorted_filtered_and_paged() {
    let app = TestApp::start().await;
    for (name, folder, size, tags, custom_id) in [
        ("beta.txt", "", 30, "red,big", "one"),
        ("Alpha.txt", "docs", 10, "red", "two"),
        ("gamma 100%.txt", "docs", 20, "blue,big", "one"),
        ("delta_1.txt", "docs/deep", 40, "red,blue,big", ""),
        ("Straße.txt", "docsother", 50, "", ""),
        ("ΟΔΟΣ.txt", "", 60, "", ""),
    ] {
        let mut fields = vec![("file_name", name), ("folder", folder), ("tags", tags)];
        if !custom_id.is_empty() {
            fields.push(("custom_id", custom_id));
        }
        app.whole(&vec![b'x'; size], &fields).await;
    }
    let docs = app.look("/api/v1/folders").await["folders"][0]["folder_no"].as_str().unwrap().to_owned();
    for (query, names) in [
        ("sort=name_asc", vec!["Alpha.txt", "beta.txt", "delta_1.txt", "gamma 100%.txt", "Straße.txt", "ΟΔΟΣ.txt"]),
        ("sort=size_desc&limit=2", vec!["ΟΔΟΣ.txt", "Straße.txt"]),
        ("sort=size_asc&limit=2", vec!["Alpha.txt", "gamma 100%.txt"]),
        ("sort_field=file_size&sort_order=desc&limit=1", vec!["ΟΔΟΣ.txt"]),
        ("sort=created_at_asc&limit=2", vec!["beta.txt", "Alpha.txt"]),
        ("limit=2", vec!["ΟΔΟΣ.txt", "Straße.txt"]),
        ("sort=name_desc&limit=4&page=2", vec!["beta.txt", "Alpha.txt"]),
        ("sort=name_asc&limit=4&page=2", vec!["Straße.txt", "ΟΔΟΣ.txt"]),
        ("sort=name_asc&limit=2&page=2", vec!["delta_1.txt", "gamma 100%.txt"]),
        ("page=99", vec![]),
        ("page=10000000&limit=100", vec![]),
        (&format!("folder_no={docs}&sort=name_asc"), vec!["Alpha.txt", "gamma 100%.txt"]),
        ("folder_no=root&sort=name_asc", vec!["beta.txt", "ΟΔΟΣ.txt"]),
        ("path=docs&sort=name_asc", vec!["Alpha.txt", "delta_1.txt", "gamma 100%.txt", "Straße.txt"]),
        ("path=/docs/&sort=name_asc", vec!["Alpha.txt", "delta_1.txt", "gamma 100%.txt"]),
        ("path=docs/d&sort=name_asc", vec!["delta_1.txt"]),
        ("path=docs/deep/delta", vec!["delta_1.txt"]),
        ("path=be", vec!["beta.txt"]),
        ("path=BE", vec![]),
        ("tags=red&sort=name_asc", vec!["Alpha.txt", "beta.txt", "delta_1.txt"]),
        ("tags=red,big&sort=name_asc", vec!["beta.txt", "delta_1.txt"]),
        ("tags=re", vec![]),
        ("custom_id=one&sort=name_asc", vec!["beta.txt", "gamma 100%.txt"]),
        ("custom_id=one&tags=blue", vec!["gamma 100%.txt"]),
        ("search=ALPHA", vec!["Alpha.txt"]),
        ("name=alpha", vec!["Alpha.txt"]),
        ("search=%25", vec!["gamma 100%.txt"]),
        ("search=_", vec!["delta_1.txt"]),
        ("search=0%25.t", vec!["gamma 100%.txt"]),
        ("search=!", vec![]),
        ("search=*", vec![]),
        ("search=strasse", vec!["Straße.txt"]),
        ("search=STRASSE", vec!["Straße.txt"]),
        ("search=%CE%BF%CE%B4%CE%BF%CF%82", vec!["ΟΔΟΣ.txt"]),
        ("search=txt&sort=size_asc&limit=1", vec!["Alpha.txt"]),
        ("search=docs", vec![]),
        ("unknown=1&search=beta", vec!["beta.txt"]),
    ] {
        assert_eq!(app.names(query).await.0, names, "{query}");
    }
    let list = app.look("/api/v1/files?sort=name_asc&limit=4&page=1").await;
    assert_eq!(list["meta"], json!({"page": 1, "limit": 4, "total": 6, "hasNext": true, "hasPrev": false}));
    let list = app.look("/api/v1/files?tags=red&limit=2&page=2").await;
    assert_eq!(list["meta"], json!({"page": 2, "limit": 2, "total": 3, "hasNext": false, "hasPrev": true}));
    for (query, status, code) in [
        ("limit=0", 400, "INVALID_PARAMETER"),
        ("limit=101", 400, "INVALID_PARAMETER"),
        ("page=0", 400, "INVALID_PARAMETER"),
        ("page=x", 400, "INVALID_PARAMETER"),
        ("sort=colour_asc", 400, "INVALID_PARAMETER"),
        ("sort_order=up", 400, "INVALID_PARAMETER"),
        ("search=%00", 400, "INVALID_PARAMETER"),
        ("folder_no=0000000000", 404, "FOLDER_NOT_FOUND"),
    ] {
        let response = app.call(Method::GET, &format!("/api/v1/files?{query}"), Value::Null).await;
        assert_error(response, status, code, &[]).await;
    }
}

#[tokio::test]
async fn every_page_of_every_order_has_each_file_once() {
    let app = TestApp::start().await;
    for number in 0..23 {
        // Many that are equal in size, and in name but for case.
        let name = if number % 2 == 0 { format!("same {}", number / 4) } else { format!("SAME {}", number / 4) };
        let folder = format!("f{}", number % 5);
        app.whole(&vec![b'x'; number % 3], &[("file_name", &name), ("folder", &folder)]).await;
    }
    let total = app.count("files");
    for sort in ["created_at", "updated_at", "name", "size"] {
        let mut orders = Vec::new();
        for order in ["asc", "desc"] {
            for limit in [1, 4, 7, 100] {
                let mut seen = Vec::new();
                let mut page = 1;
                loop {
                    let query = format!("/api/v1/files?sort={sort}_{order}&limit={limit}&page={page}");
                    let list = app.look(&query).await;
                    seen.extend(
                        list["files"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()),
                    );
                    if list["meta"]["hasNext"] == false {
                        break;
                    }
                    page += 1;
                }
                let mut unique = seen.clone();
                unique.sort();
                unique.dedup();
                assert_eq!((seen.len() as i64, unique.len() as i64), (total, total), "{sort}_{order} {limit}");
                orders.push(if order == "asc" { seen } else { seen.into_iter().rev().collect() });
            }
        }
        assert!(orders.iter().all(|order| *order == orders[0]), "{sort}");
    }
}

#[tokio::test]
async fn tags_and_metadata_are_changed_member_by_member() {
    let app = TestApp::start().await;
    let record = app.whole(b"x", &[("file_name", "f"), ("tags", "a,b"), ("metadata", r#"{"k":1,"gone":2}"#)]).await;
    let path = format!("/api/v1/files/{}", record["file_no"].as_str().unwrap());
    let body =
        json!({"add_tags": ["c", "a"], "remove_tags": ["b", "none"], "metadata": {"gone": null, "new": {"deep": [1]}}});
    let changed: Value = app.call(Method::PATCH, &path, body).await.json().await.unwrap();
    assert_eq!((&changed["success"], &changed["data"]["tags"]), (&json!(true), &json!(["a", "c"])));
    assert_eq!(changed["data"]["metadata"], json!({"k": 1, "new": {"deep": [1]}}));
    assert!(changed["data"]["updated_at"].as_str() >= changed["data"]["created_at"].as_str());
    assert_eq!(app.look(&path).await["data"], changed["data"]);
    assert_eq!((app.names("tags=c").await.1, app.names("tags=b").await.1), (1, 0));
    let text: Value = app.call(Method::PATCH, &path, json!({"add_tags": "d, e"})).await.json().await.unwrap();
    assert_eq!(text["data"]["tags"], json!(["a", "c", "d", "e"]));
    assert_eq!(app.call(Method::PATCH, &path, json!({})).await.status(), 200);
    let many: Vec<String> = (0..47).map(|number| format!("t{number}")).collect();
    for (body, code, named) in [
        (json!({"add_tags": many}), "INVALID_TAGS", "add_tags"),
        (json!({"add_tags": 7}), "INVALID_TAGS", "add_tags"),
        (json!({"remove_tags": {}}), "INVALID_TAGS", "remove_tags"),
        (json!({"metadata": []}), "INVALID_METADATA", "metadata"),
        (json!({"metadata": {"large": "x".repeat(16 * 1024)}}), "INVALID_METADATA", "metadata"),
    ] {
        assert_error(app.call(Method::PATCH, &path, body).await, 400, code, &[named]).await;
    }
    assert_eq!(app.look(&path).await["data"], text["data"], "a refused change changed something");
    let unknown = app.call(Method::PATCH, "/api/v1/files/0000000000", json!({})).await;
    assert_error(unknown, 404, "FILE_NOT_FOUND", &[]).await;
}

#[tokio::test]
async fn two_changes_at_once_are_both_kept() {
    let app = TestApp::start().await;
    let record = app.whole(b"x", &[("file_name", "f")]).await;
    let path = format!("/api/v1/files/{}", record["file_no"].as_str().unwrap());
    let change = |number: usize| {
        let (app, path) = (&app, &path);
        async move {
            let body = json!({"add_tags": [format!("t{number}")], "metadata": {format!("m{number}"): number}});
            assert_eq!(app.call(Method::PATCH, path, body).await.status(), 200);
        }
    };
    futures_util::future::join_all((0..20).map(change)).await;
    let found = app.look(&path).await;
    assert_eq!(found["data"]["tags"].as_array().unwrap().len(), 20);
    assert_eq!(found["data"]["metadata"].as_object().unwrap().len(), 20);
}

#[tokio::test]
async fn a_renamed_file_keeps_its_extension_and_its_bytes_and_moves_its_url() {
    let app = TestApp::start().await;
    let record = app.whole(b"words", &[("file_name", "a.txt"), ("folder", "d")]).await;
    app.whole(b"other", &[("file_name", "taken.txt"), ("folder", "d")]).await;
    let path = format!("/api/v1/files/{}", record["file_no"].as_str().unwrap());
    let rename = format!("{path}/rename");
    let renamed: Value = app.call(Method::PATCH, &rename, json!({"name": "demo"})).await.json().await.unwrap();
    assert_eq!((&renamed["data"]["name"], &renamed["data"]["path"]), (&json!("demo.txt"), &json!("d/demo.txt")));
    assert_eq!(app.get(renamed["data"]["url"].as_str().unwrap()).await.text().await.unwrap(), "words");
    assert_error(app.get(&app.url_of(&record)).await, 404, "FILE_NOT_FOUND", &[]).await;
    assert_eq!(app.look(&path).await["data"], renamed["data"]);
    let taken = app.call(Method::PATCH, &rename, json!({"name": "taken"})).await;
    assert_eq!(taken.headers()["x-should-retry"], "false");
    assert_error(taken, 409, "FILE_EXISTS", &["d/taken.txt"]).await;
    let same: Value = app.call(Method::PATCH, &rename, json!({"name": "demo.txt"})).await.json().await.unwrap();
    assert_eq!(same["data"], renamed["data"]);
    for (body, code) in [
        (json!({}), "FILE_NAME_REQUIRED"),
        (json!({"name": ""}), "FILE_NAME_REQUIRED"),
        (json!({"name": "a/b"}), "INVALID_FILE_NAME"),
        (json!({"name": ".."}), "INVALID_FILE_NAME"),
        (json!({"name": 7}), "INVALID_FILE_NAME"),
        (json!({"name": "x".repeat(252)}), "INVALID_FILE_NAME"),
        (json!({"folder": "../x"}), "INVALID_FOLDER"),
    ] {
        assert_error(app.call(Method::PATCH, &rename, body).await, 400, code, &[]).await;
    }
    // To another folder, which is made; a refusal makes none.
    let moved: Value = app.call(Method::PATCH, &rename, json!({"folder": "new/place"})).await.json().await.unwrap();
    assert_eq!(
        (&moved["data"]["path"], &moved["data"]["folder_name"]),
        (&json!("new/place/demo.txt"), &json!("place"))
    );
    let root: Value = app.call(Method::PATCH, &rename, json!({"folder": "", "name": "r"})).await.json().await.unwrap();
    assert_eq!((&root["data"]["path"], &root["data"]["folder_no"]), (&json!("r.txt"), &Value::Null));
    let folders = app.look("/api/v1/folders").await;
    let sizes: Vec<_> =
        folders["folders"].as_array().unwrap().iter().map(|folder| folder["total_items"].clone()).collect();
    assert_eq!(sizes, [json!(1), json!(0)]);
}

#[tokio::test]
async fn of_many_that_want_one_name_one_gets_it() {
    let app = TestApp::start().await;
    let mut numbers = Vec::new();
    for number in 0..8 {
        let record = app.whole(b"x", &[("file_name", &format!("{number}"))]).await;
        numbers.push(record["file_no"].as_str().unwrap().to_owned());
    }
    let rename = |number: &String| {
        let path = format!("/api/v1/files/{number}/rename");
        let app = &app;
        async move { app.call(Method::PATCH, &path, json!({"name": "wanted"})).await.status().as_u16() }
    };
    let mut statuses = futures_util::future::join_all(numbers.iter().map(rename)).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409]);
}

#[tokio::test]
async fn a_deleted_file_is_gone_and_its_bytes_go_after_its_readers() {
    let app = TestApp::start().await;
    let record = app.whole(b"words", &[("file_name", "a"), ("folder", "d"), ("tags", "t")]).await;
    let path = format!("/api/v1/files/{}", record["file_no"].as_str().unwrap());
    let preview = app.call(Method::DELETE, &format!("{path}?dry_run=true"), Value::Null).await;
    assert_eq!(preview.status(), 200);
    let preview: Value = preview.json().await.unwrap();
    assert_eq!((&preview["dry_run"], &preview["would_delete"]["path"]), (&json!(true), &json!("d/a")));
    assert_eq!(app.count("files"), 1);
    let bad = app.call(Method::DELETE, &format!("{path}?dry_run=maybe"), Value::Null).await;
    assert_error(bad, 400, "INVALID_PARAMETER", &["dry_run"]).await;
    assert_eq!(app.call(Method::DELETE, &path, Value::Null).await.status(), 204);
    assert_error(app.call(Method::DELETE, &path, Value::Null).await, 404, "FILE_NOT_FOUND", &[]).await;
    assert_error(app.get(&app.url_of(&record)).await, 404, "FILE_NOT_FOUND", &[]).await;
    assert_eq!((app.names("").await.1, app.names("tags=t").await.1, app.count("file_tags")), (0, 0, 0));
    app.until("its bytes go", |app| app.count("garbage") == 0 && app.has_blobs(0)).await;
    // The name is free again, the folder stays.
    app.whole(b"new", &[("file_name", "a"), ("folder", "d")]).await;
    assert_eq!(app.count("folders WHERE path <> ''"), 1);
}
