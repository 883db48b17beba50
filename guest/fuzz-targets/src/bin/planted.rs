//! A bug behind four bytes and a length: a record whose length field is believed.

#![no_std]
#![no_main]

avisor_guest::fuzz_target!(|input: &[u8]| {
    core::hint::black_box(checksum(input));
});

/// The sum of a record's bytes: `AVIS`, the length as 16 bits, little-endian, and so many bytes.
fn checksum(record: &[u8]) -> Option<u32> {
    let (header, rest) = record.split_at_checked(6)?;
    // One after the other: each that is right is an edge.
    if header[0] != b'A' || header[1] != b'V' || header[2] != b'I' || header[3] != b'S' {
        return None;
    }
    let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
    let bytes = if cfg!(feature = "mended") {
        rest.get(..length)?
    } else {
        &rest[..length]
    };
    Some(bytes.iter().map(|&byte| u32::from(byte)).sum())
}
