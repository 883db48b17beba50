//! Page maps as small as they can be, with two entries to a node and four pages: what a snapshot does, in a form that fits on a page.

/// A node or a frame, by its place in [`World::things`].
pub type Id = usize;

/// What maps are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    /// A node with what its entries lead to.
    Node([Id; 2]),
    /// A frame, and the page that it holds the contents of.
    Frame(usize),
}

/// A VM and its snapshots.
#[derive(Clone)]
pub struct World {
    /// Nodes and frames in the order in which they were made.
    pub things: Vec<Thing>,
    /// Snapshots that exist: their ids and roots.
    pub snapshots: Vec<(usize, Id)>,
    /// The root of the running VM's base.
    pub base: Id,
    /// The dirty list: a page, and the frame that the VM stores to.
    pub dirty: Vec<(usize, Id)>,
    /// Pages that the VM can store to.
    pub writable: [bool; 4],
    next: usize,
}

impl World {
    /// A VM that has touched all of its pages, and no snapshot.
    pub fn new() -> Self {
        let frames = (0..4).map(Thing::Frame);
        let nodes = [
            Thing::Node([0, 1]),
            Thing::Node([2, 3]),
            Thing::Node([4, 5]),
        ];
        Self {
            things: frames.chain(nodes).collect(),
            snapshots: Vec::new(),
            base: 6,
            dirty: Vec::new(),
            writable: [true; 4],
            next: 0,
        }
    }

    /// The first store to a page: the VM keeps its frame, and a copy takes the place of that in the one leaf that holds it.
    pub fn store(&mut self, page: usize) {
        let frame = self.mapped(page);
        let copy = self.make(Thing::Frame(page));
        let leaf = self.leaf(self.base, page);
        let Thing::Node(entries) = &mut self.things[leaf] else {
            unreachable!("a leaf is a node")
        };
        entries[page % 2] = copy;
        self.dirty.push((page, frame));
        self.writable[page] = true;
    }

    /// Folds the dirty pages into the base, makes the snapshot one more holder of it, and protects the pages.
    pub fn checkpoint(&mut self) {
        for (page, frame) in std::mem::take(&mut self.dirty) {
            let Thing::Node(mut root) = self.things[self.base] else {
                unreachable!("a root is a node")
            };
            let Thing::Node(mut leaf) = self.things[root[page / 2]] else {
                unreachable!("a leaf is a node")
            };
            leaf[page % 2] = frame;
            root[page / 2] = self.make(Thing::Node(leaf));
            self.base = self.make(Thing::Node(root));
        }
        self.snapshots.push((self.next, self.base));
        self.next += 1;
        self.writable = [false; 4];
    }

    /// Takes the dirty pages back, and makes the snapshot's map the base.
    pub fn restore(&mut self, id: usize) {
        self.dirty.clear();
        self.base = self.root(id);
        self.writable = [false; 4];
    }

    /// Lets go of a snapshot's map.
    pub fn delete(&mut self, id: usize) {
        self.snapshots.retain(|(other, _)| *other != id);
    }

    /// What some map or the dirty list leads to.
    pub fn is_held(&self, thing: Id) -> bool {
        let listed = self.dirty.iter().any(|(_, frame)| *frame == thing);
        listed || self.roots().any(|root| self.leads_to(root, thing))
    }

    /// Whether the map with this root has the node or frame.
    pub fn leads_to(&self, root: Id, thing: Id) -> bool {
        let below = match self.things[root] {
            Thing::Node(entries) => entries.iter().any(|entry| self.leads_to(*entry, thing)),
            Thing::Frame(_) => false,
        };
        root == thing || below
    }

    /// What the VM has at a page.
    pub fn mapped(&self, page: usize) -> Id {
        if let Some((_, frame)) = self.dirty.iter().find(|(dirty, _)| *dirty == page) {
            return *frame;
        }
        self.entry(self.leaf(self.base, page), page % 2)
    }

    fn leaf(&self, root: Id, page: usize) -> Id {
        self.entry(root, page / 2)
    }

    fn entry(&self, node: Id, index: usize) -> Id {
        match self.things[node] {
            Thing::Node(entries) => entries[index],
            Thing::Frame(_) => unreachable!("frames are below leaves"),
        }
    }

    fn root(&self, id: usize) -> Id {
        let found = self.snapshots.iter().find(|(other, _)| *other == id);
        found.expect("the snapshot exists").1
    }

    fn roots(&self) -> impl Iterator<Item = Id> {
        let snapshots = self.snapshots.iter().map(|(_, root)| *root);
        snapshots.chain([self.base])
    }

    fn make(&mut self, thing: Thing) -> Id {
        self.things.push(thing);
        self.things.len() - 1
    }
}

#[test]
fn the_small_maps_behave_as_snapshots_do() {
    let mut world = World::new();
    world.checkpoint();
    world.store(2);
    let (second, copy) = (world.leaf(world.base, 2), world.things.len() - 1);
    assert_eq!((world.mapped(2), world.entry(second, 0)), (2, copy));
    world.checkpoint();
    assert_eq!(world.mapped(2), 2);
    world.store(1);
    let other = world.things.len() - 1;
    assert_eq!(world.mapped(1), 1);
    world.restore(0);
    assert_eq!(
        [0, 1, 2, 3].map(|page| world.mapped(page)),
        [0, other, copy, 3]
    );
    assert!(world.is_held(2) && !world.is_held(1));
    world.delete(1);
    let held = (0..world.things.len()).filter(|thing| world.is_held(*thing));
    assert!(held.eq([0, 3, 4, 5, 6, copy, other]));
}
