//! The pictures of chapter 6: one for each step of a short history.

use super::drawing::{END, begin, label, line, put};
use super::tree::{Id, Thing, World};

const HEIGHT: f64 = 318.0;
/// Of a node's entry, and of a frame.
const CELL: f64 = 30.0;
const FRAME: f64 = 46.0;
/// Where holders, roots, leaves, frames and the VM's pages stand.
const ROWS: [f64; 5] = [20.0, 78.0, 136.0, 194.0, 262.0];

/// A name, what the picture says of the step, and the step.
type Step = (&'static str, &'static str, fn(&mut World));

/// The steps by name, each with its picture.
pub fn all() -> Vec<(&'static str, String)> {
    let steps: [Step; 7] = [
        ("1-start", "No snapshot: every page is writable", |_| {}),
        (
            "2-checkpoint",
            "Checkpoint: #0 is one more holder of the base, and every page is read-only",
            World::checkpoint,
        ),
        (
            "3-first-store",
            "First store to page 2: f4, with the old contents, takes the place of f2 in the map, and the VM keeps f2",
            |world| world.store(2),
        ),
        (
            "4-second-checkpoint",
            "Checkpoint: the dirty page is folded in, by copies of the nodes on its way; #1 holds the new map",
            World::checkpoint,
        ),
        ("5-another-store", "First store to page 1", |world| {
            world.store(1)
        }),
        (
            "6-restore",
            "Restore of #0: f1 is free, pages 1 and 2 are mapped to what #0 has there; nothing is copied",
            |world| world.restore(0),
        ),
        (
            "7-delete",
            "Delete #1: what only #1 held is free",
            |world| world.delete(1),
        ),
    ];
    let mut world = World::new();
    let places = places(&history(&steps));
    steps
        .iter()
        .map(|(name, title, step)| {
            let before = world.clone();
            step(&mut world);
            (*name, draw(title, &before, &world, &places))
        })
        .collect()
}

/// The world at the end: all that there ever was.
fn history(steps: &[Step]) -> World {
    let mut world = World::new();
    for (_, _, step) in steps {
        step(&mut world);
    }
    world
}

/// Where the middle of each node and frame is: the same in all pictures.
fn places(all: &World) -> Vec<(f64, f64)> {
    let (mut roots, mut leaves, mut frames) = (0, 0, 0);
    let things = all.things.iter();
    things
        .map(|thing| match thing {
            Thing::Frame(_) => {
                frames += 1;
                (90.0 * f64::from(frames) - 10.0, ROWS[3])
            }
            Thing::Node(entries) if matches!(all.things[entries[0]], Thing::Frame(_)) => {
                leaves += 1;
                (170.0 * f64::from(leaves) - 50.0, ROWS[2])
            }
            Thing::Node(_) => {
                roots += 1;
                (205.0 * f64::from(roots), ROWS[1])
            }
        })
        .collect()
}

fn draw(title: &str, before: &World, world: &World, places: &[(f64, f64)]) -> String {
    let mut svg = begin(title, HEIGHT);
    // What nothing holds any more is shown once, as it goes.
    let shown: Vec<Id> = (0..world.things.len())
        .filter(|thing| {
            world.is_held(*thing) || *thing < before.things.len() && before.is_held(*thing)
        })
        .collect();
    for &thing in &shown {
        edges(&mut svg, world, thing, places);
    }
    holders(&mut svg, world, places);
    for &thing in &shown {
        let class = match () {
            () if !world.is_held(thing) => "gone",
            () if world.dirty.iter().any(|(_, frame)| *frame == thing) => "own",
            () if thing >= before.things.len() => "new",
            () => "thing",
        };
        body(&mut svg, world, thing, places[thing], class);
    }
    pages(&mut svg, world, places);
    svg += END;
    svg
}

fn edges(svg: &mut String, world: &World, thing: Id, places: &[(f64, f64)]) {
    let Thing::Node(entries) = world.things[thing] else {
        return;
    };
    let class = if world.is_held(thing) {
        "edge"
    } else {
        "edge lost"
    };
    for (index, entry) in entries.into_iter().enumerate() {
        let x = places[thing].0 + CELL * (index as f64 - 0.5);
        line(
            svg,
            class,
            (x, places[thing].1 + 15.0),
            (places[entry].0, places[entry].1 - 15.0),
        );
    }
}

/// The snapshots and the running VM, above the roots that they hold.
fn holders(svg: &mut String, world: &World, places: &[(f64, f64)]) {
    let snapshots = world
        .snapshots
        .iter()
        .map(|(id, root)| (format!("#{id}"), *root, "pill"));
    let all: Vec<_> = snapshots
        .chain([("running VM".to_owned(), world.base, "pill vm")])
        .collect();
    for (n, (name, root, class)) in all.iter().enumerate() {
        let earlier = all[..n]
            .iter()
            .filter(|(_, other, _)| other == root)
            .count();
        let x = places[*root].0 + 80.0 * earlier as f64;
        line(
            svg,
            "edge",
            (x, ROWS[0] + 13.0),
            (places[*root].0, ROWS[1] - 15.0),
        );
        let wide = if name.len() > 3 { 92.0 } else { 40.0 };
        put(
            svg,
            format_args!(
                "<rect x=\"{}\" y=\"{}\" width=\"{wide}\" height=\"26\" rx=\"13\" class=\"{class}\"/>",
                x - wide / 2.0,
                ROWS[0] - 13.0
            ),
        );
        label(svg, x, ROWS[0] + 4.5, "name", name);
    }
}

fn body(svg: &mut String, world: &World, thing: Id, (x, y): (f64, f64), class: &str) {
    match world.things[thing] {
        Thing::Node(_) => {
            for left in [x - CELL, x] {
                put(
                    svg,
                    format_args!(
                        "<rect x=\"{left}\" y=\"{}\" width=\"{CELL}\" height=\"30\" class=\"{class}\"/>",
                        y - 15.0
                    ),
                );
            }
        }
        Thing::Frame(_) => {
            put(
                svg,
                format_args!(
                    "<rect x=\"{}\" y=\"{}\" width=\"{FRAME}\" height=\"30\" rx=\"3\" class=\"{class}\"/>",
                    x - FRAME / 2.0,
                    y - 15.0
                ),
            );
            let frames = world.things[..thing]
                .iter()
                .filter(|thing| matches!(thing, Thing::Frame(_)));
            label(svg, x, y + 4.5, "", &format!("f{}", frames.count()));
        }
    }
}

/// What the VM's stage 2 shows.
fn pages(svg: &mut String, world: &World, places: &[(f64, f64)]) {
    for page in 0..4 {
        let (x, y) = (90.0 * page as f64 + 80.0, ROWS[4]);
        let to = places[world.mapped(page)];
        line(svg, "map", (x, y - 14.0), (to.0, to.1 + 15.0));
        put(
            svg,
            format_args!(
                "<rect x=\"{}\" y=\"{}\" width=\"62\" height=\"28\" rx=\"3\" class=\"vm\"/>",
                x - 31.0,
                y - 14.0
            ),
        );
        label(svg, x, y + 4.5, "", &format!("page {page}"));
        label(
            svg,
            x,
            y + 29.0,
            "small",
            if world.writable[page] {
                "writable"
            } else {
                "read-only"
            },
        );
    }
    let dirty: Vec<String> = world
        .dirty
        .iter()
        .map(|(page, _)| format!("page {page}"))
        .collect();
    let dirty = if dirty.is_empty() {
        "empty".to_owned()
    } else {
        dirty.join(", ")
    };
    label(
        svg,
        545.0,
        ROWS[4] + 4.5,
        "",
        &format!("dirty list: {dirty}"),
    );
    label(
        svg,
        545.0,
        ROWS[4] + 29.0,
        "small",
        "what stage 2 shows the guest, on the left",
    );
}
