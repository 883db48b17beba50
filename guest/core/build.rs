//! Links with the script that `avisor-guest` brings along. The default of 64 KiB pages would pad the file.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../guest.ld");
    println!("cargo::rustc-link-arg-bins=-Tguest.ld");
    println!("cargo::rustc-link-arg-bins=-zmax-page-size=4096");
}
