//! A proxy between the server and its store that fails before or after the store has done the work.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// 500, and the store hears nothing of it.
    RefuseBefore,
    /// The connection closes, and the store hears nothing of it.
    CutBefore,
    /// The store does it; the answer is 500.
    RefuseAfter,
    /// The store does it; the connection closes without an answer.
    CutAfter,
    /// The store does it; the answer breaks off in the middle.
    CutInside,
    /// The store does it; the answer is 200 with an error in it, as S3 may answer what takes long.
    ErrorUnder200,
}

/// Which calls fail: those whose request line has all of these.
#[derive(Debug, Clone)]
pub struct Plan {
    pub calls: &'static [&'static str],
    pub not: &'static str,
    pub fault: StoreFault,
    pub times: usize,
}

/// A running proxy.
pub struct StoreProxy {
    pub url: String,
    plan: Arc<Mutex<Option<Plan>>>,
    failed: Arc<Mutex<usize>>,
}

impl StoreProxy {
    /// To the store at `target` (host and port). Takes at most 20,000 connections.
    pub fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (plan, failed): (Arc<Mutex<Option<Plan>>>, Arc<Mutex<usize>>) = Default::default();
        let (target, planned, counted) = (target.to_owned(), Arc::clone(&plan), Arc::clone(&failed));
        std::thread::spawn(move || {
            for client in listener.incoming().take(20_000).flatten() {
                let (target, planned, counted) = (target.clone(), Arc::clone(&planned), Arc::clone(&counted));
                std::thread::spawn(move || {
                    // Whoever goes away in the middle has nothing more to hear.
                    let _ = pass_on(client, &target, &planned, &counted);
                });
            }
        });
        Self { url, plan, failed }
    }

    /// From now on these calls fail.
    pub fn plan(&self, plan: Plan) {
        *self.failed.lock().unwrap() = 0;
        *self.plan.lock().unwrap() = Some(plan);
    }

    /// How many calls failed since the plan was made.
    pub fn failed(&self) -> usize {
        *self.failed.lock().unwrap()
    }

    /// Nothing fails any more. How many calls did.
    pub fn heal(&self) -> usize {
        *self.plan.lock().unwrap() = None;
        *self.failed.lock().unwrap()
    }
}

fn pass_on(
    mut client: TcpStream,
    target: &str,
    planned: &Mutex<Option<Plan>>,
    counted: &Mutex<usize>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte)? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    client.read_exact(&mut body)?;
    let fault = choose(&head, planned, counted);
    match fault {
        Some(StoreFault::RefuseBefore) => return refuse(&mut client),
        Some(StoreFault::CutBefore) => return Ok(()),
        _ => {}
    }
    // One request for each connection: the end of the answer is the end of the connection.
    let mut lines: Vec<&str> = head.trim_end().lines().collect();
    lines.retain(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let request = format!("{}\r\nconnection: close\r\n\r\n", lines.join("\r\n"));
    let mut store = TcpStream::connect(target)?;
    store.write_all(request.as_bytes())?;
    store.write_all(&body)?;
    let mut answer = Vec::new();
    store.read_to_end(&mut answer)?;
    match fault {
        Some(StoreFault::RefuseAfter) => refuse(&mut client),
        Some(StoreFault::CutAfter) => Ok(()),
        Some(StoreFault::CutInside) => client.write_all(&answer[..answer.len().saturating_sub(20)]),
        Some(StoreFault::ErrorUnder200) => {
            let error =
                "<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code><Message>We failed.</Message></Error>";
            write!(client, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{error}", error.len())
        }
        _ => client.write_all(&answer),
    }
}

fn choose(head: &str, planned: &Mutex<Option<Plan>>, counted: &Mutex<usize>) -> Option<StoreFault> {
    let line = head.lines().next()?;
    let mut planned = planned.lock().unwrap();
    let plan = planned.as_mut().filter(|plan| {
        plan.times > 0
            && plan.calls.iter().all(|part| line.contains(part))
            && (plan.not.is_empty() || !line.contains(plan.not))
    })?;
    plan.times -= 1;
    *counted.lock().unwrap() += 1;
    Some(plan.fault)
}

fn refuse(client: &mut TcpStream) -> std::io::Result<()> {
    let error = "<Error><Code>InternalError</Code><Message>planned</Message></Error>";
    write!(
        client,
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{error}",
        error.len()
    )
}
