//! Searches of one workspace whose clients go away, and how long requests of another workspace take meanwhile.

use std::collections::VecDeque;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;

use crate::Failure;
use crate::http::{Connections, Place};

#[derive(Debug, Args)]
pub(crate) struct AbandonedArgs {
    /// The server's address; must be loopback.
    #[arg(long)]
    address: SocketAddr,
    /// Key of the workspace with many files, whose searches are abandoned.
    #[arg(long)]
    key: String,
    /// Key of another workspace.
    #[arg(long)]
    other_key: String,
    /// Path of a small file of the other workspace.
    #[arg(long)]
    other_path: String,
    /// How many searches.
    #[arg(long, default_value_t = 8000)]
    searches: usize,
    /// How many of them are open at a time: the oldest is abandoned when the next one comes.
    #[arg(long, default_value_t = 100)]
    open: usize,
    /// A name for the rows in the table.
    #[arg(long)]
    label: String,
}

/// Prints label, what, requests, and the median, 99th percentile and longest time in milliseconds: without searches and during them. A request
/// on a connection of its own counts with the connecting.
pub(crate) fn abandoned(args: &AbandonedArgs) -> Result<(), Failure> {
    let alone = AtomicBool::new(false);
    let mut times = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(2));
            alone.store(true, Ordering::Relaxed);
        });
        requests(args, &alone)
    })?;
    print_rows(args, "alone", &mut times);
    let ended = AtomicBool::new(false);
    let (mut times, took) = std::thread::scope(|scope| {
        let searching = scope.spawn(|| {
            let began = Instant::now();
            let searched = search(args).map_err(|error| error.to_string());
            ended.store(true, Ordering::Relaxed);
            searched.map(|()| began.elapsed())
        });
        let times = requests(args, &ended)?;
        let took = searching.join().map_err(|_| "the searches ended badly")??;
        Ok::<_, Failure>((times, took))
    })?;
    print_rows(args, &format!("during {} searches in {:.1} s", args.searches, took.as_secs_f64()), &mut times);
    Ok(())
}

const REQUESTS: [&str; 4] = ["search", "look-up", "file", "file, new connection"];

fn print_rows(args: &AbandonedArgs, when: &str, times: &mut [Vec<f64>; REQUESTS.len()]) {
    for (what, times) in REQUESTS.iter().zip(times) {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
        let (median, late, longest) = (at(0.5), at(0.99), times.last().copied().unwrap_or(f64::NAN));
        println!("| {} | {what} {when} | {} | {median:.1} | {late:.1} | {longest:.1} |", args.label, times.len());
    }
}

fn search(args: &AbandonedArgs) -> Result<(), Failure> {
    let mut open = VecDeque::with_capacity(args.open + 1);
    for _ in 0..args.searches {
        let mut stream = TcpStream::connect(args.address)?;
        let head = "GET /api/v1/files?search=nowhere HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer";
        stream.write_all(format!("{head} {}\r\n\r\n", args.key).as_bytes())?;
        open.push_back(stream);
        if open.len() > args.open {
            open.pop_front();
        }
    }
    Ok(())
}

/// Requests of the other workspace, until they are to end.
fn requests(args: &AbandonedArgs, end: &AtomicBool) -> Result<[Vec<f64>; REQUESTS.len()], Failure> {
    let mut times = [const { Vec::new() }; REQUESTS.len()];
    let mut kept = Connections::default();
    let headers = format!("Authorization: Bearer {}\r\n", args.other_key);
    while !end.load(Ordering::Relaxed) {
        for (number, times) in times.iter_mut().enumerate() {
            let mut new = Connections::default();
            let connections = if number == 3 { &mut new } else { &mut kept };
            let path = match number {
                0 => "/api/v1/files?search=ours",
                1 => "/api/v1/multipart/11111111-1111-4111-8111-111111111111",
                _ => &args.other_path,
            };
            let status = if number == 1 { 404 } else { 200 };
            let began = Instant::now();
            connections.send("GET", &Place::at(args.address, path), &headers, b"")?.expect(status)?;
            times.push(began.elapsed().as_secs_f64() * 1e3);
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(times)
}
