//! A VM, and what its guest can do.

use crate::addr::{BLOCK_SIZE, Ipa, Pa};
use crate::arch::vcpu::{Registers, Trap, TrapKind};
use crate::config::{Accounting, OnReset, PoolPlan, Start, Time, Uart, VmConfig};
use crate::device::{Devices, UART_BASE};
use crate::fake::abort::Abort;
use crate::fake::worst::Access;
use crate::fake::{Asked, FakeBoard, FakeCore, System};
use crate::guest_image::{Format, Image, Segment};
use crate::hvc::ids;
use crate::limits::WINDOWS_MAX;
use crate::snapshot::Snapshots;
use crate::trap;
use crate::vm::quiesce::Initiator;
use crate::vm::unfinished::Unfinished;
use crate::vm::{ExitAction, LoadedVcpu, StartError, Vm};
use std::boxed::Box;
use std::ops::Range;
use std::vec::Vec;

pub const RAM: u64 = 0x4000_0000;
/// Four blocks: the image goes to the first, the device tree to the third, and to the first too.
pub const RAM_SIZE: u64 = 4 * BLOCK_SIZE;
/// A page in a block that loading leaves alone.
pub const UNTOUCHED: u64 = RAM + BLOCK_SIZE + 0x5000;
/// A page beside the image.
pub const DATA: u64 = RAM + 0x10_0000;
/// Where there is nothing.
pub const HOLE: u64 = 0x0b00_0000;
/// A raw binary.
pub const IMAGE: &[u8] = b"\x14\0\0\x14guest";

/// Memory of the board.
const BOARD: Pa = Pa(0x1_0000_0000);

pub const PLAN: VmConfig = VmConfig {
    name: "test",
    image: Image {
        format: Format::Raw,
        entry: Ipa(RAM + 0x8_0000),
        segments: &[Segment {
            ipa: Ipa(RAM + 0x8_0000),
            bytes: IMAGE,
            zeroes: 0,
        }],
    },
    initrd: None,
    cmdline: None,
    vcpus: 1,
    cores: &[],
    memory: RAM_SIZE,
    windows: &[],
    on_reset: OnReset::Restart,
    checkpoint_every: None,
    time: Time::Stops,
    pools: PoolPlan {
        capacity: 3,
        accounting: Accounting::OnDemand,
    },
    controls: &[],
    controlled_by: None,
    start: Start::Running,
    uart: Uart::Console,
};

/// The share of the `number`th VM: so many blocks.
pub fn share(number: u64, blocks: u64) -> Range<Pa> {
    let start = BOARD.0 + number * (1 << 30);
    Pa(start)..Pa(start + blocks * BLOCK_SIZE)
}

/// The memory of window number `number`.
fn window_at(number: u64) -> Range<Pa> {
    let start = 0x8000_0000 + number * BLOCK_SIZE;
    Pa(start)..Pa(start + BLOCK_SIZE)
}

/// What a snapshot brings back, RAM aside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    pub registers: Registers,
    pub system: System,
    pub devices: Devices,
    pub virtual_count: u64,
}

/// The next trap of a vCPU that is loaded, and what becomes of that when EL2 has done all of it.
pub fn finished(running: &mut LoadedVcpu<'_, FakeBoard>, core: &mut FakeCore) -> ExitAction {
    let mut next = running.step(core);
    while running.vcpu.unfinished.is_some() && !matches!(next, ExitAction::Put | ExitAction::Wait) {
        let later = running.go_on(core);
        // An interrupt is told of, whatever it has begun.
        if next == ExitAction::Unfinished || later == ExitAction::Put {
            next = later;
        }
    }
    next
}

/// A VM with a guest, whose vCPU 0 is on core 0.
pub struct Guest {
    pub vm: Vm<FakeBoard>,
    pub core: FakeCore,
}

impl Guest {
    /// A guest with `PLAN` in 32 blocks of memory.
    pub fn new() -> Self {
        Self::with(PLAN)
    }

    /// A guest with another plan.
    pub fn with(plan: VmConfig) -> Self {
        Self::start(plan, share(0, 32)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A guest with a share of memory, if it can be started.
    pub fn start(plan: VmConfig, share: Range<Pa>) -> Result<Self, StartError> {
        Self::start_in(plan, &[share])
    }

    /// The same, with memory in pieces.
    pub fn start_in(plan: VmConfig, share: &[Range<Pa>]) -> Result<Self, StartError> {
        let plan = Box::leak(Box::new(plan));
        let windows: Vec<_> = (0..).map(window_at).take(WINDOWS_MAX).collect();
        let memory = [share, windows.as_slice()].concat();
        let mut board = FakeBoard::new(&memory);
        board.windows = windows.iter().map(|window| window.start).collect();
        for window in windows {
            board.memory.zero(window.start, BLOCK_SIZE);
        }
        let mut vm = Vm::new(plan, 0, board, share, |vcpu| vcpu)?;
        let mut core = FakeCore::new(0);
        core.worst = Some(vm.shared.get_mut().memory.backend.worst.clone());
        let mut guest = Self { vm, core };
        guest.on_core(|_, _| ());
        Ok(guest)
    }

    /// Does something with vCPU 0, loaded on the core; it stays there afterwards.
    pub fn on_core<R>(
        &mut self,
        action: impl FnOnce(&mut LoadedVcpu<'_, FakeBoard>, &mut FakeCore) -> R,
    ) -> R {
        let mut running = match self.core.vcpu {
            Some(_) => self.vm.loaded(0),
            None => self.vm.load(&mut self.core, 0).expect("it may run"),
        };
        action(&mut running, &mut self.core)
    }

    /// Its vCPU traps, and is in the midst of what EL2 does for that.
    pub fn begins(&mut self, trap: Trap) {
        self.core.script.push_back(Box::new(move |_| trap));
        let next = self.on_core(|running, core| running.step(core));
        assert_eq!(next, ExitAction::Unfinished);
    }

    /// Goes on with that until it is done. Returns how many pieces that took.
    pub fn finishes(&mut self) -> usize {
        let mut pieces = 0;
        self.on_core(|_, _| ());
        while self.vm.vcpus[0].get_mut().unfinished.is_some() {
            self.on_core(|running, core| running.go_on(core));
            pieces += 1;
        }
        pieces
    }

    /// Its vCPU leaves the core.
    pub fn leaves(&mut self) {
        self.vm.loaded(0).put(&mut self.core);
    }

    pub fn core(&mut self) -> &mut FakeCore {
        &mut self.core
    }

    pub fn board(&mut self) -> &mut FakeBoard {
        &mut self.vm.shared.get_mut().memory.backend
    }

    pub fn snapshots(&mut self) -> &mut Snapshots {
        &mut self.vm.shared.get_mut().snapshots
    }

    pub fn registers(&mut self) -> &mut Registers {
        &mut self.vm.vcpus[0].get_mut().registers
    }

    pub fn state(&mut self) -> State {
        State {
            registers: *self.registers(),
            system: self.core.system,
            devices: self.vm.shared.get_mut().devices,
            virtual_count: self.vm.virtual_count(),
        }
    }

    /// The VM starts again from its image.
    pub fn reset(&mut self) {
        let (vm, core) = (&self.vm, &mut self.core);
        core.acts();
        let mut shared = vm.shared.lock();
        let mut vcpu = vm.vcpus[0].lock();
        let initiator = Initiator {
            core,
            vcpu: Some((0, &mut vcpu)),
        };
        vm.reset(&mut shared, initiator);
        shared.finish_loading();
        vcpu.unfinished = Unfinished::NOTHING;
    }

    /// Puts different values everywhere, which `seed` decides; pc and PSTATE stay sensible.
    pub fn scramble(&mut self, seed: u64) {
        let value = |n: u64| (seed << 32 | n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        *self.registers() = Registers {
            x: std::array::from_fn(|i| value(i as u64)),
            pc: RAM + 0x8_0000 + (value(31) & 0xffc),
            pstate: 0x3c5 | value(32) & 0xf000_0000,
        };
        self.core.system = System {
            vbar: RAM + (value(40) & 0xff) * 0x800,
            sctlr: value(41),
            elr: value(42),
            spsr: value(43),
            esr: value(44),
            far: value(45),
            sp_el0: value(46),
            sp_el1: value(47),
            tpidr_el1: value(48),
            tcr: 0,
            ttbr: 0,
            vectors: std::array::from_fn(|i| value(50 + i as u64)),
            serror: 0,
            watched: 1,
            timer_line: 0,
            timer_deadline: 0,
        };
        self.vm.set_virtual_count(value(49));
        // IBRD.
        self.uart_store(0x24, value(33) & 0xffff);
    }

    /// The trap, and what the VM makes of it.
    pub fn trap(&mut self, trap: Trap) -> ExitAction {
        self.core().script.push_back(Box::new(move |_| trap));
        self.on_core(finished)
    }

    /// An exception of `class` with this syndrome, from an instruction of 32 bits.
    pub fn exception(&mut self, class: u64, iss: u64) -> ExitAction {
        self.trap(Trap {
            kind: TrapKind::Sync,
            esr: class << 26 | 1 << 25 | iss,
            far: 0xdead_0000,
            hpfar: 0xd_ead0,
        })
    }

    /// `hvc #immediate`; as on a CPU, the trap's return address is behind it.
    pub fn hvc(&mut self, immediate: u16) -> ExitAction {
        self.registers().pc += 4;
        self.exception(0x16, immediate.into())
    }

    /// `hvc #0`, whose results are x0 to x3; the rest stays as it is.
    pub fn smccc(&mut self, function: u64, arguments: &[u64]) -> [u64; 4] {
        self.registers().x[0] = function;
        self.registers().x[1..=arguments.len()].copy_from_slice(arguments);
        let before = *self.registers();
        assert_eq!(self.hvc(0), ExitAction::Resume);
        let after = *self.registers();
        assert_eq!(before.x[4..], after.x[4..], "{function:#x}");
        assert_eq!((before.pc + 4, before.pstate), (after.pc, after.pstate));
        after.x[..4].try_into().unwrap()
    }

    /// The guest's access to RAM, tried again as long as it traps, but not for ever.
    fn access(&mut self, ipa: u64, access: Access) -> Pa {
        // A fetch from untouched RAM traps for its contents, and then for its instructions. A store to a block that becomes writable as a
        // whole may meet what the TLB has of its page.
        let traps = if access == Access::Load { 1 } else { 2 };
        let mut tries = 0;
        while tries <= traps {
            match self.board().access(Ipa(ipa), access) {
                Ok(pa) => return pa,
                Err(trap) => {
                    let before = self.state();
                    let pieces = self.snapshots().pieces;
                    assert_eq!(self.trap(trap), ExitAction::Resume);
                    assert_eq!(self.state(), before, "nothing but its memory changes");
                    // It may have done no more than a piece of what it takes.
                    tries += i32::from(self.snapshots().pieces == pieces);
                }
            }
        }
        panic!("{access:?} at {ipa:#x} traps more than {traps} times");
    }

    pub fn store(&mut self, ipa: u64, byte: u8) {
        let pa = self.access(ipa, Access::Store);
        self.board().memory.write(pa, &[byte]);
    }

    pub fn load(&mut self, ipa: u64) -> u8 {
        let pa = self.access(ipa, Access::Load);
        self.board().memory.read(pa)
    }

    pub fn bytes(&mut self, ipa: u64, count: usize) -> Vec<u8> {
        (ipa..ipa + count as u64).map(|at| self.load(at)).collect()
    }

    pub fn fetch(&mut self, ipa: u64) -> u8 {
        let pa = self.access(ipa, Access::Fetch);
        self.board().memory.read(pa)
    }

    /// A store of 32 bits to the UART, through x9, which keeps its value; so does the pc.
    pub fn uart_store(&mut self, offset: u64, value: u64) {
        let before = *self.registers();
        self.registers().x[9] = value;
        let access = trap::Access {
            size: 4,
            reg: 9,
            sign_extend: false,
            sixty_four: false,
        };
        let store = Abort {
            access: Some(access),
            ..Abort::store(UART_BASE.0 + offset)
        };
        assert_eq!(self.trap(store.trap()), ExitAction::Resume);
        *self.registers() = before;
    }

    /// What is asked of the core while the guest does something, each with what the stage 2 entry of `ipa` held then.
    pub fn watched(&mut self, ipa: u64, action: impl FnOnce(&mut Self)) -> Vec<(Asked, u64)> {
        self.board().watch(Ipa(ipa));
        action(self);
        self.board().recorder.watch = None;
        std::mem::take(&mut self.board().recorder.asked)
    }

    /// The smallest id that exists.
    pub fn first_id(&mut self) -> Option<u64> {
        let shared = self.vm.shared.get_mut();
        shared.snapshots.first_id_from(&shared.memory, 0).ok()
    }

    /// Takes a snapshot by SMCCC and returns its id.
    pub fn checkpoint(&mut self) -> u64 {
        let [id, again, ..] = self.smccc(CHECKPOINT, &[]);
        assert!((id as i64) >= 0 && again == 0, "{id:#x} {again}");
        id
    }

    /// RESTORE, by SMCCC; the registers are those of the checkpoint afterwards.
    pub fn restore(&mut self, id: u64, value: u64) {
        let restores = self.snapshots().generation();
        self.registers().x[..3].copy_from_slice(&[RESTORE, id, value]);
        assert_eq!(self.hvc(0), ExitAction::Resume);
        assert_eq!(self.snapshots().generation(), restores + 1, "{id} is there");
    }
}

pub const CHECKPOINT: u64 = ids::CHECKPOINT.0 as u64;
pub const RESTORE: u64 = ids::RESTORE.0 as u64;
pub const DELETE: u64 = ids::DELETE.0 as u64;
pub const INFO: u64 = ids::INFO.0 as u64;
pub const NEXT: u64 = ids::NEXT.0 as u64;
pub const STATS: u64 = ids::STATS.0 as u64;
pub const GENERATION: u64 = ids::GENERATION.0 as u64;

pub const NOT_SUPPORTED: u64 = -1i64 as u64;
pub const NOT_FOUND: u64 = -4i64 as u64;
/// The newest snapshot; or no id at all.
pub const LATEST: u64 = u64::MAX;
/// An id that no snapshot has.
pub const NOBODY: u64 = 1 << 60;
