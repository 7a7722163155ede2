//! A bucket whose name is in the host of URLs, as with AWS. The names are known to the processes of the test alone: in a mount
//! namespace of their own they have another `/etc/hosts`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use partway_testing::Garage;
use serde_json::{Value, json};

use crate::server::{Server, bytes, curl, fresh, partway_under, post, run, start, text};

/// Two whole parts and a piece.
const FILE_BYTES: usize = 25_000_000;

/// A program that runs another one with these names for 127.0.0.1.
fn launcher(directory: &Path, names: &[&str]) -> PathBuf {
    let may = |arguments: &[&str]| Command::new("unshare").args(arguments).arg("true").output();
    let allowed = [&["--mount"][..], &["--mount", "--map-root-user"]]
        .into_iter()
        .find(|arguments| may(arguments).is_ok_and(|output| output.status.success()));
    let allowed = allowed.unwrap_or_else(|| {
        panic!("this machine allows no mount namespaces: run the tests as root, or with sysctl kernel.unprivileged_userns_clone=1")
    });
    let (hosts, launcher) = (directory.join("hosts"), directory.join("launcher"));
    std::fs::write(&hosts, format!("127.0.0.1 localhost {}\n", names.join(" "))).unwrap();
    let inside = r#"mount --bind "$0" /etc/hosts && exec "$@""#;
    let script =
        format!("#!/bin/sh\nexec unshare {} sh -c '{inside}' '{}' \"$@\"\n", allowed.join(" "), hosts.display());
    std::fs::write(&launcher, script).unwrap();
    std::fs::set_permissions(&launcher, std::fs::Permissions::from_mode(0o700)).unwrap();
    launcher
}

#[test]
fn a_bucket_in_the_host_name_takes_and_serves_files() {
    let (directory, data_dir) = fresh();
    let garage = Garage::start(1);
    let bucket = garage.create_bucket();
    let port = garage.endpoint(0).rsplit_once(':').unwrap().1.to_owned();
    let (host, endpoint) = (format!("{bucket}.{}", garage.host()), format!("http://{}:{port}", garage.host()));
    let launcher = launcher(directory.path(), &[&host, garage.host()]);
    let environment = [
        ("PARTWAY_STORAGE_KIND", "s3"),
        ("PARTWAY_STORAGE_PATH_STYLE", "false"),
        ("PARTWAY_STORAGE_ENDPOINT", &endpoint),
        ("PARTWAY_STORAGE_REGION", garage.region()),
        ("PARTWAY_STORAGE_BUCKET", &bucket),
        ("PARTWAY_STORAGE_PREFIX", "partway/"),
        ("PARTWAY_STORAGE_ACCESS_KEY_ID", garage.access_key_id()),
        ("PARTWAY_STORAGE_SECRET_ACCESS_KEY", garage.secret_access_key()),
    ];
    let server = Server::start_by(partway_under(&launcher), &data_dir, &[], &environment);
    let key = server.private_key();
    // Clients find the store by its name as well.
    let resolve = format!("{host}:{port}:127.0.0.1");
    let beginning = format!("http://{host}:{port}/partway/");
    let file = |name: &str| directory.path().join(name).display().to_string();

    // In parts.
    let data = bytes(1, FILE_BYTES);
    let session = start(&server, &key, "in parts", FILE_BYTES);
    let part_size = usize::try_from(session["part_size"].as_u64().unwrap()).unwrap();
    for (url, part) in session["parts"].as_array().unwrap().iter().zip(data.chunks(part_size)) {
        let url = url.as_str().unwrap();
        assert!(url.starts_with(&beginning), "{url}");
        std::fs::write(file("part"), part).unwrap();
        let (status, said) = curl(&["--resolve", &resolve, "--upload-file", &file("part"), url]);
        assert_eq!(status, 200, "{said}");
    }
    let (status, record) = post(&server, &key, "complete", &json!({"session_id": session["session_id"]}).to_string());
    assert_eq!(status, 201, "{record}");
    let in_parts: Value = serde_json::from_str(&record).unwrap();

    // In one request, which the server passes on.
    std::fs::write(file("whole"), &data).unwrap();
    let (form, header) = (format!("file=@{}", file("whole")), format!("x-api-key: {key}"));
    let url = format!("{}/api/v1/uploads", server.url);
    let (status, record) = curl(&[&url, "--header", &header, "--form", "file_name=whole", "--form", &form]);
    assert_eq!(status, 201, "{record}");
    let whole: Value = serde_json::from_str(&record).unwrap();

    for record in [&in_parts, &whole] {
        let url = record["url"].as_str().unwrap();
        let redirect = run(Command::new("curl").args(["--silent", "--write-out", "%{redirect_url}", url])).stdout;
        assert!(text(&redirect).starts_with(&beginning), "{}", text(&redirect));
        assert_eq!(curl(&["--location", "--resolve", &resolve, "--output", &file("got"), url]).0, 200);
        assert!(std::fs::read(file("got")).unwrap() == data, "other bytes are served");
    }
    let mut fsck = partway_under(&launcher);
    fsck.args(["fsck", "--deep", "--json", "--data-dir"]).arg(&data_dir).envs(environment);
    let report: Value = serde_json::from_slice(&run(&mut fsck).stdout).unwrap();
    assert_eq!(report["findings"], json!([]), "{report}");
}
