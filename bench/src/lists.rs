//! Lists of a workspace with a million files, and folders with a hundred thousand of them that are renamed and deleted
//! while uploads go on. The database must have what million_files.sql makes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use crate::http::{Connections, Place};
use crate::partway::Partway;
use crate::{Failure, ServerArgs};

/// Every filter and every order of the API: page 1, the page in the middle, which is the furthest from both ends, and the
/// last one.
const QUERIES: [(&str, &str); 25] = [
    ("newest first, page 1", "sort=created_at_desc"),
    ("newest first, page 25,000 of 50,000", "sort=created_at_desc&page=25000"),
    ("newest first, last page", "sort=created_at_desc&page=50000"),
    ("by name, page 1", "sort=name_asc"),
    ("by name, page 25,000", "sort=name_asc&page=25000"),
    ("by size, page 1", "sort=size_desc"),
    ("by size, page 25,000", "sort=size_desc&page=25000"),
    ("by change, page 25,000", "sort=updated_at_asc&page=25000"),
    ("newest first, 100 rows", "limit=100"),
    ("folder of 1,000, by name", "folder_no=2000000001&sort=name_asc"),
    ("folder of 1,000, page 25 of 50, by size", "folder_no=2000000001&sort=size_asc&page=25"),
    ("custom_id, 10 files", "custom_id=id-77"),
    ("tag of 1,000 files, page 1", "tags=rare"),
    ("tag of 1,000 files, page 25", "tags=rare&page=25"),
    ("tag of 100,000 files, page 1", "tags=all"),
    ("tag of 100,000 files, page 2,500", "tags=all&page=2500"),
    ("both tags, by name", "tags=all,rare&sort=name_asc"),
    ("path of one folder (1,000)", "path=folder%201/"),
    ("path with 100,000 files, page 1", "path=large/"),
    ("path with 100,000 files, page 2,500", "path=large/&page=2500"),
    ("path and tag", "path=large/&tags=rare"),
    ("search: 1 file of a million", "search=REPORT%20777777."),
    ("search: 300 files, page 1", "search=1234"),
    ("search: all files, page 1", "search=report"),
    ("search: all files, page 25,000", "search=report&page=25000"),
];

#[derive(Debug, Args)]
pub(crate) struct ListsArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// How often each.
    #[arg(long, default_value_t = 15)]
    tries: usize,
}

/// Prints rows of a Markdown table: label, what, files, median and longest time in milliseconds.
pub(crate) fn lists(args: &ListsArgs) -> Result<(), Failure> {
    let mut connections = Connections::default();
    for (what, query) in QUERIES {
        let mut total = 0;
        let mut times = Vec::new();
        // The first one prepares the statement and warms the cache.
        for _ in 0..=args.tries {
            let began = Instant::now();
            let answer = call(&args.server, &mut connections, "GET", &format!("/api/v1/files?{query}"), "", 200)?;
            times.push(began.elapsed().as_secs_f64() * 1e3);
            total = answer["meta"]["total"].as_u64().unwrap_or_default();
        }
        let mut times = times.split_off(1);
        times.sort_by(f64::total_cmp);
        let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
        println!("| {} | {what} | {total} | {median:.1} | {longest:.1} |", args.server.label);
    }
    folders(&args.server)
}

fn call(
    server: &ServerArgs,
    connections: &mut Connections,
    method: &str,
    path: &str,
    body: &str,
    status: u16,
) -> Result<Value, Failure> {
    let headers = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", server.key);
    let answer =
        connections.send(method, &Place::at(server.address, path), &headers, body.as_bytes())?.expect(status)?;
    Ok(if answer.body.is_empty() { Value::Null } else { serde_json::from_slice(&answer.body)? })
}

/// Renames and deletes the folder with 100,000 files below it. Uploads start and end meanwhile; the slowest counts.
fn folders(server: &ServerArgs) -> Result<(), Failure> {
    let stop = AtomicBool::new(false);
    let row = |what: &str, time: Duration| {
        println!("| {} | {what} | 100000 | {:.1} | |", server.label, time.as_secs_f64() * 1e3);
    };
    std::thread::scope(|scope| {
        let uploading = scope.spawn(|| {
            let (partway, mut connections) = (Partway::new(server), Connections::default());
            let mut slowest = Duration::ZERO;
            let mut count = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                let started = partway
                    .start(&mut connections, &format!("meanwhile {count}"), 1)
                    .map_err(|error| error.to_string())?;
                let started: Value = serde_json::from_slice(&started.body).map_err(|error| error.to_string())?;
                let id = started["session_id"].as_str().unwrap_or_default();
                partway.abort(&mut connections, id).map_err(|error| error.to_string())?;
                slowest = slowest.max(began.elapsed());
                count += 1;
            }
            Ok::<_, String>((count, slowest))
        });
        let changed = (|| {
            let mut connections = Connections::default();
            std::thread::sleep(Duration::from_millis(500));
            let began = Instant::now();
            let body = r#"{"name":"renamed"}"#;
            call(server, &mut connections, "POST", "/api/v1/folders/rename/large00000", body, 200)?;
            row("rename a folder", began.elapsed());
            let began = Instant::now();
            call(server, &mut connections, "DELETE", "/api/v1/folders/large00000", "", 204)?;
            row("delete it: nobody sees it any more", began.elapsed());
            let list = call(server, &mut connections, "GET", "/api/v1/files?limit=1", "", 200)?;
            if list["meta"]["total"] != 900_000 {
                return Err(format!("{} files are left", list["meta"]["total"]).into());
            }
            // While the cleaner takes the rows away, lists leave them out.
            let mut slowest = Duration::ZERO;
            for _ in 0..50 {
                let began = Instant::now();
                call(server, &mut connections, "GET", "/api/v1/files?page=20000", "", 200)?;
                slowest = slowest.max(began.elapsed());
            }
            row("slowest list of 50 right after it", slowest);
            std::thread::sleep(Duration::from_secs(20));
            Ok::<_, Failure>(())
        })();
        stop.store(true, Ordering::Relaxed);
        let uploaded = uploading.join().map_err(|_| "the uploads ended badly")?;
        changed?;
        let (count, slowest) = uploaded?;
        row(&format!("slowest of {count} starts and aborts meanwhile"), slowest);
        Ok(())
    })
}
