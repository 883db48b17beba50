//! Pages, as a reader of the file finds them.

use elf::ElfBytes;
use elf::abi::{EM_AARCH64, ET_CORE, PT_LOAD};
use elf::endian::LittleEndian;
use elf::segment::ProgramHeader;

use super::{Fake, RAM, Random, Tables, stage1};
use crate::Core;
use crate::layout::{HEADERS_MAX, PHYSICAL};
use crate::machine::{Machine, PAGE};

pub fn whole(machine: &mut Fake) -> (Core, Vec<u8>) {
    let core = Core::new(machine).expect("it cannot fail");
    let mut file = vec![0xee; core.size() as usize + 100];
    let count = core.read(machine, 0, &mut file).expect("it cannot fail");
    assert_eq!(count as u64, core.size());
    file.truncate(count);
    (core, file)
}

/// The `PT_LOAD`s, after what must be true of each.
pub fn loads(file: &[u8]) -> Vec<ProgramHeader> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(file).expect("an ELF file");
    assert_eq!(elf.ehdr.e_type, ET_CORE);
    assert_eq!(elf.ehdr.e_machine, EM_AARCH64);
    let headers = elf.segments().expect("it has some");
    let loads: Vec<_> = headers
        .iter()
        .filter(|header| header.p_type == PT_LOAD)
        .collect();
    for load in &loads {
        assert!(
            load.p_filesz <= load.p_memsz && load.p_memsz > 0,
            "{load:?}"
        );
        assert!(
            load.p_offset + load.p_filesz <= file.len() as u64,
            "{load:?}"
        );
        assert_eq!(load.p_offset % PAGE, load.p_vaddr % PAGE, "{load:?}");
    }
    loads
}

/// What a debugger reads at an address: zeros, where a load has less in the file.
fn read(file: &[u8], loads: &[ProgramHeader], va: u64) -> Option<Vec<u8>> {
    let mut found = loads
        .iter()
        .filter(|load| load.p_vaddr <= va && va - load.p_vaddr < load.p_memsz);
    let load = found.next()?;
    assert!(found.next().is_none(), "{va:#x} is there twice");
    let skipped = va - load.p_vaddr;
    let mut page = vec![0; PAGE as usize];
    if skipped < load.p_filesz {
        let at = (load.p_offset + skipped) as usize;
        page.copy_from_slice(&file[at..at + PAGE as usize]);
    }
    Some(page)
}

fn fill(machine: &mut Fake, random: &mut Random, one_in: u64) {
    let (_, bytes) = machine.ram();
    for page in 0..bytes / PAGE {
        if random.below(one_in) == 0 {
            // One byte is enough to make a difference.
            let at = page * PAGE + random.below(PAGE);
            machine.ram[at as usize] = 1 + random.below(255) as u8;
        }
    }
}

/// RAM of all kinds, mapped in all kinds of ways: each page is in the file as it is in RAM, by each of its addresses.
#[test]
fn each_page_by_each_address() {
    let mut random = Random(1);
    for round in 0..60 {
        let mut machine = Fake::new(64 + random.below(200));
        let (_, bytes) = machine.ram();
        fill(&mut machine, &mut random, [1, 2, 10, 1000][round % 4]);
        let mut tables = Tables::new(12, 30, RAM);
        machine.ram[..16 * PAGE as usize].fill(0);
        let top = u64::MAX << 30;
        let mut mapped = Vec::new();
        for _ in 0..random.below(30) {
            let page = random.below(bytes / PAGE);
            let va = top + random.below(1000) * PAGE;
            let count = (1 + random.below(20)).min(bytes / PAGE - page);
            for n in 0..count {
                let (va, ipa) = (va + n * PAGE, RAM + (page + n) * PAGE);
                tables.map(&mut machine, va, ipa, 3);
                mapped.retain(|&(other, _)| other != va);
                mapped.push((va, ipa));
            }
        }
        machine.vcpus[0].stage1 = stage1(None, Some(&tables));
        let (core, file) = whole(&mut machine);
        assert!(!core.is_cut());
        let loads = loads(&file);
        let ram = |ipa: u64| machine.pages((ipa - RAM) / PAGE, (ipa - RAM) / PAGE + 1);
        for page in 0..bytes / PAGE {
            let ipa = RAM + page * PAGE;
            let found = read(&file, &loads, PHYSICAL + ipa).expect("all of RAM is there");
            assert_eq!(found, ram(ipa), "{ipa:#x}");
        }
        for (va, ipa) in &mapped {
            assert_eq!(
                read(&file, &loads, *va).expect("it is mapped"),
                ram(*ipa),
                "{va:#x}"
            );
        }
        for va in (0..1100).map(|page| top + page * PAGE) {
            let is_mapped = mapped.iter().any(|(mapped, _)| *mapped == va);
            assert_eq!(read(&file, &loads, va).is_some(), is_mapped, "{va:#x}");
        }
        // Physical addresses are right, too.
        for load in &loads {
            let ipa = load
                .p_vaddr
                .checked_sub(PHYSICAL)
                .filter(|_| load.p_vaddr < top);
            let virt = |va: u64| {
                mapped
                    .iter()
                    .find(|(mapped, _)| *mapped == va)
                    .map(|(_, ipa)| *ipa)
            };
            assert_eq!(Some(load.p_paddr), ipa.or_else(|| virt(load.p_vaddr)));
        }
        // A page of zeros is in the file only if there would be too many headers.
        let filled =
            (0..bytes / PAGE).filter(|n| machine.pages(*n, n + 1).iter().any(|byte| *byte != 0));
        let in_file = loads
            .iter()
            .filter(|load| load.p_vaddr < top)
            .map(|load| load.p_filesz);
        assert_eq!(in_file.sum::<u64>(), filled.count() as u64 * PAGE);
    }
}

#[test]
fn read_by_any_offset() {
    let mut random = Random(3);
    let mut machine = Fake::new(300);
    fill(&mut machine, &mut random, 3);
    let (core, file) = whole(&mut machine);
    for _ in 0..3000 {
        let offset = random.below(file.len() as u64 + 5000);
        let mut part = vec![0xee; random.below(20_000) as usize];
        let count = core
            .read(&mut machine, offset, &mut part)
            .expect("it cannot fail");
        let expected = file.get(offset as usize..).unwrap_or_default();
        let expected = &expected[..expected.len().min(part.len())];
        assert_eq!(&part[..count], expected, "{offset}");
    }
    let mut part = [0; 8];
    for offset in [u64::MAX, u64::MAX - 4, 1 << 63] {
        assert_eq!(core.read(&mut machine, offset, &mut part), Ok(0));
    }
}

/// RAM that nobody stored to takes nothing of the file.
#[test]
fn nothing_but_zeros() {
    let mut machine = Fake::new(10_000);
    let (_, file) = whole(&mut machine);
    assert_eq!(file.len() as u64, PAGE);
    let loads = loads(&file);
    // By its physical address, and by the same address while the MMU is off.
    assert_eq!(loads.len(), 2);
    assert_eq!(loads[1].p_vaddr, RAM);
    assert_eq!(loads[1].p_memsz, 10_000 * PAGE);
}

/// Every other page is zero: gaps are filled until the headers are no longer too many, and all is there.
#[test]
fn scattered_zeros() {
    let mut machine = Fake::new(20_000);
    for page in (0..20_000).step_by(2) {
        machine.ram[(page * PAGE) as usize] = 1;
    }
    // And one long hole, which stays.
    machine.ram[8_000 * PAGE as usize..12_000 * PAGE as usize].fill(0);
    let (_, file) = whole(&mut machine);
    let loads = loads(&file);
    assert!(loads.len() <= HEADERS_MAX);
    assert!((file.len() as u64) < 17_000 * PAGE);
    for page in [0, 1, 7_999, 8_000, 11_999, 12_000, 19_999] {
        let found = read(&file, &loads, RAM + page * PAGE).expect("it is mapped");
        assert_eq!(found, machine.pages(page, page + 1), "{page}");
    }
}
