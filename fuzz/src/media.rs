//! Headers of images and video. The fuzzer's own time limit shows a reader that is led on; a panic is a finding, although the server
//! would catch it.

use partway_server::fuzzing::dimensions;

fn read(mime_types: &[&str], data: &[u8]) {
    for mime_type in mime_types {
        let found = dimensions(mime_type, data);
        assert_eq!(found, dimensions(mime_type, data), "reading has no memory");
    }
}

/// MP4 and QuickTime.
pub fn mp4(data: &[u8]) {
    read(&["video/mp4"], data);
}

/// WebM and Matroska.
pub fn webm(data: &[u8]) {
    read(&["video/webm"], data);
}

/// SVG.
pub fn svg(data: &[u8]) {
    read(&["image/svg+xml"], data);
}

/// Every raster format, those with a reader of their own and the rest.
pub fn image(data: &[u8]) {
    read(&["image/png", "image/jpeg", "image/bmp", "image/tiff", "image/heic", "image/jp2", "image/webp"], data);
}

/// The other containers of video, and streams without one.
pub fn video(data: &[u8]) {
    read(&["video/x-msvideo", "video/x-flv", "video/x-ms-asf", "video/ogg", "video/mpeg", "video/mp2t"], data);
}
