// SPDX-License-Identifier: LGPL-2.1-or-later
//! Compiles the shim, which becomes part of the static library.

fn main() {
    let generated = concat!(env!("CARGO_MANIFEST_DIR"), "/../../generated/c");
    for file in ["shim.c", "guestfs.h"] {
        println!("cargo::rerun-if-changed={generated}/{file}");
    }
    cc::Build::new()
        .file(format!("{generated}/shim.c"))
        .include(generated)
        .std("c99")
        .warnings_into_errors(true)
        .pic(true)
        // Nothing in Rust calls it.
        .link_lib_modifier("+whole-archive")
        .compile("guestfs_shim");
}
