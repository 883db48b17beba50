//! Where what is loaded with an image goes.

use super::*;
use std::boxed::Box;
use std::string::ToString;

const RAM: Range<Ipa> = Ipa(0x4000_0000)..Ipa(0x4800_0000);

/// An image of `size` bytes at `at`, nearly all of them zeroes.
fn image(at: u64, size: u64) -> Image<'static> {
    let ipa = Ipa(at);
    let segment = Segment {
        ipa,
        bytes: &[0; 4],
        zeroes: size - 4,
    };
    Image {
        format: Format::Raw,
        entry: ipa,
        segments: Box::leak(Box::new([segment])),
    }
}

#[test]
fn the_tree_lies_at_the_start_and_above() {
    let places = |at, initrd: Option<&Range<Ipa>>| {
        image(at, 0x100).device_tree(&RAM, 0x1000, initrd).unwrap()
    };
    let (start, middle) = (Ipa(0x4000_0000), Ipa(0x4400_0000));
    assert_eq!(
        places(0x4008_0000, None),
        TreePlaces {
            passed: middle,
            at_start: Some(start)
        }
    );
    assert_eq!(
        places(0x4000_0800, None),
        TreePlaces {
            passed: middle,
            at_start: None
        }
    );
    // Image near the end: what is left above it, at a page boundary.
    let passed = Ipa(0x47e0_2000);
    assert_eq!(
        places(0x47e0_1000, None),
        TreePlaces {
            passed,
            at_start: Some(start)
        }
    );
    // And nothing left.
    let only_start = TreePlaces {
        passed: start,
        at_start: None,
    };
    assert_eq!(places(0x47ff_f000, None), only_start);
    // The initrd takes the middle.
    let initrd = image(0x4008_0000, 0x100).initrd(&RAM, 0x1234).unwrap();
    assert_eq!(initrd, middle..Ipa(0x4400_1234));
    assert_eq!(
        places(0x4008_0000, Some(&initrd)),
        TreePlaces {
            passed: Ipa(0x4420_0000),
            at_start: Some(start)
        }
    );
}

#[test]
fn in_big_machines_the_tree_stays_near() {
    let ram = Ipa(0x4000_0000)..Ipa(0x2_4000_0000);
    let places = image(0x4008_0000, 4)
        .device_tree(&ram, 0x1000, None)
        .unwrap();
    assert_eq!(places.passed, Ipa(0x4800_0000));
}

#[test]
fn no_room_is_an_error() {
    let ram = Ipa(0x4000_0000)..Ipa(0x4020_0000);
    let full = image(ram.start.0, 0x1f_f000);
    assert!(full.device_tree(&ram, 0x1000, None).is_ok());
    for size in [0x1001, u64::MAX] {
        assert_eq!(
            full.device_tree(&ram, size, None),
            Err(NoRoom {
                what: "the device tree",
                size
            })
        );
        assert_eq!(
            full.initrd(&ram, size),
            Err(NoRoom {
                what: "the initrd",
                size
            })
        );
    }
}

/// booting.rst: the initrd lies, whole, in a window of up to 32 GiB that begins at a multiple of 1 GiB and has the kernel
/// in it. In RAM of 15 GiB from 1 GiB on there is no other place.
#[test]
fn an_initrd_is_clear_of_kernel_and_tree_or_there_is_no_room() {
    const WINDOW: u64 = 32 << 30;
    let kernel = |size| image(0x4020_0000, size);
    let mut placed = 0;
    for ram_size in [2 << 20, 34 << 20, 256 << 20, 1 << 30, 15 << 30] {
        let ram = Ipa(0x4000_0000)..Ipa(0x4000_0000 + ram_size);
        for (image_size, size) in [
            (0x1000, 1),
            (30 << 20, 1_851_980),
            (30 << 20, (2 << 20) + 1),
            (100 << 20, 100 << 20),
            (500 << 20, 400 << 20),
            (0x1000, u64::MAX),
        ] {
            let plan = kernel(image_size);
            if plan.end() > ram.end {
                continue;
            }
            let initrd = match plan.initrd(&ram, size) {
                Ok(initrd) => initrd,
                Err(error) => {
                    let what = "the initrd";
                    assert_eq!(error, NoRoom { what, size });
                    assert!(plan.end().0.saturating_add(size) > ram.end.0 - PAGE_SIZE);
                    continue;
                }
            };
            placed += 1;
            assert!(initrd.start.0.is_multiple_of(PAGE_SIZE));
            assert_eq!(initrd.end.0 - initrd.start.0, size);
            assert!(plan.end() <= initrd.start && initrd.end <= ram.end);
            assert!(initrd.end.0 <= plan.entry.0 / (1 << 30) * (1 << 30) + WINDOW);
            let Ok(places) = plan.device_tree(&ram, 0x1000, Some(&initrd)) else {
                panic!("the start of RAM is free");
            };
            for tree in places.at_start.into_iter().chain([places.passed]) {
                let clear =
                    |other: Range<u64>| other.end <= tree.0 || tree.0 + 0x1000 <= other.start;
                assert!(clear(initrd.start.0..initrd.end.0));
                assert!(clear(plan.entry.0..plan.end().0));
            }
        }
    }
    assert!(placed > 10, "{placed}");
    let ram = Ipa(0x4000_0000)..Ipa(0x4220_0000);
    let error = kernel(30 << 20).initrd(&ram, 0x20_0001).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no place is left for the initrd, 0x200001 bytes: give the VM more memory"
    );
}
