//! What guests find in the tree.

use super::*;
use fdt::Fdt;
use std::collections::BTreeMap;

const SMALL: TreeParams<'_> = TreeParams {
    ram: Ipa(0x4000_0000)..Ipa(0x4800_0000),
    vcpus: 1,
    cmdline: None,
    initrd: None,
    windows: &[],
    seed: None,
};

/// All properties of the tree as `node/property` -> bytes.
fn parsed(params: &TreeParams<'_>) -> BTreeMap<String, Vec<u8>> {
    let bytes = generate(params).unwrap();
    assert!(bytes.len() < 4096, "{} bytes", bytes.len());
    let tree = Fdt::new_unaligned(&bytes).unwrap();
    let mut properties = BTreeMap::new();
    // The iterator leaves the root out.
    let root = tree.find_node("/").unwrap();
    for node in tree.all_nodes().map(|(_, node)| node).chain([root]) {
        let name = node.name();
        for property in node.properties() {
            properties.insert(format!("{name}/{}", property.name), property.value.to_vec());
        }
    }
    properties
}

fn cells(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect()
}

#[test]
fn a_small_machine() {
    let tree = parsed(&SMALL);
    assert_eq!(
        tree["memory@40000000/reg"],
        cells(&[0, 0x4000_0000, 0, 0x0800_0000])
    );
    assert_eq!(tree["psci/compatible"], b"arm,psci-1.0\0arm,psci-0.2\0");
    assert_eq!(tree["psci/method"], b"hvc\0");
    assert_eq!(tree["cpu@0/enable-method"], b"psci\0");
    assert_eq!(
        tree["pl011@9000000/reg"],
        cells(&[0, 0x0900_0000, 0, 0x1000])
    );
    assert_eq!(
        tree["pl011@9000000/clocks"],
        tree["apb-pclk/phandle"].repeat(2)
    );
    assert_eq!(tree["apb-pclk/clock-frequency"], cells(&[24_000_000]));
    assert_eq!(tree["chosen/stdout-path"], b"/pl011@9000000\0");
    assert_eq!(tree["aliases/serial0"], b"/pl011@9000000\0");
    assert_eq!(tree["hypervisor/compatible"], b"avisor,avisor\0");
    let absent = ["bootargs", "initrd", "cpu@1", "reserved-memory", "rng-seed"];
    assert!(
        !tree
            .keys()
            .any(|key| absent.iter().any(|a| key.contains(a))),
        "{:?}",
        tree.keys()
    );
}

#[test]
fn a_machine_with_everything() {
    let tree = parsed(&TreeParams {
        vcpus: 4,
        cmdline: Some("console=ttyAMA0 quiet"),
        initrd: Some(Ipa(0x4400_0000)..Ipa(0x4400_1234)),
        seed: Some([0xa5; 32]),
        ..SMALL
    });
    let gic = &tree["intc@8000000/phandle"];
    assert_eq!(&tree["//interrupt-parent"], gic);
    assert_eq!(
        tree["intc@8000000/reg"],
        cells(&[0, 0x0800_0000, 0, 0x1_0000, 0, 0x0801_0000, 0, 0x1_0000])
    );
    let timer = [1, 13, 0xf04, 1, 14, 0xf04, 1, 11, 0xf04, 1, 10, 0xf04];
    assert_eq!(tree["timer/interrupts"], cells(&timer));
    assert_eq!(tree["pl011@9000000/interrupts"], cells(&[0, 1, 4]));
    assert_eq!(tree["cpu@3/reg"], cells(&[3]));
    assert_eq!(tree["chosen/bootargs"], b"console=ttyAMA0 quiet\0");
    assert_eq!(tree["chosen/linux,initrd-start"], cells(&[0, 0x4400_0000]));
    assert_eq!(tree["chosen/linux,initrd-end"], cells(&[0, 0x4400_1234]));
    assert_eq!(tree["chosen/rng-seed"], [0xa5; 32]);
}

#[test]
fn windows_are_reserved_memory() {
    let window = |number, name, bytes| Window {
        number,
        name,
        bytes,
    };
    let tree = parsed(&TreeParams {
        windows: &[window(0, "first", 0x2000), window(7, "b-2", 0x20_0000)],
        ..SMALL
    });
    let cells_of = |name: &str| tree[&format!("reserved-memory/{name}")].clone();
    assert_eq!(cells_of("#address-cells"), cells(&[2]));
    assert_eq!(cells_of("#size-cells"), cells(&[2]));
    assert_eq!(cells_of("ranges"), []);
    let reg = [4, 0, 0, 0x3000];
    assert_eq!(tree["first@400000000/reg"], cells(&reg));
    let reg = [4, 0x1c0_0000, 0, 0x20_1000];
    assert_eq!(tree["b-2@401c00000/reg"], cells(&reg));
    for node in ["first@400000000", "b-2@401c00000"] {
        assert_eq!(tree[&format!("{node}/compatible")], b"avisor,window\0");
        assert_eq!(tree[&format!("{node}/no-map")], []);
    }
}

/// As `dumpdtb` of QEMU 10.0 shows it for `-M virt,gic-version=2`, but for `msi-map`.
#[test]
fn the_pcie_bus_is_that_of_virt() {
    let tree = parsed(&SMALL);
    let of = |name: &str| tree[&format!("pcie@10000000/{name}")].clone();
    assert_eq!(of("compatible"), b"pci-host-ecam-generic\0");
    assert_eq!(of("device_type"), b"pci\0");
    assert_eq!(of("reg"), cells(&[0x40, 0x1000_0000, 0, 0x1000_0000]));
    assert_eq!(of("bus-range"), cells(&[0, 0xff]));
    assert_eq!(of("linux,pci-domain"), cells(&[0]));
    assert_eq!(of("dma-coherent"), []);
    let sizes = ["#address-cells", "#size-cells", "#interrupt-cells"].map(of);
    assert_eq!(sizes, [3, 2, 1].map(|cell| cells(&[cell])));
    let ports = [0x100_0000, 0, 0, 0, 0x3eff_0000, 0, 0x1_0000];
    let memory = [0x200_0000, 0, 0x1000_0000, 0, 0x1000_0000, 0, 0x2eff_0000];
    let high = [0x300_0000, 0x80, 0, 0x80, 0, 0x80, 0];
    assert_eq!(of("ranges"), cells([ports, memory, high].as_flattened()));
    assert_eq!(of("interrupt-map-mask"), cells(&[0x1800, 0, 0, 7]));
    // Slot, pin, SPI.
    let expected = [
        (0, 1, 3),
        (0, 2, 4),
        (0, 3, 5),
        (0, 4, 6),
        (0x800, 1, 4),
        (0x800, 2, 5),
        (0x800, 3, 6),
        (0x800, 4, 3),
        (0x1000, 1, 5),
        (0x1000, 2, 6),
        (0x1000, 3, 3),
        (0x1000, 4, 4),
        (0x1800, 1, 6),
        (0x1800, 2, 3),
        (0x1800, 3, 4),
        (0x1800, 4, 5),
    ];
    let entry = |(slot, pin, spi)| [slot, 0, 0, pin, PHANDLE_GIC, 0, 0, 0, spi, 4];
    let map = expected.map(entry);
    assert_eq!(of("interrupt-map"), cells(map.as_flattened()));
    assert!(!tree.contains_key("pcie@10000000/msi-map"));
}

#[test]
fn a_string_with_nul_is_refused() {
    let params = TreeParams {
        cmdline: Some("a\0b"),
        ..SMALL
    };
    assert_eq!(generate(&params), Err(Error::InvalidString));
}
