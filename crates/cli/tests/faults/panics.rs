//! A request whose handler panics.

use serde_json::Value;

use crate::server::{Server, bytes, curl, fresh, post, start};

/// Head and body of an answer.
fn put(url: &str, data: &str) -> (String, String) {
    let (_, answer) = curl(&["--include", "--request", "PUT", "--header", "Expect:", "--data-binary", data, url]);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {answer}"));
    (head.to_lowercase(), body.to_owned())
}

#[test]
fn a_request_whose_handler_panics_is_answered_500_with_its_id_and_the_next_one_is_served() {
    let (directory, data_dir) = fresh();
    let failpoints = "part.before_write=panic@1;complete.before_commit=panic@1";
    let server = Server::start_with(&data_dir, &[], &[("PARTWAY_FAILPOINTS", failpoints)]);
    let key = server.private_key();
    let data = bytes(1, 100_000);
    let session = start(&server, &key, "f", data.len());
    let (url, file) = (session["parts"][0].as_str().unwrap(), directory.path().join("part"));
    std::fs::write(&file, &data).unwrap();
    let data = format!("@{}", file.display());

    // In the handler itself.
    let (head, body) = put(url, &data);
    assert!(head.starts_with("http/1.1 500"), "{head}");
    let answer: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    assert_eq!((&answer["errorCode"], &answer["success"]), (&"INTERNAL".into(), &false.into()), "{body}");
    let id = answer["requestId"].as_str().unwrap();
    for line in [&format!("x-request-id: {id}"), "content-type: application/json", "cache-control: no-store"] {
        assert!(head.contains(line), "{line} is not in {head}");
    }
    assert!(!body.contains("failpoint") && !body.contains("panic"), "{body}");
    let log = server.log();
    assert!(log.lines().any(|line| line.contains(id) && line.contains("status=500")), "{log}");
    assert!(log.contains("the failpoint part.before_write was hit"), "{log}");
    assert!(put(url, &data).0.starts_with("http/1.1 200"));

    // In a task that outlives its request.
    let complete = || post(&server, &key, "complete", &format!(r#"{{"session_id":{}}}"#, session["session_id"]));
    let (status, body) = complete();
    let answer: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    assert_eq!((status, &answer["errorCode"]), (500, &"INTERNAL".into()), "{body}");
    let id = answer["requestId"].as_str().unwrap();
    assert!(server.log().lines().any(|line| line.contains(id) && line.contains("status=500")));
    let (status, body) = complete();
    assert_eq!(status, 201, "{body}");
    let record: Value = serde_json::from_str(&body).unwrap();
    let got = directory.path().join("got");
    assert_eq!(curl(&["--output", got.to_str().unwrap(), record["url"].as_str().unwrap()]).0, 200);
    assert!(std::fs::read(got).unwrap() == std::fs::read(file).unwrap());
}
