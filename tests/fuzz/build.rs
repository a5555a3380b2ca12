//! What `cargo fuzz` sets for everything that it builds is set here for the targets alone, so that
//! `cargo check` sees them as it does.

fn main() {
    println!("cargo::rustc-cfg=fuzzing");
    println!("cargo::rerun-if-changed=build.rs");
}
