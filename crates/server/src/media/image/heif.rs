//! HEIF, HEIC and AVIF: the size of the primary item and what is done to it before it is shown, in this order (ISO/IEC 23008-12).

use crate::media::Reader;
use crate::media::bounded::Bounded;
use crate::media::iso_box::{IsoBox, box_at, find};
use crate::media::video::mp4;

/// Version and flags at the start of a full box.
const FULL_BOX_BYTES: u64 = 4;

pub(super) fn dimensions(reader: Reader<'_>) -> Option<(u32, u32)> {
    let mut file = Bounded::new(reader);
    match of_primary_item(&mut file) {
        // A sequence of pictures need not have an item.
        None => mp4::shown_sides(&mut file),
        sides => sides,
    }
}

fn of_primary_item(file: &mut Bounded<'_>) -> Option<(u32, u32)> {
    let meta = find(file, 0, u64::MAX, b"meta")?;
    let inside = meta.body + FULL_BOX_BYTES;
    let primary = find(file, inside, meta.end, b"pitm")?;
    file.go_to(primary.body)?;
    let version = file.u32()? >> 24;
    let item = if version == 0 { file.u16()?.into() } else { file.u32()? };
    let properties = find(file, inside, meta.end, b"iprp")?;
    let container = find(file, properties.body, properties.end, b"ipco")?;
    let associations = find(file, properties.body, properties.end, b"ipma")?;
    let mut sides = None;
    for index in indices_of(file, &associations, item)? {
        let found = property(file, &container, index)?;
        sides = apply(file, &found, sides)?;
    }
    sides
}

/// The properties of an item, in the order in which they apply.
fn indices_of(file: &mut Bounded<'_>, associations: &IsoBox, wanted: u32) -> Option<Vec<u16>> {
    file.go_to(associations.body)?;
    let head = file.u32()?;
    let (version, has_wide_indices) = (head >> 24, head & 1 == 1);
    for _ in 0..file.u32()? {
        file.step()?;
        let item = if version == 0 { file.u16()?.into() } else { file.u32()? };
        let mut indices = Vec::new();
        for _ in 0..file.u8()? {
            // The top bit says whether the property is essential.
            indices.push(if has_wide_indices { file.u16()? & 0x7FFF } else { u16::from(file.u8()? & 0x7F) });
        }
        if item == wanted {
            return Some(indices);
        }
    }
    None
}

/// A property by its index, which counts from 1.
fn property(file: &mut Bounded<'_>, container: &IsoBox, index: u16) -> Option<IsoBox> {
    let mut at = container.body;
    for _ in 1..index {
        at = box_at(file, at, container.end)?.end;
    }
    box_at(file, at, container.end)
}

/// The sides after a property; `None` if it cannot be read.
fn apply(file: &mut Bounded<'_>, property: &IsoBox, sides: Option<(u32, u32)>) -> Option<Option<(u32, u32)>> {
    file.go_to(property.body)?;
    Some(match &property.kind {
        b"ispe" => {
            file.u32()?;
            Some((file.u32()?, file.u32()?))
        }
        // Width and height of the part that is shown, as fractions.
        b"clap" => {
            let [width, of_width, height, of_height] = [file.u32()?, file.u32()?, file.u32()?, file.u32()?];
            sides.and(Some((width.checked_div(of_width)?, height.checked_div(of_height)?)))
        }
        // A number of quarter turns.
        b"irot" if file.u8()? & 1 == 1 => sides.map(|(width, height)| (height, width)),
        _ => sides,
    })
}
