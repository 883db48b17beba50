//! The device tree that describes a VM to its guest (Devicetree Specification 0.4; Linux, Documentation/devicetree).
//!
//! Names and shapes are those of QEMU's `virt` machine, which kernels know. What the machine does not have is not in it.

use crate::addr::Ipa;
use crate::device::{
    CPU_INTERFACE_BASE, DISTRIBUTOR_BASE, DISTRIBUTOR_SIZE, Device, DeviceRow, PCIE_CONFIGURATION,
    PCIE_HIGH_MEMORY, PCIE_MEMORY, PCIE_PORTS, Window,
};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use vm_fdt::{FdtWriter, FdtWriterNode};

#[cfg(test)]
mod tests;

/// Why a tree cannot be made: a string in it holds a NUL.
pub use vm_fdt::Error;

/// `rng-seed`: as many bytes as Linux wants before its generator counts as seeded.
pub type Seed = [u8; 32];

/// What differs between VMs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TreeParams<'a> {
    /// The VM's RAM.
    pub ram: Range<Ipa>,
    /// Virtual CPUs, 1 to 8. CPU `n` has affinity `n` in MPIDR_EL1.Aff0.
    pub vcpus: u32,
    /// The kernel's command line.
    pub cmdline: Option<&'a str>,
    /// Where the initial RAM disk was put.
    pub initrd: Option<Range<Ipa>>,
    /// The VM's windows.
    pub windows: &'a [Window],
    /// What its kernel's random number generator begins with; all of it is random.
    pub seed: Option<Seed>,
}

/// GICv2, distributor and CPU interface: first address and size.
const GIC_REGISTERS: [u64; 4] = [
    DISTRIBUTOR_BASE.0,
    DISTRIBUTOR_SIZE,
    CPU_INTERFACE_BASE.0,
    0x1_0000,
];
/// First of the four SPIs of the PCIe bus, counted from the first SPI: interrupts 35 to 38.
const PCIE_SPI: u32 = 3;
/// Bytes of configuration space of a bus.
const PCIE_BUS: u64 = 1 << 20;
/// Where a bus address in the tree has its slot.
const PCIE_SLOT_SHIFT: u32 = 11;
/// First cells of a bus address: ports, and memory with 32 and with 64 bits of address.
const PCIE_PORT_SPACE: u32 = 0x0100_0000;
const PCIE_MEMORY_SPACE: u32 = 0x0200_0000;
const PCIE_MEMORY_SPACE_64: u32 = 0x0300_0000;
/// PPIs of the timers, counted from the first PPI: secure, non-secure physical, virtual, hypervisor.
const TIMER_PPIS: [u32; 4] = [13, 14, 11, 10];
/// Hz of the clock that devices are fed with.
const CLOCK: u32 = 24_000_000;
/// INTID of the first SPI.
const FIRST_SPI: u32 = 32;

const PHANDLE_GIC: u32 = 1;
const PHANDLE_CLOCK: u32 = 2;

/// First cell of an interrupt, and its last: which kind it is, and that it is active high and level-sensitive.
const SPI: u32 = 0;
const PPI: u32 = 1;
const LEVEL_HIGH: u32 = 4;

/// Makes the tree: its bytes, a few KiB, as they go into guest memory.
pub fn generate(params: &TreeParams<'_>) -> Result<Vec<u8>, Error> {
    let mut fdt = FdtWriter::new()?;
    let root = fdt.begin_node("")?;
    string(&mut fdt, "compatible", "linux,dummy-virt")?;
    string(&mut fdt, "model", "linux,dummy-virt")?;
    cell(&mut fdt, "#address-cells", 2)?;
    cell(&mut fdt, "#size-cells", 2)?;
    cell(&mut fdt, "interrupt-parent", PHANDLE_GIC)?;
    chosen(&mut fdt, params)?;
    memory(&mut fdt, params)?;
    windows(&mut fdt, params)?;
    cpus(&mut fdt, params)?;
    firmware(&mut fdt)?;
    interrupts(&mut fdt, params)?;
    clock(&mut fdt)?;
    for device in Device::ALL {
        emulated(&mut fdt, &device.row())?;
    }
    pcie(&mut fdt)?;
    fdt.end_node(root)?;
    fdt.finish()
}

fn chosen(fdt: &mut FdtWriter, params: &TreeParams<'_>) -> Result<(), Error> {
    let uart = format!("/{}", node_name(&Device::Uart.row()));
    let chosen = fdt.begin_node("chosen")?;
    string(fdt, "stdout-path", &uart)?;
    if let Some(cmdline) = params.cmdline {
        string(fdt, "bootargs", cmdline)?;
    }
    if let Some(initrd) = &params.initrd {
        fdt.property_u64("linux,initrd-start", initrd.start.0)?;
        fdt.property_u64("linux,initrd-end", initrd.end.0)?;
    }
    if let Some(seed) = &params.seed {
        fdt.property("rng-seed", seed)?;
    }
    fdt.end_node(chosen)?;
    let aliases = fdt.begin_node("aliases")?;
    string(fdt, "serial0", &uart)?;
    fdt.end_node(aliases)
}

fn memory(fdt: &mut FdtWriter, params: &TreeParams<'_>) -> Result<(), Error> {
    let Range { start, end } = params.ram;
    let memory = begin_at(fdt, "memory", start.0)?;
    string(fdt, "device_type", "memory")?;
    cells64(fdt, "reg", &[start.0, end.0 - start.0])?;
    fdt.end_node(memory)
}

/// Memory that the VM shares with others, below `reserved-memory` (its schema in dt-schema: one range in `reg`): for a driver that looks for the
/// node's name or `compatible`, not for the kernel, which is told not to map it by itself (`no-map`). The last page of the range is the doorbell.
fn windows(fdt: &mut FdtWriter, params: &TreeParams<'_>) -> Result<(), Error> {
    if params.windows.is_empty() {
        return Ok(());
    }
    let reserved = fdt.begin_node("reserved-memory")?;
    cell(fdt, "#address-cells", 2)?;
    cell(fdt, "#size-cells", 2)?;
    fdt.property_null("ranges")?;
    for window in params.windows {
        let bytes = window.bytes + Window::DOORBELL_SIZE;
        let node = begin_at(fdt, window.name, window.ipa().0)?;
        string(fdt, "compatible", "avisor,window")?;
        cells64(fdt, "reg", &[window.ipa().0, bytes])?;
        fdt.property_null("no-map")?;
        fdt.end_node(node)?;
    }
    fdt.end_node(reserved)
}

fn cpus(fdt: &mut FdtWriter, params: &TreeParams<'_>) -> Result<(), Error> {
    let cpus = fdt.begin_node("cpus")?;
    cell(fdt, "#address-cells", 1)?;
    cell(fdt, "#size-cells", 0)?;
    for affinity in 0..params.vcpus {
        let cpu = begin_at(fdt, "cpu", affinity.into())?;
        string(fdt, "device_type", "cpu")?;
        string(fdt, "compatible", "arm,armv8")?;
        string(fdt, "enable-method", "psci")?;
        cell(fdt, "reg", affinity)?;
        fdt.end_node(cpu)?;
    }
    fdt.end_node(cpus)
}

/// Who answers `hvc`.
fn firmware(fdt: &mut FdtWriter) -> Result<(), Error> {
    let psci = fdt.begin_node("psci")?;
    strings(fdt, "compatible", &["arm,psci-1.0", "arm,psci-0.2"])?;
    string(fdt, "method", "hvc")?;
    fdt.end_node(psci)?;
    let hypervisor = fdt.begin_node("hypervisor")?;
    string(fdt, "compatible", "avisor,avisor")?;
    fdt.end_node(hypervisor)
}

fn interrupts(fdt: &mut FdtWriter, params: &TreeParams<'_>) -> Result<(), Error> {
    let gic = fdt.begin_node("intc@8000000")?;
    string(fdt, "compatible", "arm,cortex-a15-gic")?;
    cells64(fdt, "reg", &GIC_REGISTERS)?;
    fdt.property_null("interrupt-controller")?;
    cell(fdt, "#interrupt-cells", 3)?;
    // As `virt` has it, whose GIC has a frame for MSIs below it; so an entry of `interrupt-map` has two cells for its address.
    cell(fdt, "#address-cells", 2)?;
    cell(fdt, "#size-cells", 2)?;
    fdt.property_null("ranges")?;
    fdt.property_phandle(PHANDLE_GIC)?;
    fdt.end_node(gic)?;

    // A PPI says in bits 15:8 of its flags which CPUs have it.
    let flags = LEVEL_HIGH | 0xff >> 8u32.saturating_sub(params.vcpus) << 8;
    let timer = fdt.begin_node("timer")?;
    strings(fdt, "compatible", &["arm,armv8-timer", "arm,armv7-timer"])?;
    let lines: Vec<u32> = TIMER_PPIS
        .iter()
        .flat_map(|ppi| [PPI, *ppi, flags])
        .collect();
    cells(fdt, "interrupts", &lines)?;
    fdt.property_null("always-on")?;
    fdt.end_node(timer)
}

/// The one clock of the machine.
fn clock(fdt: &mut FdtWriter) -> Result<(), Error> {
    let clock = fdt.begin_node("apb-pclk")?;
    string(fdt, "compatible", "fixed-clock")?;
    cell(fdt, "#clock-cells", 0)?;
    cell(fdt, "clock-frequency", CLOCK)?;
    string(fdt, "clock-output-names", "clk24mhz")?;
    fdt.property_phandle(PHANDLE_CLOCK)?;
    fdt.end_node(clock)
}

/// An emulated device: what its row of the table says.
fn emulated(fdt: &mut FdtWriter, row: &DeviceRow) -> Result<(), Error> {
    let device = begin_at(fdt, row.node.name, row.base.0)?;
    strings(fdt, "compatible", row.node.compatible)?;
    cells64(fdt, "reg", &[row.base.0, row.size])?;
    cells(fdt, "interrupts", &[SPI, row.intid - FIRST_SPI, LEVEL_HIGH])?;
    if !row.node.clocks.is_empty() {
        let clocks: Vec<u32> = row.node.clocks.iter().map(|_| PHANDLE_CLOCK).collect();
        cells(fdt, "clocks", &clocks)?;
        strings(fdt, "clock-names", row.node.clocks)?;
    }
    fdt.end_node(device)
}

fn node_name(row: &DeviceRow) -> String {
    format!("{}@{:x}", row.node.name, row.base.0)
}

/// The PCIe bus, with nothing on it (PCI Bus Binding to IEEE Std 1275; Linux, host-generic-pci).
fn pcie(fdt: &mut FdtWriter) -> Result<(), Error> {
    let pcie = begin_at(fdt, "pcie", PCIE_MEMORY.0)?;
    string(fdt, "compatible", "pci-host-ecam-generic")?;
    string(fdt, "device_type", "pci")?;
    cell(fdt, "#address-cells", 3)?;
    cell(fdt, "#size-cells", 2)?;
    cell(fdt, "#interrupt-cells", 1)?;
    let (base, bytes) = PCIE_CONFIGURATION;
    cells64(fdt, "reg", &[base, bytes])?;
    cell(fdt, "linux,pci-domain", 0)?;
    cells(fdt, "bus-range", &[0, (bytes / PCIE_BUS - 1) as u32])?;
    let windows = [
        pcie_window(PCIE_PORT_SPACE, 0, PCIE_PORTS),
        pcie_window(PCIE_MEMORY_SPACE, PCIE_MEMORY.0, PCIE_MEMORY),
        pcie_window(PCIE_MEMORY_SPACE_64, PCIE_HIGH_MEMORY.0, PCIE_HIGH_MEMORY),
    ];
    cells(fdt, "ranges", windows.as_flattened())?;
    fdt.property_null("dma-coherent")?;
    // Slots 0 to 3 and every fourth one after each; their pins take turns.
    cells(fdt, "interrupt-map-mask", &[3 << PCIE_SLOT_SHIFT, 0, 0, 7])?;
    let pins = (0..4).flat_map(|slot| (0..4).map(move |pin| pcie_pin(slot, pin)));
    let map: Vec<u32> = pins.flatten().collect();
    cells(fdt, "interrupt-map", &map)?;
    fdt.end_node(pcie)
}

/// An entry of `ranges`: what kind of address on the bus, that, where the VM has it, and bytes.
fn pcie_window(space: u32, on_bus: u64, (base, bytes): (u64, u64)) -> [u32; 7] {
    let high = |value: u64| (value >> 32) as u32;
    let low = |value: u64| value as u32;
    [
        space,
        high(on_bus),
        low(on_bus),
        high(base),
        low(base),
        high(bytes),
        low(bytes),
    ]
}

/// An entry of `interrupt-map`: the slot's address, INTA to INTD as 1 to 4, and the interrupt at the GIC.
fn pcie_pin(slot: u32, pin: u32) -> [u32; 10] {
    let spi = PCIE_SPI + (slot + pin) % 4;
    let slot = slot << PCIE_SLOT_SHIFT;
    [slot, 0, 0, pin + 1, PHANDLE_GIC, 0, 0, SPI, spi, LEVEL_HIGH]
}

// Properties. Each is once in the image: there are many of them.

#[inline(never)]
fn string(fdt: &mut FdtWriter, name: &str, value: &str) -> Result<(), Error> {
    fdt.property_string(name, value)
}

#[inline(never)]
fn strings(fdt: &mut FdtWriter, name: &str, list: &[&str]) -> Result<(), Error> {
    fdt.property_string_list(name, list.iter().map(|&s| s.into()).collect())
}

#[inline(never)]
fn cell(fdt: &mut FdtWriter, name: &str, value: u32) -> Result<(), Error> {
    fdt.property_u32(name, value)
}

#[inline(never)]
fn cells(fdt: &mut FdtWriter, name: &str, values: &[u32]) -> Result<(), Error> {
    fdt.property_array_u32(name, values)
}

#[inline(never)]
fn cells64(fdt: &mut FdtWriter, name: &str, values: &[u64]) -> Result<(), Error> {
    fdt.property_array_u64(name, values)
}

/// Begins a node that is at an address.
#[inline(never)]
fn begin_at(fdt: &mut FdtWriter, name: &str, address: u64) -> Result<FdtWriterNode, Error> {
    fdt.begin_node(&format!("{name}@{address:x}"))
}
