//! The received bytes of a file, and the pieces in which the others are fetched.
//!
//! Invariants: the ranges are in order, none is empty, none overlaps or touches another; the pieces of a file are
//! disjoint, in order, and cover it exactly.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Bytes of a piece. Large enough to make the cost of a request negligible, small enough for all connections to end at about the same
/// time. A power of two and a multiple of 2 MiB, so that each piece is one subtree of the file's hash.
pub(crate) const PIECE_BYTES: u64 = 16 * 1024 * 1024;

/// A set of bytes of a file. Written as pairs of begin and end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub(crate) struct Ranges(Vec<Range<u64>>);

impl Ranges {
    /// Adds the bytes of `range`.
    pub(crate) fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|other| other.end < range.start);
        let after = self.0.partition_point(|other| other.start <= range.end);
        let joined = self.0[first..after]
            .iter()
            .fold(range, |joined, other| joined.start.min(other.start)..joined.end.max(other.end));
        drop(self.0.splice(first..after, [joined]));
    }

    /// End of the received bytes from `begin` on without a gap.
    pub(crate) fn end_from(&self, begin: u64) -> u64 {
        let index = self.0.partition_point(|range| range.end <= begin);
        self.0.get(index).filter(|range| range.start <= begin).map_or(begin, |range| range.end)
    }

    /// Whether all of them are within a file of `size_bytes`.
    pub(crate) fn are_within(&self, size_bytes: u64) -> bool {
        self.0.last().is_none_or(|last| last.end <= size_bytes)
    }

    /// Number of bytes.
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }
}

impl From<Vec<(u64, u64)>> for Ranges {
    fn from(pairs: Vec<(u64, u64)>) -> Self {
        let mut ranges = Self::default();
        pairs.into_iter().for_each(|(begin, end)| ranges.add(begin..end));
        ranges
    }
}

impl From<Ranges> for Vec<(u64, u64)> {
    fn from(ranges: Ranges) -> Self {
        ranges.0.into_iter().map(|range| (range.start, range.end)).collect()
    }
}

/// A piece of a file. Its bytes are received in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Its index among the pieces, from 0.
    pub(crate) index: usize,
    /// Its bytes.
    pub(crate) range: Range<u64>,
    /// Offset of the first byte that is missing.
    pub(crate) there: u64,
}

impl Piece {
    /// Whether it is complete.
    pub(crate) fn is_there(&self) -> bool {
        self.there == self.range.end
    }
}

/// The pieces of a file of `size_bytes`, given the received bytes.
pub(crate) fn pieces(size_bytes: u64, there: &Ranges) -> Vec<Piece> {
    let begins = (0..size_bytes).step_by(PIECE_BYTES as usize);
    let ranges = begins.map(|begin| begin..(begin + PIECE_BYTES).min(size_bytes));
    (0..)
        .zip(ranges)
        .map(|(index, range)| Piece { index, there: there.end_from(range.start).min(range.end), range })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pieces_cover_the_file_at_every_edge() {
        for size in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES, 5 * PIECE_BYTES + 7] {
            let pieces = pieces(size, &Ranges::default());
            let mut end = 0;
            for (index, piece) in pieces.iter().enumerate() {
                assert_eq!((piece.index, piece.range.start, piece.there), (index, end, end));
                assert!(piece.range.end - piece.range.start <= PIECE_BYTES && !piece.is_there());
                end = piece.range.end;
            }
            assert_eq!((pieces.len() as u64, end), (size.div_ceil(PIECE_BYTES), size));
        }
    }

    #[test]
    fn only_what_is_missing_of_a_piece_is_fetched() {
        let mib = 1024 * 1024;
        // The second piece has a gap after 1 MiB; the bytes after the gap are fetched again.
        let there = Ranges::from(vec![(0, 17 * mib), (18 * mib, 20 * mib), (48 * mib, 50 * mib)]);
        let there_of: Vec<_> = pieces(50 * mib, &there).iter().map(|piece| (piece.there, piece.is_there())).collect();
        assert_eq!(there_of, [(16 * mib, true), (17 * mib, false), (32 * mib, false), (50 * mib, true)]);
    }

    #[test]
    fn ranges_are_written_as_pairs_and_read_in_any_order() {
        let ranges: Ranges = serde_json::from_str("[[5,9],[0,3],[3,4],[7,7],[8,2],[20,30]]").unwrap();
        assert_eq!(serde_json::to_string(&ranges).unwrap(), "[[0,4],[5,9],[20,30]]");
        assert!(ranges.are_within(30) && !ranges.are_within(29));
    }

    proptest! {
        #[test]
        fn ranges_are_the_bytes_that_were_added(added in proptest::collection::vec((0..60_u64, 0..12_u64), 0..20)) {
            let mut ranges = Ranges::default();
            let mut bytes = [false; 80];
            for (begin, length) in added {
                ranges.add(begin..begin + length);
                bytes[begin as usize..(begin + length) as usize].fill(true);
            }
            prop_assert_eq!(ranges.total(), bytes.iter().filter(|there| **there).count() as u64);
            for begin in 0..72 {
                let missing = bytes[begin..].iter().position(|there| !there).unwrap();
                prop_assert_eq!(ranges.end_from(begin as u64), (begin + missing) as u64);
            }
            prop_assert!(ranges.0.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert!(ranges.0.iter().all(|range| !range.is_empty()));
        }
    }
}
