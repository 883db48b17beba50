//! The arm64 kernel `Image` (Linux, Documentation/arch/arm64/booting.rst), placed as QEMU's `virt` places it.

use super::{ImageError, LoadPlan, PAGE_SIZE, Part, Segment};

/// "ARM\x64" at 0x38.
const MAGIC: &[u8] = b"ARM\x64";
const MAGIC_OFFSET: usize = 0x38;
/// Bytes of the header.
const HEADER_SIZE: usize = 0x40;
/// What kernels before 3.17, which leave image_size 0, mean: text_offset may hold anything then.
const OLD_TEXT_OFFSET: u64 = 0x8_0000;
/// Flags, bit 0.
const BIG_ENDIAN: u64 = 1;
/// Flags, bits 1 and 2: the kernel's page size, 0 where it does not say.
const PAGE_SIZE_SHIFT: u32 = 1;
const PAGES_OF_16K: u64 = 2;
/// Images lie at text_offset above a multiple of this.
const BASE_ALIGN: u64 = 2 << 20;

/// Whether it has the header.
pub(super) fn recognise(image: &[u8]) -> bool {
    image.len() >= HEADER_SIZE && image[MAGIC_OFFSET..].starts_with(MAGIC)
}

/// From RAM's start (2 MiB aligned) by text_offset. Where that would put the kernel into the first page, QEMU goes
/// 2 MiB further, to keep the start of RAM free; kernels that rely on their address rely on that.
pub(super) fn plan(image: &[u8], plan: &mut LoadPlan) -> Result<(), ImageError> {
    let field = |at: usize| {
        image[at..]
            .first_chunk()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    let (text_offset, image_size, flags) = (field(0x08), field(0x10), field(0x18));
    if flags & BIG_ENDIAN != 0 {
        return Err(ImageError::BigEndian);
    }
    if flags >> PAGE_SIZE_SHIFT & 3 == PAGES_OF_16K {
        plan.warning = Some(
            "the kernel has pages of 16 KiB, which a Cortex-A72 does not (the Raspberry Pi 4's, and QEMU's by default): there it stops in \
             silence; build it with pages of 4 or 64 KiB",
        );
    }
    let length = image.len() as u64;
    let offset = match (image_size, text_offset) {
        (0, _) => OLD_TEXT_OFFSET,
        (_, offset @ 0..PAGE_SIZE) => offset + BASE_ALIGN,
        (_, offset) => offset,
    };
    let at = plan.ram.start.saturating_add(offset);
    plan.push(Segment {
        at,
        file: 0..image.len(),
        // Beyond the file the image has its .bss, which the kernel clears itself; it is claimed so that nothing else
        // is put there.
        zeroes: image_size.saturating_sub(length),
        part: Part::Image,
        executable: true,
    })?;
    plan.enter(at, at)
}
