//! Forms with a file, and the presigned URLs of parts.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::Request;
use futures_util::stream;
use http::Uri;
use partway_server::fuzzing;
use partway_server::input::UploadFields;
use partway_server::service::part_urls::{PartPermission, PartUrlSigner};
use uuid::Uuid;

use super::number;

fn read_form(data: &[u8], piece_bytes: usize) -> Option<(UploadFields, Option<Vec<u8>>)> {
    let pieces: Vec<_> =
        data.chunks(piece_bytes).map(|piece| Ok::<_, Infallible>(bytes::Bytes::copy_from_slice(piece))).collect();
    let request = Request::builder().header("content-type", "multipart/form-data; boundary=b");
    let request = request.body(Body::from_stream(stream::iter(pieces))).expect("the header is valid");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime can be built");
    runtime.block_on(fuzzing::form(request))
}

/// A form is read the same however its body is cut, and a file has no byte that the body had not.
pub fn form(data: &[u8]) {
    let Some((piece, body)) = data.split_first() else { return };
    let whole = read_form(body, body.len().max(1));
    if let Some((_, Some(file))) = &whole {
        assert!(file.is_empty() || body.windows(file.len()).any(|window| window == file));
    }
    assert_eq!(read_form(body, usize::from(*piece).max(1)), whole);
}

/// A URL that was changed anywhere permits nothing but what it was signed for.
pub fn part_url(data: &[u8]) {
    let (numbers, data) = number(data);
    let (position, change) = number(data);
    let signer = PartUrlSigner::new(&[7; 32]);
    let signed = PartPermission {
        session_id: Uuid::from_u128(u128::from(numbers) << 32),
        part_index: numbers as u32 % 10_000,
        length_bytes: numbers >> 8,
        expires_at: (numbers >> 32) as i64,
    };
    let url = signer.path_and_query(&signed);
    let at = position as usize % (url.len() + 1);
    let (front, back) = url.split_at(at);
    let Ok(change) = std::str::from_utf8(change) else { return };
    let replaced = format!("{front}{change}{}", back.get(change.len()..).unwrap_or_default());
    let inserted = format!("{front}{change}{back}");
    for changed in [replaced, inserted, change.to_owned()] {
        let Some(permission) = permission(&changed) else { continue };
        let (permission, signature) = permission;
        // Before anything expires.
        let is_good = signer.check(&permission, &signature, i64::MIN).is_ok();
        assert!(!is_good || permission == signed, "{changed}");
    }
    let (permission, signature) = permission(&url).expect("a signed URL can be read");
    assert_eq!(permission, signed);
    assert_eq!(signer.check(&permission, &signature, signed.expires_at - 1), Ok(()));
    assert!(signer.check(&permission, &signature, signed.expires_at).is_err());
}

fn permission(url: &str) -> Option<(PartPermission, String)> {
    let url: Uri = url.parse().ok()?;
    let (session_id, part_index) = url.path().strip_prefix("/api/v1/multipart/")?.split_once("/parts/")?;
    let (session_id, part_index) = (session_id.parse().ok()?, part_index.parse().ok()?);
    let (length_bytes, expires_at, signature) = fuzzing::presigned(&url)?;
    Some((PartPermission { session_id, part_index, length_bytes, expires_at }, signature))
}
