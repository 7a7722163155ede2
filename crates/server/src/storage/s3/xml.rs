//! XML of the S3 API: answers of the store, of which only the fields that are used are read, and the bodies sent to it.
//!
//! The parsers of rusty-s3 accept less than stores send: they want the namespace of AWS, which others leave out or write
//! differently, and fields that nobody needs (`MaxParts`, `LastModified`).

use std::fmt::Write;

use quick_xml::events::Event;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::storage::StorageError;

/// An `Error` document. All fields default: proxies answer with documents of their own.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ErrorAnswer {
    pub(super) code: String,
    pub(super) message: String,
}

impl ErrorAnswer {
    /// Reads the body of an answer with an error status.
    pub(super) fn read(text: &str) -> Self {
        quick_xml::de::from_str(text).unwrap_or_default()
    }
}

/// `InitiateMultipartUploadResult`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UploadMade {
    pub(super) upload_id: String,
}

/// `ListPartsResult`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PartsPage {
    #[serde(default)]
    pub(super) part: Vec<PartListed>,
    #[serde(default)]
    pub(super) is_truncated: bool,
    pub(super) next_part_number_marker: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PartListed {
    pub(super) part_number: u32,
    #[serde(rename = "ETag")]
    pub(super) etag: String,
    pub(super) size: u64,
}

/// `ListMultipartUploadsResult`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UploadsPage {
    #[serde(default)]
    pub(super) upload: Vec<UploadListed>,
    #[serde(default)]
    pub(super) is_truncated: bool,
    pub(super) next_key_marker: Option<String>,
    pub(super) next_upload_id_marker: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UploadListed {
    pub(super) key: String,
    pub(super) upload_id: String,
}

/// `ListBucketResult`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ObjectsPage {
    #[serde(default)]
    pub(super) contents: Vec<ObjectListed>,
    #[serde(default)]
    pub(super) is_truncated: bool,
    pub(super) next_continuation_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ObjectListed {
    pub(super) key: String,
}

/// Reads an answer.
pub(super) fn read<T: DeserializeOwned>(doing: &'static str, text: &str) -> Result<T, StorageError> {
    quick_xml::de::from_str(text)
        .map_err(|error| StorageError::store(doing, format!("its answer is malformed: {error}")))
}

/// Reads the answer of a call that the store begins to answer with 200 before it has a result: the document may be an error.
/// White space, which keeps the connection open, may come before it.
pub(crate) fn read_late_error(doing: &'static str, text: &str) -> Result<(), StorageError> {
    match root(text).as_deref() {
        Some(b"CompleteMultipartUploadResult") => Ok(()),
        Some(b"Error") => {
            let ErrorAnswer { code, message } = read(doing, text)?;
            let status = if code == "InternalError" || code == "SlowDown" { 503 } else { 400 };
            Err(StorageError::Answer { doing, status, code, message, retry_after: None })
        }
        _ => Err(StorageError::Answer {
            doing,
            status: 502,
            code: "IncompleteAnswer".to_owned(),
            message: "its answer broke off".to_owned(),
            retry_after: None,
        }),
    }
}

/// The name of the root element, without a namespace prefix.
fn root(text: &str) -> Option<Vec<u8>> {
    let mut reader = quick_xml::Reader::from_str(text);
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag) | Event::Empty(tag)) => return Some(tag.local_name().as_ref().to_vec()),
            Ok(Event::Eof) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// The body of CompleteMultipartUpload: part numbers and entity tags. The part at index `wrong` gets an impossible checksum;
/// the answer then tells which part the store refuses.
pub(super) fn complete_body<'p>(parts: impl Iterator<Item = (u32, &'p str)>, wrong: Option<usize>) -> String {
    let mut body = String::from("<CompleteMultipartUpload>");
    for (at, (number, etag)) in parts.enumerate() {
        let etag = quick_xml::escape::escape(etag);
        let checksum = if wrong == Some(at) { "<ChecksumCRC32>AAAAAA==</ChecksumCRC32>" } else { "" };
        let _ = write!(body, "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{checksum}</Part>");
    }
    body.push_str("</CompleteMultipartUpload>");
    body
}

/// Parts, uploads and objects that the text lists, as each of the three lists.
#[cfg(feature = "fuzzing")]
pub(crate) fn listed(text: &str) -> [usize; 3] {
    [
        read::<PartsPage>("list parts", text).map_or(0, |page| page.part.len()),
        read::<UploadsPage>("list uploads", text).map_or(0, |page| page.upload.len()),
        read::<ObjectsPage>("list objects", text).map_or(0, |page| page.contents.len()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_under_a_200_is_an_error() {
        let ok = "<?xml version=\"1.0\"?>\n  \n<CompleteMultipartUploadResult xmlns=\"x\"><ETag>1</ETag></CompleteMultipartUploadResult>";
        assert!(read_late_error("complete", ok).is_ok());
        let failed = "<?xml version=\"1.0\"?>\n <Error><Code>InternalError</Code><Message>We failed</Message></Error>";
        assert!(read_late_error("complete", failed).unwrap_err().is_transient());
        let wrong = "<Error><Code>InvalidPart</Code><Message>x</Message></Error>";
        assert!(read_late_error("complete", wrong).unwrap_err().is_code("InvalidPart"));
        let prefixed = "<s3:CompleteMultipartUploadResult xmlns:s3='x'/>";
        assert!(read_late_error("complete", prefixed).is_ok());
        for cut in [
            "",
            "<?xml version=\"1.0\"?>",
            "   \n ",
            "<?xml",
            "<Comp",
            "<!-- CompleteMultipartUploadResult -->",
            "<Errors/>",
        ] {
            assert!(read_late_error("complete", cut).unwrap_err().is_transient(), "{cut:?}");
        }
    }

    #[test]
    fn pages_are_read_with_and_without_what_is_optional() {
        let page: PartsPage = read(
            "list",
            "<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>2</NextPartNumberMarker>\
             <Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag><Size>5</Size><LastModified>x</LastModified></Part>\
             <Part><PartNumber>2</PartNumber><ETag>\"b\"</ETag><Size>6</Size></Part></ListPartsResult>",
        )
        .unwrap();
        assert_eq!((page.part.len(), page.part[0].etag.as_str(), page.is_truncated), (2, "\"a\"", true));
        let other_namespace: PartsPage = read(
            "list",
            "<ListPartsResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'><NextPartNumberMarker/>\
             <Part><PartNumber>3</PartNumber><ETag>e</ETag><Size>1</Size></Part></ListPartsResult>",
        )
        .unwrap();
        assert_eq!(other_namespace.part.len(), 1);
        let empty: PartsPage = read("list", "<ListPartsResult></ListPartsResult>").unwrap();
        assert!(empty.part.is_empty() && !empty.is_truncated);
    }
}
