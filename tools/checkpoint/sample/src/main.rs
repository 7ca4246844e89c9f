// SPDX-License-Identifier: GPL-2.0-only

//! Writes made-up images: one to look at, and seeds for the fuzzers.

use std::{env, fs, io, path::Path};

fn main() -> io::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let sample = checkpoint_sample::sample(3);
    match args.as_slice() {
        ["image", path] => fs::write(path, sample.image()),
        ["seeds", dir] => {
            let dir = Path::new(dir);
            fs::create_dir_all(dir.join("image"))?;
            fs::create_dir_all(dir.join("metadata"))?;
            let meta = &sample.records.bytes;
            let image = checkpoint_sample::image_with(meta, &sample.data, |_| 0);
            fs::write(dir.join("image/sample"), image)?;
            let empty = checkpoint_sample::image_with(&[], &[], |_| 0);
            fs::write(dir.join("image/empty"), empty)?;
            fs::write(dir.join("metadata/sample"), meta)
        }
        _ => {
            eprintln!("usage: checkpoint-sample image FILE | seeds DIR");
            std::process::exit(2);
        }
    }
}
