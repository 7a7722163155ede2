//! Checking the data directory, while the server runs.

use partway_server::service::fsck::{Fsck, Outcome, Problem, Report};
use serde_json::json;
use uuid::Uuid;

use crate::app::{MIB, TestApp, bytes};

pub(crate) async fn check(app: &TestApp, deep: bool, repair: bool, alone: bool) -> Report {
    let fsck = Fsck { db: app.app().db.clone(), stores: app.app().stores.clone(), deep, repair, alone };
    fsck.run(&|_| {}).await.unwrap()
}

fn problems(report: &Report) -> Vec<(Problem, Outcome)> {
    report.findings.iter().map(|finding| (finding.problem, finding.outcome)).collect()
}

#[tokio::test]
async fn a_healthy_directory_has_no_finding_also_while_the_server_works() {
    let app = TestApp::start_local().await;
    let data = bytes(1, 12 * MIB);
    app.upload_whole(&data, json!({"file_name": "a"})).await;
    let open = app.upload(data.len() as u64, json!({"file_name": "b"})).await;
    open.put_part(&app, &data, 0).await;
    let report = check(&app, true, false, false).await;
    assert_eq!(report.findings, []);
    assert_eq!((report.files, report.sessions, report.blobs, report.garbage), (1, 1, 2, 0));
    assert_eq!(report.bytes_verified, 22 * MIB);
    let work = async {
        for round in 0..40_u64 {
            let small = bytes(round, 50_000);
            app.upload_whole(&small, json!({"file_name": format!("{}", round % 3)})).await;
            let session = app.upload(50_000, json!({"file_name": "x"})).await;
            session.put_all(&app, &small).await;
            open.put_part(&app, &data, 0).await;
            session.abort(&app).await;
        }
    };
    let checks = async {
        for _ in 0..25 {
            let report = check(&app, true, false, false).await;
            assert_eq!(report.findings, []);
        }
    };
    tokio::join!(work, checks);
}

#[tokio::test]
async fn a_blob_that_nobody_owns_is_freed_by_repair_and_only_then() {
    let app = TestApp::start_local().await;
    let (orphan, foreign) = (Uuid::now_v7(), app.directory.path().join("blobs/00/notes.txt"));
    let shard = app.directory.path().join(format!("blobs/{:02x}", orphan.as_bytes()[15]));
    let path = shard.join(orphan.to_string());
    std::fs::write(&path, "orphan").unwrap();
    std::fs::write(&foreign, "mine").unwrap();
    // A blob's name in another directory is not where the store puts it.
    let elsewhere = app.directory.path().join(format!("blobs/{:02x}/{orphan}", orphan.as_bytes()[15].wrapping_add(1)));
    std::fs::write(&elsewhere, "elsewhere").unwrap();
    // Neither is a directory of such a name.
    let directory = app.directory.path().join("blobs/0a/01890a5d-ac96-774b-bcce-b302099a800a");
    std::fs::create_dir(&directory).unwrap();
    let found = check(&app, false, false, false).await;
    let foreign_one = (Problem::Foreign, Outcome::Left);
    assert_eq!(problems(&found), [foreign_one, foreign_one, foreign_one, (Problem::Orphan, Outcome::Repairable)]);
    assert!(path.exists() && app.count("garbage") == 0, "a check changed something");
    let repaired = check(&app, false, true, false).await;
    assert!(problems(&repaired).contains(&(Problem::Orphan, Outcome::Repaired)));
    app.app().uploads.garbage_bell().notify_one();
    app.until("the cleaner frees it", |_| !path.exists()).await;
    assert!(foreign.exists() && elsewhere.exists());
    std::fs::remove_file(foreign).unwrap();
    std::fs::remove_file(elsewhere).unwrap();
    std::fs::remove_dir(directory).unwrap();
}

#[tokio::test]
async fn files_whose_bytes_are_gone_or_wrong_are_reported_and_left() {
    use std::os::unix::fs::FileExt;
    let app = TestApp::start_local().await;
    let mut blobs = Vec::new();
    for name in ["gone", "short", "wrong", "good"] {
        app.upload_whole(&bytes(1, 100_000), json!({"file_name": name, "folder": "d"})).await;
        let id = app.text(&format!("SELECT blob_id FROM files WHERE name = '{name}'"));
        blobs.push(app.directory.path().join(format!("blobs/{}/{id}", &id[34..])));
    }
    let writable = |path| std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let gone = std::fs::read(&blobs[0]).unwrap();
    std::fs::remove_file(&blobs[0]).unwrap();
    writable(&blobs[1]).set_len(99_999).unwrap();
    writable(&blobs[2]).write_all_at(&[0; 10], 5000).unwrap();
    let shallow = check(&app, false, true, true).await;
    let mut found = problems(&shallow);
    found.sort_by_key(|(problem, _)| format!("{problem:?}"));
    assert_eq!(found, [(Problem::FileMissing, Outcome::Left), (Problem::FileSize, Outcome::Left)]);
    let deep = check(&app, true, true, true).await;
    assert_eq!(deep.findings.len(), 3);
    let wrong = deep.findings.iter().find(|finding| finding.problem == Problem::FileHash).unwrap();
    assert!(wrong.subject.ends_with("/d/wrong") && wrong.outcome == Outcome::Left, "{wrong:?}");
    assert_eq!(app.count("files"), 4);
    std::fs::write(&blobs[0], gone).unwrap();
}

#[tokio::test]
async fn damaged_parts_are_found_and_a_repaired_session_says_that_they_are_missing() {
    use std::os::unix::fs::FileExt;
    let mut app = TestApp::start_local().await;
    let data = bytes(1, 25 * MIB);
    let session = app.upload(data.len() as u64, json!({})).await;
    session.put_all(&app, &data).await;
    let id = app.text("SELECT blob_id FROM sessions");
    let blob = app.directory.path().join(format!("blobs/{}/{id}", &id[34..]));
    std::fs::OpenOptions::new().write(true).open(blob).unwrap().write_all_at(&[0; 10], 11 * MIB).unwrap();
    assert_eq!(check(&app, false, false, false).await.findings, []);
    let found = check(&app, true, true, false).await;
    assert_eq!(problems(&found), [(Problem::Part, Outcome::RepairableWithoutServer)]);
    assert!(found.findings[0].subject.starts_with("part 1 of session"));
    // The server is stopped in between.
    let repaired = check(&app, true, true, true).await;
    assert_eq!(problems(&repaired), [(Problem::Part, Outcome::Repaired)]);
    app.restart().await;
    assert_eq!(session.status(&app).await["missing_parts"], json!([1]));
    assert_eq!(check(&app, true, false, false).await.findings, []);
}

#[tokio::test]
async fn a_session_whose_blob_is_gone_is_found_only_if_it_had_parts() {
    let mut app = TestApp::start_local().await;
    let data = bytes(1, 1000);
    let (with, without) = (app.upload(1000, json!({})).await, app.upload(1000, json!({"file_name": "n"})).await);
    with.put_all(&app, &data).await;
    for shard in std::fs::read_dir(app.directory.path().join("blobs")).unwrap() {
        for blob in std::fs::read_dir(shard.unwrap().path()).unwrap() {
            std::fs::remove_file(blob.unwrap().path()).unwrap();
        }
    }
    let found = check(&app, false, true, true).await;
    assert_eq!(problems(&found), [(Problem::SessionBlob, Outcome::Repaired)]);
    app.restart().await;
    // Both go on: their blobs are made again.
    assert_eq!(with.status(&app).await["missing_parts"], json!([0]));
    assert_eq!(without.status(&app).await["missing_parts"], json!([0]));
}

#[tokio::test]
async fn counters_are_counted_again() {
    let app = TestApp::start_local().await;
    app.upload_whole(&bytes(1, 100), json!({})).await;
    for wrong in ["files_bytes = 7, sessions_count = -3", "folders_count = folders_count + 1"] {
        app.sql(&format!("UPDATE workspaces SET {wrong}"));
        assert_eq!(problems(&check(&app, false, false, false).await), [(Problem::Counters, Outcome::Repairable)]);
        assert_eq!(problems(&check(&app, false, true, false).await), [(Problem::Counters, Outcome::Repaired)]);
        assert_eq!(check(&app, false, false, false).await.findings, []);
    }
}
