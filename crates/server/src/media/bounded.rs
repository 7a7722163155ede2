//! Reads small fields of a file within a budget of steps, which bounds the time that any file can take.

use std::io::{Read, Seek, SeekFrom};

use super::Reader;

/// Maximum boxes, elements or entries visited in one file. Real files have tens before their dimensions.
const MAX_STEPS: u32 = 4096;

/// A reader with a budget.
pub(super) struct Bounded<'b> {
    reader: Reader<'b>,
    steps: u32,
}

impl<'b> Bounded<'b> {
    pub(super) fn new(reader: Reader<'b>) -> Self {
        Self { reader, steps: MAX_STEPS }
    }

    /// Takes one step of the budget.
    pub(super) fn step(&mut self) -> Option<()> {
        self.steps = self.steps.checked_sub(1)?;
        Some(())
    }

    /// The next `N` bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    /// The next bytes, up to `max_bytes` or to the end of the file.
    pub(super) fn up_to(&mut self, max_bytes: u16) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        (&mut self.reader).take(max_bytes.into()).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// The next byte as a number.
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.bytes().map(u8::from_be_bytes)
    }

    /// The next two bytes as a number, the most significant one first.
    pub(super) fn u16(&mut self) -> Option<u16> {
        self.bytes().map(u16::from_be_bytes)
    }

    /// The next four bytes as a number, the most significant one first.
    pub(super) fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_be_bytes)
    }

    /// The next two bytes as a number, the least significant one first.
    pub(super) fn u16_le(&mut self) -> Option<u16> {
        self.bytes().map(u16::from_le_bytes)
    }

    /// The next four bytes as a number, the least significant one first.
    pub(super) fn u32_le(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    /// The position of the reader.
    pub(super) fn position(&mut self) -> Option<u64> {
        self.reader.stream_position().ok()
    }

    /// Moves to a position.
    pub(super) fn go_to(&mut self, position: u64) -> Option<()> {
        // `seek` would discard the buffer even for the next byte, and most steps are short.
        let here = self.position()?;
        match i64::try_from(i128::from(position) - i128::from(here)) {
            Ok(delta) => self.reader.seek_relative(delta).ok(),
            Err(_) => self.reader.seek(SeekFrom::Start(position)).ok().map(drop),
        }
    }
}
