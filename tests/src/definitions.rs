// SPDX-License-Identifier: MIT
//! The metrics that a package has, found out without a kernel: a scrape after one record of each type
//! and one entry of each map, all of zeros.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bpfpack_frame::{Entry, Reading, Records, Time};
use bpfpack_metrics::exposition::Exposition;
use bpfpack_metrics::{Collector, Family, Options};
use bpfpack_render::{Labels, utc};
use bpfpack_schemas::Package;
use bpfpack_schemas::object::BpfObject;
use bpfpack_spec::{Inputs, Source, build};

/// The families of a package file.
#[must_use]
#[track_caller]
pub fn families(package: &Path) -> Vec<Family> {
    let package = Package::decode(&std::fs::read(package).unwrap()).unwrap();
    let object = BpfObject::parse(&package.object).unwrap();
    let btf = object.btf().unwrap();
    let options = bpfpack_spec::Options { all_tables: true, ..Default::default() };
    let built = build(&Inputs {
        meta: &package.meta,
        object: &object,
        btf: &btf,
        options: &options,
        nonzero: &BTreeSet::new(),
        kernel_enum: &|_| None,
    });
    let sources = built.unwrap().spec.sources;
    let maps = package.meta.bpf_skel.maps.iter();
    let choices = maps.filter_map(|map| Some((map.name.clone(), map.metric.clone()?)));
    let options = Options {
        prefix: package.meta.bpf_skel.obj_name.trim_end_matches("_bpf").to_owned(),
        choices: choices.collect::<BTreeMap<_, _>>(),
        most_series: 1000,
    };
    let mut collector = Collector::new(&sources, &options, Labels::new(utc, None)).unwrap();
    for source in &sources {
        match source {
            Source::View(view) => {
                let key = vec![0; view.key.as_ref().map_or(0, bpfpack_decode::Layout::size)];
                let entries = vec![Entry::new(&key, &vec![0; view.value.size()])];
                let reading = Reading::new(view.clone(), Time::default(), entries);
                collector.entries(&reading, 0..1);
            }
            Source::Stream(stream) => {
                for ty in &stream.records {
                    let record = vec![0; ty.size];
                    Records::by_type(stream, Time::default(), None, &[&record])
                        .for_each(|records| collector.records(&records));
                }
            }
        }
    }
    collector.families()
}

/// The same as a scrape in the text format.
#[must_use]
#[track_caller]
pub fn scrape(package: &Path) -> String {
    let mut text = Vec::new();
    Exposition::Text.write(&families(package), &mut text);
    String::from_utf8(text).unwrap()
}
