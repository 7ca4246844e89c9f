// SPDX-License-Identifier: GPL-2.0-only

//! The specification says what the source says: every structure, field by field, every kind, every
//! bit.

#![cfg(not(miri))]

use std::{collections::HashMap, fs, path::Path};

use checkpoint_image::record::Kind;

/// A field: offset, type, name.
type Field = (usize, String, String);

fn source(name: &str) -> String {
    let path = Path::new(env!("IMAGE_SOURCE")).join("image").join(name);
    fs::read_to_string(path).unwrap()
}

fn specification() -> String {
    let path = Path::new(env!("TREE")).join("Documentation/userspace-api/checkpoint-image.rst");
    fs::read_to_string(path).unwrap()
}

/// Structures of a source file, by name, with their lengths.
fn structures(text: &str, known: &mut HashMap<String, (usize, Vec<Field>)>) {
    let mut rest = text;
    while let Some(at) = rest.find("pub struct ") {
        rest = &rest[at + "pub struct ".len()..];
        let (name, body) = rest.split_once(|c: char| !c.is_alphanumeric()).unwrap();
        let Some((body, _)) = body.split_once('}') else {
            break;
        };
        // A structure of fields; not one with a lifetime or of types alone.
        if rest[name.len()..].starts_with(" {") && body.contains("pub ") {
            let mut offset = 0;
            let mut fields = Vec::new();
            for line in body.lines().map(str::trim) {
                let Some(field) = line.strip_prefix("pub ") else {
                    continue;
                };
                let (field, ty) = field.trim_end_matches(',').split_once(": ").unwrap();
                let (len, ty) = match ty {
                    "U16" => (2, "u16".into()),
                    "U32" => (4, "u32".into()),
                    "I32" => (4, "s32".into()),
                    "U64" => (8, "u64".into()),
                    "I64" => (8, "s64".into()),
                    "[U64; 4]" => (32, "u64[4]".into()),
                    "[u8; RELEASE_LEN]" => (65, "u8[65]".into()),
                    array if array.starts_with("[u8; ") => {
                        let n = array[5..].trim_end_matches(']');
                        (n.parse().unwrap(), format!("u8[{n}]"))
                    }
                    other => match known.get(other) {
                        Some((len, _)) => (*len, format!("`{other}`_")),
                        // No wire structure.
                        None => {
                            fields.clear();
                            break;
                        }
                    },
                };
                fields.push((offset, ty, field.to_string()));
                offset += len;
            }
            if !fields.is_empty() {
                known.insert(name.into(), (offset, fields));
            }
        }
        rest = &rest[name.len()..];
    }
}

/// The sections of the specification by their titles.
fn sections(text: &str) -> HashMap<&str, String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut sections: HashMap<&str, String> = HashMap::new();
    let mut title = "";
    for (at, line) in lines.iter().enumerate() {
        let under = lines.get(at + 1).copied().unwrap_or_default();
        let rule = |c| under.len() == line.len() && under.chars().all(|x| x == c);
        if !line.is_empty() && !line.contains("  ") && (rule('-') || rule('=')) {
            title = line;
        }
        let section = sections.entry(title).or_default();
        section.push_str(line);
        section.push('\n');
    }
    sections
}

/// The rows of the table of fields in a section, and the length that the section gives.
fn table(section: &str) -> (usize, Vec<Field>) {
    let (before, table) = section.split_once(" bytes:\n").expect("it has a table");
    let len = before.lines().last().unwrap().trim().parse().unwrap();
    let mut fields = Vec::new();
    let mut rules = 0;
    for line in table.lines() {
        if line.starts_with("===") {
            rules += 1;
            if rules == 3 {
                break;
            }
        } else if rules == 2 && !line.starts_with(' ') {
            let mut words = line.split_whitespace();
            let offset = words.next().unwrap().parse().unwrap();
            let mut word = || words.next().unwrap().to_string();
            fields.push((offset, word(), word()));
        }
    }
    (len, fields)
}

#[test]
fn structures_are_as_specified() {
    let mut known = HashMap::new();
    structures(&source("record.rs"), &mut known);
    let mut frame = HashMap::new();
    structures(&source("format.rs"), &mut frame);
    for name in ["Header", "Trailer", "RecordHeader"] {
        known.insert(name.into(), frame.remove(name).unwrap());
    }
    assert!(known.len() > 25, "{:?}", known.keys());

    let text = specification();
    let sections = sections(&text);
    for (name, structure) in &known {
        let title = match name.as_str() {
            "RecordHeader" => "Metadata",
            name => name,
        };
        let section = sections
            .get(title)
            .unwrap_or_else(|| panic!("no section {title}"));
        assert_eq!(&table(section), structure, "{name}");
    }
}

#[test]
fn kinds_are_as_specified() {
    let text = specification();
    let sections = sections(&text);
    let rows: Vec<(u16, &str)> = sections["Kinds"]
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.parse().ok()?, words.next()?))
        })
        .collect();
    assert_eq!(rows.len(), Kind::ALL.len());
    for (number, name) in rows {
        let kind = Kind::from_u16(number).unwrap_or_else(|| panic!("no kind {number}"));
        assert_eq!(format!("{kind:?}"), name);
    }
    for n in 0..=u16::MAX {
        assert_eq!(
            Kind::from_u16(n).is_some(),
            Kind::ALL.iter().any(|k| *k as u16 == n)
        );
    }
}

/// Modules of constants, and the sections that they are in.
const NAMED: [(&str, &str); 12] = [
    ("membarrier", "Mm"),
    ("mm_flags", "Mm"),
    ("vma_flags", "Vma"),
    ("task_flags", "Task"),
    ("thread_x86", "ThreadX86"),
    ("file_kind", "File"),
    ("vma_kind", "Vma"),
    ("restart_kind", "RestartBlock"),
    ("attr_flags", "Attr"),
    ("socket_flags", "Socket"),
    ("socket_data_flags", "SocketData"),
    ("timer_flags", "Timer"),
];

#[test]
fn bits_and_values_are_as_specified() {
    let text = specification();
    let sections = sections(&text);
    let source = source("record.rs");
    // Every module of them is looked at.
    let modules = source.matches("\npub mod ").count();
    assert_eq!(
        modules,
        NAMED.len() + 2,
        "and sigaction_flags and socket_option, which have no names there"
    );
    let mut seen = 0;
    for (module, title) in NAMED {
        let (_, body) = source.split_once(&format!("pub mod {module} {{")).unwrap();
        let (body, _) = body.split_once("\n}").unwrap();
        let section = &sections[title];
        let rows: Vec<Vec<&str>> = section
            .lines()
            .map(|l| l.split_whitespace().collect())
            .collect();
        for line in body.lines().filter(|line| line.contains("pub const ")) {
            let (_, constant) = line.split_once("pub const ").unwrap();
            let (name, rest) = constant.split_once(':').unwrap();
            if name == "ALL" {
                continue;
            }
            let (_, value) = rest.trim_end_matches(';').split_once("= ").unwrap();
            let name = format!("``{name}``");
            // A bit stands before its name, a value behind it.
            let found = |words: &[&str]| match value.strip_prefix("1 << ") {
                Some(bit) => words == [bit, &name],
                None => words == [&name, value],
            };
            let found = rows.iter().any(|row| row.windows(2).any(found));
            assert!(found, "{name} {value} in {title}");
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
}
