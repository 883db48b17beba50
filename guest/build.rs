//! Brings the linker script along: whoever depends on this crate links with `-Tguest.ld`, and the linker finds it here.

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    println!("cargo::rerun-if-changed=guest.ld");
    println!("cargo::rustc-link-search=native={folder}");
    // The examples of this crate itself. The default of 64 KiB pages would pad the file.
    println!("cargo::rustc-link-arg-examples=-Tguest.ld");
    println!("cargo::rustc-link-arg-examples=-zmax-page-size=4096");
}
