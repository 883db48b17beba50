//! Trees, drawn and read again.

use super::*;
use std::vec;

#[test]
fn a_tree_with_all_that_is_known() {
    let mut board = Board::with_tree(
        &[(0, None), (3, Some(0)), (12, Some(0)), (13, Some(11))],
        12,
    );
    board.snapshots.get_mut(&0).unwrap().age = 3 * 86_400_000 + 7_200_000;
    assert_eq!(
        board.says("snapshots"),
        "o     #0                       3 d 2 h ago        0 pages\n\
         |-o   #3  from #0           1 min 37 s ago        3 pages\n\
         @    #12  from #0           1 min 28 s ago       12 pages  <- it stands here\n\
         o    #13  from #11 (gone)   1 min 27 s ago       13 pages\n"
    );
}

#[test]
fn branches_have_lanes() {
    let chain: Vec<_> = (0..5).map(|n: u64| (n, n.checked_sub(1))).collect();
    assert_eq!(
        Board::with_tree(&chain, 4).tree(),
        ["o  #0", "o  #1", "o  #2", "o  #3", "@  #4"]
    );
    let star: Vec<_> = (0..4).map(|n| (n, (n > 0).then_some(0))).collect();
    assert_eq!(
        Board::with_tree(&star, 0).tree(),
        ["@    #0", "|-o  #1", "|-o  #2", "o    #3"]
    );
    let bush = [
        (0, None),
        (1, Some(0)),
        (2, Some(1)),
        (3, Some(0)),
        (4, Some(1)),
        (5, Some(3)),
        (6, Some(0)),
        (7, None),
    ];
    assert_eq!(
        Board::with_tree(&bush, 4).tree(),
        [
            "o      #0", //
            "|-o    #1",
            "| |-o  #2",
            "|-+-o  #3",
            "| @ |  #4",
            "|   o  #5",
            "o      #6",
            "o      #7",
        ]
    );
}

#[test]
fn of_many_snapshots_the_newest_are_shown() {
    let many: Vec<_> = (0..5000).map(|n: u64| (n, n.checked_sub(1))).collect();
    let mut board = Board::with_tree(&[], 0);
    for (id, parent) in many {
        let info = SnapshotInfo {
            parent,
            age: 0,
            pages: 1,
            is_current: false,
        };
        board.snapshots.insert(id, info);
    }
    let printed = board.says("snapshots");
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!((lines[0], lines.len()), ("... and 4936 older ones", 65));
    assert!(lines[1].starts_with("o  #4936  from #4935"), "{}", lines[1]);
    assert!(lines[64].ends_with("1 page"), "{}", lines[64]);
    assert!(board.looks <= 2 * 64, "one for each, and for its parent");
}

#[test]
fn ages() {
    for (ms, text) in [
        (0, "0 ms"),
        (999, "999 ms"),
        (1000, "1.0 s"),
        (59_999, "59.9 s"),
        (60_000, "1 min 0 s"),
        (3_599_999, "59 min 59 s"),
        (3_600_000, "1 h 0 min"),
        (86_399_999, "23 h 59 min"),
        (90_000_000, "1 d 1 h"),
    ] {
        assert_eq!(tree::Age(ms).to_string(), text);
    }
    assert!(!tree::Age(u64::MAX).to_string().is_empty());
}

/// The same tree by another way: who is above whom, read off the drawing.
fn parents_drawn(tree: &[String]) -> Vec<Option<usize>> {
    let mut parents = vec![];
    for (row, line) in tree.iter().enumerate() {
        let cells: Vec<char> = line[..line.find('#').unwrap()].chars().collect();
        let mark = cells.iter().position(|c| "o@".contains(*c)).unwrap();
        // Along the stroke to the lane that it comes from, or straight up.
        let mut column = mark;
        let strokes = |c: Option<&char>| matches!(c, Some('-' | '+'));
        if mark > 0 && strokes(cells.get(mark - 1)) {
            while strokes(cells.get(column - 1)) {
                column -= 1;
            }
            column -= 1;
        } else if strokes(cells.get(mark + 1)) {
            while strokes(cells.get(column + 1)) {
                column += 1;
            }
            column += 1;
        }
        let above = tree[..row]
            .iter()
            .rposition(|line| matches!(line.as_bytes().get(column), Some(b'o' | b'@')));
        parents.push(above);
    }
    parents
}

proptest! {
    #[test]
    fn any_tree_can_be_read_off_its_drawing(choices in prop::collection::vec(any::<prop::sample::Index>(), 1..40)) {
        // One root; every other one comes from any before it.
        let parent = |n: usize| (n > 0).then(|| choices[n].index(n));
        let snapshots: Vec<_> = (0..choices.len()).map(|n| (n as u64, parent(n).map(|p| p as u64))).collect();
        let drawn = parents_drawn(&Board::with_tree(&snapshots, 0).tree());
        for (n, above) in drawn.iter().enumerate() {
            prop_assert_eq!(*above, parent(n), "#{}", n);
        }
    }
}
