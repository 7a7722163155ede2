//! Facts about a TCP connection that the kernel has and no crate in use queries: tcp(7), socket(7), poll(2).

use std::io;
use std::mem::size_of_val;
use std::os::fd::AsRawFd;

use libc::{c_int, c_void};
use tokio::net::{TcpListener, TcpStream};

/// Bytes that are written and not sent; `linux/sockios.h`.
const SIOCOUTQNSD: libc::Ioctl = 0x894B;
/// Numbers that SO_MEMINFO returns; `linux/sock_diag.h`.
const MEMINFO_NUMBERS: usize = 9;

/// Bytes that are written and not acknowledged by the other side.
///
/// # Errors
/// When the connection is gone.
pub(crate) fn unacknowledged_bytes(stream: &TcpStream) -> io::Result<u64> {
    queue_bytes(stream, libc::TIOCOUTQ)
}

/// Bytes that the kernel would take now; it buffers at most `max_unsent` ahead of sending.
///
/// # Errors
/// When the connection is gone.
pub(crate) fn room_bytes(stream: &TcpStream, max_unsent: u32) -> io::Result<u64> {
    let memory = memory(stream)?;
    let [buffer, queued] = [libc::SK_MEMINFO_SNDBUF, libc::SK_MEMINFO_WMEM_QUEUED].map(|index| {
        let number = usize::try_from(index).ok().and_then(|index| memory.get(index));
        u64::from(number.copied().unwrap_or_default())
    });
    let unsent = queue_bytes(stream, SIOCOUTQNSD)?;
    Ok(buffer.saturating_sub(queued).min(u64::from(max_unsent).saturating_sub(unsent)))
}

/// Whether the kernel takes more: a third of its buffer is free, and little enough is unsent.
///
/// # Errors
/// `WouldBlock` when it does not; the kernel then reports when it does.
#[expect(unsafe_code, reason = "poll(2) without waiting")]
pub(crate) fn check_writable(stream: &TcpStream) -> io::Result<()> {
    let mut asked = libc::pollfd { fd: stream.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: the descriptor is open for as long as `stream` is borrowed; the call reads and writes one `pollfd`, which lives on.
    match unsafe { libc::poll(&raw mut asked, 1, 0) } {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        1.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets options that accepted connections inherit: answers, which are written whole, do not wait for a segment to fill, and
/// the kernel buffers at most `max_unsent` bytes ahead of sending.
///
/// # Errors
/// When the system does not have these options.
pub(crate) fn set_up(listener: &TcpListener, max_unsent: u32) -> io::Result<()> {
    set_option(listener, libc::TCP_NODELAY, 1)?;
    set_option(listener, libc::TCP_NOTSENT_LOWAT, max_unsent)
}

#[expect(unsafe_code, reason = "setsockopt(2)")]
fn set_option(listener: &TcpListener, option: c_int, value: u32) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or_default();
    let value = (&raw const value).cast::<c_void>();
    // SAFETY: the descriptor is open for as long as `listener` is borrowed; the call reads `length` bytes of a number, which lives on.
    let result = unsafe { libc::setsockopt(listener.as_raw_fd(), libc::IPPROTO_TCP, option, value, length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[expect(unsafe_code, reason = "ioctl(2) of SIOCOUTQ, which Linux also calls TIOCOUTQ, and SIOCOUTQNSD")]
fn queue_bytes(stream: &TcpStream, queue: libc::Ioctl) -> io::Result<u64> {
    let mut bytes: c_int = 0;
    // SAFETY: the descriptor is open for as long as `stream` is borrowed; the call writes one int, which lives until it returns.
    let result = unsafe { libc::ioctl(stream.as_raw_fd(), queue, &raw mut bytes) };
    if result == 0 { Ok(u64::try_from(bytes).unwrap_or_default()) } else { Err(io::Error::last_os_error()) }
}

#[expect(unsafe_code, reason = "getsockopt(2) of SO_MEMINFO")]
fn memory(stream: &TcpStream) -> io::Result<[u32; MEMINFO_NUMBERS]> {
    let mut numbers = [0_u32; MEMINFO_NUMBERS];
    let mut length = libc::socklen_t::try_from(size_of_val(&numbers)).unwrap_or_default();
    let value = numbers.as_mut_ptr().cast::<c_void>();
    // SAFETY: the descriptor is open for as long as `stream` is borrowed; the call writes at most `length` bytes, as many as `numbers` has.
    let result =
        unsafe { libc::getsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, value, &raw mut length) };
    if result == 0 { Ok(numbers) } else { Err(io::Error::last_os_error()) }
}
