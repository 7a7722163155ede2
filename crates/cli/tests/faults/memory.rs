//! Memory does not grow with the size of uploads.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::api::Api;
use crate::kills::setting;
use crate::server::{Server, fresh};

const MIB: u64 = 1024 * 1024;
const CONNECTIONS: u64 = 64;
const PART: u64 = 64 * MIB;
/// A file of as many parts as are allowed, so that they have 64 MiB.
const SIZE: u64 = 10_000 * PART;

#[test]
fn sixty_four_connections_of_large_parts_stay_below_200_mib() {
    // Parts that each connection sends: 1 makes 4 GiB, 4 make the 16 GiB of bench/RESULTS.md.
    let parts_each = setting("PARTWAY_FAULT_MEMORY_PARTS", 1);
    let (_directory, data_dir) = fresh();
    let server = Server::start_with(&data_dir, &[], &[("PARTWAY_STORAGE_RESERVE", "false")]);
    let api = Api::new(&server.url, &server.private_key());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let body = json!({"file_name": "f", "size": SIZE, "format": "bin"});
    let started = runtime.block_on(api.start(&body, "k"));
    assert_eq!(started["part_size"], PART);
    let address = server.url.strip_prefix("http://").unwrap();
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let urls = started["parts"].as_array().unwrap();
            scope.spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                for part in 0..parts_each {
                    let url = urls[(connection * parts_each + part) as usize].as_str().unwrap();
                    send_zeros(&mut stream, &url[url.find("/api").unwrap()..]);
                }
            });
        }
    });
    let state = runtime.block_on(api.status(started["session_id"].as_str().unwrap()));
    assert_eq!(state["bytes_uploaded"], CONNECTIONS * parts_each * PART);
    let peak_mib = server.peak_memory_bytes() / MIB;
    let sent_gib = CONNECTIONS * parts_each * PART / 1024 / MIB;
    writeln!(
        std::io::stderr(),
        "memory: {CONNECTIONS} connections, {sent_gib} GiB in parts of 64 MiB, peak {peak_mib} MiB"
    )
    .unwrap();
    assert!(peak_mib < 200, "{peak_mib} MiB");
}

fn send_zeros(stream: &mut TcpStream, path: &str) {
    let zeros = vec![0; MIB as usize];
    write!(stream, "PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {PART}\r\n\r\n").unwrap();
    for _ in 0..PART / MIB {
        stream.write_all(&zeros).unwrap();
    }
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "closed");
        answer.extend_from_slice(&buffer[..read]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}
