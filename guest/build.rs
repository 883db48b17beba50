//! Links every program at the address where a guest's image lies, as one static ELF.

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let arguments = [
        // The last word wins, should the workspace build its own image position-independent.
        "--no-pie".to_string(),
        // The default of 64 KiB pages would pad the file.
        "-zmax-page-size=4096".to_string(),
        format!("-T{folder}/guest.ld"),
    ];
    for argument in arguments {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rerun-if-changed=guest.ld");
}
