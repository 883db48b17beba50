//! Atomics whose orderings can be left out, each by its place: a call that [`mutants`] names is relaxed. With `--cfg loom` they are loom's,
//! and so is the lock: a [model](loom::model) then runs through all that cores may do and see.

use super::worst::mutants;
use core::sync::atomic::Ordering;

#[cfg(loom)]
pub use loom::thread::yield_now;
#[cfg(not(loom))]
pub use std::thread::yield_now;

#[cfg(loom)]
pub use explored::*;
#[cfg(loom)]
use loom::sync::atomic as real;
#[cfg(not(loom))]
use std::sync::atomic as real;

/// The ordering that a call asks for, if it is not left out.
#[track_caller]
fn kept(ordering: Ordering) -> Ordering {
    match ordering {
        Ordering::Relaxed => ordering,
        _ if mutants::is_left_out() => Ordering::Relaxed,
        _ => ordering,
    }
}

macro_rules! atomics {
    ($($name:ident: $value:ty)*) => {$(
        #[doc = concat!("See [`core::sync::atomic::", stringify!($name), "`].")]
        #[derive(Debug, Default)]
        pub struct $name(real::$name);

        impl $name {
            /// With this value.
            pub fn new(value: $value) -> Self {
                Self(real::$name::new(value))
            }

            /// What it is.
            #[track_caller]
            pub fn load(&self, ordering: Ordering) -> $value {
                self.0.load(kept(ordering))
            }

            /// It becomes `value`.
            #[track_caller]
            pub fn store(&self, value: $value, ordering: Ordering) {
                self.0.store(value, kept(ordering));
            }

            /// The same; returns what it was.
            #[track_caller]
            pub fn swap(&self, value: $value, ordering: Ordering) -> $value {
                self.0.swap(value, kept(ordering))
            }

            /// These bits are set, too; returns what it was.
            #[track_caller]
            pub fn fetch_or(&self, value: $value, ordering: Ordering) -> $value {
                self.0.fetch_or(value, kept(ordering))
            }

            /// Only these bits stay; returns what it was.
            #[track_caller]
            pub fn fetch_and(&self, value: $value, ordering: Ordering) -> $value {
                self.0.fetch_and(value, kept(ordering))
            }

            /// It becomes `new` if it is `current`; returns what it was.
            #[track_caller]
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.0.compare_exchange(current, new, kept(success), failure)
            }
        }
    )*};
}

atomics! {
    AtomicBool: bool
    AtomicU8: u8
    AtomicU16: u16
    AtomicU64: u64
}

/// The core that is waited for has its turn, also on a machine with more threads than CPUs: so many looks as EL2 has the patience for are a time in
/// which whoever has a lock gets a CPU, and lets go of it.
#[cfg(not(loom))]
pub struct Relax;

#[cfg(not(loom))]
impl spin::RelaxStrategy for Relax {
    fn relax() {
        std::thread::sleep(std::time::Duration::from_micros(50));
    }
}

#[cfg(loom)]
mod explored {
    use loom::cell::{MutPtr, UnsafeCell};
    use loom::sync::atomic::{AtomicBool, Ordering};
    use loom::thread::yield_now;
    use std::ops::{Deref, DerefMut};

    /// spin's lock, out of loom's atomics. Not loom's own: whoever is about to try that waits for it when another one gets it first.
    pub struct Mutex<T> {
        locked: AtomicBool,
        data: UnsafeCell<T>,
    }

    // SAFETY: who has the lock has the data to itself. And loom panics before an access that nothing orders.
    unsafe impl<T: Send> Sync for Mutex<T> {}

    impl<T> Mutex<T> {
        /// Nobody has it.
        pub fn new(value: T) -> Self {
            Self {
                locked: AtomicBool::new(false),
                data: UnsafeCell::new(value),
            }
        }

        /// Waits for its turn.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            loop {
                match self.try_lock() {
                    Some(guard) => return guard,
                    None => yield_now(),
                }
            }
        }

        /// Its turn, if nobody has it.
        pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.locked
                .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
                .ok()?;
            Some(MutexGuard {
                locked: &self.locked,
                data: Some(self.data.get_mut()),
            })
        }

        /// For who has it to itself.
        pub fn get_mut(&mut self) -> &mut T {
            // SAFETY: nobody else has a reference to the lock.
            self.data.with_mut(|data| unsafe { &mut *data })
        }
    }

    /// Holding it.
    pub struct MutexGuard<'a, T> {
        locked: &'a AtomicBool,
        /// Until it is dropped.
        data: Option<MutPtr<T>>,
    }

    // SAFETY: as a reference to the data, and an atomic.
    unsafe impl<T: Send> Send for MutexGuard<'_, T> {}

    const HELD: &str = "until it is dropped";

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            // SAFETY: it is this one's, shared as long as `self` is.
            unsafe { self.data.as_ref().expect(HELD).deref() }
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            // SAFETY: it is this one's alone.
            unsafe { self.data.as_ref().expect(HELD).deref() }
        }
    }

    impl<T> Drop for MutexGuard<'_, T> {
        fn drop(&mut self) {
            self.data = None;
            self.locked.store(false, Ordering::Release);
        }
    }

    /// The others have their turn.
    pub struct Relax;

    impl spin::RelaxStrategy for Relax {
        fn relax() {
            yield_now();
        }
    }

    /// A word of memory that several cores use: loom finds out if nothing orders two of them.
    pub struct Word(UnsafeCell<u64>);

    // SAFETY: loom runs one thread at a time, and panics before an access that nothing orders.
    unsafe impl Sync for Word {}

    impl Word {
        /// A word that holds `value`.
        pub fn new(value: u64) -> Self {
            Self(UnsafeCell::new(value))
        }

        /// What it holds.
        pub fn get(&self) -> u64 {
            // SAFETY: nobody writes it, or loom had panicked.
            self.0.with(|word| unsafe { *word })
        }

        /// It holds `value` from here on.
        pub fn set(&self, value: u64) {
            // SAFETY: nobody else uses it, or loom had panicked.
            self.0.with_mut(|word| unsafe { *word = value });
        }
    }
}
