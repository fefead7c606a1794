// SPDX-License-Identifier: MIT
//! Creates a bundled `vmlinux.h` from an uncompressed kernel image: finds the BTF in the image,
//! prints it as C, and compresses the result. If another header is given, which this program
//! created, it writes the difference from it. `vmlinux/update.sh` runs it.

use std::error::Error;
use std::io::{Read as _, Write as _};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};

/// The start of little-endian BTF data: magic number, version 1, no flags, a header of 24 bytes.
const BTF_START: [u8; 8] = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0];

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [image, title, output, base @ ..] = &args[..] else {
        return Err("usage: vmlinux-header IMAGE TITLE OUTPUT [HEADER]".into());
    };
    let image = std::fs::read(image)?;
    let header = (0..image.len())
        .filter(|at| image[*at..].starts_with(&BTF_START))
        .filter_map(|at| {
            bpfpack_bpf::vmlinux_from_btf(image.get(at..at + btf_len(&image[at..])?)?).ok()
        })
        .max_by_key(String::len)
        .ok_or("no BTF in the kernel image")?;
    let text = format!("/* {title} */\n{header}");
    let packed = match base.first() {
        Some(base) => {
            let mut other = String::new();
            ZlibDecoder::new(std::fs::File::open(base)?).read_to_string(&mut other)?;
            bpfpack_bpf::delta::create(&other, &text)?
        }
        None => {
            let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
            zlib.write_all(text.as_bytes())?;
            zlib.finish()?
        }
    };
    std::fs::write(output, packed)?;
    Ok(())
}

/// The length of BTF data according to its header: 24 bytes, the types and the strings.
fn btf_len(data: &[u8]) -> Option<usize> {
    let word =
        |at: usize| Some(u32::from_le_bytes(data.get(at..at + 4)?.try_into().ok()?) as usize);
    Some(24 + word(16)?.checked_add(word(20)?)?)
}
