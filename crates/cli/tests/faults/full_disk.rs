//! A full disk: a small filesystem of its own in a mount namespace of its own. Each test runs itself again inside one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use partway_client::{Client, Download};
use reqwest::Method;
use serde_json::json;

use crate::api::{Api, fsck, indices};
use crate::server::{Server, bytes, fresh, partway, run, text};

const PART: usize = 10 * 1024 * 1024;
/// Names the filesystem to the process inside.
const INSIDE: &str = "PARTWAY_SMALL_DISK";
/// A disk that may be filled to its last byte, and webhooks of this machine.
const TO_THE_LAST_BYTE: [(&str, &str); 3] = [
    ("PARTWAY_STORAGE_MIN_FREE_BYTES", "1"),
    ("PARTWAY_OUTGOING_ALLOWED_HOSTS", "127.0.0.1"),
    ("PARTWAY_LOG_FILTER", "error"),
];

/// Adds a webhook without a listener: its events wait.
fn add_silent_webhook(data_dir: &Path, event: &str) {
    let mut add = partway();
    add.envs(TO_THE_LAST_BYTE).args(["webhooks", "add", "http://127.0.0.1:1/", "--event", event, "--data-dir"]);
    run(add.arg(data_dir));
}

/// Runs `body` with a directory on a filesystem of `size_mib`: in a process of its own.
fn on_small_disk(test: &str, size_mib: u32, body: impl AsyncFnOnce(PathBuf)) {
    if let Some(disk) = std::env::var_os(INSIDE) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(body(disk.into()));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    // As root a mount namespace is enough; others need one for users, too, where they are allowed it.
    let may_mount = |arguments: &[&str]| {
        Command::new("unshare").args(arguments).args(["mount", "-t", "tmpfs", "none"]).arg(directory.path()).output()
    };
    let allowed = [&["--mount"][..], &["--mount", "--map-root-user"]]
        .into_iter()
        .find(|arguments| may_mount(arguments).is_ok_and(|output| output.status.success()));
    let allowed = allowed.unwrap_or_else(|| {
        panic!("this machine allows neither mounting nor user namespaces, so a full disk cannot be tried: run the tests as root, or with sysctl kernel.unprivileged_userns_clone=1")
    });
    let script = format!("mount -t tmpfs -o size={size_mib}m none \"$1\" && exec \"$2\" --exact \"$3\" --nocapture");
    let output = Command::new("unshare")
        .args(allowed)
        .args(["sh", "-c", &script, "sh"])
        .arg(directory.path())
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(INSIDE, directory.path())
        .output()
        .unwrap();
    let (shown, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}{errors}");
}

/// Takes all the room that is left, to the last byte.
fn fill(disk: &Path) -> PathBuf {
    let filler = disk.join("filler");
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&filler).unwrap();
    for piece in [1024 * 1024, 4096, 1] {
        let zeros = vec![0; piece];
        while file.write_all(&zeros).is_ok() {}
    }
    filler
}

async fn start(api: &Api, name: &str, size: usize) -> (u16, String, Vec<String>) {
    let body = json!({"file_name": name, "size": size, "format": "bin"});
    let (status, started) = api.once(Method::POST, "/start", Some(&body)).await.unwrap();
    let urls = started["parts"].as_array().into_iter().flatten();
    let urls = urls.map(|url| url.as_str().unwrap().to_owned()).collect();
    (status, started["session_id"].as_str().unwrap_or_default().to_owned(), urls)
}

async fn upload(api: &Api, name: &str, data: &[u8]) -> String {
    let (status, id, urls) = start(api, name, data.len()).await;
    assert_eq!(status, 201);
    for (url, chunk) in urls.iter().zip(data.chunks(PART)) {
        assert_eq!(api.put(url, chunk).await.unwrap().0, 200);
    }
    let (status, record) = api.complete(&id).await;
    assert_eq!((status, &record["hash"]), (201, &json!(format!("blake3:{}", blake3::hash(data)))));
    record["url"].as_str().unwrap().to_owned()
}

/// Waits until the cleaner has nothing left to delete.
pub(crate) async fn until_cleaned(data_dir: &Path) {
    for _ in 0..300 {
        if fsck(data_dir, &[]).1["garbage"] == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    panic!("the garbage is still there after a minute");
}

#[test]
fn with_reservation_a_full_disk_refuses_the_start_and_never_a_part() {
    on_small_disk("full_disk::with_reservation_a_full_disk_refuses_the_start_and_never_a_part", 100, async |disk| {
        let data_dir = disk.join("data");
        let server = Server::start_with(&data_dir, &[], &[("PARTWAY_STORAGE_MIN_FREE_BYTES", "10000000")]);
        let api = Api::new(&server.url, &server.private_key());
        let data = bytes(1, 2 * PART + 5);
        let url = upload(&api, "first", &data).await;
        assert_eq!(start(&api, "large", 200_000_000).await.0, 507);
        let (status, id, urls) = start(&api, "second", 50_000_000).await;
        assert_eq!(status, 201);
        // There is room for it, but not in addition to the space that is kept free.
        assert_eq!(start(&api, "third", 22_000_000).await.0, 507);
        // Another program fills the disk. Reserved parts can be sent all the same.
        let filler = fill(&disk);
        let second = bytes(2, 50_000_000);
        for (url, chunk) in urls.iter().zip(second.chunks(PART)).take(3) {
            let (status, answer) = api.put(url, chunk).await.unwrap();
            // The record may find no room, the bytes always do.
            assert!(status == 200 || status == 507, "{status} {answer}");
        }
        assert_eq!(start(&api, "fourth", 1).await.0, 507);
        assert!(api.fetch(&url).await == data, "reading needs no room");
        assert_eq!(api.once(Method::GET, &format!("/{id}"), None).await.unwrap().0, 200);
        // Giving up works on a disk that is full to the last byte, and makes room.
        let (status, answer) = api.once(Method::DELETE, &format!("/{id}"), None).await.unwrap();
        assert_eq!(status, 204, "{answer}");
        until_cleaned(&data_dir).await;
        std::fs::remove_file(filler).unwrap();
        upload(&api, "fifth", &second).await;
        assert_eq!(fsck(&data_dir, &[]).0, 0);
    });
}

#[test]
fn without_reservation_a_part_in_the_middle_is_refused_and_uploads_go_on_when_there_is_room() {
    let name = "full_disk::without_reservation_a_part_in_the_middle_is_refused_and_uploads_go_on_when_there_is_room";
    on_small_disk(name, 64, async |disk| {
        let data_dir = disk.join("data");
        let sparse = [("PARTWAY_STORAGE_RESERVE", "false"), ("PARTWAY_STORAGE_MIN_FREE_BYTES", "1")];
        let server = Server::start_with(&data_dir, &[], &sparse);
        let api = Api::new(&server.url, &server.private_key());
        let url = upload(&api, "small", b"hello").await;
        // More than the disk has; it is sparse.
        let data = bytes(3, 70_000_000);
        let (status, id, urls) = start(&api, "large", data.len()).await;
        assert_eq!(status, 201);
        let mut full = None;
        for (index, chunk) in data.chunks(PART).enumerate() {
            match api.put(&urls[index], chunk).await.unwrap() {
                (200, _) => {}
                (507, answer) => {
                    assert_eq!(answer["errorCode"], "INSUFFICIENT_STORAGE");
                    full = Some(index);
                    break;
                }
                (status, answer) => panic!("{status} {answer}"),
            }
        }
        let full = full.expect("the disk was never full");
        let filler = fill(&disk);
        let (status, answer) = api.put(&urls[full], data.chunks(PART).nth(full).unwrap()).await.unwrap();
        assert_eq!(status, 507, "{answer}");
        assert!(indices(&api.status(&id).await, "missing_parts").contains(&full));
        assert_eq!(api.fetch(&url).await, b"hello");
        let (status, answer) = api.once(Method::DELETE, &format!("/{id}"), None).await.unwrap();
        assert_eq!(status, 204, "{answer}");
        until_cleaned(&data_dir).await;
        std::fs::remove_file(filler).unwrap();
        upload(&api, "next", &bytes(4, 30_000_000)).await;
        assert_eq!(fsck(&data_dir, &[]).0, 0);
    });
}

fn free_bytes(disk: &Path) -> u64 {
    let disk = rustix::fs::statvfs(disk).unwrap();
    disk.f_bavail * disk.f_frsize
}

/// Bytes that the database and its log take of the disk.
fn database_bytes(data_dir: &Path) -> u64 {
    let size = |name: &str| std::fs::metadata(data_dir.join(name)).map_or(0, |file| file.len());
    size("partway.db") + size("partway.db-wal") + size("partway.db-shm")
}

/// Uploads `count` files of `size` bytes at once, in one request each, and follows how much of the disk stays free meanwhile.
/// How many of them were taken, and the least that was free, without what the database took meanwhile.
async fn upload_at_once(api: &Api, disk: &Path, count: usize, size: usize, announced: bool) -> (usize, u64) {
    let (data_dir, before) = (disk.join("data"), database_bytes(&disk.join("data")));
    let uploads = (0..count).map(|index| {
        let api = api.clone();
        tokio::spawn(
            async move { api.upload_directly(&format!("f{index}"), bytes(index as u64, size), announced).await },
        )
    });
    let uploads: Vec<_> = uploads.collect();
    let mut least = u64::MAX;
    while uploads.iter().any(|upload| !upload.is_finished()) {
        least = least.min(free_bytes(disk) + database_bytes(&data_dir).saturating_sub(before));
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let mut taken = 0;
    for upload in uploads {
        // A refusal may come while the body is still being sent, and end the connection.
        match upload.await.unwrap() {
            Ok((201, _)) => taken += 1,
            Ok((507, answer)) => assert_eq!(answer["errorCode"], "INSUFFICIENT_STORAGE"),
            // A part of the disk is for private keys alone.
            Ok((403, answer)) if answer["message"].to_string().contains("limits.public_keep_free_percent") => {}
            Ok((status, answer)) => panic!("{status} {answer}"),
            Err(_) => {}
        }
    }
    (taken, least)
}

#[test]
fn sixty_four_uploads_at_once_leave_free_what_is_to_stay_free_and_give_back_what_failed() {
    let test = "full_disk::sixty_four_uploads_at_once_leave_free_what_is_to_stay_free_and_give_back_what_failed";
    on_small_disk(test, 192, async |disk| {
        const KEPT: u64 = 48 * 1024 * 1024;
        const FILE: usize = 4_000_000;
        let data_dir = disk.join("data");
        let kept = KEPT.to_string();
        let server = Server::start_with(&data_dir, &[], &[("PARTWAY_STORAGE_MIN_FREE_BYTES", &kept)]);
        let api = Api::new(&server.url, &server.private_key());
        let public = Api::new(&server.url, &crate::server::key_in(&server.greeting, "pk_"));
        until_reserve_is_filled(&data_dir).await;
        // The server's log is on the disk, too.
        let log_bytes =
            || std::fs::metadata(data_dir.with_extension("log")).map_or(0, |log| log.len().next_multiple_of(4096));
        let room = || free_bytes(&disk) + database_bytes(&data_dir) + log_bytes();
        for (api, announced) in [(&api, true), (&api, false), (&public, true), (&public, false)] {
            let (free, before) = (free_bytes(&disk), room());
            let (taken, least) = upload_at_once(api, &disk, 64, FILE, announced).await;
            assert!(least >= KEPT, "{least} bytes were free");
            // Not all of them have room; those that have are not refused for the sake of those that have not.
            let most = ((free - KEPT) / FILE as u64) as usize;
            assert!(taken > 0 && taken <= most, "{taken} of at most {most}");
            // Those that failed give their bytes back at once, without the cleaner: it keeps those whose connection broke for
            // a quarter of an hour.
            let wanted = before - (taken * (FILE + 4096)) as u64 - 100_000;
            until(|| room() >= wanted, "the bytes of failed uploads are free").await;
            let (_, listed) =
                Api::new(&server.url, &server.private_key()).call(Method::GET, "/files?limit=100").await.unwrap();
            let listed = listed["files"].as_array().unwrap().clone();
            assert_eq!(listed.len(), taken);
            let remover = Api::new(&server.url, &server.private_key());
            for file in listed {
                let path = format!("/files/{}", file["file_no"].as_str().unwrap());
                assert_eq!(remover.call(Method::DELETE, &path).await.unwrap().0, 204);
            }
            until(|| room() + 100_000 >= before, "the bytes of deleted files are free").await;
        }
        assert_eq!(fsck(&data_dir, &[]).1["findings"], json!([]));
    });
}

async fn until(ready: impl Fn() -> bool, what: &str) {
    for _ in 0..1500 {
        if ready() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("not within 30 seconds: {what}");
}

async fn until_reserve_is_filled(data_dir: &Path) {
    let reserve = data_dir.join("reserve");
    until(|| std::fs::metadata(&reserve).is_ok_and(|file| file.len() > 0), "the reserve is filled").await;
}

async fn until_free(disk: &Path, wanted: u64) {
    until(|| free_bytes(disk) >= wanted, "the bytes of deleted files are free").await;
}

#[test]
fn deleting_and_revoking_work_on_a_disk_without_a_byte() {
    on_small_disk("full_disk::deleting_and_revoking_work_on_a_disk_without_a_byte", 96, async |disk| {
        let data_dir = disk.join("data");
        let server = Server::start_with(&data_dir, &[], &[("PARTWAY_STORAGE_MIN_FREE_BYTES", "1")]);
        let (private, public) = (server.private_key(), crate::server::key_in(&server.greeting, "pk_"));
        let api = Api::new(&server.url, &private);
        let mut numbers = Vec::new();
        for index in 0..3 {
            let (status, record) =
                api.upload_directly(&format!("f{index}"), bytes(index, 8_000_000), true).await.unwrap();
            assert_eq!(status, 201, "{record}");
            numbers.push(record["file_no"].as_str().unwrap().to_owned());
        }
        until_reserve_is_filled(&data_dir).await;
        let delete = async |path: String| {
            let (status, answer) = api.call(Method::DELETE, &path).await.unwrap();
            assert_eq!(status, 204, "{path} {answer}");
        };
        // Each on a disk that is full to the last byte again: the log of the database has no page left either.
        for path in [format!("/files/{}", numbers[0]), format!("/files/{}", numbers[1])] {
            let filler = fill_with_log(&disk, &api).await;
            delete(path).await;
            until_free(&disk, 4_000_000).await;
            std::fs::remove_file(filler).unwrap();
            until_reserve_is_filled(&data_dir).await;
        }
        let filler = fill_with_log(&disk, &api).await;
        run(partway().args(["keys", "revoke", &public, "--data-dir"]).arg(&data_dir));
        let (status, _) = Api::new(&server.url, &public).upload_directly("f", b"hello".to_vec(), true).await.unwrap();
        assert_eq!(status, 401);
        std::fs::remove_file(filler).unwrap();
        until_reserve_is_filled(&data_dir).await;
        let (status, record) = api.upload_directly("last", bytes(9, 1_000_000), true).await.unwrap();
        assert_eq!(status, 201, "{record}");
        // A start, too: a disk that another program has filled keeps no server from coming back to make room.
        fill_with_log(&disk, &api).await;
        drop(server);
        let server = Server::start_with(&data_dir, &[], &[("PARTWAY_STORAGE_MIN_FREE_BYTES", "1")]);
        let api = Api::new(&server.url, &private);
        assert_eq!(api.call(Method::GET, "/files").await.unwrap().0, 200);
        let (status, answer) = api.call(Method::DELETE, &format!("/files/{}", numbers[2])).await.unwrap();
        assert_eq!(status, 204, "{answer}");
    });
}

/// Many small files, whose bytes make no room when they go; then the disk is filled. Their paths below the API.
async fn small_files_on_full_disk(disk: &Path, api: &Api, count: usize) -> (PathBuf, Vec<String>) {
    let mut paths = Vec::new();
    for index in 0..count {
        let (status, record) = api.upload_directly(&format!("f{index}"), b"hello".to_vec(), true).await.unwrap();
        assert_eq!(status, 201, "{record}");
        paths.push(format!("/files/{}", record["file_no"].as_str().unwrap()));
    }
    until_reserve_is_filled(&disk.join("data")).await;
    (fill_with_log(disk, api).await, paths)
}

#[test]
fn other_writes_never_take_the_room_for_deleting_and_go_on_when_there_is_room() {
    let test = "full_disk::other_writes_never_take_the_room_for_deleting_and_go_on_when_there_is_room";
    on_small_disk(test, 64, async |disk| {
        let data_dir = disk.join("data");
        let mut server = Server::start_with(&data_dir, &[], &TO_THE_LAST_BYTE);
        let (key, public) = (server.private_key(), crate::server::key_in(&server.greeting, "pk_"));
        let mut api = Api::new(&server.url, &key);
        // An event that is put off: nobody listens.
        add_silent_webhook(&data_dir, "file.deleted");
        let data = bytes(1, 1000);
        let (_, waiting, urls) = start(&api, "waiting", data.len()).await;
        assert_eq!(api.put(&urls[0], &data).await.unwrap().0, 200);
        let (filler, mut paths) = small_files_on_full_disk(&disk, &api, 40).await;
        let delete = async |api: &Api, path: String| {
            let (status, answer) = api.call(Method::DELETE, &path).await.unwrap();
            assert_eq!(status, 204, "{path} {answer}");
        };
        // By a command while the server runs, which gives the room up; then by the server itself, over and over.
        run(partway().args(["keys", "revoke", &public, "--data-dir"]).arg(&data_dir));
        for round in 0..2 {
            for _ in 0..10 {
                delete(&api, paths.pop().unwrap()).await;
                for number in 0..30 {
                    let status = api.make_folder(&format!("y{}-{number}", paths.len())).await;
                    assert_eq!(status, 507, "a write that frees nothing took of the room for deleting");
                }
            }
            let add =
                partway().args(["keys", "create", "--kind", "private", "--data-dir"]).arg(&data_dir).output().unwrap();
            assert!(!add.status.success() && text(&add.stderr).contains("disk is full"), "{}", text(&add.stderr));
            // An upload with all of its bytes gets a clear answer, and loses none of them.
            let body = json!({"session_id": waiting});
            let (status, answer) = api.once(Method::POST, "/complete", Some(&body)).await.unwrap();
            assert_eq!((status, &answer["errorCode"]), (507, &json!("INSUFFICIENT_STORAGE")), "{answer}");
            assert_eq!(api.status(&waiting).await["missing_parts"], json!([]));
            if round == 0 {
                // It stays so after the process ends.
                server.kill();
                server = Server::start_with(&data_dir, &[], &TO_THE_LAST_BYTE);
                api = Api::new(&server.url, &key);
            }
            delete(&api, paths.pop().unwrap()).await;
            if round == 1 {
                std::fs::remove_file(&filler).unwrap();
                // At once: nobody waits for the cleaner.
                assert_eq!(api.make_folder("after").await, 201);
                let (status, record) = api.complete(&waiting).await;
                assert_eq!(status, 201, "{record}");
                assert!(api.fetch(record["url"].as_str().unwrap()).await == data);
            }
        }
        until_reserve_is_filled(&data_dir).await;
        assert_eq!(fsck(&data_dir, &[]).1["findings"], json!([]));
    });
}

#[test]
fn all_who_delete_at_once_on_a_disk_without_a_byte_succeed() {
    let test = "full_disk::all_who_delete_at_once_on_a_disk_without_a_byte_succeed";
    on_small_disk(test, 64, async |disk| {
        let data_dir = disk.join("data");
        let server = Server::start_with(&data_dir, &[], &[("PARTWAY_STORAGE_MIN_FREE_BYTES", "1")]);
        let api = Api::new(&server.url, &server.private_key());
        let (_filler, paths) = small_files_on_full_disk(&disk, &api, 32).await;
        let deleting: Vec<_> = paths
            .into_iter()
            .map(|path| {
                let api = api.clone();
                tokio::spawn(async move { api.call(Method::DELETE, &path).await.unwrap() })
            })
            .collect();
        for deleted in deleting {
            let (status, answer) = deleted.await.unwrap();
            assert_eq!(status, 204, "{answer}");
        }
        drop(server);
    });
}

#[test]
fn a_server_that_was_stopped_starts_on_a_disk_without_a_byte_and_deletes() {
    let test = "full_disk::a_server_that_was_stopped_starts_on_a_disk_without_a_byte_and_deletes";
    on_small_disk(test, 64, async |disk| {
        let data_dir = disk.join("data");
        let settings = [("PARTWAY_STORAGE_MIN_FREE_BYTES", "1")];
        let mut server = Server::start_with(&data_dir, &[], &settings);
        let key = server.private_key();
        let api = Api::new(&server.url, &key);
        let (status, record) = api.upload_directly("f", bytes(1, 16_000_000), true).await.unwrap();
        assert_eq!(status, 201, "{record}");
        until_reserve_is_filled(&data_dir).await;
        // In the orderly way the record of who serves the directory goes, and the log of the database.
        server.signal("TERM");
        assert!(server.wait().success());
        assert!(!data_dir.join("owner").exists());
        fill(&disk);
        let server = Server::start_with(&data_dir, &[], &settings);
        let api = Api::new(&server.url, &key);
        assert_eq!(std::fs::metadata(data_dir.join("owner")).unwrap().len(), 256, "the owner is not recorded");
        let path = format!("/files/{}", record["file_no"].as_str().unwrap());
        let (status, answer) = api.call(Method::DELETE, &path).await.unwrap();
        assert_eq!(status, 204, "{answer}");
        until_reserve_is_filled(&data_dir).await;
        assert_eq!(api.make_folder("after").await, 201);
    });
}

#[test]
fn bytes_of_strangers_count_once_towards_their_share_of_the_disk() {
    let test = "full_disk::bytes_of_strangers_count_once_towards_their_share_of_the_disk";
    on_small_disk(test, 128, async |disk| {
        let data_dir = disk.join("data");
        let settings = [
            ("PARTWAY_STORAGE_MIN_FREE_BYTES", "1"),
            ("PARTWAY_LIMITS_PUBLIC_KEEP_FREE_PERCENT", "0"),
            ("PARTWAY_LIMITS_PUBLIC_DISK_PERCENT", "50"),
        ];
        let server = Server::start_with(&data_dir, &[], &settings);
        let public = Api::new(&server.url, &crate::server::key_in(&server.greeting, "pk_"));
        until_reserve_is_filled(&data_dir).await;
        let percent = free_bytes(&disk) as usize / 100;
        let data = bytes(1, 30 * percent);
        let (status, _, urls) = start(&public, "a", data.len()).await;
        assert_eq!(status, 201);
        // The disk knows nothing of those whose bytes have not come.
        assert_eq!(start(&public, "b", 25 * percent).await.0, 403);
        for (url, chunk) in urls.iter().zip(data.chunks(PART)) {
            assert_eq!(public.put(url, chunk).await.unwrap().0, 200);
        }
        // 30 of 100 are on the disk, 70 are left: half of all is 50.
        assert_eq!(start(&public, "c", 15 * percent).await.0, 201);
        assert_eq!(start(&public, "d", 8 * percent).await.0, 403);
    });
}

#[test]
fn deleting_a_folder_with_its_files_works_on_a_disk_without_a_byte() {
    const FILES: usize = 300;
    on_small_disk("full_disk::deleting_a_folder_with_its_files_works_on_a_disk_without_a_byte", 96, async |disk| {
        let data_dir = disk.join("data");
        let server = Server::start_with(&data_dir, &[], &TO_THE_LAST_BYTE);
        let api = Api::new(&server.url, &server.private_key());
        // Each file that goes is an event that waits: nobody listens at the webhook.
        add_silent_webhook(&data_dir, "file.deleted");
        let large = bytes(1, 8_000_000);
        for (folder, name) in [("shots", "large"), ("shots/raw", "large")] {
            let body = json!({"file_name": name, "folder": folder, "size": large.len(), "format": "bin"});
            let started = api.start(&body, folder).await;
            assert_eq!(api.put(started["parts"][0].as_str().unwrap(), &large).await.unwrap().0, 200);
            assert_eq!(api.complete(started["session_id"].as_str().unwrap()).await.0, 201);
        }
        for index in 0..FILES {
            let (status, record) =
                api.upload_into("shots/raw", &format!("f{index}"), bytes(index as u64, 100)).await.unwrap();
            assert_eq!(status, 201, "{record}");
        }
        let (_, folders) = api.call(Method::GET, "/folders?path=shots").await.unwrap();
        assert_eq!(folders["folders"][0]["total_items"], FILES + 2);
        let path = format!("/folders/{}", folders["folders"][0]["folder_no"].as_str().unwrap());
        until_reserve_is_filled(&data_dir).await;
        fill_with_log(&disk, &api).await;
        let (status, answer) = api.call(Method::DELETE, &path).await.unwrap();
        assert_eq!(status, 204, "{answer}");
        until_free(&disk, 2 * 8_000_000 - (4 << 20)).await;
        // All of them, on a disk that is still full.
        until_cleaned(&data_dir).await;
        let (_, listed) = api.call(Method::GET, "/files").await.unwrap();
        assert_eq!(listed["meta"]["total"], 0);
        let mut list = partway();
        let listed = run(list.args(["webhooks", "list", "--json", "--data-dir"]).arg(&data_dir));
        let webhook: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
        assert_eq!(webhook["waiting"], FILES + 2, "{webhook}");
        until_reserve_is_filled(&data_dir).await;
        assert_eq!(fsck(&data_dir, &[]).0, 0);
    });
}

#[test]
fn a_full_disk_is_reported_by_readyz_usage_and_doctor_until_there_is_room() {
    const KEPT: u64 = 8_000_000;
    on_small_disk(
        "full_disk::a_full_disk_is_reported_by_readyz_usage_and_doctor_until_there_is_room",
        64,
        async |disk| {
            let data_dir = disk.join("data");
            let kept = KEPT.to_string();
            let settings = [("PARTWAY_STORAGE_MIN_FREE_BYTES", kept.as_str())];
            let server = Server::start_with(&data_dir, &[], &settings);
            let command = |arguments: &[&str]| {
                partway().envs(settings).args(arguments).arg("--data-dir").arg(&data_dir).output().unwrap()
            };
            let ready = || {
                let (status, answer) = crate::server::curl(&[&format!("{}/readyz", server.url)]);
                assert_eq!(status, 200, "a full disk takes nobody's files away: {answer}");
                serde_json::from_str::<serde_json::Value>(&answer).unwrap()
            };
            assert_eq!(ready(), json!({"status": "ok"}));
            let usage = command(&["usage"]);
            let shown = text(&usage.stdout);
            assert!(shown.contains("Disk: ") && shown.contains("are kept free.") && usage.stderr.is_empty(), "{shown}");
            assert_eq!(text(&command(&["usage", "--json"]).stderr), "");
            assert!(command(&["doctor"]).status.success());

            until_reserve_is_filled(&data_dir).await;
            let filler = fill(&disk);
            // An answer is up to a second old.
            until(|| ready()["full_disk"] != json!(null), "/readyz tells it").await;
            let report = ready();
            assert_eq!((&report["status"], &report["full_disk"]["kept_bytes"]), (&json!("ok"), &json!(KEPT)));
            assert!(report["full_disk"]["free_bytes"].as_u64().unwrap() < KEPT, "{report}");
            for arguments in [&["usage"][..], &["usage", "--json"]] {
                let usage = command(arguments);
                let message = text(&usage.stderr);
                assert!(usage.status.success() && message.starts_with("partway: the disk is full: "), "{message}");
                assert!(message.contains(&format!("({KEPT} bytes) are kept free; uploads are refused")), "{message}");
                assert!(!text(&usage.stdout).contains("Disk: "), "{}", text(&usage.stdout));
            }
            let doctor = command(&["doctor"]);
            let report = text(&doctor.stdout);
            assert_eq!(doctor.status.code(), Some(1), "{report}");
            assert!(report.contains("storage.min_free_bytes is 8MB: nothing can be uploaded"), "{report}");
            assert!(report.contains("change: make room, or storage.min_free_bytes"), "{report}");
            // The filesystem is not blamed for it.
            assert!(
                report.contains("there is no room for a database in") && !report.contains("does not work"),
                "{report}"
            );

            std::fs::remove_file(filler).unwrap();
            until(|| ready() == json!({"status": "ok"}), "/readyz tells of it no more").await;
            assert_eq!(text(&command(&["usage"]).stderr), "");
            assert!(command(&["doctor"]).status.success());
        },
    );
}

/// Completing needs room for the record, which nothing sets aside: where there is none it is refused, and nothing is lost.
#[test]
fn completing_on_a_disk_without_a_byte_succeeds_or_can_be_repeated_once_there_is_room() {
    let test = "full_disk::completing_on_a_disk_without_a_byte_succeeds_or_can_be_repeated_once_there_is_room";
    on_small_disk(test, 96, async |disk| {
        let data_dir = disk.join("data");
        let mut server = Server::start_with(&data_dir, &[], &TO_THE_LAST_BYTE);
        let key = server.private_key();
        add_silent_webhook(&data_dir, "file.created");
        let api = Api::new(&server.url, &key);
        let data = bytes(1, PART + 5);
        // Its metadata goes into the file's record and into the event.
        let metadata = json!({"about": "x".repeat(15_000)});
        let body = |name: &str| json!({"file_name": name, "folder": "in", "size": data.len(), "format": "bin", "metadata": metadata});
        let mut sessions = Vec::new();
        for name in ["a", "b", "c"] {
            let started = api.start(&body(name), name).await;
            for (url, chunk) in started["parts"].as_array().unwrap().iter().zip(data.chunks(PART)) {
                assert_eq!(api.put(url.as_str().unwrap(), chunk).await.unwrap().0, 200);
            }
            sessions.push(started["session_id"].as_str().unwrap().to_owned());
        }
        until_reserve_is_filled(&data_dir).await;
        let filler = fill_with_log(&disk, &api).await;
        let complete = async |api: &Api, id: &str| {
            api.once(Method::POST, "/complete", Some(&json!({"session_id": id}))).await.unwrap()
        };
        let waiting = |data_dir: &Path| {
            let listed = run(partway().args(["webhooks", "list", "--json", "--data-dir"]).arg(data_dir));
            serde_json::from_slice::<serde_json::Value>(&listed.stdout).unwrap()["waiting"].as_u64().unwrap()
        };
        let mut refused = 0;
        for id in &sessions {
            let (status, answer) = complete(&api, id).await;
            assert!(status == 201 || status == 507, "{status} {answer}");
            if status == 507 {
                refused += 1;
                assert_eq!(answer["errorCode"], "INSUFFICIENT_STORAGE");
                let state = api.status(id).await;
                assert_eq!((&state["status"], &state["missing_parts"]), (&json!("uploading"), &json!([])));
            }
        }
        assert!(refused > 0, "the disk was not full");
        assert_eq!(waiting(&data_dir), 3 - refused, "an event without its file");
        // The server dies in this state, and comes back on the full disk.
        server.kill();
        let server = Server::start_with(&data_dir, &[], &TO_THE_LAST_BYTE);
        let api = Api::new(&server.url, &key);
        for id in &sessions {
            let (status, answer) = complete(&api, id).await;
            assert!(status == 201 || status == 507, "{status} {answer}");
        }
        std::fs::remove_file(filler).unwrap();
        for id in &sessions {
            let (status, record) = api.complete(id).await;
            assert_eq!((status, &record["hash"]), (201, &json!(format!("blake3:{}", blake3::hash(&data)))));
            assert!(api.fetch(record["url"].as_str().unwrap()).await == data);
        }
        assert_eq!(waiting(&data_dir), 3, "one event for each file");
        assert_eq!(fsck(&data_dir, &[]).1["findings"], json!([]));
    });
}

/// Takes all the room that is left, and then what the database's log had: until nothing can be written that does not free.
async fn fill_with_log(disk: &Path, api: &Api) -> PathBuf {
    for round in 0..2000 {
        let filler = fill(disk);
        let status = api.make_folder(&format!("x{round}")).await;
        if status != 201 {
            return filler;
        }
    }
    panic!("the log of the database never needed room");
}

#[test]
fn a_disk_can_really_be_full_here() {
    on_small_disk("full_disk::a_disk_can_really_be_full_here", 4, async |disk| {
        let filler = fill(&disk);
        assert!(std::fs::write(disk.join("more"), "x").is_err());
        std::fs::remove_file(filler).unwrap();
        run(Command::new("touch").arg(disk.join("more")));
    });
}

#[test]
fn a_download_onto_a_full_disk_names_its_file_and_goes_on_once_there_is_room() {
    let test = "full_disk::a_download_onto_a_full_disk_names_its_file_and_goes_on_once_there_is_room";
    on_small_disk(test, 96, async |disk| {
        let (directory, data_dir) = fresh();
        let server = Server::start(&data_dir, &[]);
        let (source, data) = (directory.path().join("f.bin"), bytes(7, 60_000_000));
        std::fs::write(&source, &data).unwrap();
        let output = run(partway().arg("upload").arg(&source).args([
            "--json",
            "--url",
            &server.url,
            "--key",
            &server.private_key(),
        ]));
        let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let client = Client::new(&server.url, "sk_none").unwrap();
        let download = Download::of(record["url"].as_str().unwrap()).hash(record["hash"].as_str().map(str::to_owned));
        let target = disk.join("f.bin");
        let filler = disk.join("filler");
        std::fs::write(&filler, vec![0; 60_000_000]).unwrap();
        let error = download.to_file(&client, &target, &|_| {}).await.unwrap_err().to_string();
        assert!(error.contains("f.bin.partway-part: No space left on device"), "{error}");
        assert!(!target.exists());
        std::fs::remove_file(&filler).unwrap();
        assert!(download.to_file(&client, &target, &|_| {}).await.unwrap().is_verified);
        assert!(std::fs::read(&target).unwrap() == data);
        let names: Vec<_> = std::fs::read_dir(&disk).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["f.bin"]);
    });
}
