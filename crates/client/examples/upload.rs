//! Uploads a file, with its progress on standard error, and prints its URL:
//! `cargo run -p partway-client --example upload -- http://127.0.0.1:8080 sk_… FILE`

use std::sync::atomic::{AtomicU64, Ordering};

use partway_client::{Client, Event, Upload};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(key), Some(path)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: upload URL KEY FILE".into());
    };
    let client = Client::new(&url, &key)?;
    let sent_bytes = AtomicU64::new(0);
    let on_event = |event: Event<'_>| match event {
        Event::Session { session_id } => eprintln!("session {session_id}; resume it with Upload::resume"),
        Event::Sent { bytes } => {
            let total = sent_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
            eprintln!("{total} bytes sent");
        }
        Event::Retrying { error, pause, .. } => eprintln!("{error}; retrying in {} ms", pause.as_millis()),
        _ => {}
    };
    let record = Upload::of(path).folder("examples").send(&client, &on_event).await?;
    println!("{}", record.url);
    Ok(())
}
