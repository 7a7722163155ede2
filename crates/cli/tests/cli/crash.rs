//! `kill -9` in the middle.

use crate::server::{Server, bytes, curl, free_address, fresh, post, start};
use serde_json::{Value, json};

#[test]
fn parts_that_got_their_200_survive_kill_9_and_the_upload_goes_on() {
    let (directory, data_dir) = fresh();
    let listen = free_address();
    let mut server = Server::start(&data_dir, &["--listen", &listen]);
    let key = server.private_key();
    let data = bytes(1, 45 * 1024 * 1024);
    let session = start(&server, &key, "f.bin", data.len());
    let id = session["session_id"].as_str().unwrap().to_owned();
    let part = directory.path().join("part");
    for (index, chunk) in data.chunks(10 * 1024 * 1024).enumerate() {
        std::fs::write(&part, chunk).unwrap();
        let url = session["parts"][index].as_str().unwrap();
        assert_eq!(curl(&["--upload-file", part.to_str().unwrap(), url]).0, 200);
        // Killed right after the answer, after every part.
        server.signal("KILL");
        server.wait();
        server = Server::start(&data_dir, &["--listen", &listen]);
        let (status, answer) = post(&server, &key, "complete", &json!({"session_id": id}).to_string());
        let answer: Value = serde_json::from_str(&answer).unwrap();
        if index < 4 {
            assert_eq!(status, 400);
            assert_eq!(answer["missing_parts"], json!((index + 1..5).collect::<Vec<_>>()));
        } else {
            assert_eq!(status, 201, "{answer}");
            assert_eq!(answer["hash"], format!("blake3:{}", blake3::hash(&data)));
        }
    }
    // And the completed file survives as well.
    server.signal("KILL");
    server.wait();
    let server = Server::start(&data_dir, &["--listen", &listen]);
    let (status, answer) = post(&server, &key, "complete", &json!({"session_id": id}).to_string());
    assert_eq!(status, 201);
    let record: Value = serde_json::from_str(&answer).unwrap();
    let copy = directory.path().join("copy");
    assert_eq!(curl(&["--output", copy.to_str().unwrap(), record["url"].as_str().unwrap()]).0, 200);
    assert!(std::fs::read(&copy).unwrap() == data);
}

#[test]
fn kill_9_in_the_middle_of_sending_a_part_again_leaves_it_missing_and_never_mixed() {
    use std::io::Write;
    let (directory, data_dir) = fresh();
    let listen = free_address();
    let mut server = Server::start(&data_dir, &["--listen", &listen]);
    let key = server.private_key();
    let (old, new) = (bytes(1, 9 * 1024 * 1024), bytes(2, 9 * 1024 * 1024));
    let session = start(&server, &key, "f.bin", old.len());
    let complete = json!({"session_id": session["session_id"]}).to_string();
    let url = session["parts"][0].as_str().unwrap();
    let part = directory.path().join("part");
    std::fs::write(&part, &old).unwrap();
    assert_eq!(curl(&["--upload-file", part.to_str().unwrap(), url]).0, 200);
    let mut stream = std::net::TcpStream::connect(&listen).unwrap();
    let path = &url[url.find("/api").unwrap()..];
    write!(stream, "PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", new.len()).unwrap();
    // More than the buffers on the way hold, so that some of it has been written to the part.
    stream.write_all(&new[..8 * 1024 * 1024]).unwrap();
    server.signal("KILL");
    server.wait();
    let server = Server::start(&data_dir, &["--listen", &listen]);
    let (status, answer) = post(&server, &key, "complete", &complete);
    assert_eq!(status, 400, "{answer}");
    assert!(answer.contains("PARTS_MISSING"), "{answer}");
    std::fs::write(&part, &new).unwrap();
    assert_eq!(curl(&["--upload-file", part.to_str().unwrap(), url]).0, 200);
    let (status, answer) = post(&server, &key, "complete", &complete);
    assert_eq!(status, 201, "{answer}");
    assert!(answer.contains(&blake3::hash(&new).to_hex().to_string()), "{answer}");
}
