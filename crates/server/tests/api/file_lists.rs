//! Every filter with every other, in every order, against a plain look at all files.

use std::cmp::Ordering;

use partway_server::db::{DbError, Tx, usage};
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::TestApp;

const FOLDERS: [&str; 6] = ["", "a", "a/b", "a/bc", "ab", "gone"];
const TAGS: [&str; 5] = ["t", "t,u", "t,u,v,w", "", "v"];
const WORDS: [&str; 3] = ["Red", "green", "ÉTÉ"];
const FILES: usize = 60;

const ORDERS: [(&str, &str); 8] = [
    ("created_at_desc", "created_at"),
    ("created_at_asc", "created_at"),
    ("updated_at_desc", "updated_at"),
    ("updated_at_asc", "updated_at"),
    ("name_asc", "name"),
    ("name_desc", "name"),
    ("size_asc", "size"),
    ("size_desc", "size"),
];

/// Files whose folders, tags, names, sizes and ids do not go with each other; some were renamed, moved and given other tags.
async fn fill(app: &TestApp) {
    for index in 0..FILES {
        let name = format!("n{} {}.txt", index % 20, WORDS[index % 3]);
        let custom_id = ["c", "d"][usize::from(index % 7 == 0)];
        let fields = [
            ("file_name", name.as_str()),
            ("folder", FOLDERS[index % 6]),
            ("tags", TAGS[(index / 6) % 5]),
            ("custom_id", custom_id),
        ];
        let record = app.whole(&vec![b'x'; 1 + index % 4], &fields).await;
        let number = record["file_no"].as_str().unwrap();
        let (path, body) = match index % 10 {
            3 => (format!("/api/v1/files/{number}/rename"), json!({"name": format!("n1 renamed {index} red")})),
            4 => (format!("/api/v1/files/{number}/rename"), json!({"folder": FOLDERS[(index + 1) % 5]})),
            5 => (format!("/api/v1/files/{number}"), json!({"add_tags": ["u"], "remove_tags": ["t"]})),
            _ => continue,
        };
        let changed = app.call(Method::PATCH, &path, body).await;
        assert!(changed.status().is_success(), "{:?}", changed.text().await);
    }
    app.sql("UPDATE workspaces SET files_count = files_count - (SELECT files_count FROM folders WHERE path = 'gone')");
    // As deleting it does; the cleaner does not hear of it before the next round.
    app.sql(
        "UPDATE folders SET path = '//' || id || '/' || path, parent_id = NULL, deleted_at = 1 WHERE path = 'gone'",
    );
}

/// A filter: how it is asked for, and what passes it.
type Filter = (String, Box<dyn Fn(&Value) -> bool>);

fn filters(folder_numbers: [(&'static str, String); 2]) -> Vec<Vec<Filter>> {
    fn any() -> Filter {
        (String::new(), Box::new(|_| true))
    }
    let text = |row: &Value, member: &str| row[member].as_str().unwrap_or_default().to_owned();
    let mut folders =
        vec![any(), ("&folder_no=root".to_owned(), Box::new(|row: &Value| row["folder_no"].is_null()) as _)];
    for (path, number) in folder_numbers {
        let is_in = move |row: &Value| text(row, "path").rsplit_once('/').is_some_and(|(folder, _)| folder == path);
        folders.push((format!("&folder_no={number}"), Box::new(is_in)));
    }
    let mut paths = vec![any()];
    for prefix in ["a", "a/", "a/b", "a/bc/n1", "n1", "zzz", "gone", "//", "/"] {
        // A path never begins with a slash; one that is asked for may.
        let begins_so = move |row: &Value| text(row, "path").starts_with(prefix.trim_start_matches('/'));
        paths.push((format!("&path={prefix}"), Box::new(begins_so)));
    }
    for (asked, wanted) in [
        ("a/b/n8 ÉTÉ.txt", "a/b/n8 ÉTÉ.txt"),
        ("/a/b/n8 E\u{301}TE\u{301}.txt", "a/b/n8 ÉTÉ.txt"),
        ("a/b/N8 ÉTÉ.txt", "no other case"),
        ("n0 Red.txt", "n0 Red.txt"),
        ("a/b", "no folder"),
        ("a/b/n8", "no prefix"),
        ("gone/n11 ÉTÉ.txt", "nothing deleted"),
        ("/", "nothing"),
    ] {
        let is_it = move |row: &Value| text(row, "path") == wanted;
        paths.push((format!("&file_path={asked}"), Box::new(is_it)));
    }
    let begins_alike = move |row: &Value| text(row, "path") == "n0 Red.txt";
    paths.push(("&path=n0&file_path=n0 Red.txt".to_owned(), Box::new(begins_alike)));
    paths.push(("&path=n1&file_path=n0 Red.txt".to_owned(), Box::new(|_| false)));
    let mut tags = vec![any()];
    for wanted in ["t", "v", "t,u", "u,t,w", "v,none", "none"] {
        let has_all =
            move |row: &Value| wanted.split(',').all(|tag| row["tags"].as_array().unwrap().contains(&tag.into()));
        tags.push((format!("&tags={wanted}"), Box::new(has_all)));
    }
    let mut searches = vec![any()];
    for wanted in ["RED", "été", "n1", "nothing"] {
        let folded = wanted.to_lowercase();
        searches.push((
            format!("&search={wanted}"),
            Box::new(move |row: &Value| text(row, "name").to_lowercase().contains(&folded)),
        ));
    }
    let custom = vec![any(), ("&custom_id=d".to_owned(), Box::new(|row: &Value| row["custom_id"] == "d") as _)];
    vec![folders, paths, tags, searches, custom]
}

async fn folder_no(app: &TestApp, parent: &str, name: &str) -> String {
    let listed = app.look(&format!("/api/v1/folders{parent}")).await;
    let folder = listed["folders"].as_array().unwrap().iter().find(|folder| folder["name"] == name);
    folder.unwrap()["folder_no"].as_str().unwrap().to_owned()
}

fn compare(a: &Value, b: &Value, member: &str) -> Ordering {
    let by_member = match member {
        "size" => a["size"].as_u64().cmp(&b["size"].as_u64()),
        "name" => {
            let folded = |row: &Value| row["name"].as_str().unwrap().to_lowercase();
            folded(a).cmp(&folded(b))
        }
        _ => a[member].as_str().cmp(&b[member].as_str()),
    };
    by_member.then_with(|| a["id"].as_str().cmp(&b["id"].as_str()))
}

#[tokio::test]
async fn every_filter_with_every_other_finds_what_a_look_at_all_files_finds() {
    let app = TestApp::start_local().await;
    fill(&app).await;
    let all = app.look("/api/v1/files?limit=100").await["files"].as_array().unwrap().clone();
    assert_eq!(all.len(), FILES - FILES / FOLDERS.len());
    let a = folder_no(&app, "", "a").await;
    let b = folder_no(&app, &format!("?parent_folder_no={a}"), "b").await;
    let folders = [("a", a), ("a/b", b)];
    let by_kind = filters(folders);
    let mut combinations: Vec<Vec<&Filter>> = vec![Vec::new()];
    for kind in &by_kind {
        combinations = combinations
            .into_iter()
            .flat_map(|chosen| kind.iter().map(move |filter| [chosen.clone(), vec![filter]].concat()))
            .collect();
    }
    let mut found = 0;
    for (index, chosen) in combinations.into_iter().enumerate() {
        // The orders take turns, three of them with each filter that finds something.
        for turn in 0..3 {
            let (sort, member) = ORDERS[(index + turn * 3) % ORDERS.len()];
            let mut expected: Vec<&Value> =
                all.iter().filter(|row| chosen.iter().all(|(_, passes)| passes(row))).collect();
            expected.sort_by(|a, b| compare(a, b, member));
            if sort.ends_with("_desc") {
                expected.reverse();
            }
            let query: String = chosen.iter().map(|(query, _)| query.as_str()).collect();
            let page = 1 + (index + turn) % 3;
            let listed = app.look(&format!("/api/v1/files?sort={sort}&limit=5&page={page}{query}")).await;
            assert_eq!(listed["meta"]["total"], expected.len(), "{sort} {query}");
            let expected: Vec<_> = expected.into_iter().skip((page - 1) * 5).take(5).map(|row| &row["id"]).collect();
            let rows: Vec<_> = listed["files"].as_array().unwrap().iter().map(|row| &row["id"]).collect();
            assert_eq!(rows, expected, "{sort} {page} {query}");
            found += rows.len();
            if listed["meta"]["total"] == 0 {
                break;
            }
        }
    }
    assert!(found > 2000, "{found}");
}

#[tokio::test]
async fn paths_are_compared_as_names_are_stored() {
    let app = TestApp::start().await;
    for (folder, name) in [("Cafe\u{301}", "a"), ("docs", "\u{10FFFF}"), ("docs", "b"), ("", "c")] {
        app.whole(b"x", &[("file_name", name), ("folder", folder)]).await;
    }
    for (path, files) in [
        ("", 4),
        ("/", 4),
        ("Cafe%CC%81/", 1),
        ("Caf%C3%A9", 1),
        ("docs/", 2),
        ("docs/%F4%8F%BF%BF", 1),
        ("docs", 2),
        ("/docs/b", 1),
        ("docs/c", 0),
        ("nowhere/", 0),
    ] {
        let page = app.look(&format!("/api/v1/files?path={path}")).await;
        let listed = page["files"].as_array().unwrap().len();
        assert_eq!((listed, &page["meta"]["total"]), (files, &json!(files)), "{path}: {page}");
    }
}

#[tokio::test]
async fn a_list_sees_one_moment() {
    let app = TestApp::start().await;
    let workspace_id: uuid::Uuid = app.text("SELECT id FROM workspaces").parse().unwrap();
    let (counted, has_counted) = tokio::sync::oneshot::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel();
    let db = app.app().db.clone();
    let count_twice = move |tx: &Tx<'_>| {
        let files = || Ok::<_, DbError>(usage::find(tx, workspace_id)?.unwrap().files.count);
        let before = files()?;
        counted.send(()).unwrap();
        may_go_on.recv().unwrap();
        Ok((before, files()?))
    };
    let reading = tokio::spawn(async move { db.scan(workspace_id, count_twice).await });
    has_counted.await.unwrap();
    app.whole(b"x", &[("file_name", "f")]).await;
    go_on.send(()).unwrap();
    assert_eq!(reading.await.unwrap().unwrap(), (0, 0));
    assert_eq!(app.count("files"), 1);
}
