// SPDX-License-Identifier: MIT
//! Merges keys: those with the same value of a member, or all.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use bpfpack_decode::meaning::Meaning;
use bpfpack_decode::{Field, Layout, Member, Struct};
use bpfpack_failure::Failure;
use bpfpack_frame::{Entry, Frame, Next, Reading, Stage, in_key_order};
use bpfpack_spec::View;

use crate::error::ArrangementError;
use crate::options::Grouping;

/// Merges the entries of readings.
#[derive(Debug)]
pub(crate) struct Grouped {
    groups: Vec<Group>,
}

/// How the keys of a view are merged.
#[derive(Debug)]
struct Group {
    from: Arc<View>,
    to: Arc<View>,
    /// The member of the key to keep; `None` if all keys are merged.
    member: Option<Member>,
    /// Members of a value that are not counters; the largest value is shown.
    gauges: Vec<Member>,
    /// Texts in a value; if they differ, none is shown.
    texts: Vec<Field>,
}

impl Grouped {
    /// For all views that have the member, or any key.
    ///
    /// # Errors
    /// Returns an error if no view has it.
    pub(crate) fn new(
        views: &[Arc<View>],
        grouping: &Grouping,
    ) -> Result<Grouped, ArrangementError> {
        let keyed = || views.iter().filter_map(|view| Some((view, view.key.as_ref()?)));
        let Grouping::By(name) = grouping else {
            let groups = keyed().map(|(view, _)| Group::new(view, None)).collect();
            return Ok(Grouped { groups });
        };
        let find = |(view, key): (&Arc<View>, &Layout)| {
            let mut members = key.members("key").into_iter();
            let member = members.find(|member| member.is_called(name))?;
            Some(Group::new(view, Some(member)))
        };
        let groups: Vec<Group> = keyed().filter_map(find).collect();
        if groups.is_empty() {
            let names = keyed().flat_map(|(_, key)| key.members("key")).map(|member| member.name);
            return Err(ArrangementError::unknown("--by", "key member", name, names));
        }
        Ok(Grouped { groups })
    }

    /// The resulting view.
    pub(crate) fn view(&self, view: &Arc<View>) -> Arc<View> {
        Arc::clone(self.group(view).map_or(view, |group| &group.to))
    }

    fn group(&self, view: &Arc<View>) -> Option<&Group> {
        self.groups.iter().find(|group| Arc::ptr_eq(&group.from, view))
    }
}

impl Group {
    fn new(view: &Arc<View>, member: Option<Member>) -> Group {
        let key = member.as_ref().map(|member| {
            let size = member.layout.size();
            // The key no longer has the member with an address's family or a text's length.
            let meaning = member.meaning.map(Meaning::without_family);
            let alone =
                Member { meaning, ..Member::new(member.name.clone(), 0, member.layout.clone()) };
            Layout::Struct(Struct { size, members: vec![alone] })
        });
        let members = match &view.value {
            Layout::Struct(record) => &record.members[..],
            _ => &[],
        };
        let is_gauge = |member: &&Member| {
            let is_number =
                matches!(member.layout, Layout::Int { .. } | Layout::Float { .. } | Layout::Bool);
            is_number && member.bits.is_none() && !view.counters.contains(&member.field())
        };
        let gauges = members.iter().filter(is_gauge).cloned().collect();
        let is_text = |member: &&Member| matches!(member.layout, Layout::Text { .. });
        let texts = members.iter().filter(is_text).map(Member::field).collect();
        let to = View { key, stacks: Vec::new(), ..(**view).clone() };
        Group { from: Arc::clone(view), to: Arc::new(to), member, gauges, texts }
    }

    fn key(&self, entry: &Entry) -> Vec<u8> {
        let Some(member) = &self.member else { return Vec::new() };
        let (mut number, size) = ([0; 16], member.layout.size());
        let bytes = member.bytes(entry.key(), &mut number);
        let mut key = bytes[..bytes.len().min(size)].to_vec();
        key.resize(size, 0);
        key
    }

    fn entries(&self, entries: &[Entry]) -> Vec<Entry> {
        let mut groups: Vec<Entry> = Vec::new();
        let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
        for entry in entries {
            let key = self.key(entry);
            match places.get(&key) {
                Some(place) => self.add(groups[*place].value_mut(), entry.value()),
                None => {
                    groups.push(Entry::new(&key, entry.value()));
                    places.insert(key, groups.len() - 1);
                }
            }
        }
        match &self.to.key {
            Some(key) => in_key_order(key, groups),
            None => groups,
        }
    }

    /// Adds the counters of a value to another. A sum that overflows is the largest number, not a
    /// small one.
    fn add(&self, into: &mut [u8], value: &[u8]) {
        for field in &self.from.counters {
            let number = field.unsigned(value);
            if number > 0 {
                put(into, *field, number.saturating_add(field.unsigned(into)));
            }
        }
        for member in &self.gauges {
            let range = member.offset..member.offset + member.layout.size();
            if member.prefix(value) > member.prefix(into)
                && let (Some(into), Some(value)) = (into.get_mut(range.clone()), value.get(range))
            {
                into.copy_from_slice(value);
            }
        }
        for Field { offset, size } in &self.texts {
            let range = *offset..offset + size;
            if let Some(text) = into.get_mut(range.clone())
                && Some(&*text) != value.get(range)
            {
                text.fill(0);
            }
        }
    }
}

/// Writes a number, or the largest one that fits.
fn put(into: &mut [u8], field: Field, number: u128) {
    let most = u128::MAX >> (128 - 8 * field.size.clamp(1, 16));
    if let Some(bytes) = into.get_mut(field.offset..field.offset + field.size) {
        bytes.copy_from_slice(&number.min(most).to_le_bytes()[..field.size]);
    }
}

impl Stage for Grouped {
    fn frame(&mut self, frame: Frame<'_>, next: &mut dyn Next) -> Result<(), Failure> {
        let Frame::Reading(reading) = &frame else { return next.frame(frame) };
        let Some(group) = self.group(&reading.source) else { return next.frame(frame) };
        let (source, entries) = (Arc::clone(&group.to), group.entries(&reading.entries));
        // The elements that a reading leaves out are not groups.
        let grouped = Reading { source, entries, hidden: 0, ..**reading };
        next.frame(Frame::Reading(Rc::new(grouped)))
    }

    fn sees_records(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use bpfpack_frame::Time;
    use bpfpack_spec::fixtures::counter_view;

    use super::*;
    use crate::fixtures::Out;

    /// A key, a count, and a maximum.
    type Found = (Vec<u8>, u32, i32);

    fn int(size: usize) -> Layout {
        Layout::Int { size, signed: false }
    }

    /// From a name and a CPU to a counter, one byte too small for the sum, and a maximum.
    fn view() -> View {
        let key = vec![Member::new("cpu", 0, int(4)), Member::new("name", 4, int(1))];
        let value = vec![
            Member::new("count", 0, int(4)),
            Member::new("max", 4, Layout::Int { size: 4, signed: true }),
        ];
        View {
            key: Some(Layout::Struct(Struct { size: 5, members: key })),
            value: Layout::Struct(Struct { size: 8, members: value }),
            counters: vec![Field { offset: 0, size: 4 }],
            ..counter_view()
        }
    }

    fn entry(cpu: u32, name: u8, count: u32, max: i32) -> Entry {
        let key = [&cpu.to_le_bytes()[..], &[name]].concat();
        Entry::new(&key, &[count.to_le_bytes(), max.to_le_bytes()].concat())
    }

    fn grouped(grouping: &Grouping, entries: Vec<Entry>) -> (Arc<View>, Vec<Found>) {
        let view = Arc::new(view());
        let mut stage = Grouped::new(std::slice::from_ref(&view), grouping).unwrap();
        let mut out = Out::default();
        let reading = Reading::new(view, Time::default(), entries);
        stage.frame(Frame::Reading(reading.into()), &mut out).unwrap();
        let reading = out.0.pop().unwrap();
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
        let signed = |bytes: &[u8]| number(bytes).cast_signed();
        let entry = |entry: &Entry| {
            let value = entry.value();
            (entry.key().to_vec(), number(&value[..4]), signed(&value[4..]))
        };
        (Arc::clone(&reading.source), reading.entries.iter().map(entry).collect())
    }

    #[test]
    fn counters_are_added_and_of_the_others_the_largest_is_shown() {
        let entries = || vec![entry(0, 7, 2, -9), entry(0, 3, 1, 1), entry(1, 7, u32::MAX, -5)];
        let (view, found) = grouped(&Grouping::By("NAME".into()), entries());
        assert_eq!(found, [(vec![3], 1, 1), (vec![7], u32::MAX, -5)]);
        let Some(Layout::Struct(key)) = &view.key else { panic!() };
        assert_eq!((key.size, &*key.members[0].name, key.members[0].offset), (1, "name", 0));
        let (view, found) = grouped(&Grouping::Merge, entries());
        assert_eq!(found, [(vec![], u32::MAX, 1)]);
        assert_eq!(view.key, None);
        assert_eq!(grouped(&Grouping::Merge, vec![]).1, []);
    }

    #[test]
    fn a_member_has_to_be_in_one_of_the_keys() {
        let by = |name: &str| Grouping::By(name.into());
        let views = [Arc::new(view()), Arc::new(counter_view())];
        let error = Grouped::new(&views, &by("pid")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--by: no map or variable of the readings has a key member `pid`"
        );
        assert_eq!(error.hint(), "use one of cpu, name, key");
        let grouped = Grouped::new(&views, &by("cpu")).unwrap();
        assert!(Arc::ptr_eq(&grouped.view(&views[1]), &views[1]), "it has none, and stays");
    }
}
