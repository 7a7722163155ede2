//! The answers of the proxy: those of the store, with some changed, and its own.

use super::Seen;
use super::call::Call;
use super::manners::{Lacks, Manners};

/// The store's answer as the proxy returns it.
pub(super) fn changed(call: &Call, answer: Vec<u8>, manners: Manners, seen: &mut Seen) -> Vec<u8> {
    let is_ok = answer.get(9..12) == Some(b"200");
    seen.listings += usize::from(call.lists_uploads());
    if let (true, Some(upload)) = (is_ok, call.upload()) {
        match call.method.as_str() {
            "POST" => drop(seen.completed.insert(upload)),
            "GET" => drop(seen.parts.insert(upload, answer.clone())),
            _ => {}
        }
    }
    if seen.garbles_openings && call.opens_upload() {
        return xml(200, "<html>It works!</html>");
    }
    let text = String::from_utf8_lossy(&answer);
    if manners.lists_completed && is_ok && call.lists_uploads() {
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let prefix = call.value("prefix").unwrap_or_default().replace("%2F", "/");
        let wanted = seen.completed.iter().filter(|(key, _)| key.replace("%2F", "/").starts_with(&prefix));
        let listed: String = wanted.map(listed).collect();
        let end = "</ListMultipartUploadsResult>";
        return xml(200, &body.replacen(end, &format!("{listed}{end}"), 1));
    }
    if manners.says_no_such_key && text.contains("NoSuchUpload") {
        return error(404, "NoSuchKey");
    }
    if manners.takes_any_length && answer.get(9..12) == Some(b"403") && call.part_number().is_some() {
        return taken();
    }
    if manners.fails_empty_lists && is_ok && call.lists_parts() && !text.contains("<Part>") {
        return error(500, "InternalError");
    }
    if manners.says_wrong_checksums && is_ok && call.method == "HEAD" {
        return text.replacen("\r\n", "\r\nx-amz-checksum-crc64nvme: AAAAAAAAAAA=\r\n", 1).into_bytes();
    }
    if manners.keeps_no_checksums && call.method == "HEAD" {
        let lines = text.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("x-amz-checksum"));
        return lines.collect::<Vec<_>>().join("\r\n").into_bytes();
    }
    answer
}

fn listed((key, upload_id): &(String, String)) -> String {
    format!("<Upload><Key>{}</Key><UploadId>{upload_id}</UploadId></Upload>", key.replace("%2F", "/"))
}

/// Its answer without asking the store, if it has one.
pub(super) fn own_answer(call: &Call, manners: Manners, seen: &mut Seen) -> Option<Vec<u8>> {
    if call.value("uploadId").is_none() && seen.destroyed.contains(&call.key) && matches!(&*call.method, "GET" | "HEAD")
    {
        return Some(error(404, "NoSuchKey"));
    }
    match manners.lacks.filter(|_| !seen.lacks_nothing) {
        Some(Lacks::ListUploads) if call.lists_uploads() => return Some(error(501, "NotImplemented")),
        Some(Lacks::ListParts) if call.lists_parts() => return Some(error(501, "NotImplemented")),
        Some(Lacks::SetCors) if call.sets_cors() => return Some(error(405, "MethodNotAllowed")),
        _ => {}
    }
    let upload = call.upload()?;
    if let (true, Some(number)) = (manners.refuses_parts_once, call.part_number()) {
        let came = seen.came.entry(upload.clone()).or_default();
        if came.insert(number) && came.len() > 1 {
            return Some(error(503, "ServiceUnavailable"));
        }
    }
    let is_completed = seen.completed.contains(&upload);
    match call.method.as_str() {
        "DELETE" => {
            seen.completed.remove(&upload);
            seen.given_up.insert(upload);
            (manners.lists_completed && is_completed).then(|| {
                seen.destroyed.insert(call.key.clone());
                b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_vec()
            })
        }
        "PUT" if call.part_number() > manners.last_part_number.or(call.part_number()) => {
            Some(error(400, "InvalidArgument"))
        }
        "PUT" if manners.takes_late_parts && is_completed => Some(taken()),
        "GET" if manners.completed_is_open_and_empty && is_completed => {
            Some(xml(200, "<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>"))
        }
        "GET" if manners.completed_keeps_parts && is_completed => seen.parts.get(&upload).cloned(),
        "POST" if manners.completes_once && is_completed => Some(error(500, "InternalError")),
        _ => None,
    }
}

/// A part was taken.
fn taken() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\netag: \"odd\"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec()
}

fn xml(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

pub(super) fn error(status: u16, code: &str) -> Vec<u8> {
    xml(status, &format!("<Error><Code>{code}</Code><Message>as other stores say</Message></Error>"))
}
