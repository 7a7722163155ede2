//! Outgrowing one machine: `partway doctor`, `partway db migrate`, `partway storage migrate`, and uploads to a bucket.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

use partway_testing::{Garage, Lacks, Manners, OddStore, Postgres};
use serde_json::{Value, json};

use crate::server::{Server, bytes, curl, fresh, partway, post, start, text};

static GARAGE: OnceLock<Garage> = OnceLock::new();
static POSTGRES: OnceLock<Postgres> = OnceLock::new();

pub(crate) type Settings = Vec<(&'static str, String)>;

/// A fresh bucket; files stay in local storage until `kind` says otherwise.
pub(crate) fn bucket(kind: &str) -> Settings {
    let garage = GARAGE.get_or_init(|| Garage::start(1));
    vec![
        ("PARTWAY_STORAGE_KIND", kind.to_owned()),
        ("PARTWAY_STORAGE_ENDPOINT", garage.endpoint(0)),
        ("PARTWAY_STORAGE_REGION", garage.region().to_owned()),
        ("PARTWAY_STORAGE_BUCKET", garage.create_bucket()),
        ("PARTWAY_STORAGE_ACCESS_KEY_ID", garage.access_key_id().to_owned()),
        ("PARTWAY_STORAGE_SECRET_ACCESS_KEY", garage.secret_access_key().to_owned()),
        ("PARTWAY_STORAGE_URL_SECONDS", "6".to_owned()),
        ("PARTWAY_STORAGE_SWEEP_SECONDS", "1".to_owned()),
    ]
}

fn with(settings: &Settings, name: &'static str, value: &str) -> Settings {
    let mut settings: Settings = settings.iter().filter(|(known, _)| *known != name).cloned().collect();
    settings.push((name, value.to_owned()));
    settings
}

pub(crate) fn serve(data_dir: &Path, settings: &Settings) -> Server {
    let environment: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Server::start_with(data_dir, &[], &environment)
}

pub(crate) fn command(data_dir: &Path, settings: &Settings, arguments: &[&str]) -> Output {
    let mut command = partway();
    command.envs(settings.iter().map(|(name, value)| (name, value))).args(arguments);
    command.arg("--data-dir").arg(data_dir).output().unwrap()
}

pub(crate) fn succeeded(output: Output) -> Value {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

pub(crate) fn upload(server: &Server, key: &str, file: &Path) -> Value {
    let output = partway()
        .args(["upload", "--json"])
        .arg(file)
        .env("PARTWAY_URL", &server.url)
        .env("PARTWAY_API_KEY", key)
        .output()
        .unwrap();
    succeeded(output)
}

/// The file of a record, at the server's current port.
pub(crate) fn fetch(server: &Server, record: &Value) -> Vec<u8> {
    fetch_at(server, record["url"].as_str().unwrap())
}

fn fetch_at(server: &Server, url: &str) -> Vec<u8> {
    let path = url.splitn(4, '/').nth(3).unwrap();
    let output =
        Command::new("curl").args(["--silent", "--fail", "--location", &format!("{}/{path}", server.url)]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{url}");
    output.stdout
}

#[test]
fn the_client_uploads_to_a_bucket_and_goes_on_there() {
    let (directory, data_dir) = fresh();
    let settings = bucket("s3");
    let server = serve(&data_dir, &settings);
    let key = server.private_key();
    let file = directory.path().join("big.bin");
    let data = bytes(1, 33_000_000);
    std::fs::write(&file, &data).unwrap();
    // Some of it is there already, sent by another program.
    let started = start(&server, &key, "big.bin", data.len());
    let part = started["part_size"].as_u64().unwrap() as usize;
    let second = directory.path().join("second");
    std::fs::write(&second, &data[part..2 * part]).unwrap();
    let (status, _) = curl(&["--upload-file", second.to_str().unwrap(), started["parts"][1].as_str().unwrap()]);
    assert_eq!(status, 200);
    let resumed = partway()
        .args(["upload", "--json", "--resume", started["session_id"].as_str().unwrap()])
        .arg(&file)
        .env("PARTWAY_URL", &server.url)
        .env("PARTWAY_API_KEY", &key)
        .output()
        .unwrap();
    let record = succeeded(resumed);
    assert_eq!((&record["size"], &record["hash"]), (&json!(data.len()), &Value::Null));
    assert!(fetch(&server, &record) == data);
    // And all of one.
    let record = upload(&server, &key, &file);
    assert!(fetch(&server, &record) == data);
    let report = succeeded(command(&data_dir, &settings, &["fsck", "--deep", "--json"]));
    assert_eq!(report["findings"], json!([]));
}

/// The same by the URL of its version, which a move to another storage does not change.
fn fetch_version(server: &Server, record: &Value) -> Vec<u8> {
    fetch_at(server, record["version_url"].as_str().unwrap())
}

#[test]
fn files_move_to_the_bucket_and_back_while_they_are_served_and_uploaded() {
    let (directory, data_dir) = fresh();
    let settings = bucket("local");
    let server = serve(&data_dir, &settings);
    let key = server.private_key();
    let mut files = Vec::new();
    for (number, size) in [(1_u64, 1), (2, 1000), (3, 12_000_000), (4, 70_000_000), (5, 5_000_000)] {
        let file = directory.path().join(format!("file {number}.bin"));
        let data = bytes(number, size);
        std::fs::write(&file, &data).unwrap();
        files.push((upload(&server, &key, &file), data));
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut reads = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for (record, data) in &files {
                    assert!(fetch(&server, record) == *data, "{}", record["name"]);
                    assert!(fetch_version(&server, record) == *data, "{}", record["name"]);
                    reads += 1;
                }
            }
            reads
        });
        let moved = succeeded(command(&data_dir, &settings, &["storage", "migrate", "--to", "s3", "--json"]));
        assert_eq!((&moved["files"], &moved["failed"]), (&json!(5), &json!([])));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(reading.join().unwrap() > 0);
    });
    // Again: nothing is left to move, and moved files are freed where they were.
    let moved = succeeded(command(&data_dir, &settings, &["storage", "migrate", "--to", "s3", "--json"]));
    assert_eq!(moved["files"], 0);
    drop(server);
    let now_s3 = with(&settings, "PARTWAY_STORAGE_KIND", "s3");
    let server = serve(&data_dir, &now_s3);
    for (record, data) in &files {
        assert!(fetch(&server, record) == *data && fetch_version(&server, record) == *data);
    }
    until(|| {
        let report = succeeded(command(&data_dir, &now_s3, &["fsck", "--deep", "--json"]));
        assert_eq!(report["findings"], json!([]));
        report["garbage"] == 0 && report["blobs"] == 5
    });
    // Back, with new files among them, one of them of unknown hash.
    let file = directory.path().join("new.bin");
    let data = bytes(9, 11_000_000);
    std::fs::write(&file, &data).unwrap();
    files.push((upload(&server, &key, &file), data));
    let back = with(&settings, "PARTWAY_STORAGE_KIND", "local");
    drop(server);
    let server = serve(&data_dir, &back);
    let moved = succeeded(command(&data_dir, &back, &["storage", "migrate", "--to", "local", "--json"]));
    assert_eq!((&moved["files"], &moved["failed"]), (&json!(6), &json!([])));
    for (record, data) in &files {
        assert!(fetch(&server, record) == *data && fetch_version(&server, record) == *data);
    }
    until(|| {
        let report = succeeded(command(&data_dir, &back, &["fsck", "--deep", "--json"]));
        assert_eq!(report["findings"], json!([]));
        report["garbage"] == 0 && report["bytes_verified"] == files.iter().map(|(_, data)| data.len()).sum::<usize>()
    });
}

fn until(ready: impl Fn() -> bool) {
    for _ in 0..120 {
        if ready() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    panic!("it did not happen in a minute");
}

#[test]
fn a_file_that_is_damaged_is_not_moved_and_the_others_are() {
    let (directory, data_dir) = fresh();
    let settings = bucket("local");
    let server = serve(&data_dir, &settings);
    let key = server.private_key();
    let mut records = Vec::new();
    for number in [1_u64, 2] {
        let file = directory.path().join(format!("{number}.bin"));
        std::fs::write(&file, bytes(number, 20_000)).unwrap();
        records.push(upload(&server, &key, &file));
    }
    for shard in std::fs::read_dir(data_dir.join("blobs")).unwrap() {
        for blob in std::fs::read_dir(shard.unwrap().path()).unwrap() {
            let blob = blob.unwrap().path();
            if std::fs::read(&blob).unwrap() == bytes(1, 20_000) {
                std::fs::write(&blob, bytes(3, 20_000)).unwrap();
            }
        }
    }
    let output = command(&data_dir, &settings, &["storage", "migrate", "--to", "s3"]);
    assert!(!output.status.success());
    let said = text(&output.stdout);
    assert!(
        said.contains("Moved 1 file of 20000 bytes.") && said.contains("/1.bin") && said.contains("NOT MOVED"),
        "{said}"
    );
    assert_eq!(fetch(&server, &records[1]), bytes(2, 20_000));
}

#[test]
fn records_move_to_postgresql_and_everything_goes_on() {
    let (directory, data_dir) = fresh();
    let settings = bucket("local");
    let server = serve(&data_dir, &settings);
    let key = server.private_key();
    let file = directory.path().join("kept ü.bin");
    let data = bytes(1, 12_000_000);
    std::fs::write(&file, &data).unwrap();
    let record = upload(&server, &key, &file);
    let open = start(&server, &key, "open.bin", 15_000_000);
    let part = directory.path().join("part");
    std::fs::write(&part, &bytes(2, 15_000_000)[..10_485_760]).unwrap();
    let (status, _) = curl(&["--upload-file", part.to_str().unwrap(), open["parts"][0].as_str().unwrap()]);
    assert_eq!(status, 200);
    let url = POSTGRES.get_or_init(Postgres::start).create_database();
    let migrate = |settings: &Settings| command(&data_dir, settings, &["db", "migrate", "--json", "--to", &url]);
    let refused = migrate(&settings);
    assert!(!refused.status.success() && text(&refused.stderr).contains("is using the data directory"));
    drop(server);
    let moved = succeeded(migrate(&settings));
    let rows = |table: &str| {
        moved["tables"].as_array().unwrap().iter().find(|row| row["table"] == table).unwrap()["rows"].as_u64().unwrap()
    };
    assert_eq!((rows("files"), rows("sessions"), rows("api_keys")), (1, 2, 2));
    assert!(rows("parts") >= 1);
    // No server starts with the old records by mistake, and nothing is copied onto other records.
    assert!(!data_dir.join("partway.db").exists() && data_dir.join("partway.db-migrated").exists());
    let settings = with(&with(&settings, "PARTWAY_DATABASE_URL", &url), "PARTWAY_STORAGE_SINGLE_NODE", "true");
    let server = serve(&data_dir, &settings);
    assert!(fetch(&server, &record) == data);
    let session = format!("{}/api/v1/multipart/{}", server.url, open["session_id"].as_str().unwrap());
    let (status, answer) = curl(&[&session, "--header", &format!("Authorization: Bearer {key}")]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, &answer["uploaded_parts"]), (200, &json!([0])));
    let (status, _) = post(&server, &key, "start", r#"{"file_name":"new","size":1,"format":"bin"}"#);
    assert_eq!(status, 201);
    drop(server);
    let (_other, other_dir) = fresh();
    drop(serve(&other_dir, &bucket("local")));
    let refused = command(&other_dir, &Settings::new(), &["db", "migrate", "--to", &url]);
    assert!(text(&refused.stderr).contains("allowed: an empty database"), "{}", text(&refused.stderr));
    assert!(other_dir.join("partway.db").exists());
}

#[test]
fn the_doctor_says_what_to_change_and_changes_the_rules_for_browsers() {
    let (_directory, data_dir) = fresh();
    let settings = bucket("s3");
    let examine = |settings: &Settings, more: &[&str]| {
        let output = command(&data_dir, settings, &[&["doctor", "--json"], more].concat());
        let checks: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (output.status.success(), checks)
    };
    let of = |checks: &[Value], name: &str| {
        checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("no {name} in {checks:?}")).clone()
    };
    let (is_well, checks) = examine(&settings, &[]);
    assert!(!is_well && of(&checks, "CORS")["state"] == "problem", "{checks:?}");
    assert!(of(&checks, "CORS")["change"].as_str().unwrap().contains("--fix-cors"));
    let (is_well, checks) = examine(&settings, &["--fix-cors"]);
    assert!(is_well && checks.iter().all(|check| check["state"] == "ok"), "{checks:?}");
    assert!(examine(&settings, &[]).0);
    for (name, value, check, change) in [
        ("PARTWAY_STORAGE_BUCKET", "nowhere", "bucket", "storage.bucket"),
        ("PARTWAY_STORAGE_SECRET_ACCESS_KEY", "wrong", "bucket", "keys"),
        ("PARTWAY_STORAGE_ENDPOINT", "http://127.0.0.1:1", "bucket", "storage.endpoint"),
        ("PARTWAY_STORAGE_PUBLIC_ENDPOINT", "http://127.0.0.1:1", "public endpoint", "storage.public_endpoint"),
        ("PARTWAY_DATABASE_URL", "postgres://nobody:hidden@127.0.0.1:1/x", "database", "database.url"),
    ] {
        let (is_well, checks) = examine(&with(&settings, name, value), &[]);
        let found = of(&checks, check);
        assert!(!is_well && found["state"] == "problem", "{name}: {checks:?}");
        let report_line = found["change"].as_str().unwrap();
        assert!(report_line.contains(change) || report_line.contains("secret_access_key"), "{name}: {found}");
        assert!(!found.to_string().contains("hidden"), "{found}");
    }
    // Nothing of the trials is left.
    let report = succeeded(command(
        &data_dir,
        &{
            drop(serve(&data_dir, &settings));
            settings
        },
        &["fsck", "--json"],
    ));
    assert_eq!((&report["blobs"], &report["findings"]), (&json!(0), &json!([])));
}

#[test]
fn the_doctor_finds_each_odd_manner_of_a_store_and_nothing_else() {
    let (_directory, data_dir) = fresh();
    let settings = bucket("s3");
    succeeded(command(&data_dir, &settings, &["doctor", "--fix-cors"]));
    let none = Manners::default();
    let listing = "goes on listing an upload that was completed";
    let odd_stores = [
        (none, None),
        (Manners { says_no_such_key: true, completes_once: true, ..none }, None),
        (Manners { takes_any_length: true, ..none }, Some(("part length", "warning", "longer than their URLs allow"))),
        (
            Manners { last_part_number: Some(1000), ..none },
            Some(("part numbers", "problem", "answered 400 to part number 10,000")),
        ),
        (Manners { lists_completed: true, ..none }, Some(("completed upload", "warning", listing))),
        (Manners { completed_is_open_and_empty: true, ..none }, Some(("completed upload", "warning", listing))),
        (Manners { completed_keeps_parts: true, ..none }, Some(("completed upload", "warning", listing))),
        (
            Manners { takes_late_parts: true, ..none },
            Some(("late part", "problem", "accepts parts of an upload that was completed")),
        ),
        (Manners { says_wrong_checksums: true, ..none }, Some(("checksum", "problem", "is not the one of its bytes"))),
        (
            Manners { fails_empty_lists: true, ..none },
            Some(("empty upload", "warning", "fails to list an upload before its first part")),
        ),
        (
            Manners { refuses_parts_once: true, ..none },
            Some(("parallel parts", "warning", "answered 503 to one of two parts")),
        ),
        (
            Manners { lacks: Some(Lacks::ListUploads), ..none },
            Some(("list of uploads", "warning", "does not implement ListMultipartUploads")),
        ),
        (Manners { ignores_ranges: true, ..none }, Some(("ranges", "problem", "answered 200 with 10485774 bytes"))),
        // No fault, but worth knowing.
        (Manners { keeps_no_checksums: true, ..none }, Some(("checksum", "ok", "keeps no checksum of whole objects"))),
    ];
    for (manners, finding) in odd_stores {
        let odd = OddStore::start(&settings[1].1, manners);
        let settings = with(&settings, "PARTWAY_STORAGE_ENDPOINT", &odd.url);
        let json = command(&data_dir, &settings, &["doctor", "--json"]);
        let checks: Vec<Value> = text(&json.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let is_ill = finding.is_some_and(|(_, state, _)| state == "problem");
        assert_eq!(json.status.code(), Some(i32::from(is_ill)), "{manners:?}: {checks:?}");
        let complaints: Vec<_> = checks.iter().filter(|check| check["state"] != "ok").collect();
        let expected = finding.filter(|(_, state, _)| *state != "ok");
        assert_eq!(complaints.len(), usize::from(expected.is_some()), "{manners:?}: {complaints:?}");
        // As a person sees it.
        let shown = text(&command(&data_dir, &settings, &["doctor"]).stdout);
        let Some((check, state, words)) = finding else { continue };
        let found =
            checks.iter().find(|found| found["check"] == check).unwrap_or_else(|| panic!("{check}: {checks:?}"));
        assert_eq!(found["state"], state, "{found}");
        assert!(found["detail"].as_str().unwrap().contains(words), "{found}");
        assert_eq!(found["change"].is_string(), is_ill, "{found}");
        let line =
            shown.lines().filter(|line| line.starts_with(&format!("{state:8} {check:16} ")) && line.contains(words));
        assert_eq!(line.count(), 1, "{shown}");
    }
}

#[test]
fn the_doctor_says_which_call_a_store_does_not_implement_and_never_that_a_permission_is_missing() {
    let (_directory, data_dir) = fresh();
    let settings = bucket("s3");
    for (lacks, arguments, check, words) in [
        (Lacks::SetCors, &["doctor", "--json", "--fix-cors"][..], "fix CORS", "405 MethodNotAllowed"),
        (Lacks::ListParts, &["doctor", "--json"][..], "empty upload", "501 NotImplemented"),
        (Lacks::ListParts, &["doctor", "--json"][..], "trial upload", "501 NotImplemented"),
    ] {
        let odd = OddStore::start(&settings[1].1, Manners { lacks: Some(lacks), ..Manners::default() });
        let output = command(&data_dir, &with(&settings, "PARTWAY_STORAGE_ENDPOINT", &odd.url), arguments);
        let checks: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let found = checks.iter().find(|found| found["check"] == check).unwrap_or_else(|| panic!("{checks:?}"));
        let (detail, change) = (found["detail"].as_str().unwrap(), found["change"].as_str().unwrap());
        assert!(detail.contains("the store does not implement this call") && detail.contains(words), "{found}");
        assert!(!change.contains("permission"), "{found}");
        // No check advises the call that has just failed.
        assert!(
            !arguments.contains(&"--fix-cors") || !text(&output.stdout).contains("`partway doctor --fix-cors`"),
            "{checks:?}"
        );
    }
    // Nothing of the trials is left, though the store lists neither parts nor uploads.
    drop(serve(&data_dir, &settings));
    let report = succeeded(command(&data_dir, &settings, &["fsck", "--json"]));
    assert_eq!((&report["blobs"], &report["findings"]), (&json!(0), &json!([])));
}

#[test]
fn an_upload_goes_on_where_the_store_refuses_parts_that_are_sent_at_the_same_time() {
    let (directory, data_dir) = fresh();
    let settings = bucket("s3");
    let odd = OddStore::start(&settings[1].1, Manners { refuses_parts_once: true, ..Manners::default() });
    let server = serve(&data_dir, &with(&settings, "PARTWAY_STORAGE_ENDPOINT", &odd.url));
    let file = directory.path().join("big.bin");
    let data = bytes(1, 33_000_000);
    std::fs::write(&file, &data).unwrap();
    let record = upload(&server, &server.private_key(), &file);
    assert!(fetch(&server, &record) == data);
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let (directory, data_dir) = fresh();
    let mut settings = bucket("s3");
    let (_, secret) = settings.remove(5);
    let file = directory.path().join("secret");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    settings.push(("PARTWAY_STORAGE_SECRET_ACCESS_KEY_FILE", file.display().to_string()));
    drop(serve(&data_dir, &settings));
    for (url, named) in [
        ("mysql://u:hidden@h/d", "postgres://"),
        ("postgres://u:hidden@h/d?sslmod=require", "sslmod"),
        ("postgres://u:hidden@h/d?sslrootcert=/ca.pem", "sslrootcert"),
    ] {
        let output = command(&data_dir, &with(&settings, "PARTWAY_DATABASE_URL", url), &["doctor"]);
        let said = text(&output.stderr);
        let is_named = said.contains("database.url (from PARTWAY_DATABASE_URL)") && said.contains(named);
        assert!(is_named && !said.contains("hidden"), "{url}: {said}");
    }
    let missing = command(&data_dir, &vec![("PARTWAY_STORAGE_KIND", "s3".to_owned())], &["doctor"]);
    for key in ["storage.endpoint", "storage.bucket", "storage.access_key_id", "storage.secret_access_key"] {
        assert!(text(&missing.stderr).contains(key), "{}", text(&missing.stderr));
    }
}
