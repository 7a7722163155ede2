//! The fixed limits of the wire contract. Limits that operators may change are settings of the server.

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const TIB: u64 = 1024 * 1024 * MIB;

/// Part size of every file that fits into [`MAX_PARTS`] of them, in bytes: five 2 MiB subtrees of BLAKE3.
pub const DEFAULT_PART_SIZE_BYTES: u64 = 10 * MIB;

/// Part sizes grow in steps of this many bytes. A power of two, so that every part is a whole number of
/// BLAKE3 subtrees of this size and hashes of parts merge into the hash of the file.
pub const PART_SIZE_STEP_BYTES: u64 = 2 * MIB;

/// Most parts a file may have; S3 has the same limit, and the part plan must suit both.
pub const MAX_PARTS: u64 = 10_000;

/// The answer's `min_part_size` in bytes: the smallest part that S3 accepts, except for the last one.
pub const MIN_PART_SIZE_BYTES: u64 = 5 * MIB;

/// Smallest part that a client may ask for, in bytes; also the step in which such sizes are taken. A power of two, for the same reason.
/// A store has its own minimum, [`MIN_PART_SIZE_BYTES`].
pub const SMALLEST_PART_BYTES: u64 = MIB;

/// Largest file accepted unless the operator sets another limit, in bytes.
pub const DEFAULT_MAX_FILE_BYTES: u64 = 5 * TIB;

/// Largest JSON request body, in bytes.
pub const MAX_JSON_BODY_BYTES: usize = 64 * 1024;

/// Longest file name or folder segment, in bytes of UTF-8 after NFC.
pub const MAX_NAME_BYTES: usize = 255;
/// Longest folder path, in bytes of UTF-8 after NFC.
pub const MAX_FOLDER_BYTES: usize = 1024;
/// Deepest folder path, in segments.
pub const MAX_FOLDER_LEVELS: usize = 32;
/// Longest name of a folder that is created or renamed directly, in characters (Unicode scalar values).
pub const MAX_FOLDER_NAME_CHARS: usize = 100;
/// Largest form field other than the file, in bytes.
pub const MAX_FORM_FIELD_BYTES: usize = 64 * 1024;
/// Most fields of a form; the API has nine.
pub const MAX_FORM_FIELDS: usize = 100;
/// Longest URL of a webhook or of a remote file, in bytes: as common servers and browsers accept.
pub const MAX_URL_BYTES: usize = 2048;
/// Most tags of one file.
pub const MAX_TAGS: usize = 50;
/// Longest tag, in characters (Unicode scalar values).
pub const MAX_TAG_CHARS: usize = 128;
/// Largest metadata object, in bytes of compact JSON.
pub const MAX_METADATA_BYTES: usize = 16 * 1024;
/// Longest custom id, in characters (Unicode scalar values).
pub const MAX_CUSTOM_ID_CHARS: usize = 255;
/// Longest MIME type, in bytes: RFC 6838 allows 127 each for type and subtype, and one slash.
pub const MAX_FORMAT_BYTES: usize = 255;

/// Longest `Idempotency-Key`, in bytes.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;
/// How long an `Idempotency-Key` is remembered, in seconds.
pub const IDEMPOTENCY_SECONDS: u64 = 24 * 60 * 60;

/// Rows on a page of a list by default.
pub const DEFAULT_PAGE_ROWS: u32 = 20;
/// Most rows on a page of a list.
pub const MAX_PAGE_ROWS: u32 = 100;
/// Most rows on a page of folders, and the default of clients that name no page. Each page costs the scan of the index up to it: a list of
/// 100,000 folders takes a fifth of the processor time that it takes in pages of 100.
pub const MAX_FOLDER_PAGE_ROWS: u32 = 1000;

/// Lifetime of a session and its URLs by default, in seconds.
pub const DEFAULT_TTL_SECONDS: u64 = 3_600;
/// Longest lifetime that a client may request, in seconds: a week, which is also S3's limit for presigned URLs.
pub const MAX_TTL_SECONDS: u64 = 604_800;
