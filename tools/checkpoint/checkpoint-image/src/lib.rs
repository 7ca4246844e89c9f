// SPDX-License-Identifier: GPL-2.0-only

//! The checkpoint image library, built for user space from the kernel's own source.
//!
//! There is nothing here but lints: the library is `kernel/checkpoint/image.rs`. What it promises,
//! not to panic and not to be unsafe, is denied here to be otherwise.

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

include!(concat!(env!("OUT_DIR"), "/source.rs"));

pub use kernel::image::*;
