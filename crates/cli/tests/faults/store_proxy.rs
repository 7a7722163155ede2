//! A proxy between the server and its store that fails before or after the store has done the work.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use partway_testing::proxied::{self, Request};

/// Handling of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreFault {
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
pub(crate) struct Plan {
    pub calls: &'static [&'static str],
    pub not: &'static str,
    pub fault: StoreFault,
    pub times: usize,
}

/// A running proxy.
pub(crate) struct StoreProxy {
    pub url: String,
    plan: Arc<Mutex<Option<Plan>>>,
    failed: Arc<Mutex<usize>>,
}

impl StoreProxy {
    /// To the store at `target` (host and port).
    pub(crate) fn start(target: &str) -> Self {
        let (plan, failed): (Arc<Mutex<Option<Plan>>>, Arc<Mutex<usize>>) = Default::default();
        let (target, planned, counted) = (target.to_owned(), Arc::clone(&plan), Arc::clone(&failed));
        let url = proxied::serve(move |client| pass_on(client, &target, &planned, &counted));
        Self { url, plan, failed }
    }

    /// From now on these calls fail.
    pub(crate) fn plan(&self, plan: Plan) {
        *self.failed.lock().unwrap() = 0;
        *self.plan.lock().unwrap() = Some(plan);
    }

    /// How many calls failed since the plan was made.
    pub(crate) fn failed(&self) -> usize {
        *self.failed.lock().unwrap()
    }

    /// Nothing fails any more. How many calls did.
    pub(crate) fn heal(&self) -> usize {
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
    let Some(request) = Request::read(&mut client)? else { return Ok(()) };
    let fault = choose(request.line(), planned, counted);
    match fault {
        Some(StoreFault::RefuseBefore) => return refuse(&mut client),
        Some(StoreFault::CutBefore) => return Ok(()),
        _ => {}
    }
    let answer = request.send(target)?;
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

fn choose(line: &str, planned: &Mutex<Option<Plan>>, counted: &Mutex<usize>) -> Option<StoreFault> {
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
