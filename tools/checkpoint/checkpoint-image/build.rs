// SPDX-License-Identifier: GPL-2.0-only

//! Finds the source of the image library, which is the kernel's own.
//!
//! This crate stands in `tools/checkpoint/checkpoint-image` both in a kernel tree, whose root then
//! has `kernel/checkpoint`, and in the project's repository, where new kernel files are kept below
//! `rust-checkpoint/`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let var = |name| env::var_os(name).map(PathBuf::from).expect("cargo sets it");
    let manifest = var("CARGO_MANIFEST_DIR");
    let root = manifest
        .ancestors()
        .nth(3)
        .expect("the crate is three levels below the root of its tree");

    let source = ["kernel/checkpoint", "rust-checkpoint/kernel/checkpoint"]
        .iter()
        .map(|dir| root.join(dir))
        .find(|dir| dir.join("image.rs").is_file())
        .expect("kernel/checkpoint/image.rs is in the tree that this crate is in");
    watch(&source);
    // For the tests that compare the source with what is written about it.
    println!("cargo::rustc-env=IMAGE_SOURCE={}", source.display());
    println!("cargo::rustc-env=TREE={}", root.display());

    // An inline module with a path, so that the files below are found as the kernel's crate finds
    // them: `image.rs` beside `image/`.
    let text = format!("#[path = {source:?}]\nmod kernel {{\n    pub mod image;\n}}\n");
    fs::write(var("OUT_DIR").join("source.rs"), text).expect("OUT_DIR is writable");
}

fn watch(source: &Path) {
    for name in ["image.rs", "image"] {
        println!("cargo::rerun-if-changed={}", source.join(name).display());
    }
}
