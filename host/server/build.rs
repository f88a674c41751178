//! Tells cargo that the binary carries the SDKs and the interfaces: a file that is new there is no change that it would see by
//! itself.

fn main() {
    println!("cargo::rerun-if-changed=../../sdk");
    println!("cargo::rerun-if-changed=../../wit");
    println!("cargo::rerun-if-changed=build.rs");
}
