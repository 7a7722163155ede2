//! How a file is cut into parts: the one place where part size, part count and part ranges are computed.
//!
//! Invariant: the ranges of parts `0..parts()` are disjoint, in order, and cover `0..size` exactly; every
//! part but the last is `part_size` long, and `part_size` is a multiple of [`SMALLEST_PART_BYTES`].

use std::ops::{Range, RangeInclusive};

use crate::limits::{DEFAULT_PART_SIZE_BYTES, MAX_PARTS, PART_SIZE_STEP_BYTES, SMALLEST_PART_BYTES};

/// The cut of one file into parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartPlan {
    size_bytes: u64,
    part_size_bytes: u64,
}

impl PartPlan {
    /// Plans a file of `size_bytes` bytes: 10 MiB parts, larger in steps of 2 MiB only where the file
    /// would need more than 10,000 of them.
    pub fn for_size(size_bytes: u64) -> Self {
        let part_size_bytes =
            size_bytes.div_ceil(MAX_PARTS).next_multiple_of(PART_SIZE_STEP_BYTES).max(DEFAULT_PART_SIZE_BYTES);
        Self { size_bytes, part_size_bytes }
    }

    /// The part sizes that a client may ask for, in bytes, where the storage takes parts from `least` bytes on: as few as keep the file
    /// within the maximum number of parts, and at most as many as [`for_size`](Self::for_size) plans.
    pub fn sizes(size_bytes: u64, least: u64) -> RangeInclusive<u64> {
        let most = Self::for_size(size_bytes).part_size_bytes;
        let least = size_bytes.div_ceil(MAX_PARTS).max(least).next_multiple_of(SMALLEST_PART_BYTES);
        least.min(most)..=most
    }

    /// Plans a file in parts of `part_size_bytes`, which must be one of [`sizes`](Self::sizes); taken down to a whole number of
    /// [`SMALLEST_PART_BYTES`].
    pub fn in_parts_of(size_bytes: u64, part_size_bytes: u64) -> Self {
        let part_size_bytes = part_size_bytes - part_size_bytes % SMALLEST_PART_BYTES;
        Self::from_stored(size_bytes, part_size_bytes).unwrap_or_else(|| Self::for_size(size_bytes))
    }

    /// The plan of a session as it was stored. `None` when the two cannot belong together.
    pub fn from_stored(size_bytes: u64, part_size_bytes: u64) -> Option<Self> {
        let valid = size_bytes > 0
            && part_size_bytes > 0
            && part_size_bytes.is_multiple_of(SMALLEST_PART_BYTES)
            && size_bytes.div_ceil(part_size_bytes) <= MAX_PARTS;
        valid.then_some(Self { size_bytes, part_size_bytes })
    }

    /// Size of the file in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Size of every part but the last, in bytes.
    pub fn part_size_bytes(&self) -> u64 {
        self.part_size_bytes
    }

    /// Number of parts: `ceil(size / part_size)`.
    pub fn parts(&self) -> u32 {
        // At most MAX_PARTS by construction.
        u32::try_from(self.size_bytes.div_ceil(self.part_size_bytes)).unwrap_or(u32::MAX)
    }

    /// The bytes of the file that part `index` (from 0) carries, or `None` when there is no such part.
    pub fn range(&self, index: u32) -> Option<Range<u64>> {
        if index >= self.parts() {
            return None;
        }
        let start = u64::from(index) * self.part_size_bytes;
        Some(start..(start + self.part_size_bytes).min(self.size_bytes))
    }

    /// Length of part `index` in bytes, or `None` when there is no such part.
    pub fn part_len(&self, index: u32) -> Option<u64> {
        self.range(index).map(|range| range.end - range.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DEFAULT_MAX_FILE_BYTES;
    use proptest::prelude::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn the_documented_example_has_seven_parts_of_ten_mib() {
        let plan = PartPlan::for_size(73_400_320);
        assert_eq!((plan.part_size_bytes(), plan.parts()), (10_485_760, 7));
        assert_eq!(plan.range(6), Some(62_914_560..73_400_320));
        assert_eq!(plan.range(7), None);
    }

    #[test]
    fn parts_grow_only_past_ten_thousand() {
        let last_small = 10_000 * 10 * MIB;
        assert_eq!(PartPlan::for_size(last_small).part_size_bytes(), 10 * MIB);
        assert_eq!(PartPlan::for_size(last_small).parts(), 10_000);
        assert_eq!(PartPlan::for_size(last_small + 1).part_size_bytes(), 12 * MIB);
    }

    #[test]
    fn smaller_parts_are_planned_within_the_number_of_parts() {
        assert_eq!(PartPlan::sizes(1, MIB), MIB..=10 * MIB);
        assert_eq!(PartPlan::sizes(1, 5 * MIB), 5 * MIB..=10 * MIB);
        assert_eq!(PartPlan::sizes(10_000 * MIB + 1, MIB), 2 * MIB..=10 * MIB);
        // The largest files have the largest parts alone.
        assert_eq!(PartPlan::sizes(10_000 * 11 * MIB, MIB), 11 * MIB..=12 * MIB);
        let plan = PartPlan::in_parts_of(10 * MIB, 2 * MIB + 5);
        assert_eq!((plan.part_size_bytes(), plan.parts()), (2 * MIB, 5));
    }

    proptest! {
        #[test]
        fn parts_of_a_requested_size_cover_the_file(size in 1..=DEFAULT_MAX_FILE_BYTES, wanted in 0.0..=1.0_f64) {
            let sizes = PartPlan::sizes(size, MIB);
            let wanted = sizes.start() + ((sizes.end() - sizes.start()) as f64 * wanted) as u64;
            let plan = PartPlan::in_parts_of(size, wanted);
            prop_assert!(plan.part_size_bytes() <= wanted && wanted - plan.part_size_bytes() < MIB);
            prop_assert!(u64::from(plan.parts()) <= MAX_PARTS);
        }

        #[test]
        fn parts_cover_every_byte_once(size in 1..=DEFAULT_MAX_FILE_BYTES) {
            let plan = PartPlan::for_size(size);
            prop_assert!(u64::from(plan.parts()) <= MAX_PARTS);
            prop_assert_eq!(u64::from(plan.parts()), size.div_ceil(plan.part_size_bytes()));
            prop_assert!(plan.part_size_bytes().is_multiple_of(PART_SIZE_STEP_BYTES));
            let mut next = 0;
            for index in 0..plan.parts() {
                let range = plan.range(index).unwrap();
                prop_assert_eq!(range.start, next);
                prop_assert!(range.end > range.start);
                next = range.end;
            }
            prop_assert_eq!(next, size);
            prop_assert_eq!(PartPlan::from_stored(size, plan.part_size_bytes()), Some(plan));
        }
    }
}
