// SPDX-License-Identifier: MIT
//! Objects: valid ones with hostile section headers, symbols, relocations and types, and files that
//! no compiler generates. `ecc` packs them, and `ecli` runs them in packages.

use super::btf::Types;
use super::case::Case;
use super::check::{self, ECC, ECLI, Verdict};
use super::elf::{Builder, change, is_harmless, replace, sections, symbols};
use super::packages::{FORMATS, with_object};
use super::random::{Random, damage};
use super::seeds::Seeds;

/// Generates an object, and makes one of the programs read it.
pub(super) fn case(case: &mut Case<'_>) -> Verdict {
    let seeds = case.seeds;
    let random = &mut case.random;
    let seed = seeds.any(random);
    let how = random.below(10);
    let object = match random.below(10) {
        0 => hostile(random),
        _ => from_good(seeds, &seed.object, random),
    };
    let input = object.len() as u64;
    match how {
        0..6 => {
            let path = case.write("case.bpf.o", &object)?;
            drop(object);
            let out = case.path("out");
            let mut command = case.ecc(&[path.as_os_str()]);
            if how < 4 {
                command.arg("--check")
            } else {
                command.arg("-o").arg(&out)
            };
            let ended = case.try_run(&mut command, ECC, input)?;
            check::shown(&ended.stdout, check::Screen::File)
                .map_err(|what| format!("output: {what}"))?;
            if how < 4 || ended.code() != Some(0) {
                return Ok(());
            }
            // ecli can read what ecc packs.
            let package = out.join("package.json");
            let size = std::fs::metadata(&package).map_or(0, |data| data.len());
            let mut command = case.ecli(&["run".as_ref(), package.as_os_str(), "--help".as_ref()]);
            case.try_run(&mut command, ECLI, size + input).map(drop)
        }
        _ => {
            let text = with_object(seed, &object);
            let is_run = how > 7 && is_harmless(&object);
            let path = case.write("package.json", text)?;
            let mut command = case.ecli(&["run"]);
            match is_run {
                true => {
                    let format = *case.random.choose(&FORMATS);
                    command.args(["-d", "20ms", "-f", format]).arg(path)
                }
                false => command.arg(path).arg("--help"),
            };
            case.try_run(&mut command, ECLI, input * 2).map(drop)
        }
    }
}

/// A valid object with a hostile part.
fn from_good(seeds: &Seeds, object: &[u8], random: &mut Random) -> Vec<u8> {
    let mut object = if random.one_in(4) { seeds.debug.clone() } else { object.to_vec() };
    match random.below(10) {
        0..4 => change(&mut object, random, true),
        4 => damage(&mut object, random),
        5..9 => {
            hostile_types(&mut object, random);
            if random.one_in(4) {
                change(&mut object, random, false);
            }
        }
        _ => {
            // A section with another content than its name says.
            let all = sections(&object);
            let one = random.choose(&all).clone();
            let len = 1 << random.below(14);
            let content = match random.below(3) {
                0 => vec![0; len],
                1 => vec![b'A'; len],
                _ => random.bytes(len),
            };
            replace(&mut object, &one, &content);
        }
    }
    object
}

fn hostile_types(object: &mut Vec<u8>, random: &mut Random) {
    let all = sections(object);
    let Some(section) = all.iter().find(|section| section.name == ".BTF") else { return };
    let Some(bytes) = object.get(section.offset..section.offset + section.size) else { return };
    let mut types = Types::parse(bytes);
    for _ in 0..random.between(1, 3) {
        if random.one_in(3) {
            types.damage(random);
        } else {
            let id = types.add_hostile(random);
            types.refer_to(id, random);
        }
    }
    replace(object, section, &types.build());
}

/// A file that no compiler generates.
fn hostile(random: &mut Random) -> Vec<u8> {
    let count = 1usize << random.below(17);
    let mut elf = Builder::default();
    let code =
        elf.add("tp/sched/sched_switch", 1, [0x95, 0, 0, 0, 0, 0, 0, 0].repeat(count.min(2000)));
    match random.below(6) {
        // More sections than two bytes can count.
        0 => {
            let count = count.min(1 << 15) * random.between(1, 3);
            for at in 0..count {
                elf.add(&format!("s{}", at % 100), 1, Vec::new());
            }
        }
        // Many symbols; programs that begin anywhere.
        1 => {
            let names = (0..count).map(|at| format!("name_{at}"));
            let (strings, table) =
                symbols(names, code as u16, *random.choose(&[0x12, 0x11, 0, 0xff]));
            let strings = elf.add(".strtab", 3, strings);
            let table = elf.add(".symtab", 2, table);
            elf.link(table, strings, random.edge() as u32);
        }
        // Many relocations.
        2 => {
            let relocation = [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0];
            let table = elf.add(".reltp/sched/sched_switch", 9, relocation.repeat(count));
            elf.link(table, random.below(6) as u32, code);
        }
        // Only types, which are hostile.
        3 => {
            let mut types = Types::parse(&[]);
            let id = types.add_hostile(random);
            types.refer_to(id, random);
            elf.add(".BTF", 1, types.build());
            let content = random.bytes(200);
            elf.add(".BTF.ext", 1, content);
        }
        // Repeated names.
        4 => {
            for name in [".maps", "license", "version", ".rodata", ".bss", ".BTF", "maps"] {
                let content = random.bytes(64);
                for _ in 0..3 {
                    elf.add(name, *random.choose(&[1, 8, 2, 3]), content.clone());
                }
            }
        }
        // A single name that is too long.
        _ => {
            elf.add(&"n".repeat(count * 8), 1, Vec::new());
        }
    }
    let mut object = elf.build(*random.choose(&[247, 247, 247, 62, 0]));
    if random.one_in(3) {
        change(&mut object, random, true);
    }
    object
}
