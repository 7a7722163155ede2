//! What the store says, and what is said to it. Only what is used of each answer is read.

use std::fmt::Write;
use std::time::Duration;

use reqwest::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::storage::StorageError;

/// How long the store may take to begin an answer.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// `Error`, in answers that are none.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ErrorAnswer {
    pub(super) code: String,
    pub(super) message: String,
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
        .map_err(|error| StorageError::store(doing, format!("its answer is not as it should be: {error}")))
}

/// Reads the answer of a call that begins to answer with 200 before it knows how it ends: an error may stand in it.
pub(super) fn read_late_error(doing: &'static str, text: &str) -> Result<(), StorageError> {
    // The root element is what follows the XML declaration and blanks that keep the connection open.
    let root = text.split('<').find(|piece| !piece.trim().is_empty() && !piece.starts_with('?')).unwrap_or_default();
    let name = root.split(|c: char| c.is_whitespace() || c == '>' || c == '/').next().unwrap_or_default();
    match name.rsplit(':').next() {
        Some("CompleteMultipartUploadResult") => Ok(()),
        Some("Error") => {
            let ErrorAnswer { code, message } = read(doing, text)?;
            let status = if code == "InternalError" || code == "SlowDown" { 503 } else { 400 };
            Err(StorageError::Answer { doing, status, code, message })
        }
        _ => Err(StorageError::Answer {
            doing,
            status: 502,
            code: "IncompleteAnswer".to_owned(),
            message: "its answer broke off".to_owned(),
        }),
    }
}

/// What an answer that is an error says.
pub(super) async fn failure(doing: &'static str, status: u16, response: Response) -> StorageError {
    let text = tokio::time::timeout(ANSWER_TIMEOUT, response.text()).await;
    let text = text.ok().and_then(Result::ok).unwrap_or_default();
    let ErrorAnswer { code, message } = quick_xml::de::from_str(&text).unwrap_or_default();
    StorageError::Answer { doing, status, code, message }
}

/// The body of CompleteMultipartUpload: part numbers and entity tags; the part at `wrong` with a checksum that it does not
/// have, because none is asked for.
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
        for cut in ["", "<?xml version=\"1.0\"?>", "   \n "] {
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
        let empty: PartsPage = read("list", "<ListPartsResult></ListPartsResult>").unwrap();
        assert!(empty.part.is_empty() && !empty.is_truncated);
    }
}
