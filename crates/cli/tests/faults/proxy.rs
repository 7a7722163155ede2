//! A proxy between client and server whose connections can be made to misbehave.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

/// Behaviour of a connection after it passed on a number of bytes from the client.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Closes both sides in the orderly way.
    Cut(usize),
    /// Resets both sides.
    Reset(usize),
    /// Passes on nothing more, either way, and stays open, as a phone does that left the network.
    Stall(usize),
    /// Passes on 1 KiB a second, for this many seconds; then at full speed again.
    Trickle(usize, u32),
    /// Loses what the server answers, and closes.
    LoseAnswer,
}

/// A running proxy.
pub(crate) struct Proxy {
    pub url: String,
    faults: Arc<Mutex<VecDeque<Fault>>>,
}

impl Proxy {
    /// To the server at `target`. Takes at most 1000 connections.
    pub(crate) fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let faults: Arc<Mutex<VecDeque<Fault>>> = Arc::default();
        let (target, planned) = (target.to_owned(), Arc::clone(&faults));
        std::thread::spawn(move || {
            for client in listener.incoming().take(1000).flatten() {
                let (target, planned) = (target.clone(), Arc::clone(&planned));
                std::thread::spawn(move || {
                    // A server that is away: the client sees a connection that closes.
                    if let Ok(server) = TcpStream::connect(&target) {
                        pass_on(client, server, &planned);
                    }
                });
            }
        });
        Self { url, faults }
    }

    /// The next requests for parts each suffer one of these.
    pub(crate) fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// How many faults have not happened yet.
    pub(crate) fn left(&self) -> usize {
        self.faults.lock().unwrap().len()
    }
}

/// Handling of the server's answers.
#[derive(Clone, Copy)]
enum Losing {
    Silently,
    AndClosing,
}

fn pass_on(mut client: TcpStream, mut server: TcpStream, planned: &Mutex<VecDeque<Fault>>) {
    let lose_answers: Arc<Mutex<Option<Losing>>> = Arc::default();
    let (mut back_from, mut back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let losing = Arc::clone(&lose_answers);
    std::thread::spawn(move || {
        let mut buffer = [0; 16_384];
        while let Ok(read @ 1..) = back_from.read(&mut buffer) {
            match *losing.lock().unwrap() {
                None => {}
                Some(Losing::Silently) => continue,
                Some(Losing::AndClosing) => break,
            }
            if back_to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        if !matches!(*losing.lock().unwrap(), Some(Losing::Silently)) {
            let _ = back_to.shutdown(Shutdown::Both);
            let _ = back_from.shutdown(Shutdown::Both);
        }
    });
    let mut fault = None;
    let mut passed = 0;
    let mut buffer = [0; 65_536];
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        if fault.is_none() && buffer[..read].starts_with(b"PUT ") {
            fault = planned.lock().unwrap().pop_front();
            passed = 0;
        }
        passed += read;
        match fault {
            Some(Fault::Cut(after)) if passed > after => break,
            Some(Fault::Reset(after)) if passed > after => {
                for side in [&client, &server] {
                    set_socket_linger(side, Some(Duration::ZERO)).unwrap();
                }
                return;
            }
            Some(Fault::Stall(after)) if passed > after => {
                // Both sides stay open; each has to notice by itself.
                *lose_answers.lock().unwrap() = Some(Losing::Silently);
                std::thread::sleep(Duration::from_secs(60));
                return;
            }
            Some(Fault::Trickle(after, seconds)) if passed > after => {
                for piece in buffer[..read].chunks(1024).take(seconds as usize) {
                    if server.write_all(piece).is_err() {
                        return;
                    }
                    std::thread::sleep(Duration::from_secs(1));
                }
                let sent = read.min(seconds as usize * 1024);
                if server.write_all(&buffer[sent..read]).is_err() {
                    return;
                }
                fault = None;
                continue;
            }
            Some(Fault::LoseAnswer) => *lose_answers.lock().unwrap() = Some(Losing::AndClosing),
            _ => {}
        }
        if server.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}
