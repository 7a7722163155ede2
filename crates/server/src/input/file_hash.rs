//! The hash of a whole file, as a client sends it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use partway_api::ErrorCode;

use super::{InvalidInput, quote_for_message};
use crate::model::StorageKind;

const BLAKE3: &str = "blake3:";
const CRC64_NVME: &str = "crc64nvme:";

/// `blake3:` and 64 hexadecimal digits in lower case, or `crc64nvme:` and the base64 of 8 bytes, as S3 writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHash {
    text: String,
    kind: HashKind,
}

/// A kind of hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashKind {
    /// BLAKE3, which local storage computes.
    Blake3,
    /// CRC-64/NVME, which some stores compute.
    Crc64Nvme,
}

impl HashKind {
    /// The kind that a storage can compare.
    pub fn of(storage: StorageKind) -> Self {
        match storage {
            StorageKind::Local => Self::Blake3,
            StorageKind::S3 => Self::Crc64Nvme,
        }
    }

    /// The prefix of hashes of this kind.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Blake3 => BLAKE3,
            Self::Crc64Nvme => CRC64_NVME,
        }
    }

    /// Its name on the wire; `none` for no kind.
    pub fn name_of(kind: Option<Self>) -> &'static str {
        kind.map_or("none", |kind| kind.prefix().trim_end_matches(':'))
    }
}

impl FileHash {
    /// Takes the value of `hash`.
    ///
    /// # Errors
    /// INVALID_PARAMETER.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let blake3 = text.strip_prefix(BLAKE3).and_then(|digits| blake3::Hash::from_hex(digits).ok());
        if let Some(hash) = blake3 {
            return Ok(Self { text: format!("{BLAKE3}{}", hash.to_hex()), kind: HashKind::Blake3 });
        }
        let crc = text.strip_prefix(CRC64_NVME).filter(|sum| STANDARD.decode(sum).is_ok_and(|bytes| bytes.len() == 8));
        crc.map(|_| Self { text: text.to_owned(), kind: HashKind::Crc64Nvme }).ok_or_else(|| {
            let allowed =
                "blake3: and the 64 hexadecimal digits that b3sum prints, or crc64nvme: and base64 of 8 bytes";
            InvalidInput::new(ErrorCode::InvalidParameter, "hash", quote_for_message(text), allowed)
        })
    }

    /// The kind of the hash.
    pub fn kind(&self) -> HashKind {
        self.kind
    }

    /// The hash, with its prefix.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The hash, with its prefix.
    pub fn into_inner(self) -> String {
        self.text
    }
}
