//! Digests that a client sends with a part, computed while the part arrives.

use md5::Md5;
use sha2::{Digest, Sha256, Sha512};

/// An algorithm that a client may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// MD5 (RFC 1321), of the header `Content-MD5` (RFC 1864).
    Md5,
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// SHA-512 (FIPS 180-4).
    Sha512,
}

impl DigestAlgorithm {
    /// Length of its digests in bytes.
    pub fn digest_bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// Its name in RFC 9530; `md5`, which the RFC leaves out, has its own.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha256 => "sha-256",
            Self::Sha512 => "sha-512",
        }
    }
}

/// The digests that a part should have. Without any, nothing is computed.
#[derive(Debug, Default)]
pub struct PartDigests {
    expected: Vec<(Running, Vec<u8>)>,
}

#[derive(Debug)]
enum Running {
    Md5(Md5),
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Running {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(digest) => digest.update(bytes),
            Self::Sha256(digest) => digest.update(bytes),
            Self::Sha512(digest) => digest.update(bytes),
        }
    }

    fn finish(self) -> (DigestAlgorithm, Vec<u8>) {
        match self {
            Self::Md5(digest) => (DigestAlgorithm::Md5, digest.finalize().to_vec()),
            Self::Sha256(digest) => (DigestAlgorithm::Sha256, digest.finalize().to_vec()),
            Self::Sha512(digest) => (DigestAlgorithm::Sha512, digest.finalize().to_vec()),
        }
    }
}

impl PartDigests {
    /// The part should have this digest, too.
    pub fn expect(&mut self, algorithm: DigestAlgorithm, digest: Vec<u8>) {
        let running = match algorithm {
            DigestAlgorithm::Md5 => Running::Md5(Md5::new()),
            DigestAlgorithm::Sha256 => Running::Sha256(Sha256::new()),
            DigestAlgorithm::Sha512 => Running::Sha512(Sha512::new()),
        };
        self.expected.push((running, digest));
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.expected.iter_mut().for_each(|(running, _)| running.update(bytes));
    }

    /// The first digest that differs from what was expected.
    pub(super) fn mismatch(self) -> Option<DigestMismatch> {
        self.expected.into_iter().find_map(|(running, expected)| {
            let (algorithm, received) = running.finish();
            (received != expected).then_some(DigestMismatch { algorithm, expected, received })
        })
    }
}

/// The bytes that came do not have the digest that the client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestMismatch {
    /// The algorithm.
    pub algorithm: DigestAlgorithm,
    /// The digest that the client sent.
    pub expected: Vec<u8>,
    /// The digest of the bytes that came.
    pub received: Vec<u8>,
}
