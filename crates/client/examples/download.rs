//! Downloads a file of a workspace by its path, and compares its hash:
//! `cargo run -p partway-client --example download -- http://127.0.0.1:8080 sk_… examples/video.mp4 TARGET`
//!
//! Running it again after it was interrupted resumes the download.

use std::path::Path;

use partway_client::{Client, Download, DownloadEvent, Workspace};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, key, path, target] = arguments.as_slice() else {
        return Err("usage: download URL KEY PATH TARGET".into());
    };
    let client = Client::new(url, key)?;
    let file = Workspace::of(client.clone()).find_file(path).await?;
    let on_event = |event: DownloadEvent<'_>| {
        if let DownloadEvent::Started { size_bytes, bytes_there } = event {
            eprintln!("{bytes_there} of {} bytes are there already", size_bytes.unwrap_or_default());
        }
    };
    let downloaded = Download::of_file(&file).to_file(&client, Path::new(target), &on_event).await?;
    println!("{} bytes, verified: {}", downloaded.size_bytes, downloaded.is_verified);
    Ok(())
}
