// SPDX-License-Identifier: MIT
//! A minimal loader, with which benchmarks compare: opens an object, excludes the named programs,
//! loads, attaches, and sleeps until it is ended.
//!
//! bare-libbpf OBJECT [PROGRAM TO LEAVE OUT]…

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: bare-libbpf OBJECT [PROGRAM]…")?;
    let left_out: Vec<String> = args.collect();
    let mut open = libbpf_rs::ObjectBuilder::default().open_file(path)?;
    for mut program in open.progs_mut() {
        if left_out.iter().any(|name| program.name() == name.as_str()) {
            program.set_autoload(false);
        }
    }
    let object = open.load()?;
    let mut links = Vec::new();
    for program in object.progs_mut() {
        if left_out.iter().all(|name| program.name() != name.as_str()) {
            links.push(program.attach()?);
        }
    }
    loop {
        std::thread::park();
    }
}
