//! The PL011's registers, and what is in them (Arm DDI 0183, chapter 3).

/// The registers, by offset (DDI 0183, table 3-1).
pub mod offset {
    pub const DR: u64 = 0x000;
    /// RSR when read, ECR when written.
    pub const RSR: u64 = 0x004;
    pub const FR: u64 = 0x018;
    pub const ILPR: u64 = 0x020;
    pub const IBRD: u64 = 0x024;
    pub const FBRD: u64 = 0x028;
    pub const LCR_H: u64 = 0x02c;
    pub const CR: u64 = 0x030;
    pub const IFLS: u64 = 0x034;
    pub const IMSC: u64 = 0x038;
    pub const RIS: u64 = 0x03c;
    pub const MIS: u64 = 0x040;
    pub const ICR: u64 = 0x044;
    pub const DMACR: u64 = 0x048;
    /// PeriphID0-3 and PCellID0-3, a byte in each word.
    pub const IDENTIFICATION: u64 = 0xfe0;
}

/// "A PL011, revision 1, by Arm, and a PrimeCell"; Linux binds its driver by it.
pub const IDENTIFICATION: [u8; 8] = [0x11, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1];

/// FR bits.
pub mod flag {
    pub const CTS: u32 = 1 << 0;
    pub const DSR: u32 = 1 << 1;
    pub const DCD: u32 = 1 << 2;
    pub const BUSY: u32 = 1 << 3;
    pub const RXFE: u32 = 1 << 4;
    pub const TXFF: u32 = 1 << 5;
    pub const RXFF: u32 = 1 << 6;
    pub const TXFE: u32 = 1 << 7;
    pub const RI: u32 = 1 << 8;
}

/// Bits of RIS, MIS, IMSC and ICR.
pub mod interrupt {
    pub const RI: u32 = 1 << 0;
    pub const CTS: u32 = 1 << 1;
    pub const DCD: u32 = 1 << 2;
    pub const DSR: u32 = 1 << 3;
    pub const RX: u32 = 1 << 4;
    pub const TX: u32 = 1 << 5;
    pub const RT: u32 = 1 << 6;
    pub const OE: u32 = 1 << 10;
    pub const ALL: u32 = 0x7ff;
    /// Characters wait.
    pub const RECEIVE: u32 = RX | RT;
}

/// What loopback connects: a modem output in CR, the input in FR, and the interrupt when that changes.
pub const MODEM_LINES: [(u32, u32, u32); 4] = [
    (1 << 10, flag::DSR, interrupt::DSR), // DTR
    (1 << 11, flag::CTS, interrupt::CTS), // RTS
    (1 << 12, flag::DCD, interrupt::DCD), // OUT1
    (1 << 13, flag::RI, interrupt::RI),   // OUT2
];
