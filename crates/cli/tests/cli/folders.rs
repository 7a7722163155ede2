//! `partway folders ls|mk|mv|rm`

use serde_json::json;

use crate::server::{curl, text};
use crate::workspace::{Workspace, on_terminal};

fn listed(workspace: &Workspace, arguments: &[&str]) -> Vec<String> {
    let folders = workspace.json(&[&["folders", "ls"], arguments].concat());
    folders.iter().map(|folder| folder["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn folders_are_made_one_by_one_or_with_those_above() {
    let workspace = Workspace::new();
    assert!(listed(&workspace, &[]).is_empty());
    assert_eq!(workspace.prints(&["folders", "mk", "a"]), "a\n");
    assert!(workspace.fails(&["folders", "mk", "a"]).contains("FOLDER_EXISTS"));
    let error = workspace.fails(&["folders", "mk", "x/y/z"]);
    assert!(error.contains("there is no folder \"x/y\"") && error.contains("folders ls"), "{error}");
    assert!(listed(&workspace, &["--search", "x"]).is_empty(), "nothing of it is made");
    assert_eq!(workspace.prints(&["folders", "mk", "--parents", "/x/y//ä ö/"]), "x/y/ä ö\n");
    assert_eq!(workspace.prints(&["folders", "mk", "-p", "x/y/ä ö"]), "x/y/ä ö\n", "it is there already");
    let made = workspace.json(&["folders", "mk", "a/b"]);
    assert_eq!((&made[0]["name"], &made[0]["path"]), (&json!("b"), &json!("a/b")));
    assert_eq!(listed(&workspace, &[]), ["a", "x"]);
    assert_eq!(listed(&workspace, &["--sort", "name_desc"]), ["x", "a"]);
    assert_eq!(listed(&workspace, &["x/y"]), ["x/y/ä ö"]);
    assert_eq!(listed(&workspace, &["--search", "B"]), ["a/b"], "anywhere, in either case");
    assert_eq!(workspace.run(&["folders", "mk", "/"]).status.code(), Some(2));
}

#[test]
fn a_folder_tells_what_is_in_it_and_below() {
    let workspace = Workspace::new();
    workspace.upload("a/one.bin", &[0; 1024], &[]);
    workspace.upload("a/b/two.bin", &[0; 2048], &[]);
    let table = workspace.prints(&["folders", "ls"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("NUMBER") && lines[0].ends_with("PATH") && lines.len() == 2, "{table}");
    assert!(lines[1].contains("  2  3.0 KiB  ") && lines[1].ends_with("  a"), "{table}");
    // By its number as well.
    let number = lines[1].split(' ').next().unwrap();
    assert_eq!(listed(&workspace, &[number]), ["a/b"]);
    assert_eq!(workspace.listed(&[number]), ["a/one.bin"]);
}

#[test]
fn contents_of_a_renamed_folder_follow() {
    let workspace = Workspace::new();
    workspace.upload("a/b/one.txt", b"data", &[]);
    workspace.prints(&["folders", "mk", "c"]);
    assert_eq!(workspace.prints(&["folders", "mv", "a/b", "größe"]), "a/größe\n");
    assert_eq!(workspace.prints(&["folders", "mv", "a/größe", "größe"]), "a/größe\n", "it has the name already");
    let renamed = workspace.json(&["folders", "mv", "a", "new"]);
    assert_eq!(renamed[0]["path"], "new");
    let file = &workspace.json(&["files", "info", "new/größe/one.txt"])[0];
    assert_eq!(curl(&[file["url"].as_str().unwrap()]), (200, "data".into()));
    assert!(workspace.fails(&["folders", "mv", "new", "c"]).contains("FOLDER_EXISTS"));
    assert!(workspace.fails(&["folders", "mv", "/", "c"]).contains("root"));
    assert!(workspace.fails(&["folders", "mv", "nowhere", "c"]).contains("there is no folder \"nowhere\""));
    assert_eq!(workspace.run(&["folders", "mv", "new", "x/y"]).status.code(), Some(2));
}

#[test]
fn a_folder_is_deleted_with_all_below_it_only_after_a_yes() {
    let workspace = Workspace::new();
    workspace.upload("a/one.bin", &[0; 1024], &[]);
    workspace.upload("a/b/two.bin", &[0; 2048], &[]);
    workspace.upload("other.bin", &[0; 10], &[]);
    let what = "a with 1 folder and 2 files (3.0 KiB)";
    assert_eq!(workspace.prints(&["folders", "rm", "a", "--dry-run"]), format!("would delete {what}\n"));
    assert!(workspace.fails(&["folders", "rm", "a"]).contains("--yes"), "nobody could be asked");
    let (succeeded, shown) = on_terminal(&workspace.command(&["folders", "rm", "a"]), "no\n");
    assert!(!succeeded && shown.contains(&format!("Delete {what}? [y/N]")), "{shown}");
    assert_eq!(workspace.listed(&[]).len(), 3);
    assert_eq!(workspace.prints(&["folders", "rm", "a", "--yes"]), format!("deleted {what}\n"));
    assert_eq!(workspace.listed(&[]), ["other.bin"]);
    assert!(listed(&workspace, &[]).is_empty());
    assert!(workspace.fails(&["folders", "rm", "a", "--yes"]).contains("there is no folder \"a\""));
    assert!(workspace.fails(&["folders", "rm", "/", "--yes"]).contains("root"));
    let (succeeded, shown) = on_terminal(&workspace.command(&["files", "ls"]), "");
    assert!(succeeded && shown.contains("other.bin"), "{shown}");
    assert_eq!(text(shown.as_bytes()).matches("other.bin").count(), 1);
}

#[test]
fn all_pages_are_listed_and_a_path_is_found_among_many() {
    let workspace = Workspace::new();
    workspace.upload("users/u120/a.txt", b"data", &[]);
    let number = workspace.json(&["folders", "ls"])[0]["folder_no"].as_str().unwrap().to_owned();
    let (url, key) = (format!("{}/api/v1/folders", workspace.server.url), &workspace.key);
    // One more than a page has, and some: made without a process for each.
    for index in 0..120 {
        let body = json!({"name": format!("u{index:03}"), "parent_folder_no": number}).to_string();
        let header = format!("Authorization: Bearer {key}");
        assert_eq!(curl(&["--header", &header, "--json", &body, &url]).0, 201);
    }
    let all: Vec<String> = (0..=120).map(|index| format!("users/u{index:03}")).collect();
    assert_eq!(listed(&workspace, &["users"]), all);
    assert_eq!(workspace.prints(&["folders", "ls", "users"]).lines().count(), 1 + all.len());
    assert_eq!(listed(&workspace, &["--search", "U1"]), all[100..]);
    // A folder after the first page is found by its path as well.
    assert_eq!(workspace.json(&["files", "info", "users/u120/a.txt"])[0]["path"], "users/u120/a.txt");
    assert_eq!(workspace.listed(&["users/u120"]), ["users/u120/a.txt"]);
    assert_eq!(workspace.prints(&["folders", "mk", "-p", "users/u120"]), "users/u120\n");
    assert_eq!(workspace.prints(&["folders", "mk", "users/u119/x"]), "users/u119/x\n");
    assert_eq!(workspace.prints(&["folders", "mv", "users/u118", "v"]), "users/v\n");
    assert!(workspace.fails(&["files", "info", "users/u120/a"]).contains("there is no file"));
    assert!(workspace.fails(&["files", "info", "users/u120"]).contains("there is no file"));
}
