//! The CPU's identification registers, which HCR_EL2.TID3 traps so that a guest is shown only what a vCPU has.

/// ID register `op0` = 3, `op1` = `crn` = 0, `crm` (1 to 7), `op2`. Encodings that are not allocated read as zero
/// (D18.3.1, "System register encoding space": reserved for ID registers, RAZ); outside the space: zero.
pub fn read_id_register(op1: u32, crm: u32, op2: u32) -> u64 {
    macro_rules! read_one_of {
        ($(($crm:literal: $($op2:literal)*))*) => {
            match (op1, crm, op2) {
                $($((0, $crm, $op2) => read_register!(concat!("S3_0_C0_C", $crm, "_", $op2)),)*)*
                _ => 0,
            }
        };
    }
    read_one_of! {
        (1: 0 1 2 3 4 5 6 7)
        (2: 0 1 2 3 4 5 6 7)
        (3: 0 1 2 3 4 5 6 7)
        (4: 0 1 2 3 4 5 6 7)
        (5: 0 1 2 3 4 5 6 7)
        (6: 0 1 2 3 4 5 6 7)
        (7: 0 1 2 3 4 5 6 7)
    }
}
