//! One point in time for the whole VM: checkpoints and restores while other vCPUs run on other cores.

use super::guest::*;
use super::smp::*;
use crate::fake::abort::Abort;
use crate::vm::ExitAction;
use crate::vm::quiesce::QUIESCED;
use crate::vm::vcpu::RunState::{Off, Ready, Waiting};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::vec::Vec;

fn but(vcpus: usize, who: usize) -> Vec<usize> {
    (0..vcpus).filter(|&vcpu| vcpu != who).collect()
}

/// `who` does something, while the others run on their cores.
fn beside_all<R>(smp: &mut Smp, who: usize, action: impl FnOnce(&mut Smp) -> R) -> R {
    let others = but(smp.cores.len(), who);
    smp.beside(&others, |smp| {
        assert!(smp.load(who));
        let result = action(smp);
        smp.save(who);
        result
    })
}

/// What the vCPUs are after a restore to a checkpoint that `who` took by SMCCC when they were as in `before`.
fn with_results(mut before: Vec<Saved>, who: usize, id: u64, value: u64) -> Vec<Saved> {
    let registers = &mut before[who].registers;
    registers.pc += 4;
    [registers.x[0], registers.x[1]] = [id, value];
    before
}

#[test]
fn a_trap_while_the_vm_is_stopped_has_not_happened() {
    let mut smp = Smp::all_on(2);
    smp.scramble_all(1);
    let hvc = sync(0x16, 0);
    let wfi = sync(0x01, 0);
    let store = Abort::store(DATA).trap();
    // A 64-bit read of CNTPCT_EL0 into x7.
    let counter = sync(0x18, 3 << 20 | 1 << 17 | 3 << 14 | 14 << 10 | 7 << 5 | 1);
    let smc = sync(0x17, 0);
    for (trap, width) in [(hvc, 4), (wfi, 0), (store, 0), (counter, 0), (smc, 0)] {
        assert!(smp.load(1));
        let before = *smp.registers(1);
        smp.registers(1).pc += width;
        let shared = smp.vm.shared.lock();
        smp.vm.gate.close(QUIESCED);
        assert_eq!(smp.trap(1, trap), ExitAction::Put, "{trap:x?}");
        // What steps back from a hypercall arms a single step again.
        smp.registers(1).pstate &= !(1 << 21);
        assert_eq!(*smp.registers(1), before, "{trap:x?}");
        smp.save(1);
        assert!(!smp.load(1), "it stays out");
        drop(shared);
        assert!(!smp.load(1), "whoever has the shared part");
        smp.vm.gate.open(QUIESCED);
        assert_eq!(smp.saved(1).run_state, Ready);
    }
    assert!(smp.load(1));
    assert_eq!(smp.ask(1, AFFINITY_INFO, &[0, 0]), 0, "now it does");
}

#[test]
fn every_vcpu_is_in_a_snapshot_whoever_takes_it_and_whoever_goes_back() {
    for vcpus in [1, 2, 3, 8] {
        let last = vcpus - 1;
        for (taker, restorer) in [(0, 0), (0, last), (last, 0), (last, last)] {
            let mut smp = Smp::all_on(vcpus as u32);
            smp.scramble_all(1);
            let before = smp.all_saved();
            let id = beside_all(&mut smp, taker, |smp| smp.ask(taker, CHECKPOINT, &[]));
            let taken = with_results(before.clone(), taker, id, 0);
            assert_eq!(smp.all_saved(), taken, "the others just went on");
            smp.scramble_all(2);
            let next = beside_all(&mut smp, restorer, |smp| {
                smp.call(restorer, RESTORE, &[id, 7])
            });
            assert_eq!(next, ExitAction::Resume);
            let expected = with_results(before, taker, id, 7);
            assert_eq!(smp.all_saved(), expected, "{vcpus} {taker} {restorer}");
        }
    }
}

#[test]
fn a_bare_checkpoint_has_results_in_nobodys_registers() {
    let mut smp = Smp::all_on(3);
    // The one before has, and that must not stay.
    beside_all(&mut smp, 2, |smp| smp.ask(2, CHECKPOINT, &[]));
    smp.scramble_all(1);
    let mut before = smp.all_saved();
    before[1].registers.pc += 4;
    beside_all(&mut smp, 1, |smp| {
        smp.registers(1).pc += 4;
        assert_eq!(smp.trap(1, sync(0x16, 1)), ExitAction::Resume);
    });
    smp.scramble_all(2);
    beside_all(&mut smp, 2, |smp| smp.call(2, RESTORE, &[LATEST, 9]));
    assert_eq!(smp.all_saved(), before);
}

#[test]
fn those_that_are_off_or_wait_do_so_again() {
    let mut smp = Smp::new(5);
    for vcpu in [1, 2, 3] {
        smp.ask(0, CPU_ON, &[vcpu, ENTRY, 0]);
    }
    smp.save(0);
    for (vcpu, next) in [(1, ExitAction::Put), (2, ExitAction::Wait)] {
        smp.scramble(vcpu, 1);
        assert!(smp.load(vcpu));
        let does = match vcpu {
            1 => smp.call(1, CPU_OFF, &[]),
            _ => smp.wfi(2),
        };
        assert_eq!(does, next);
        smp.save(vcpu);
    }
    let expected = [Ready, Off, Waiting, Ready, Off];
    assert_eq!(smp.phases(), expected);
    let waits = smp.saved(2);
    assert_eq!(waits.run_state, Waiting);
    let id = beside_all(&mut smp, 0, |smp| smp.ask(0, CHECKPOINT, &[]));

    // The other way round: vCPUs 1 and 4 on, 2 runs, 3 off.
    assert!(smp.load(0));
    for vcpu in [1, 4] {
        assert_eq!(smp.ask(0, CPU_ON, &[vcpu, ENTRY, 0]), 0);
    }
    smp.save(0);
    smp.vm.vcpus[2].request();
    smp.vm.vcpus[2].set_run_state(Ready);
    assert!(smp.load(3));
    assert_eq!(smp.call(3, CPU_OFF, &[]), ExitAction::Put);
    smp.save(3);
    assert_eq!(smp.phases(), [Ready, Ready, Ready, Off, Ready]);

    // One that is going to be off goes back; it has nothing to do then.
    let next = beside_all(&mut smp, 4, |smp| smp.call(4, RESTORE, &[id, 1]));
    assert_eq!(next, ExitAction::Put);
    assert_eq!(smp.phases(), expected);
    assert_eq!(smp.saved(2), waits);
    assert_eq!([1, 4].map(|vcpu| smp.load(vcpu)), [false; 2]);

    // And one that is going to wait.
    assert!(smp.load(2));
    assert_eq!(smp.call(2, RESTORE, &[id, 1]), ExitAction::Wait);
    smp.save(2);
    assert_eq!(smp.saved(2), waits);
}

#[test]
fn two_that_ask_at_once_get_it_one_after_the_other() {
    const ROUNDS: usize = 60;
    let smp = Smp::all_on(2);
    let Smp { vm, cores, .. } = smp;
    let finished = AtomicUsize::new(0);
    let ids = std::thread::scope(|scope| {
        let ask = |(vcpu, mut core): (usize, crate::fake::FakeCore)| {
            let finished = &finished;
            scope.spawn(move || {
                core.patience = crate::fake::Patience::Kick;
                let mut ids = Vec::new();
                while finished.load(Ordering::Acquire) < 2 {
                    let Some(mut running) = vm.load(&mut core, vcpu) else {
                        continue;
                    };
                    let pc = running.vcpu.registers.pc;
                    running.vcpu.registers.x[0] = CHECKPOINT;
                    running.vcpu.registers.pc += 4;
                    core.script
                        .push_back(std::boxed::Box::new(|_| sync(0x16, 0)));
                    match running.step(&mut core) {
                        ExitAction::Resume => {
                            ids.push(running.vcpu.registers.x[0]);
                            // Once: the next ones may have to try again.
                            if ids.len() == ROUNDS {
                                finished.fetch_add(1, Ordering::AcqRel);
                            }
                        }
                        ExitAction::Put => {
                            assert_eq!(running.vcpu.registers.pc, pc, "to be tried again")
                        }
                        other => panic!("{other:?}"),
                    }
                    running.put(&mut core);
                }
                ids
            })
        };
        let threads: Vec<_> = cores.into_iter().enumerate().map(ask).collect();
        let ids = threads.into_iter().map(|thread| thread.join().unwrap());
        ids.collect::<Vec<_>>()
    });
    for ids in &ids {
        assert!(ids.len() >= ROUNDS && ids.is_sorted());
    }
    let mut all = ids.concat();
    all.sort();
    let taken = all.len();
    all.dedup();
    assert_eq!(all.len(), taken, "each has its own");
    assert!(!vm.gate.is_closed());
}
