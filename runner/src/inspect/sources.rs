// SPDX-License-Identifier: MIT
//! What is shown of a package, in words.

use bpfpack_decode::Layout;
use bpfpack_schemas::report::{MemberReport, RecordReport, SourceReport};
use bpfpack_spec::{BufferType, Shape, Source, Stream, View};

/// Describes a source.
pub(super) fn report(source: &Source) -> SourceReport {
    match source {
        Source::Stream(stream) => of_stream(stream),
        Source::View(view) => of_view(view),
    }
}

fn of_stream(stream: &Stream) -> SourceReport {
    let shown_as = match stream.buffer {
        BufferType::Ring => "records of a ring buffer",
        BufferType::Perf { .. } => "records of a perf buffer",
        BufferType::Printk => "lines of bpf_printk",
        BufferType::Stage => "records of a module",
    };
    let records = stream
        .records
        .iter()
        .map(|ty| RecordReport { name: ty.name.clone(), members: members(&ty.layout) });
    SourceReport {
        name: stream.name.clone(),
        shown_as: shown_as.to_owned(),
        records: records.collect(),
        ..SourceReport::default()
    }
}

fn of_view(view: &View) -> SourceReport {
    let (shown_as, unit) = match &view.shape {
        Shape::Histogram { unit, .. } => ("histogram", Some(unit.clone())),
        Shape::Table => ("table", None),
        Shape::KeyValue => ("line for each key", None),
    };
    SourceReport {
        name: view.name.clone(),
        shown_as: shown_as.to_owned(),
        interval_ms: u64::try_from(view.interval.as_millis()).ok(),
        differences: view.differences,
        key: view.key.as_ref().map(members).unwrap_or_default(),
        value: if unit.is_some() { Vec::new() } else { members(&view.value) },
        unit,
        records: Vec::new(),
    }
}

fn members(layout: &Layout) -> Vec<MemberReport> {
    let report = |member: bpfpack_decode::Member| MemberReport {
        name: member.name,
        ty: words(&member.layout),
    };
    layout.members("").into_iter().map(report).collect()
}

/// The type of a layout: `u32`, `text`, `u8[16]`.
fn words(layout: &Layout) -> String {
    match layout {
        Layout::Int { size, signed } => {
            format!("{}{}", if *signed { "s" } else { "u" }, 8 * size)
        }
        Layout::Pointer => "pointer".to_owned(),
        Layout::Bool => "bool".to_owned(),
        Layout::Float { size } => format!("f{}", 8 * size),
        Layout::Enum { .. } => "enum".to_owned(),
        Layout::Label { .. } => "name".to_owned(),
        Layout::Text { .. } => "text".to_owned(),
        Layout::Array { element, len, .. } => format!("{}[{len}]", words(element)),
        Layout::Rest { element, .. } => match **element {
            Layout::Text { .. } => "text".to_owned(),
            _ => format!("{}[]", words(element)),
        },
        Layout::Struct(_) => "struct".to_owned(),
        Layout::Bytes { size } => format!("{size} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_in_words() {
        let int = |size, signed| Layout::Int { size, signed };
        assert_eq!(words(&int(4, false)), "u32");
        let array = Layout::Array { element: Box::new(int(8, true)), stride: 8, len: 20 };
        assert_eq!(words(&array), "s64[20]");
        let rest = |element| Layout::Rest { element: Box::new(element), stride: 1 };
        assert_eq!(words(&rest(Layout::Text { size: 1 })), "text");
        assert_eq!(words(&rest(int(1, false))), "u8[]");
    }
}
