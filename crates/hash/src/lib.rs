//! The hash of a file from the hashes of its parts.
//!
//! BLAKE3 is a binary tree over chunks of 1 KiB. The nodes over an aligned power of two of bytes (and the
//! rightmost nodes, which may be shorter) do not depend on who computes them or in which order, so every
//! part is cut into the largest such subtrees that fit into it, each is hashed to its chaining value while the
//! part arrives, and the values of all parts merge to exactly the hash of the whole file. The same values
//! later prove that a part's bytes are still what was received.
//! Source: the BLAKE3 paper, sections 2.1 and 5.1.2; `blake3::hazmat`.

#![cfg_attr(not(test), warn(clippy::too_many_lines))]

use std::ops::Range;

use blake3::Hasher;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root};

/// Bytes of one chaining value.
const VALUE_BYTES: usize = 32;

/// Length of the largest subtree that begins at `offset`, lies within `part`, and is a node of the tree of a
/// file of `size_bytes`. `offset` is within `part`, at the beginning of a subtree.
fn subtree_len(offset: u64, part: &Range<u64>, size_bytes: u64) -> u64 {
    let left = part.end - offset;
    // A subtree that begins at `offset` is at most as long as the power of two that `offset` is a multiple of.
    let aligned = if offset == 0 { u64::MAX } else { 1 << offset.trailing_zeros() };
    if part.end == size_bytes && left <= aligned {
        // The last node of its level may be shorter than its neighbours.
        return left;
    }
    aligned.min(1 << left.ilog2())
}

/// Hashes one part while it arrives.
#[derive(Debug)]
pub struct PartHasher {
    part: Range<u64>,
    size_bytes: u64,
    /// Begin of the current subtree.
    begin: u64,
    /// Bytes that the current subtree still takes.
    wanted: u64,
    hasher: Box<Hasher>,
    values: Vec<u8>,
}

impl PartHasher {
    /// For the bytes `part` of a file of `size_bytes`. The part begins at a multiple of 2 MiB and is not empty.
    pub fn new(part: Range<u64>, size_bytes: u64) -> Self {
        let begin = part.start;
        let wanted = subtree_len(begin, &part, size_bytes);
        let mut hasher = Box::new(Hasher::new());
        hasher.set_input_offset(begin);
        Self { part, size_bytes, begin, wanted, hasher, values: Vec::new() }
    }

    /// How many subtrees the part has.
    pub fn count(part: &Range<u64>, size_bytes: u64) -> usize {
        let after = |begin: &u64| Some(begin + subtree_len(*begin, part, size_bytes)).filter(|next| *next < part.end);
        std::iter::successors(Some(part.start), after).count()
    }

    /// Takes the next bytes of the part. Never more than the part has.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let take = usize::try_from(self.wanted).unwrap_or(usize::MAX).min(bytes.len());
            let (now, later) = bytes.split_at(take);
            self.hasher.update(now);
            self.wanted -= take as u64;
            if self.wanted == 0 {
                self.close_subtree();
            }
            bytes = later;
        }
    }

    fn close_subtree(&mut self) {
        let end = self.begin + self.hasher.count();
        if self.begin == 0 && end == self.size_bytes {
            // The whole file is this one subtree, so it is the root, which is hashed differently.
            self.values.extend_from_slice(self.hasher.finalize().as_bytes());
        } else {
            self.values.extend_from_slice(&self.hasher.finalize_non_root());
        }
        if end < self.part.end {
            self.begin = end;
            self.wanted = subtree_len(end, &self.part, self.size_bytes);
            // Not `reset`: as of blake3 1.8.7 it keeps the old offset, and setting the next one panics.
            *self.hasher = Hasher::new();
            self.hasher.set_input_offset(end);
        }
    }

    /// The chaining values of the part's subtrees, in order, 32 bytes each. All bytes were given.
    pub fn finish(self) -> Vec<u8> {
        debug_assert_eq!(self.wanted, 0, "the part is not whole");
        self.values
    }
}

/// Merges the subtrees of all parts, in order, to the hash of the file. `None` when they do not fit the file.
pub fn merge<'p>(size_bytes: u64, parts: impl IntoIterator<Item = (Range<u64>, &'p [u8])>) -> Option<blake3::Hash> {
    let mut leaves = Vec::new();
    for (part, values) in parts {
        let (values, rest) = values.as_chunks::<VALUE_BYTES>();
        let mut begin = part.start;
        for value in values {
            if begin >= part.end {
                return None;
            }
            let len = subtree_len(begin, &part, size_bytes);
            leaves.push(Leaf { begin, len, value });
            begin += len;
        }
        if begin != part.end || !rest.is_empty() {
            return None;
        }
    }
    let mut leaves = leaves.into_iter().peekable();
    let hash = match leaves.next_if(|leaf| leaf.begin == 0 && leaf.len == size_bytes) {
        Some(root) => blake3::Hash::from_bytes(*root.value),
        None => {
            let left_len = left_subtree_len(size_bytes);
            let left = merge_node(0, left_len, &mut leaves)?;
            let right = merge_node(left_len, size_bytes - left_len, &mut leaves)?;
            merge_subtrees_root(&left, &right, Mode::Hash)
        }
    };
    leaves.next().is_none().then_some(hash)
}

struct Leaf<'p> {
    begin: u64,
    len: u64,
    value: &'p ChainingValue,
}

/// The chaining value of the node over `len` bytes from `begin` on. Recursion is as deep as the tree is high.
fn merge_node<'p>(
    begin: u64,
    len: u64,
    leaves: &mut std::iter::Peekable<impl Iterator<Item = Leaf<'p>>>,
) -> Option<ChainingValue> {
    let next = leaves.peek().filter(|leaf| leaf.begin == begin && leaf.len <= len)?;
    if next.len == len {
        return leaves.next().map(|leaf| *leaf.value);
    }
    let left_len = left_subtree_len(len);
    let left = merge_node(begin, left_len, leaves)?;
    let right = merge_node(begin + left_len, len - left_len, leaves)?;
    Some(merge_subtrees_non_root(&left, &right, Mode::Hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use partway_api::PartPlan;
    use proptest::prelude::*;

    const MIB: u64 = 1024 * 1024;

    fn bytes(size: u64) -> Vec<u8> {
        (0..size).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
    }

    fn hash_in_parts(data: &[u8], plan: PartPlan, step: usize) -> Option<blake3::Hash> {
        // Backwards, because parts arrive in any order.
        let mut parts: Vec<_> = (0..plan.parts())
            .rev()
            .map(|index| {
                let range = plan.range(index).unwrap();
                let mut hasher = PartHasher::new(range.clone(), plan.size_bytes());
                data[range.start as usize..range.end as usize].chunks(step).for_each(|chunk| hasher.update(chunk));
                (range, hasher.finish())
            })
            .collect();
        parts.reverse();
        merge(plan.size_bytes(), parts.iter().map(|(range, values)| (range.clone(), &values[..])))
    }

    #[test]
    fn parts_merge_to_the_hash_of_the_whole_at_every_edge() {
        let sizes = [
            1,
            1023,
            1024,
            1025,
            2047,
            2048,
            2049,
            65_536,
            2 * MIB - 1,
            2 * MIB,
            2 * MIB + 1,
            10 * MIB - 1,
            10 * MIB,
            10 * MIB + 1,
            10 * MIB + 1024,
            16 * MIB,
            20 * MIB,
            20 * MIB + 1,
            64 * MIB,
            64 * MIB + 1,
            70 * MIB,
        ];
        let data = bytes(70 * MIB);
        for size in sizes {
            let data = &data[..size as usize];
            for part_size in [2 * MIB, 6 * MIB, 10 * MIB] {
                let plan = PartPlan::from_stored(size, part_size).unwrap();
                assert_eq!(hash_in_parts(data, plan, 100_000), Some(blake3::hash(data)), "{size} in {part_size}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn parts_merge_to_the_hash_of_the_whole(size in 1..24 * MIB, steps in 1..=6_u64, step in 1000..3_000_000_usize) {
            let data = bytes(size);
            let plan = PartPlan::from_stored(size, steps * 2 * MIB).unwrap();
            prop_assert_eq!(hash_in_parts(&data, plan, step), Some(blake3::hash(&data)));
        }

        #[test]
        fn subtrees_that_do_not_fit_the_file_are_refused_and_never_panic(
            size in 1..100 * MIB,
            counts in proptest::collection::vec(0..200_usize, 0..12),
            change in proptest::option::of((0..11_usize, 0..200_usize)),
        ) {
            let plan = PartPlan::for_size(size);
            let fitting: Vec<_> = (0..plan.parts()).map(|index| {
                let part = plan.range(index).unwrap();
                let mut offset = part.start;
                let mut subtrees = 0;
                while offset < part.end {
                    offset += subtree_len(offset, &part, size);
                    subtrees += 1;
                }
                subtrees * VALUE_BYTES
            }).collect();
            // Those that fit, perhaps but for one.
            let mut nearly = fitting.clone();
            if let Some((index, count)) = change
                && let Some(changed) = nearly.get_mut(index)
            {
                *changed = count;
            }
            for counts in [counts, nearly] {
                let values: Vec<_> = counts.iter().map(|count| vec![0; *count]).collect();
                let parts = (0..).zip(&values).filter_map(|(index, values)| Some((plan.range(index)?, &values[..])));
                let fits = counts.starts_with(&fitting);
                prop_assert_eq!(merge(size, parts).is_some(), fits, "{:?} of {:?}", counts, fitting);
            }
        }
    }

    #[test]
    fn a_missing_or_cut_part_gives_no_hash() {
        let plan = PartPlan::for_size(25 * MIB);
        let data = bytes(25 * MIB);
        let mut parts: Vec<_> = (0..3)
            .map(|index| {
                let range = plan.range(index).unwrap();
                let mut hasher = PartHasher::new(range.clone(), plan.size_bytes());
                hasher.update(&data[range.start as usize..range.end as usize]);
                (range, hasher.finish())
            })
            .collect();
        let merged = |parts: &[(Range<u64>, Vec<u8>)]| merge(25 * MIB, parts.iter().map(|(r, v)| (r.clone(), &v[..])));
        assert!(merged(&parts).is_some());
        assert!(merged(&parts[..2]).is_none());
        assert!(merged(&parts[1..]).is_none());
        parts[1].1.truncate(32);
        assert!(merged(&parts).is_none());
    }
}
