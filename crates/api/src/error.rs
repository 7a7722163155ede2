//! The closed set of error codes, and the one shape of every error body.
//!
//! The table below is the only place that defines a code with its status and meaning. The server's answers, the client's retries and
//! docs/ERRORS.md follow from it.

use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($($variant:ident = $code:tt, $status:literal, $summary:literal, $meaning:literal;)*) => {
        /// The reason of a refusal. Clients may match on it; codes are added, never changed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum ErrorCode {
            $(#[doc = $meaning] #[serde(rename = $code)] $variant,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the contract's table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code as the member `errorCode` has it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The HTTP status that goes with the code.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// A few words for the `error` member.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary,)* }
            }

            /// The meaning of the code and its cure, for docs/ERRORS.md.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

error_codes! {
    InvalidJson = "INVALID_JSON", 400, "Invalid JSON", "The body is empty, is not JSON, or is not a JSON object.";
    FileNameRequired = "FILE_NAME_REQUIRED", 400, "File name required", "`file_name` is missing or empty.";
    InvalidFileName = "INVALID_FILE_NAME", 400, "Invalid file name", "The name has a separator or a control character, is `.` or `..`, or is longer than 255 bytes.";
    InvalidSize = "INVALID_SIZE", 400, "Invalid size", "`size` is missing, or is not a whole number of bytes of at least 1.";
    InvalidFormat = "INVALID_FORMAT", 400, "Invalid format", "`format` is missing, or is neither a MIME type nor a known file extension.";
    InvalidFolder = "INVALID_FOLDER", 400, "Invalid folder", "`folder` is too long or too deep, or one of its segments is not a valid file name.";
    InvalidTags = "INVALID_TAGS", 400, "Invalid tags", "`tags` is neither a list of strings nor one comma-separated string, or a tag is too long, or there are too many.";
    InvalidMetadata = "INVALID_METADATA", 400, "Invalid metadata", "`metadata` is not a JSON object, or is larger than 16 KiB.";
    InvalidCustomId = "INVALID_CUSTOM_ID", 400, "Invalid custom id", "`custom_id` is not a string of at most 255 characters.";
    InvalidTtl = "INVALID_TTL", 400, "Invalid lifetime", "`ttl_seconds` is not a whole number of seconds from 1 to 604800.";
    InvalidParameter = "INVALID_PARAMETER", 400, "Invalid parameter", "Another member, parameter or header is invalid; the message names it.";
    UuidMismatch = "UUID_MISMATCH", 400, "UUID mismatch", "`uuid` differs from the one in the answer to start.";
    PartsMissing = "PARTS_MISSING", 400, "Parts missing", "Parts are missing; `missing_parts` lists them. Send them and complete again; nothing is lost.";
    PartSizeMismatch = "PART_SIZE_MISMATCH", 400, "Part size mismatch", "The body does not have the length that the part's URL was signed for. The part was not stored; send it again.";
    ChecksumMismatch = "CHECKSUM_MISMATCH", 400, "Checksum mismatch", "The received bytes do not have the digest that was sent with them. The part was not stored; send it again. On complete: the file does not have the given `hash`. The parts are kept; send the wrong ones again.";
    FileRequired = "FILE_REQUIRED", 400, "File required", "The form has no field `file`.";
    InvalidRemoteUrl = "INVALID_REMOTE_URL", 400, "Invalid remote URL", "The URL is not an http or https URL of a globally reachable host.";
    RemoteFetchFailed = "REMOTE_FETCH_FAILED", 400, "Remote fetch failed", "The remote server did not deliver the file.";
    Unauthorized = "UNAUTHORIZED", 401, "Unauthorized", "The API key is missing, unknown or revoked.";
    Forbidden = "FORBIDDEN", 403, "Forbidden", "The key is valid but not allowed to do this. A public key may only work on uploads that it started, and may name a `webhook_url` only if it was created with that permission. For a part: the key of its upload is revoked.";
    UrlExpired = "URL_EXPIRED", 403, "URL expired", "The presigned URL has expired. Request a new one.";
    SignatureInvalid = "SIGNATURE_INVALID", 403, "Signature invalid", "The URL was not signed by this server, or was changed.";
    StorageLimitExceeded = "STORAGE_LIMIT_EXCEEDED", 403, "Storage limit exceeded", "The workspace's quota is exhausted by its files and open sessions, it has too many open sessions, or a limit of public keys is reached. The message names the limit.";
    NotFound = "NOT_FOUND", 404, "Not found", "The URL has no resource.";
    SessionNotFound = "SESSION_NOT_FOUND", 404, "Session not found", "The workspace has no upload session with this id.";
    FileNotFound = "FILE_NOT_FOUND", 404, "File not found", "The workspace has no such file.";
    FolderNotFound = "FOLDER_NOT_FOUND", 404, "Folder not found", "The workspace has no such folder.";
    MethodNotAllowed = "METHOD_NOT_ALLOWED", 405, "Method not allowed", "The URL does not support this method; `Allow` lists the methods that it does.";
    RequestTimeout = "REQUEST_TIMEOUT", 408, "Request timeout", "The body stopped arriving. The part or file was not stored; send it again.";
    SessionCompleted = "SESSION_COMPLETED", 409, "Session completed", "The upload is complete and accepts no more parts.";
    FolderExists = "FOLDER_EXISTS", 409, "Folder exists", "A folder of this name exists already.";
    FileExists = "FILE_EXISTS", 409, "File exists", "A file of this name exists already. An upload with a public key replaces only files that were uploaded with it. Its session stays open: complete it when the name is free, or abort it.";
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED", 409, "Idempotency key reused", "The same `Idempotency-Key` was sent with another body.";
    SessionExpired = "SESSION_EXPIRED", 410, "Session expired", "The session has expired and its bytes are freed; start again.";
    SessionAborted = "SESSION_ABORTED", 410, "Session aborted", "The session was aborted and its bytes are freed; start again.";
    PreconditionFailed = "PRECONDITION_FAILED", 412, "Precondition failed", "The file is another version than `v` in its URL, `If-Match` or `If-Unmodified-Since` requires.";
    FileTooLarge = "FILE_TOO_LARGE", 413, "File too large", "The file is larger than this server accepts.";
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", 413, "Payload too large", "The JSON body, or a form field other than the file, is larger than 64 KiB.";
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", 415, "Unsupported media type", "The body must be sent as `application/json`, or, for a direct upload, as `multipart/form-data`.";
    RangeNotSatisfiable = "RANGE_NOT_SATISFIABLE", 416, "Range not satisfiable", "The file has no byte in the requested range; `Content-Range` has its length.";
    RateLimited = "RATE_LIMITED", 429, "Rate limited", "Too many requests; retry after the seconds in `Retry-After`.";
    Internal = "INTERNAL", 500, "Internal error", "The server failed. The cause is in its log under the request id; the request may be retried.";
    ServiceUnavailable = "SERVICE_UNAVAILABLE", 503, "Service unavailable", "The server is starting, stopping, overloaded, or still verifies the parts of this session after a restart of the machine or a restore; retry.";
    InsufficientStorage = "INSUFFICIENT_STORAGE", 507, "Insufficient storage", "The server's disk has no free space for this. Retry later.";
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The body of every error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// Always false.
    pub success: bool,
    /// Short summary.
    pub error: String,
    /// The mistake: the field, its value, and what is allowed.
    pub message: String,
    /// The machine-readable code.
    #[serde(rename = "errorCode")]
    pub error_code: ErrorCode,
    /// The id of this request in the server's log; also in the header `x-request-id`.
    #[serde(rename = "requestId")]
    #[cfg_attr(feature = "openapi", schema(pattern = "^[0-9a-f]{32}$"))]
    pub request_id: String,
    /// With PARTS_MISSING: the indices (from 0) of the missing parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_parts: Option<Vec<u32>>,
    /// With RATE_LIMITED: seconds until a retry is accepted, as in the header `Retry-After`.
    #[serde(rename = "retryAfterSeconds", default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_travels_as_its_name() {
        for code in ErrorCode::ALL {
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("\"{}\"", code.as_str()));
            assert_eq!(serde_json::from_str::<ErrorCode>(&json).unwrap(), *code);
        }
    }

    #[test]
    fn errors_that_a_retry_cannot_fix_have_no_status_that_sdks_retry() {
        // The published SDKs retry 408, 409, 429 and 5xx by themselves.
        let retried: Vec<_> = ErrorCode::ALL.iter().filter(|code| matches!(code.status(), 408 | 429 | 500..)).collect();
        use ErrorCode::{InsufficientStorage, Internal, RateLimited, RequestTimeout, ServiceUnavailable};
        assert_eq!(retried, [&RequestTimeout, &RateLimited, &Internal, &ServiceUnavailable, &InsufficientStorage]);
    }
}
