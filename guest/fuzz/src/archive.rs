//! The initial RAM disk, an archive as Linux's is ("newc", Documentation/driver-api/early-userspace/buffer-format.rst): each member is a
//! header of hexadecimal fields, its name, and its contents, both padded to four bytes.

const MAGIC: &[u8] = b"070701";
const HEADER: usize = 110;
const LAST: &str = "TRAILER!!!";

/// The files in `archive`, name and contents. What is not an archive has none.
pub fn files(archive: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    let mut at = 0;
    core::iter::from_fn(move || {
        let (name, bytes, next) = member(archive, at)?;
        at = next;
        Some((name, bytes))
    })
}

/// The file at an offset, name and contents, and where the next one is. `None` if all of it is not there, or it is none.
pub fn member(archive: &[u8], at: usize) -> Option<(&str, &[u8], usize)> {
    let header = archive.get(at..at.checked_add(HEADER)?)?;
    if !header.starts_with(MAGIC) {
        return None;
    }
    let field = |index: usize| {
        let digits = header.get(6 + 8 * index..14 + 8 * index)?;
        usize::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()
    };
    let (size, name_size) = (field(6)?, field(11)?);
    let name_end = (at + HEADER).checked_add(name_size)?;
    let name = archive.get(at + HEADER..name_end.checked_sub(1)?)?;
    let name = core::str::from_utf8(name).ok()?;
    if name == LAST {
        return None;
    }
    let start = name_end.next_multiple_of(4);
    let end = start.checked_add(size)?;
    Some((name, archive.get(start..end)?, end.next_multiple_of(4)))
}

/// The tokens of a dictionary as AFL++ has them: lines `"text"` or `name="text"`, where `\xNN`, `\\` and `\"` stand for a byte. The error is the
/// number of a line that is none.
pub fn tokens(dictionary: &[u8]) -> Result<alloc::vec::Vec<alloc::vec::Vec<u8>>, usize> {
    let mut tokens = alloc::vec::Vec::new();
    for (index, line) in dictionary.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line[0] == b'#' {
            continue;
        }
        tokens.push(token(line).ok_or(index + 1)?);
    }
    Ok(tokens)
}

fn token(line: &[u8]) -> Option<alloc::vec::Vec<u8>> {
    let start = line.iter().position(|&byte| byte == b'"')? + 1;
    let mut rest = line.get(start..)?.strip_suffix(b"\"")?;
    let mut token = alloc::vec::Vec::new();
    while let [first, more @ ..] = rest {
        (rest, _) = match (first, more) {
            (b'\\', [b'x', high, low, more @ ..]) => {
                let digits = [*high, *low];
                let digits = core::str::from_utf8(&digits).ok()?;
                (more, token.push(u8::from_str_radix(digits, 16).ok()?))
            }
            (b'\\', [byte @ (b'\\' | b'"'), more @ ..]) => (more, token.push(*byte)),
            (b'\\', _) => return None,
            (byte, more) => (more, token.push(*byte)),
        };
    }
    (!token.is_empty()).then_some(token)
}
