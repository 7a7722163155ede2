//! Fingerprints of files, which find an upload again after its file was touched or moved.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};

/// Samples of a file that its fingerprint hashes, and their length.
const SAMPLES: u64 = 16;
const SAMPLE_BYTES: u64 = 64 * 1024;

/// Time of the last modification, in nanoseconds since 1970.
pub(super) fn modified_ns(metadata: &Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

/// A hash of the size and of samples all over the file, as fast as reading about 1 MiB. It finds nearly every change. The rest
/// is found later: by the hash of the whole file before the upload is completed, or by the hashes of parts where the server
/// compares none of the whole.
pub(super) fn fingerprint(file: &File, size_bytes: u64) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&size_bytes.to_le_bytes());
    let mut buffer = vec![0; SAMPLE_BYTES as usize];
    for sample in samples(size_bytes) {
        let length = (sample.end - sample.start) as usize;
        file.read_exact_at(&mut buffer[..length], sample.start)?;
        hasher.update(&buffer[..length]);
    }
    Ok(hasher.finalize().to_hex()[..32].to_owned())
}

/// Ranges spread evenly over the file, with its beginning and its end. Those of a small file cover it.
fn samples(size_bytes: u64) -> Vec<Range<u64>> {
    if size_bytes <= SAMPLES * SAMPLE_BYTES {
        return (0..size_bytes.div_ceil(SAMPLE_BYTES))
            .map(|index| index * SAMPLE_BYTES..((index + 1) * SAMPLE_BYTES).min(size_bytes))
            .collect();
    }
    let room = size_bytes - SAMPLE_BYTES;
    (0..SAMPLES)
        .map(|index| (u128::from(room) * u128::from(index) / u128::from(SAMPLES - 1)) as u64)
        .map(|begin| begin..begin + SAMPLE_BYTES)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_lie_within_the_file_and_have_both_ends() {
        for size in [1, SAMPLE_BYTES, SAMPLE_BYTES + 1, SAMPLES * SAMPLE_BYTES, SAMPLES * SAMPLE_BYTES + 1, 1 << 40] {
            let samples = samples(size);
            assert_eq!((samples[0].start, samples[samples.len() - 1].end), (0, size));
            assert!(samples.iter().all(|sample| sample.start < sample.end && sample.end <= size));
            assert!(samples.iter().all(|sample| sample.end - sample.start <= SAMPLE_BYTES));
        }
    }
}
