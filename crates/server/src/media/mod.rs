//! Reads the type of a file from its bytes, and width and height of images and video, as they are shown, from its header.
//!
//! Files are untrusted. Readers read only headers, never allocate by a length that a file claims, and stop after a bounded
//! number of steps. A file that they cannot read has no dimensions; nothing fails.

mod bounded;
#[cfg(test)]
mod corpus;
mod evidence;
pub(crate) mod file_type;
mod image;
mod iso_box;
mod signature;
mod text;
mod video;

pub(crate) use file_type::{FileType, HEAD_BYTES};

use std::io::{BufReader, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::model::essence;

/// Largest plausible side in pixels: the maximum of the formats (16 bits in most).
const MAX_SIDE: u32 = 1 << 20;
/// Maximum reads in one file. Headers need tens; a malicious file could keep a reader busy for hours without this bound.
pub(crate) const MAX_READS: u32 = 4096;
/// Headers are read in pieces of this many bytes.
const BUFFER_BYTES: usize = 4096;

/// The pictures of a file, as far as its header describes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pictures {
    /// Nothing, or nothing that can be read.
    Unknown,
    /// There are none: the file is sound.
    None,
    /// Their width and height in pixels, as they are shown: turned, cropped and stretched as the header says.
    Sized(u32, u32),
}

impl Pictures {
    /// Width and height in pixels, where they are known.
    pub fn dimensions(self) -> Option<(u32, u32)> {
        match self {
            Self::Sized(width, height) => Some((width, height)),
            Self::Unknown | Self::None => None,
        }
    }

    /// These, if their sides are plausible.
    fn plausible(self) -> Self {
        let is_plausible = |side: u32| (1..=MAX_SIDE).contains(&side);
        match self {
            Self::Sized(width, height) if !is_plausible(width) || !is_plausible(height) => Self::Unknown,
            found => found,
        }
    }
}

impl From<Option<(u32, u32)>> for Pictures {
    fn from(dimensions: Option<(u32, u32)>) -> Self {
        dimensions.map_or(Self::Unknown, |(width, height)| Self::Sized(width, height))
    }
}

/// Whether the header of files of this type can be read.
pub(crate) fn has_reader(mime_type: &str) -> bool {
    reader_of(mime_type).is_some()
}

/// Reads the header of a file; [`Pictures::Unknown`] for other types and for files that are not of their
/// type. `open` is called only for types with a reader. Blocks.
pub(crate) fn pictures<'f, F: Read + Seek + 'f>(mime_type: &str, open: impl FnOnce() -> Option<F>) -> Pictures {
    let Some((read, file)) = reader_of(mime_type).and_then(|read| Some((read, open()?))) else {
        return Pictures::Unknown;
    };
    let reader: Reader<'f> = BufReader::with_capacity(BUFFER_BYTES, Box::new(file));
    // A reader that panics must not prevent the file from being completed. No state outlives the panic.
    catch_unwind(AssertUnwindSafe(|| read(reader))).map_or(Pictures::Unknown, Pictures::plausible)
}

/// Reads the header of one format.
type ReadPictures = fn(Reader<'_>) -> Pictures;

fn reader_of(mime_type: &str) -> Option<ReadPictures> {
    let essence = essence(mime_type);
    image::reader_of(essence).or_else(|| video::reader_of(essence))
}

/// A source that can be read from any position.
trait ReadSeek: Read + Seek {}

impl<F: Read + Seek> ReadSeek for F {}

type Reader<'f> = BufReader<Box<dyn ReadSeek + 'f>>;

/// The same as [`pictures`] for bytes in memory, but a reader that panics is not forgiven.
#[cfg(feature = "fuzzing")]
pub(crate) fn pictures_or_panic(mime_type: &str, bytes: &[u8]) -> Pictures {
    let reader: Reader<'_> = BufReader::with_capacity(BUFFER_BYTES, Box::new(std::io::Cursor::new(bytes)));
    reader_of(mime_type).map_or(Pictures::Unknown, |read| read(reader))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LocalStore;
    use proptest::prelude::*;

    const TYPES: [&str; 8] = [
        "image/jpeg",
        "image/png",
        "image/gif",
        "image/webp",
        "image/avif",
        "image/svg+xml",
        "video/mp4",
        "video/webm",
    ];

    /// Beginnings of real files, so that the readers get past their first check.
    const BEGINNINGS: [&[u8]; 9] = [
        b"\xff\xd8\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"GIF89a",
        b"RIFF\xff\xff\xff\x7fWEBPVP8X",
        b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf\0\0\0\x20meta",
        b"<svg width=\"",
        b"\0\0\0\x18ftypisom\0\0\0\0isommp42\0\0\0\x40moov\0\0\0\x38trak",
        b"\0\0\0\x01moov\0\0\0\0\0\0\0\x30",
        b"\x1a\x45\xdf\xa3\x84\x42\x86\x81\x01\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff\x16\x54\xae\x6b\xa0\xae\x90",
    ];

    #[test]
    fn a_file_made_to_lead_a_reader_on_is_given_up_early() {
        let directory = tempfile::tempdir().unwrap();
        let store = LocalStore::open(directory.path(), false, 1).unwrap();
        let bytes = [&b"\xff\xd8"[..], &b"\xff\xe0\x00\x02".repeat(4 << 20)].concat();
        let blob = store.create(uuid::Uuid::from_u128(1), bytes.len() as u64).unwrap();
        blob.write_all_at(&bytes, 0).unwrap();
        let began = std::time::Instant::now();
        assert_eq!(pictures("image/jpeg", || blob.reader(MAX_READS).ok()), Pictures::Unknown);
        assert!(began.elapsed() < std::time::Duration::from_secs(1), "{:?}", began.elapsed());
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic_or_hang(
            begin in 0..BEGINNINGS.len(),
            rest in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            // A store would make 256 directories for each case.
            let bytes = [BEGINNINGS[begin], &rest].concat();
            for mime in TYPES {
                // Not by `pictures`, which forgives a panic.
                let read = reader_of(mime).unwrap();
                let reader: Reader<'_> = BufReader::with_capacity(BUFFER_BYTES, Box::new(std::io::Cursor::new(&bytes)));
                let began = std::time::Instant::now();
                read(reader);
                prop_assert!(began.elapsed() < std::time::Duration::from_secs(5), "{mime}: {:?}", began.elapsed());
            }
        }
    }
}
