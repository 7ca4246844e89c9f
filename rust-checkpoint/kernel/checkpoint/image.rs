// SPDX-License-Identifier: GPL-2.0-only

//! The checkpoint image: what stands in it, how it is written and how it is read.
//!
//! An image is a [`Header`], the metadata (a flat stream of records), padding up to a page, page
//! data, and a trailer of checksums. The format is specified to the byte in
//! `Documentation/userspace-api/checkpoint-image.rst`.
//!
//! This library is compiled into the kernel, where checkpoint(2) and restart(2) use it, and from
//! the same source into the `checkpoint-image` crate of `tools/checkpoint`, where the `ckpt`
//! program, the host tests, Miri and the fuzzers use it. To be at home in both it is a function of
//! bytes and nothing else: no I/O, no allocation, no kernel types, no `unsafe`, and no panic
//! whatever the bytes say. It takes no locks. The 64-bit hash is the caller's (see [`Hash`]).
//!
//! - [`mod@format`]: the fixed frame: header, trailer, record header, and [`Fault`], the error.
//! - [`record`]: the kinds of records, and the wire structure of each.
//! - [`emit`]: writing records to a [`emit::Sink`], building header and trailer.
//! - [`parse`]: checking header, trailer and framing once, then walking the records infallibly.
//! - [`verify()`]: what the records mean together: grammar, ids, ranges, sums.
//!
//! Nothing here is trusted. [`parse::Meta::new`] refuses metadata whose framing is broken, and
//! [`verify()`] metadata that contradicts itself; both say where in the file, and what. They can't
//! know what the running kernel has: whoever restores a record checks what that needs.
//!
//! [`Header`]: format::Header
//! [`Fault`]: format::Fault
//! [`Hash`]: format::Hash
//! [`verify()`]: verify::verify

pub mod emit;
pub mod format;
pub mod parse;
pub mod record;
pub mod verify;
