//! A board as tests have it: in the hands of several cores and threads.

use super::*;

/// A board, in several hands.
#[derive(Clone)]
pub struct Worst(Arc<Mutex<Board>>);

impl Worst {
    /// A board with so many cores.
    pub fn new(cores: usize, luck: Luck) -> Self {
        Self(Arc::new(Mutex::new(Board::new(cores, luck))))
    }

    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// This thread stands for `core`, until what is returned goes.
    pub fn on(&self, core: usize) -> On {
        CURRENT.with_borrow_mut(|current| current.push((self.0.clone(), core)));
        On
    }

    /// This thread stands for `core` from here on.
    pub fn enter(&self, core: usize) {
        CURRENT.with_borrow_mut(|current| {
            current.pop();
            current.push((self.0.clone(), core));
        });
    }

    /// The level 1 table that VTTBR_EL2 of `core` names.
    pub fn root(&self, core: usize) -> u64 {
        self.board().registers[core].effective("vttbr_el2") & 0x0000_ffff_ffff_f000
    }

    /// How many instructions of each kind were done since this was asked last.
    pub fn take_counts(&self) -> Counts {
        std::mem::take(&mut self.board().counts)
    }

    /// The guest on `core` loads the doubleword at `va`.
    pub fn load(&self, core: usize, va: u64, by: By) -> Result<u64, Fault> {
        let board = &mut *self.board();
        let at = board.translate(core, va, Access::Load)?;
        Ok(match by {
            By::Cache => board.memory.load(core, at),
            By::Around => board.memory.load_around(core, at),
        })
    }

    /// It stores it.
    pub fn store(&self, core: usize, va: u64, value: u64, by: By) -> Result<(), Fault> {
        let board = &mut *self.board();
        let at = board.translate(core, va, Access::Store)?;
        match by {
            By::Cache => board.memory.store(core, at, value),
            By::Around => board
                .memory
                .store_around(core, at, value, &mut board.chance),
        }
        Ok(())
    }

    /// It executes it.
    pub fn fetch(&self, core: usize, va: u64, by: By) -> Result<u64, Fault> {
        let board = &mut *self.board();
        let at = board.translate(core, va, Access::Fetch)?;
        let now = board.tlbs.now();
        let around = by == By::Around;
        Ok(board.memory.fetch(core, at, around, now, &mut board.chance))
    }

    /// Where its access goes, nothing more.
    pub fn translate(&self, core: usize, va: u64, access: Access) -> Result<u64, Fault> {
        self.board().translate(core, va, access)
    }

    /// The guest maintains what it has to: its own DSB.
    pub fn guest_does(&self, core: usize, instruction: Instruction) {
        let board = &mut *self.board();
        board.synchronize(core);
        board.perform(core, instruction);
    }

    /// The guest writes a system register.
    pub fn guest_writes(&self, core: usize, name: &'static str, value: u64) {
        let board = &mut *self.board();
        board.synchronize(core);
        board.write_register(core, name, value);
        board.synchronize(core);
    }

    /// EL2 uses the frame with this number for itself.
    pub fn scribble(&self, frame: u64) {
        self.board().memory.scribble(frame);
    }

    /// What was written to system registers of `core` and is not in effect for sure.
    pub fn unsynchronized(&self, core: usize) -> Vec<&'static str> {
        self.board().registers[core].unsynchronized()
    }

    /// What `core` has in its TLB and in flight.
    pub fn held(&self, core: usize) -> usize {
        self.board().tlbs.held(core)
    }
}

std::thread_local! {
    static CURRENT: RefCell<Vec<(Arc<Mutex<Board>>, usize)>> = const { RefCell::new(Vec::new()) };
}

/// This thread stands for a core.
#[must_use]
pub struct On;

impl Drop for On {
    fn drop(&mut self) {
        CURRENT.with_borrow_mut(Vec::pop);
    }
}

/// Does something as the core that this thread stands for, if it stands for one.
pub fn current<R>(action: impl FnOnce(&mut Board, usize) -> R) -> Option<R> {
    let (board, core) = CURRENT.with_borrow(|current| current.last().cloned())?;
    let mut board = board
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    Some(action(&mut board, core))
}
