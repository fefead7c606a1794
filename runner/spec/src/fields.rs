// SPDX-License-Identifier: MIT
//! `--fields`: selects the members of records that are shown.

use bpfpack_decode::{Layout, Member};

use crate::error::SpecError;
use crate::stream::Stream;

/// Whether a member is meant. Names may be in upper case, as in headers.
fn is_named(name: &str, wanted: &str) -> bool {
    name.eq_ignore_ascii_case(wanted)
}

/// Keeps only the selected members, in their order.
pub fn select(streams: &mut [Stream], fields: &[String]) {
    if fields.is_empty() {
        return;
    }
    for ty in streams.iter_mut().flat_map(|stream| &mut stream.records) {
        let Layout::Struct(record) = &mut ty.layout else { continue };
        ty.whole = Some(Layout::Struct(record.clone()));
        let all = std::mem::take(&mut record.members);
        record.members = fields
            .iter()
            .filter_map(|field| {
                let exact = all.iter().find(|member| is_named(&member.name, field));
                exact.or_else(|| all.iter().find(|member| member.is_called(field))).cloned()
            })
            .collect();
        // A stack is shown if one of its members is.
        ty.stacks.retain(|stack| fields.iter().any(|field| is_named(&stack.name, field)));
        ty.event = None;
    }
}

/// Checks that the selected members exist.
///
/// # Errors
/// Returns an error if no stream has one of them.
pub fn check<'s>(
    streams: impl Iterator<Item = &'s Stream>,
    fields: &[String],
) -> Result<(), SpecError> {
    let types = streams.flat_map(|stream| &stream.records);
    let members = types.filter_map(|ty| match ty.all() {
        Layout::Struct(record) => Some(&record.members),
        _ => None,
    });
    let members: Vec<&Member> = members.flatten().collect();
    let is_known = |field: &&String| members.iter().any(|member| member.is_called(field));
    let Some(unknown) = fields.iter().find(|field| !is_known(field)) else { return Ok(()) };
    let mut known: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    known.sort_unstable();
    known.dedup();
    let known = known.into_iter().map(str::to_owned).collect();
    Err(SpecError::UnknownField { name: unknown.clone(), known })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::stream;

    #[test]
    fn members_in_the_order_that_was_asked_for() {
        let mut streams = [stream()];
        let fields = ["COMM".to_owned(), "pid".to_owned()];
        select(&mut streams, &fields);
        let ty = &streams[0].records[0];
        let Layout::Struct(record) = &ty.layout else { panic!() };
        let names: Vec<&str> = record.members.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["comm", "pid"]);
        assert_eq!(ty.all(), stream().records[0].all(), "the whole record is kept");
        assert_eq!(check(streams.iter(), &fields), Ok(()));
        let error = check(streams.iter(), &["tid".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "--fields: records have no member `tid`");
        assert!(error.hint().starts_with("their members are comm, "), "{}", error.hint());
        let error = check([].into_iter(), &["tid".to_owned()]).unwrap_err();
        assert_eq!(error.hint(), "the package has no records");
    }
}
