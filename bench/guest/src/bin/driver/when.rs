//! When did this variable change? The calls by which `guest/gdb` answers that (its `vm/when.rs` and `history.rs`), in the same order: the snapshots that
//! the target comes from, and among them, by halves, those that have the variable's page in different frames.

use avisor_guest::{Error, Id};

use super::{TARGET, count};

/// Snapshots of the target that are asked about.
pub const SNAPSHOTS: usize = 1000;
/// The variable changes once, before this one.
const CHANGE: usize = 700;
/// RAM of the target that nobody else uses: the variable's page, and as many more as change all the time.
const FIELD: u64 = 0x4300_0000;
const OTHERS: u64 = 100;
const PAGE: u64 = 4096;
/// From one of these pages to the next: none shares a leaf of a page map with another.
const STEP: u64 = 64 * PAGE;
/// What the target has besides: its own snapshots, and now.
const MORE: usize = 16;

/// A snapshot, or now.
type Point = Option<Id>;

fn expect<T>(result: Result<T, Error>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// Takes the snapshots. Before each something changes, and before one of them the variable. Returns that one.
fn history() -> Id {
    let mut changed = Id::LATEST;
    for n in 0..SNAPSHOTS {
        expect(TARGET.write(FIELD + (1 + n as u64 % OTHERS) * STEP, &[n as u8]));
        if n == CHANGE {
            expect(TARGET.write(FIELD, &[1]));
        }
        let id = expect(TARGET.checkpoint());
        if n == CHANGE {
            changed = id;
        }
    }
    changed
}

/// A question, and what its calls took so far, with the library's part of them.
struct Question {
    took: u64,
    changes: usize,
    /// The snapshot behind the newest change.
    newer: Point,
}

impl Question {
    fn call<T>(&mut self, call: impl FnOnce() -> Result<T, Error>) -> T {
        let before = count();
        let result = call();
        self.took += count() - before;
        expect(result)
    }

    /// What the target comes from, the newest first, in `line`; how many.
    fn line(&mut self, line: &mut [Point]) -> usize {
        self.call(|| TARGET.next(Id(0)));
        let [mut at, ..] = self.call(|| TARGET.line(None));
        let mut count = 0;
        while let Some(id) = at {
            // The last of four begins the next four.
            let [one, two, three, next] = self.call(|| TARGET.line(Some(id)));
            for id in [one, two, three] {
                line[count] = id;
                count += usize::from(id.is_some());
            }
            at = next;
        }
        count
    }

    /// Finds the changes between neighbours of `points`, the newest first.
    fn search(&mut self, points: &[Point]) {
        let [newer, .., older] = *points else {
            return;
        };
        let page = (FIELD - 0x4000_0000) / PAGE;
        if self.call(|| TARGET.differs(newer, older, page)) != page {
            return;
        }
        if points.len() == 2 {
            let mut bytes = [[0; 8]; 2];
            for (bytes, point) in bytes.iter_mut().zip([newer, older]) {
                self.call(|| TARGET.read(point, FIELD, bytes));
            }
            if bytes[0] != bytes[1] {
                self.changes += 1;
                self.newer = self.newer.or(newer);
            }
            return;
        }
        let middle = points.len() / 2;
        self.search(&points[..=middle]);
        self.search(&points[middle..]);
    }
}

/// What the calls take. The frame of this is large: `main`'s is to be small, so that what is read into that crosses no page.
#[inline(never)]
pub fn measure() -> u64 {
    let changed = history();
    let points = &mut [None; SNAPSHOTS + MORE];
    // The first time, pages of this VM become its own.
    let [_, took] = [(); 2].map(|()| {
        let mut question = Question {
            took: 0,
            changes: 0,
            newer: None,
        };
        // Where the variable is, by the target's tables.
        let place = question.call(|| TARGET.translate(None, 0, FIELD));
        // Now is in front.
        let found = 1 + question.line(&mut points[1..]);
        question.search(&points[..found]);
        assert!(place.address == FIELD && found > SNAPSHOTS, "all of them");
        assert!(question.changes == 1 && question.newer == Some(changed));
        question.took
    });
    took
}
