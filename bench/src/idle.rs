//! The cost of connections that do nothing: memory of the server and of the kernel, processor time, and for how long.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tokio::net::{TcpSocket, TcpStream};

use crate::http::{Connections, Place};
use crate::{Failure, process};

/// For the server to do what it does when they have come.
const SETTLING: Duration = Duration::from_secs(3);
/// Between two looks at who is connected still.
const LOOK: Duration = Duration::from_millis(250);
/// Addresses that connections come from: each has ports of its own.
const ADDRESSES: u8 = 8;

/// Connections that do nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Nothing was sent.
    Silent,
    /// One request was answered.
    Kept,
    /// A large file was asked for, and nothing of it is taken.
    Stalled,
}

#[derive(Debug, Args)]
pub(crate) struct IdleArgs {
    #[arg(long)]
    kind: Kind,
    /// The server's address; must be loopback. Its settings must allow as many connections from one address.
    #[arg(long)]
    address: SocketAddr,
    /// Process id of the server.
    #[arg(long)]
    pid: u32,
    /// Path of the file that is asked for, larger than what the kernel takes.
    #[arg(long)]
    path: String,
    /// How many connections.
    #[arg(long, default_value_t = 5000)]
    connections: usize,
    /// For how long the server's processor time is counted.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How long to wait for the server to end them all; 0 to leave first.
    #[arg(long, default_value_t = 0)]
    patience_seconds: u64,
    /// A name for the row in the table.
    #[arg(long)]
    label: String,
}

/// Prints label, kind, connections; MiB before and with them, KiB for each, MiB of the kernel's; processor seconds of the server while it has
/// them; milliseconds for a file meanwhile; and seconds until the last one was ended.
pub(crate) fn idle(args: &IdleArgs) -> Result<(), Failure> {
    if !args.address.ip().is_loopback() {
        return Err(format!("{} is not a loopback address", args.address).into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let before_kib = process::resident_kib(args.pid).ok_or("there is no such process")?;
    let opened = runtime.block_on(open_all(args))?;
    let began = Instant::now();
    std::thread::sleep(SETTLING);
    let with_kib = process::resident_kib(args.pid).ok_or("the server has ended")?;
    let kernel_mib = kernel_kib()? / 1024;
    let cpu_before = process::cpu_seconds(&[args.pid]);
    std::thread::sleep(Duration::from_secs(args.seconds));
    let cpu = process::cpu_seconds(&[args.pid]) - cpu_before;
    let file_began = Instant::now();
    let answer = Connections::default().fetch(&Place::at(args.address, &args.path), &mut |_| {})?.expect(200);
    answer.map_err(|error| format!("the file meanwhile: {error}"))?;
    let file_ms = file_began.elapsed().as_secs_f64() * 1e3;
    let patience = Duration::from_secs(args.patience_seconds);
    let mut left: Vec<&std::net::TcpStream> = opened.iter().collect();
    while !left.is_empty() && began.elapsed() < patience {
        std::thread::sleep(LOOK);
        left.retain(|stream| !has_ended(stream, args.kind));
    }
    let ended = if left.is_empty() { format!("{:.0}", began.elapsed().as_secs_f64()) } else { String::new() };
    if !left.is_empty() && !patience.is_zero() {
        return Err(format!("{} connections are there after {patience:?}", left.len()).into());
    }
    println!(
        "| {} | {:?} | {} | {} | {} | {:.1} | {kernel_mib} | {cpu:.2} | {file_ms:.0} | {ended} |",
        args.label,
        args.kind,
        opened.len(),
        before_kib / 1024,
        with_kib / 1024,
        (with_kib as f64 - before_kib as f64) / opened.len() as f64,
    );
    Ok(())
}

async fn open_all(args: &IdleArgs) -> Result<Vec<std::net::TcpStream>, Failure> {
    let mut opened = Vec::with_capacity(args.connections);
    for number in 0..args.connections {
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2 + (number % usize::from(ADDRESSES)) as u8));
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from, 0))?;
        let stream: TcpStream = socket.connect(args.address).await?;
        let mut stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        let path = match args.kind {
            Kind::Silent => None,
            Kind::Kept => Some("/healthz"),
            Kind::Stalled => Some(args.path.as_str()),
        };
        if let Some(path) = path {
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")?;
        }
        if args.kind == Kind::Kept && stream.read(&mut [0; 4096])? == 0 {
            return Err("a connection was not kept".into());
        }
        stream.set_nonblocking(true)?;
        opened.push(stream);
    }
    Ok(opened)
}

/// Stalled ones are reset, and what their kernel holds stays to be read.
fn has_ended(stream: &std::net::TcpStream, kind: Kind) -> bool {
    if !matches!(stream.take_error(), Ok(None)) {
        return true;
    }
    match stream.peek(&mut [0]) {
        Ok(read) => read == 0 && kind != Kind::Stalled,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// Memory that the kernel holds for all TCP connections of the machine.
fn kernel_kib() -> Result<u64, Failure> {
    const PAGE_KIB: u64 = 4;
    let text = fs::read_to_string("/proc/net/sockstat")?;
    let tcp = text.lines().find_map(|line| line.strip_prefix("TCP:")).ok_or("no TCP in /proc/net/sockstat")?;
    let pages = tcp.split(" mem ").nth(1).and_then(|rest| rest.split_whitespace().next()).ok_or("no mem in it")?;
    Ok(pages.parse::<u64>()? * PAGE_KIB)
}
