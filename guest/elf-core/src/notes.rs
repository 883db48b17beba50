//! Notes: registers as Linux' core files for arm64 have them (`struct elf_prstatus`, `struct user_fpsimd_state`), and VMCOREINFO.

use alloc::vec::Vec;

use crate::machine::Vcpu;

const NT_PRSTATUS: u32 = 1;
const NT_FPREGSET: u32 = 2;
/// The type of the VMCOREINFO note.
const VMCOREINFO: u32 = 0;

/// Bytes of `struct elf_prstatus`.
const PRSTATUS: usize = 392;
/// Where in it the number of the thread is, and the registers.
const PR_PID: usize = 32;
const PR_REG: usize = 112;
/// Where in it is said that there are floating-point registers.
const PR_FPVALID: usize = 384;
/// Bytes of `struct user_fpsimd_state`.
const FPREGSET: usize = 528;

/// Adds the notes of a vCPU. To a debugger it is thread `n + 1`, as no thread is number 0.
pub fn add_vcpu(notes: &mut Vec<u8>, n: usize, vcpu: &Vcpu) {
    let mut status = [0; PRSTATUS];
    put(&mut status, PR_PID, &(n as u32 + 1).to_le_bytes());
    let registers = vcpu.x.iter().chain([&vcpu.sp, &vcpu.pc, &vcpu.pstate]);
    for (register, at) in registers.zip((PR_REG..).step_by(8)) {
        put(&mut status, at, &register.to_le_bytes());
    }
    put(&mut status, PR_FPVALID, &1_u32.to_le_bytes());
    add(notes, "CORE", NT_PRSTATUS, &status);

    let mut simd = [0; FPREGSET];
    for (q, at) in vcpu.q.iter().zip((0..).step_by(16)) {
        put(&mut simd, at, &q.to_le_bytes());
    }
    put(&mut simd, 512, &(vcpu.fpsr as u32).to_le_bytes());
    put(&mut simd, 516, &(vcpu.fpcr as u32).to_le_bytes());
    add(notes, "CORE", NT_FPREGSET, &simd);
}

/// Adds Linux' VMCOREINFO.
pub fn add_vmcoreinfo(notes: &mut Vec<u8>, text: &str) {
    add(notes, "VMCOREINFO", VMCOREINFO, text.as_bytes());
}

fn put(to: &mut [u8], at: usize, bytes: &[u8]) {
    to[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A note: sizes and type, then name and contents, each up to a multiple of four bytes.
fn add(notes: &mut Vec<u8>, name: &str, kind: u32, contents: &[u8]) {
    for number in [name.len() as u32 + 1, contents.len() as u32, kind] {
        notes.extend(number.to_le_bytes());
    }
    notes.extend(name.as_bytes());
    notes.push(0);
    notes.resize(notes.len().next_multiple_of(4), 0);
    notes.extend(contents);
    notes.resize(notes.len().next_multiple_of(4), 0);
}
