//! MPEG transport streams (ISO/IEC 13818-1), as broadcasters, cameras and HLS have them: tables name the stream with pictures, and
//! its first picture has the size.

use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::rbsp::{BitReader, decode_nal};

use super::{STREAM_HEAD_BYTES, mpeg, stretched};
use crate::media::Reader;
use crate::media::bounded::Bounded;

const SYNC: u8 = 0x47;
const PACKET_BYTES: usize = 188;
/// Blu-ray discs have a time stamp before each packet.
const STAMP_BYTES: usize = 4;
/// Begins a unit of H.264 (ITU-T H.264, annex B); its type is in the low bits of the next byte.
const UNIT_START: &[u8] = b"\0\0\x01";
const SEQUENCE_PARAMETERS: u8 = 7;

pub(super) fn dimensions(reader: Reader<'_>) -> Option<(u32, u32)> {
    let head = Bounded::new(reader).up_to(STREAM_HEAD_BYTES)?;
    let stamp = if head.first() == Some(&SYNC) { 0 } else { STAMP_BYTES };
    let packets = || head.chunks_exact(stamp + PACKET_BYTES).filter_map(|packet| Packet::read(&packet[stamp..]));
    let program = packets().find_map(|packet| (packet.id == 0).then(|| first_program(packet.section()?)).flatten())?;
    let (coding, id) =
        packets().find_map(|packet| (packet.id == program).then(|| video(packet.section()?)).flatten())?;
    let pictures: Vec<u8> =
        packets().filter(|packet| packet.id == id).flat_map(|packet| packet.payload).copied().collect();
    match coding {
        Coding::Mpeg => mpeg::of_first_sequence(&pictures),
        Coding::H264 => of_first_parameters(&pictures),
    }
}

/// A packet with a payload.
struct Packet<'h> {
    id: u16,
    starts_unit: bool,
    payload: &'h [u8],
}

impl<'h> Packet<'h> {
    fn read(packet: &'h [u8]) -> Option<Self> {
        let [sync, high, low, flags] = *packet.first_chunk()?;
        let adaptation_bytes = if flags & 0x20 == 0 { 0 } else { 1 + usize::from(*packet.get(4)?) };
        let payload = packet.get(4 + adaptation_bytes..).filter(|_| sync == SYNC && flags & 0x10 != 0)?;
        Some(Self { id: u16::from_be_bytes([high & 0x1F, low]), starts_unit: high & 0x40 != 0, payload })
    }

    /// The section of a table that begins in the packet, after its length.
    fn section(&self) -> Option<&'h [u8]> {
        let pointer = usize::from(*self.payload.first().filter(|_| self.starts_unit)?);
        let section = self.payload.get(1 + pointer..)?;
        let [_table, high, low] = *section.first_chunk()?;
        let length = usize::from(u16::from_be_bytes([high & 0x0F, low]));
        let body = section.get(3..)?;
        // The last four bytes are a checksum.
        body.get(..length.min(body.len()).checked_sub(4)?)
    }
}

/// The packets with the table of the first program.
fn first_program(section: &[u8]) -> Option<u16> {
    let programs = section.get(5..)?.chunks_exact(4);
    let mut tables = programs
        .map(|entry| (u16::from_be_bytes([entry[0], entry[1]]), u16::from_be_bytes([entry[2] & 0x1F, entry[3]])));
    // Program 0 is the network.
    tables.find(|(program, _)| *program != 0).map(|(_, table)| table)
}

/// How pictures are coded.
#[derive(Clone, Copy)]
enum Coding {
    Mpeg,
    H264,
}

/// The first stream with pictures of a program: its coding and its packets.
fn video(section: &[u8]) -> Option<(Coding, u16)> {
    let program_info_bytes = usize::from(u16::from_be_bytes(*section.get(7..)?.first_chunk()?) & 0x0FFF);
    let mut streams = section.get(9 + program_info_bytes..)?;
    while let Some([kind, high, low, info_high, info_low]) = streams.first_chunk() {
        let id = u16::from_be_bytes([high & 0x1F, *low]);
        match kind {
            0x01 | 0x02 => return Some((Coding::Mpeg, id)),
            0x1B => return Some((Coding::H264, id)),
            _ => {}
        }
        let info_bytes = usize::from(u16::from_be_bytes([info_high & 0x0F, *info_low]));
        streams = streams.get(5 + info_bytes..)?;
    }
    None
}

/// The sides of the first picture of H.264, in square pixels.
fn of_first_parameters(pictures: &[u8]) -> Option<(u32, u32)> {
    let starts = pictures.windows(UNIT_START.len()).enumerate().filter(|(_, window)| *window == UNIT_START);
    let mut units = starts.filter_map(|(at, _)| pictures.get(at + UNIT_START.len()..));
    let unit = units.find(|unit| unit.first().is_some_and(|first| first & 0x1F == SEQUENCE_PARAMETERS))?;
    let end = unit.windows(3).position(|window| matches!(window, [0, 0, 0 | 1])).unwrap_or(unit.len());
    let parameters = SeqParameterSet::from_bits(BitReader::new(&*decode_nal(&unit[..end]).ok()?)).ok()?;
    let (width, height) = parameters.pixel_dimensions().ok()?;
    let shape = parameters.vui_parameters.and_then(|usability| usability.aspect_ratio_info?.get());
    let shown = shape.and_then(|(across, down)| stretched(width, across.into(), down.into()));
    Some((shown.unwrap_or(width), height))
}
