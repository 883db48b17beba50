//! Registers and VMCOREINFO, as a reader of the file finds them.

use elf::ElfBytes;
use elf::abi::PT_NOTE;
use elf::endian::LittleEndian;
use elf::note::{Note, NoteAny};

use super::contents::whole;
use super::{Fake, RAM};
use crate::machine::Vcpu;

/// A note: name, type, contents.
type Found = (String, u64, Vec<u8>);

fn notes(file: &[u8]) -> Vec<Found> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(file).expect("an ELF file");
    let headers = elf.segments().expect("it has some");
    let header = headers.iter().find(|header| header.p_type == PT_NOTE);
    let header = header.expect("it has notes");
    let notes = elf.segment_data_as_notes(&header).expect("they are notes");
    notes
        .map(|note| match note {
            Note::Unknown(NoteAny { n_type, name, desc }) => {
                let name = str::from_utf8(name).expect("a name");
                (name.trim_end_matches('\0').into(), n_type, desc.into())
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight"))
}

#[test]
fn registers_of_each_vcpu() {
    let mut machine = Fake::new(4);
    let mut vcpu = Vcpu::OFF;
    for (n, x) in (0..).zip(&mut vcpu.x) {
        *x = 0x100 + n;
    }
    (vcpu.sp, vcpu.pc, vcpu.pstate) = (0x200, 0x201, 0x202);
    vcpu.q[0] = 0x300;
    vcpu.q[31] = 1 << 127;
    (vcpu.fpsr, vcpu.fpcr) = (0x400, 0x401);
    machine.vcpus = vec![Vcpu::OFF, vcpu];
    let (core, file) = whole(&mut machine);
    assert!(!core.has_vmcoreinfo());
    let notes = notes(&file);
    let kinds: Vec<_> = notes
        .iter()
        .map(|(name, kind, text)| (name.as_str(), *kind, text.len()))
        .collect();
    let both = [("CORE", 1, 392), ("CORE", 2, 528)];
    assert_eq!(kinds, [both, both].concat());
    let (status, simd) = (&notes[2].2, &notes[3].2);
    // pr_pid, then registers from pr_reg on; pr_fpvalid.
    assert_eq!(word(status, 32), 2);
    for n in 0..31 {
        assert_eq!(word(status, 112 + n * 8), 0x100 + n as u64);
    }
    assert_eq!(
        [31, 32, 33].map(|n| word(status, 112 + n * 8)),
        [0x200, 0x201, 0x202]
    );
    assert_eq!(status[384], 1);
    assert_eq!(word(simd, 0), 0x300);
    assert_eq!(word(simd, 504), 1 << 63);
    assert_eq!(word(simd, 512), 0x401 << 32 | 0x400);
    assert_eq!(word(&notes[0].2, 32), 1);
    assert_eq!(word(&notes[0].2, 112 + 32 * 8), 0);
}

#[test]
fn linux_tells_about_itself() {
    let mut machine = Fake::new(64);
    let text = "OSRELEASE=6.1.0\nBUILD-ID=00\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)=ffff\n";
    // A file of somebody who writes the same; one that is not at the beginning of its page; and no text.
    machine.store(RAM + 0x5000, b"OSRELEASE=none\n");
    machine.store(RAM + 0x8100, text.as_bytes());
    machine.store(RAM + 0x9000, b"OSRELEASE=\xff\nPAGESIZE=");
    let (core, _) = whole(&mut machine);
    assert!(!core.has_vmcoreinfo());
    machine.store(RAM + 0x2_3000, text.as_bytes());
    let (core, file) = whole(&mut machine);
    assert!(core.has_vmcoreinfo());
    let notes = notes(&file);
    let last = notes.last().expect("there is one");
    assert_eq!(*last, ("VMCOREINFO".into(), 0, text.into()));

    // A page without an end is all of it.
    let long = [text.as_bytes(), &[b'x'; 4096]].concat();
    machine.store(RAM + 0x2_3000, &long[..4096]);
    let (_, file) = whole(&mut machine);
    assert_eq!(
        self::notes(&file).last().expect("there is one").2,
        long[..4096]
    );
}
