//! Trees that something has changed: each is refused, or asked without harm.

use super::*;
use crate::arch::device_tree::MAGIC;
use crate::board::memory_map::MemoryMap;
use proptest::prelude::*;
use std::vec::Vec;

/// Asks all that a start asks. What it must not do is panic, or go on for ever.
fn ask(bytes: &[u8]) -> Result<(), BadTree> {
    let tree = Tree::new(bytes)?;
    let mut map = MemoryMap::default();
    tree.each_memory(|bank| {
        let _ = map.add(bank.range());
    });
    tree.each_reserved(|region, _| {
        let _ = map.remove(region.range());
    });
    assert!(map.pages().all(|range| range.start < range.end));
    assert!(!tree.model().contains(char::is_control));
    let named = [("/aliases", "serial0"), ("/chosen", "stdout-path")];
    let devices = named.map(|(node, property)| tree.find_referenced(node, property));
    let models = ["arm,pl011", "arm,gic-400", "brcm,bcm2835-aux-uart", "lost"];
    let found = models.map(|model| tree.find_compatible(model));
    for device in devices.into_iter().chain(found).flatten() {
        tree.shared_interrupt(&device);
        tree.fixed_clock(&device);
        for index in 0..6 {
            device.registers(index);
        }
    }
    tree.psci_method();
    tree.bootargs();
    tree.each_core(|_| {});
    tree.is_reserved(0xd8..0xe0);
    Ok(())
}

/// The words of a tree, to be changed one by one.
fn set(bytes: &mut [u8], word: usize, value: u32) {
    let at = word * 4 % (bytes.len() & !3);
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

proptest! {
    #![proptest_config(crate::fake::cases(10_000))]

    #[test]
    fn mutated_trees(
        words in prop::collection::vec((0..4000_usize, prop_oneof![
            any::<u32>(), 0..16_u32, Just(u32::MAX), Just(0x7fff_ffff), prop::sample::select(&[0xd00d_feed, 0x8000_0000, 0xffff_fffc][..])]), 0..6),
        header in prop::option::weighted(0.3, (0..10_usize, any::<u32>())),
        bits in prop::collection::vec((any::<usize>(), 0..8_u32), 0..6),
        length in prop::option::weighted(0.2, any::<usize>()),
    ) {
        let mut bytes = super::tests::board();
        words.into_iter().for_each(|(word, value)| set(&mut bytes, word, value));
        for (at, bit) in bits {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        if let Some((field, value)) = header {
            set(&mut bytes, field, value % 8192);
        }
        if let Some(length) = length {
            bytes.truncate(length % bytes.len());
        }
        let _ = ask(&bytes);
    }

    #[test]
    fn whatever_bytes(mut bytes in prop::collection::vec(any::<u8>(), 40..400)) {
        set(&mut bytes, 0, MAGIC);
        prop_assert!(ask(&bytes).is_err());
    }
}

#[test]
fn says_what_is_wrong() {
    let good = super::tests::board();
    assert_eq!(ask(&good), Ok(()));
    assert_eq!(ask(&[]), Err(BadTree::Absent));
    for (field, value, why) in [
        (0, 0, BadTree::Absent),
        (1, u32::MAX, BadTree::Header),
        (1, 8, BadTree::Header),
        (2, u32::MAX, BadTree::Header),
        (3, 0xffff_fff0, BadTree::Header),
        (4, 0xffff_fff8, BadTree::Header),
        (5, 1, BadTree::Header),
        (6, 99, BadTree::Header),
        (8, u32::MAX, BadTree::Header),
        (9, u32::MAX, BadTree::Header),
    ] {
        let mut bytes = good.clone();
        set(&mut bytes, field, value);
        assert_eq!(ask(&bytes), Err(why), "word {field} is {value:#x}");
    }
    let mut bytes = good;
    let start = u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
    set(&mut bytes, start / 4, 5);
    assert_eq!(ask(&bytes), Err(BadTree::Structure(start)));
}

/// Each level takes stack where it is walked.
#[test]
fn nodes_within_nodes_without_end() {
    let deep = |levels: u32| -> Vec<u8> {
        let mut tree = vm_fdt::FdtWriter::new().unwrap();
        let nodes: Vec<_> = (0..levels).map(|_| tree.begin_node("n")).collect();
        for node in nodes.into_iter().rev() {
            tree.end_node(node.unwrap()).unwrap();
        }
        tree.finish().unwrap()
    };
    assert_eq!(ask(&deep(16)), Ok(()));
    assert!(matches!(ask(&deep(17)), Err(BadTree::Structure(_))));
    assert!(matches!(ask(&deep(60)), Err(BadTree::Structure(_))));
}
