//! CRC-64/NVME, the checksum that S3 keeps of whole objects.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The polynomial with its bits reversed (NVM Express NVM Command Set Specification 1.0, section 5.2.1.3.4).
const POLYNOMIAL: u64 = 0x9a6c_9329_ac4b_c9b5;

/// The checksum as S3 writes it: eight bytes, the highest first, in base64.
pub(super) fn crc64nvme(bytes: impl Iterator<Item = u8>) -> String {
    let table: [u64; 256] = std::array::from_fn(|byte| {
        (0..8).fold(byte as u64, |crc, _| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 })
    });
    let crc = bytes.fold(u64::MAX, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        table.get(usize::from(low ^ byte)).copied().unwrap_or_default() ^ crc >> 8
    });
    STANDARD.encode((!crc).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_the_catalogue_is_met() {
        // The check value of CRC-64/NVME (Catalogue of parametrised CRC algorithms).
        assert_eq!(crc64nvme(b"123456789".iter().copied()), STANDARD.encode(0xae8b_1486_0a79_9888_u64.to_be_bytes()));
    }
}
