//! Width and height of real media files, made here by ffmpeg and ImageMagick.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::server::{Server, fresh, partway, run};

fn ffmpeg(directory: &Path, input: &str, options: &[&str], name: &str) -> String {
    let output = directory.join(name).to_str().unwrap().to_owned();
    run(Command::new("ffmpeg").args(["-loglevel", "error", "-f", "lavfi", "-i", input]).args(options).arg(&output));
    output
}

fn convert(directory: &Path, size: &str, name: &str) -> String {
    let output = directory.join(name).to_str().unwrap().to_owned();
    run(Command::new("convert-im6.q16").args(["-size", size, "gradient:red-blue"]).arg(&output));
    output
}

fn record(server: &Server, file: &str) -> Value {
    let output = run(partway().args(["upload", file, "--json", "--url", &server.url, "--key", &server.private_key()]));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn images_tell_their_size() {
    let (directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let directory = directory.path();
    let svg = |name: &str, root: &str| {
        let path = directory.join(name);
        std::fs::write(&path, format!("<?xml version=\"1.0\"?>\n<!-- an image -->\n<svg xmlns=\"http://www.w3.org/2000/svg\" {root}><rect/></svg>")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let avif = directory.join("f.avif").to_str().unwrap().to_owned();
    let png = convert(directory, "71x37", "for-avif.png");
    run(Command::new("avifenc").args(["--speed", "10", &png, &avif]));
    for (file, expected) in [
        (convert(directory, "321x123", "a.jpg"), Some((321, 123))),
        (convert(directory, "64x48", "b.png"), Some((64, 48))),
        (convert(directory, "10x20", "c.gif"), Some((10, 20))),
        (convert(directory, "99x77", "d.webp"), Some((99, 77))),
        (avif, Some((71, 37))),
        (svg("g.svg", "width=\"640px\" height=\"480.4\""), Some((640, 480))),
        (svg("h.svg", "viewBox=\"0 0 300 150\""), Some((300, 150))),
        (svg("i.svg", "width=\"100%\" height=\"10cm\""), None),
    ] {
        let record = record(&server, &file);
        let found = record["width"].as_u64().zip(record["height"].as_u64());
        assert_eq!(found, expected, "{file}");
        assert_eq!(record["extension"], "image");
    }
    let fake = directory.join("fake.png");
    std::fs::write(&fake, "no image at all").unwrap();
    assert_eq!(record(&server, fake.to_str().unwrap())["width"], Value::Null);
}

#[test]
fn videos_tell_their_size_wherever_their_header_is() {
    let (directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    let directory = directory.path();
    let short = "testsrc2=size=320x180:rate=10:duration=1";
    let sound = ["-f", "lavfi", "-i", "sine=duration=1", "-shortest"];
    let with = |options: &[&'static str]| [&sound[..], options].concat();
    for (file, expected) in [
        // Sound is the first track here, and has no size.
        (ffmpeg(directory, short, &with(&["-map", "1:a", "-map", "0:v", "-c:v", "mpeg4"]), "a.mp4"), (320, 180)),
        (ffmpeg(directory, short, &["-c:v", "mpeg4", "-movflags", "+faststart"], "b.mp4"), (320, 180)),
        (ffmpeg(directory, short, &["-c:v", "mpeg4", "-movflags", "frag_keyframe+empty_moov"], "c.mp4"), (320, 180)),
        (ffmpeg(directory, short, &["-c:v", "mjpeg"], "d.mov"), (320, 180)),
        (ffmpeg(directory, short, &with(&["-c:v", "libvpx"]), "e.webm"), (320, 180)),
        (ffmpeg(directory, short, &["-c:v", "libvpx", "-live", "1"], "f.webm"), (320, 180)),
    ] {
        let record = record(&server, &file);
        assert_eq!(record["width"].as_u64().zip(record["height"].as_u64()), Some(expected), "{file}");
        assert_eq!(record["extension"], "video");
    }
}

#[test]
fn a_real_video_of_over_100_mb_goes_up_and_comes_back() {
    let (directory, data_dir) = fresh();
    let server = Server::start(&data_dir, &[]);
    // Uncompressed pictures, so that it is large without hours of film.
    let file = ffmpeg(
        directory.path(),
        "testsrc2=size=1280x720:rate=25:duration=4",
        &["-c:v", "mjpeg", "-q:v", "1", "-bsf:v", "noise=0", "-t", "4"],
        "small.mp4",
    );
    let large = directory.path().join("large.mp4").to_str().unwrap().to_owned();
    run(Command::new("ffmpeg").args(["-loglevel", "error", "-stream_loop", "60", "-i", &file, "-c", "copy", &large]));
    let size = std::fs::metadata(&large).unwrap().len();
    assert!(size > 100_000_000, "only {size} bytes");
    let record = record(&server, &large);
    assert_eq!(
        (record["width"].as_u64(), record["height"].as_u64(), record["size"].as_u64()),
        (Some(1280), Some(720), Some(size))
    );
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(&large).unwrap()).unwrap();
    assert_eq!(record["hash"], format!("blake3:{}", hasher.finalize()));
    let copy = directory.path().join("copy.mp4");
    run(Command::new("curl").args(["--silent", "--fail", "--output"]).arg(&copy).arg(record["url"].as_str().unwrap()));
    run(Command::new("cmp").arg(&large).arg(&copy));
}
