//! What the snapshots ask of the machine, and the rules that they keep.

use super::*;

impl Backend for ModelBackend {
    fn bookkeeping(&self, frame: Frame) -> &Bookkeeping {
        self.looks.update(|looks| looks + 1);
        &self.words[&frame.0]
    }

    fn bookkeeping_mut(&mut self, frame: Frame) -> &mut Bookkeeping {
        self.looks.update(|looks| looks + 1);
        self.contents.set(frame.0, STALE);
        self.words
            .entry(frame.0)
            .or_insert_with(|| Box::new([Node([0xdead_beef; FANOUT]); NODES_PER_FRAME]))
    }

    fn word(&self, number: u32) -> u32 {
        let (frame, node, word) = place_of(number);
        self.bookkeeping(frame)[node].0[word]
    }

    fn word_mut(&mut self, number: u32) -> &mut u32 {
        let (frame, node, word) = place_of(number);
        &mut self.bookkeeping_mut(frame)[node].0[word]
    }

    fn node(&self, number: u32) -> &Node {
        let (frame, node, word) = place_of(number);
        assert_eq!(word, 0);
        &self.bookkeeping(frame)[node]
    }

    fn node_mut(&mut self, number: u32) -> &mut Node {
        let (frame, node, word) = place_of(number);
        assert_eq!(word, 0);
        &mut self.bookkeeping_mut(frame)[node]
    }

    fn copy_frame(&mut self, from: Frame, to: Frame, _: Reach) {
        self.words.remove(&to.0);
        self.contents.set(to.0, self.contents.get(from.0));
        self.copies += 1;
    }

    fn clean_frame(&mut self, _: Frame) {
        self.written_back += 1;
    }

    fn begin_restore(&mut self, _: bool) -> bool {
        self.unmaps_all
    }

    fn cleans_what_is_accessed(&self) -> bool {
        self.cleans
    }

    fn map_clean_page(&mut self, page: Page, frame: Frame) {
        assert!(matches!(
            self.mapping(page),
            Mapping::Absent | Mapping::AbsentBlock
        ));
        self.divide_block(page);
        *self.entry(page) = (frame.0, false);
        self.is_half_mapped = true;
    }

    fn map_clean_block(&mut self, page: Page, first: Frame) {
        assert_eq!(
            (page % BLOCK_PAGES, self.mapping(page), self.cleans),
            (0, Mapping::AbsentBlock, false)
        );
        *self.block(page) = Block::Whole {
            first: first.0,
            write: false,
        };
        self.is_half_mapped = true;
    }

    fn end_map_clean(&mut self) {
        self.is_half_mapped = false;
    }

    fn unmap_blocks(&mut self, page: Page, count: u32) {
        assert!(self.remapping && page.is_multiple_of(BLOCK_PAGES));
        let first = (page / BLOCK_PAGES) as usize;
        self.blocks[first..first + count as usize].fill(Block::Absent);
        self.changes += count;
    }

    fn cleans_what_it_maps(&self) -> bool {
        self.cleans
    }

    fn zero_frames(&mut self, first: Frame, pages: u32) {
        for frame in first.0..first.0 + pages {
            self.words.remove(&frame);
            self.contents.set(frame, 0);
        }
    }

    fn mapping(&self, page: Page) -> Mapping {
        match (
            &self.blocks[(page / BLOCK_PAGES) as usize],
            self.translate(page),
        ) {
            (Block::Absent, _) => Mapping::AbsentBlock,
            (Block::Whole { write: true, .. }, _) => Mapping::WriteBlock,
            (Block::Whole { first, .. }, _) => Mapping::ReadBlock(Frame(*first)),
            (Block::Divided(_), None) => Mapping::Absent,
            (Block::Divided(_), Some((_, true))) => Mapping::Write,
            (Block::Divided(_), Some((frame, false))) => Mapping::Read(Frame(frame)),
        }
    }

    fn map_page_writable(&mut self, page: Page, frame: Frame) {
        assert!(matches!(
            self.mapping(page),
            Mapping::Read(_) | Mapping::Absent | Mapping::AbsentBlock
        ));
        self.divide_block(page);
        *self.entry(page) = (frame.0, true);
    }

    fn map_block_writable(&mut self, page: Page, first: Frame) {
        assert_eq!(
            (page % BLOCK_PAGES, self.mapping(page)),
            (0, Mapping::AbsentBlock)
        );
        *self.block(page) = Block::Whole {
            first: first.0,
            write: true,
        };
    }

    fn make_page_writable(&mut self, page: Page) {
        assert!(matches!(self.mapping(page), Mapping::Read(_)));
        self.entry(page).1 = true;
    }

    fn make_block_writable(&mut self, page: Page) {
        let Mapping::ReadBlock(first) = self.mapping(page) else {
            panic!("{:?}", self.mapping(page))
        };
        *self.block(page) = Block::Whole {
            first: first.0,
            write: true,
        };
    }

    fn split_live(&mut self, page: Page) {
        assert!(matches!(self.mapping(page), Mapping::ReadBlock(_)));
        self.divide_block(page);
    }

    fn invalidate_local(&mut self, _: Page) {
        assert!(self.stale, "this machine's TLB remembers nothing");
    }

    fn page_entries(&mut self) -> impl PageEntries {
        self
    }

    fn protect_block(&mut self, page: Page) {
        let Block::Whole { first, write: true } = *self.block(page) else {
            panic!()
        };
        *self.block(page) = Block::Whole {
            first,
            write: false,
        };
        self.unflushed = true;
    }

    fn end_protect(&mut self) {
        self.unflushed = false;
    }

    fn begin_remap(&mut self) {
        assert!(!self.remapping);
        self.remapping = true;
        self.remaps += 1;
    }

    fn split_unreachable(&mut self, page: Page) -> bool {
        assert!(self.remapping);
        let is_mapped = *self.block(page) != Block::Absent;
        if is_mapped {
            self.divide_block(page);
        }
        is_mapped
    }

    fn set_page(&mut self, page: Page, frame: Option<Frame>) {
        assert!(self.remapping);
        self.changes += 1;
        *self.entry(page) = (frame.map_or(0, |frame| frame.0), false);
    }

    fn set_leaf(&mut self, page: Page, from: u32, to: u32) {
        assert!(page.is_multiple_of(FANOUT as u32));
        let [from, to] = [from, to].map(|leaf| *self.node(leaf));
        for i in (0..FANOUT).filter(|&i| from.0[i] != to.0[i]) {
            self.set_page(page + i as u32, Frame::from_entry(to.0[i]));
        }
    }

    fn set_block(&mut self, page: Page, first: Option<Frame>) {
        assert!(self.remapping && page.is_multiple_of(BLOCK_PAGES));
        self.changes += 1;
        *self.block(page) = first.map_or(Block::Absent, |first| Block::Whole {
            first: first.0,
            write: false,
        });
    }

    fn end_remap(&mut self) {
        assert!(self.remapping);
        self.remapping = false;
        self.is_half_written = false;
    }

    fn write_back(&mut self, page: Page, from: Frame, to: Frame) -> i32 {
        assert_eq!(self.translate(page), Some((to.0, true)));
        assert_ne!(from, to);
        self.contents.set(to.0, self.contents.get(from.0));
        self.written_back += 1;
        self.is_half_written = true;
        self.write_back_takes
    }

    fn begin_write_back(&mut self) {
        assert!(!self.remapping);
    }

    fn end_write_back(&mut self) {
        assert!(!self.remapping);
        self.is_half_written = false;
    }

    fn log(&mut self, message: fmt::Arguments) {
        self.lines.push(message.to_string());
    }
}

impl PageEntries for &mut ModelBackend {
    fn set(&mut self, page: Page, frame: u32) -> bool {
        let is_ram = ((page / BLOCK_PAGES) as usize) < self.blocks.len();
        if is_ram {
            self.set_page(page, Frame::from_entry(frame));
        }
        is_ram
    }

    fn protect(&mut self, page: Page) -> bool {
        let is_ram = ((page / BLOCK_PAGES) as usize) < self.blocks.len();
        if is_ram {
            assert_eq!(self.mapping(page), Mapping::Write);
            self.entry(page).1 = false;
            self.unflushed = true;
        }
        is_ram
    }
}
