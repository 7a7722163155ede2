//! `partway files ls|info|mv|rm|tag`

use serde_json::{Value, json};

use crate::server::{curl, text};
use crate::workspace::{Workspace, on_terminal};

#[test]
fn files_are_listed_by_folder_name_tag_and_id() {
    let workspace = Workspace::new();
    assert!(workspace.listed(&[]).is_empty());
    workspace.upload("root.txt", b"1", &[]);
    workspace.upload("a/one.bin", &[0; 2000], &["--tag", "x", "--tag", "y z"]);
    workspace.upload("a/b/two.bin", &[0; 3000], &["--tag", "x", "--custom-id", "id 7"]);
    workspace.upload("ä ö/Drei.bin", b"333", &[]);
    assert_eq!(workspace.listed(&[]), ["ä ö/Drei.bin", "a/b/two.bin", "a/one.bin", "root.txt"], "the newest first");
    assert_eq!(workspace.listed(&["a"]), ["a/one.bin"], "only what is directly in the folder");
    assert_eq!(workspace.listed(&["/"]), ["root.txt"]);
    assert_eq!(workspace.listed(&["/ä ö/"]), ["ä ö/Drei.bin"]);
    assert_eq!(workspace.listed(&["--search", "DREI"]), ["ä ö/Drei.bin"]);
    assert_eq!(workspace.listed(&["--tag", "x", "--sort", "size_asc"]), ["a/one.bin", "a/b/two.bin"]);
    assert_eq!(workspace.listed(&["--tag", "x", "--tag", "y z"]), ["a/one.bin"]);
    assert_eq!(workspace.listed(&["--custom-id", "id 7"]), ["a/b/two.bin"]);
    assert_eq!(workspace.listed(&["--sort", "name_asc", "--limit", "2", "--page", "2"]).len(), 2);
    let all = workspace.listed(&["--sort", "size_desc", "--all"]);
    assert_eq!(all, ["a/b/two.bin", "a/one.bin", "ä ö/Drei.bin", "root.txt"]);
    assert!(workspace.fails(&["files", "ls", "nowhere"]).contains("no folder \"nowhere\""));
}

#[test]
fn people_get_a_table_and_hear_of_other_pages() {
    let workspace = Workspace::new();
    workspace.upload("small.txt", b"1", &[]);
    workspace.upload("large.bin", &[0; 1_500_000], &[]);
    let output = workspace.run(&["files", "ls", "--sort", "size_asc"]);
    let table = text(&output.stdout);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    let size_ends = |line: &str, size: &str| line.find(size).unwrap() + size.len();
    assert_eq!(size_ends(lines[0], "SIZE"), size_ends(lines[1], "1 B"));
    assert_eq!(size_ends(lines[1], "1 B"), size_ends(lines[2], "1.4 MiB"), "{table}");
    let cells: Vec<&str> = lines[1].split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(cells[3..], ["text/plain", "small.txt"], "{table}");
    assert!(output.stderr.is_empty());
    let page = text(&workspace.run(&["files", "ls", "--limit", "1"]).stderr);
    assert!(page.contains("Files 1 to 1 of 2") && page.contains("--page 2"), "{page}");
    let page = text(&workspace.run(&["files", "ls", "--page", "999"]).stderr);
    assert_eq!(page, "Page 999 is after the last one; there are 2 files.\n");
}

#[test]
fn all_pages_are_all_files_once() {
    let workspace = Workspace::new();
    // As many as need two of the largest pages, without as many uploads: one file under many names.
    let place = tempfile::tempdir().unwrap();
    let files: Vec<String> = (0..103)
        .map(|number| {
            let file = place.path().join(format!("{number:03}.txt"));
            std::fs::write(&file, "x").unwrap();
            file.to_str().unwrap().to_owned()
        })
        .collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    workspace.prints(&[&["upload", "--no-resume"], &files[..]].concat());
    let expected: Vec<String> = (0..103).map(|number| format!("{number:03}.txt")).collect();
    assert_eq!(workspace.listed(&["--all", "--sort", "name_asc"]), expected);
    assert_eq!(workspace.listed(&["--sort", "name_asc"]), expected[..100]);
    // A file after the first page is found by its path as well.
    assert_eq!(workspace.json(&["files", "info", "102.txt"])[0]["name"], "102.txt");
}

#[test]
fn a_file_is_named_by_its_number_or_its_path_however_it_is_written() {
    let workspace = Workspace::new();
    let record = workspace.upload("Bücher/1 & 2/größe.bin", b"data", &["--meta", "k=v", "--tag", "t"]);
    // Others whose paths begin alike.
    workspace.upload("Bücher/1 & 2/größe.bin.old", b"other", &[]);
    let number = record["file_no"].as_str().unwrap();
    for name in [
        number,
        "Bücher/1 & 2/größe.bin",
        "/Bücher//1 & 2/größe.bin",
        // As macOS writes it.
        "Bu\u{308}cher/1 & 2/gro\u{308}\u{df}e.bin",
    ] {
        let rows = workspace.json(&["files", "info", name]);
        assert_eq!((&rows[0]["id"], &rows[0]["metadata"]), (&record["id"], &json!({"k": "v"})), "{name}");
    }
    let shown = workspace.prints(&["files", "info", number]);
    for part in ["path       Bücher/1 & 2/größe.bin\n", "(4 bytes)", "tags       t\n", "k = v", "blake3:"] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    // A name that looks like a number.
    workspace.upload("0123456789", b"not a number", &[]);
    assert_eq!(workspace.json(&["files", "info", "0123456789"])[0]["size"], 12);
    assert_eq!(workspace.json(&["files", "info", "/0123456789"])[0]["size"], 12);
    for missing in ["Bücher/1 & 2/größe", "Bücher", "zzzzzzzzzz", "/", &format!("/{number}")] {
        let error = workspace.fails(&["files", "info", missing]);
        assert!(error.contains("there is no file") && error.contains("files ls --search"), "{error}");
    }
    let error = workspace.fails(&["files", "info", number, "--key", "sk_wrong"]);
    assert!(error.contains("UNAUTHORIZED") && error.contains("PARTWAY_API_KEY"), "{error}");
}

#[test]
fn a_file_moves_to_another_name_another_folder_or_both() {
    let workspace = Workspace::new();
    let record = workspace.upload("a/one.txt", b"data", &[]);
    let mv = |file: &str, new: &str| workspace.prints(&["files", "mv", file, new]).trim_end().to_owned();
    assert_eq!(mv("a/one.txt", "zwei ä"), "a/zwei ä.txt", "the extension is kept");
    assert_eq!(mv("a/zwei ä.txt", "b/c/"), "b/c/zwei ä.txt", "a slash at the end keeps the name");
    assert_eq!(mv("b/c/zwei ä.txt", "d/drei.txt"), "d/drei.txt");
    assert_eq!(mv(record["file_no"].as_str().unwrap(), "/"), "drei.txt", "a single slash is the root");
    assert_eq!(mv("drei.txt", "drei.txt"), "drei.txt", "where it is already");
    let moved = workspace.json(&["files", "mv", "/drei.txt", "/vier.txt"]);
    assert_eq!((&moved[0]["id"], &moved[0]["path"]), (&record["id"], &json!("vier.txt")));
    assert_eq!(curl(&[moved[0]["url"].as_str().unwrap()]), (200, "data".into()));
    assert_eq!(curl(&[record["url"].as_str().unwrap()]).0, 404);
    workspace.upload("five.txt", b"other", &[]);
    let error = workspace.fails(&["files", "mv", "five.txt", "vier.txt"]);
    assert!(error.contains("FILE_EXISTS"), "{error}");
}

#[test]
fn tags_and_metadata_change_and_the_rest_stays() {
    let workspace = Workspace::new();
    workspace.upload("f.txt", b"data", &["--tag", "a", "--tag", "b c", "--meta", "k=1", "--meta", "l=2"]);
    let changes = ["--add", "d", "--add", "a", "--remove", "b c", "--meta", "m=x=y", "--meta", "k=3", "--unset", "l"];
    let rows = workspace.json(&[&["files", "tag", "f.txt"], &changes[..]].concat());
    assert_eq!((&rows[0]["tags"], &rows[0]["metadata"]), (&json!(["a", "d"]), &json!({"k": "3", "m": "x=y"})));
    assert_eq!(workspace.json(&["files", "info", "f.txt"]), rows);
    assert!(workspace.prints(&["files", "tag", "f.txt", "--unset", "k"]).contains("m = x=y"));
    assert!(workspace.fails(&["files", "tag", "f.txt", "--meta", "a=1", "--unset", "a"]).contains("give one of them"));
    assert_eq!(workspace.run(&["files", "tag", "f.txt"]).status.code(), Some(2), "nothing to change");
}

#[test]
fn files_are_deleted_only_after_a_yes() {
    let workspace = Workspace::new();
    for path in ["a/one.txt", "a/two.txt", "three.txt"] {
        workspace.upload(path, &[0; 1024], &[]);
    }
    let all = |workspace: &Workspace| workspace.listed(&["--sort", "name_asc"]);
    assert_eq!(workspace.prints(&["files", "rm", "a/one.txt", "--dry-run"]), "would delete a/one.txt (1.0 KiB)\n");
    assert!(workspace.fails(&["files", "rm", "a/one.txt"]).contains("--yes"), "nobody could be asked");
    assert_eq!(all(&workspace).len(), 3);
    // One that is not there does not keep the others, and one that is named twice is one.
    let output = workspace.run(&["files", "rm", "--yes", "nowhere.txt", "a/one.txt", "/a/one.txt"]);
    assert_eq!((output.status.code(), &*text(&output.stdout)), (Some(1), "a/one.txt\n"));
    assert!(text(&output.stderr).contains("nowhere.txt was not deleted"), "{}", text(&output.stderr));
    assert_eq!(all(&workspace), ["three.txt", "a/two.txt"]);
    let (succeeded, shown) = on_terminal(&workspace.command(&["files", "rm", "a/two.txt", "three.txt"]), "n\n");
    assert!(!succeeded && shown.contains("Delete 2 files (2.0 KiB)? [y/N]") && shown.contains("Nothing"), "{shown}");
    assert_eq!(all(&workspace).len(), 2);
    let (succeeded, shown) = on_terminal(&workspace.command(&["files", "rm", "a/two.txt"]), "y\n");
    assert!(succeeded && shown.contains("Delete a/two.txt (1.0 KiB)?"), "{shown}");
    assert_eq!(all(&workspace), ["three.txt"]);
}

#[test]
fn a_reader_that_has_enough_ends_a_list_quietly() {
    let workspace = Workspace::new();
    workspace.upload("f.txt", b"data", &[]);
    for arguments in [
        &["files", "ls"][..],
        &["files", "ls", "--json"],
        &["files", "info", "f.txt"],
        &["folders", "ls"],
        &["man"],
        &["completions", "zsh"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = workspace.command(arguments).stdout(writer).stderr(std::process::Stdio::piped()).output().unwrap();
        assert_eq!((output.status.code(), &*text(&output.stderr)), (Some(1), ""), "{arguments:?}");
    }
}

#[test]
fn a_public_key_lists_nothing_and_says_why() {
    let workspace = Workspace::new();
    let public = crate::server::key_in(&workspace.server.greeting, "pk_");
    let error = workspace.fails(&["files", "ls", "--key", &public]);
    assert!(error.contains("FORBIDDEN") && error.contains("private key"), "{error}");
    let rows: Vec<Value> = workspace.json(&["files", "ls"]);
    assert!(rows.is_empty());
}
