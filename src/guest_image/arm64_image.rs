//! The arm64 kernel `Image` (Linux, Documentation/arch/arm64/booting.rst), placed as QEMU's `virt` places it.

use super::{ImageError, LoadPlan, Part, Segment};
use crate::addr::{BLOCK_SIZE, PAGE_SIZE};

/// "ARM\x64" at 0x38.
const MAGIC: &[u8] = b"ARM\x64";
const MAGIC_OFFSET: usize = 0x38;
/// Bytes of the header.
const HEADER_SIZE: usize = 0x40;
/// What kernels before 3.17, which leave image_size 0, mean: text_offset may hold anything then.
const OLD_TEXT_OFFSET: u64 = 0x8_0000;
/// Flags, bit 0.
const BIG_ENDIAN: u64 = 1;

/// Whether it has the header.
pub(super) fn recognise(image: &[u8]) -> bool {
    image.len() >= HEADER_SIZE && image[MAGIC_OFFSET..].starts_with(MAGIC)
}

/// From RAM's start (2 MiB aligned) by text_offset. Where that would put the kernel into the first page, QEMU goes
/// 2 MiB further, to keep the start of RAM free; kernels that rely on their address rely on that.
pub(super) fn plan<'a>(image: &'a [u8], plan: &mut LoadPlan<'a>) -> Result<(), ImageError> {
    let field = |at: usize| {
        image[at..]
            .first_chunk()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    let (text_offset, image_size, flags) = (field(0x08), field(0x10), field(0x18));
    if flags & BIG_ENDIAN != 0 {
        return Err(ImageError::BigEndian);
    }
    let length = image.len() as u64;
    let offset = match (image_size, text_offset) {
        (0, _) => OLD_TEXT_OFFSET,
        (_, offset @ 0..PAGE_SIZE) => offset + BLOCK_SIZE,
        (_, offset) => offset,
    };
    // Beyond the file the image has its .bss, which the kernel clears itself; it is claimed so that nothing else
    // is put there.
    let zeroes = image_size.saturating_sub(length);
    let ipa = plan.in_ram(offset);
    plan.push(
        Segment {
            ipa,
            bytes: image,
            zeroes,
        },
        Part::Image,
    )?;
    plan.enter(ipa.0)
}
