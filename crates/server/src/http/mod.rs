//! HTTP below the routes: connections are accepted, bounded, paced and closed here.

mod connections;
mod content_length;
mod draining;
mod lingering;
mod own_answers;
mod paced_stream;
mod send_room;
mod server;
mod sockets;
mod unread_body;

pub(crate) use content_length::content_length;
pub(crate) use paced_stream::MAX_UNSENT_BYTES;
pub(crate) use send_room::SendRoom;
pub use server::listen;
pub(crate) use server::{PeerAddress, serve};
