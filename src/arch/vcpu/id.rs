//! The CPU's identification registers, which HCR_EL2.TID3 traps so that a guest is shown only what a vCPU has.

/// Reads the ID register with op0 3, CRn 0 and these fields; `crm` is 1 to 7. 0 where none is allocated (D18.3.1, "System register encoding
/// space": reserved for ID registers, RAZ), and where `op1` is not 0.
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
