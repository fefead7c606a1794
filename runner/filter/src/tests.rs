// SPDX-License-Identifier: MIT
//! Tests of whole filters on bytes, and that no text or bytes cause a panic.

use bpfpack_decode::meaning::{Meaning, Unit};
use bpfpack_decode::{Field, Layout, Member, Struct};

use super::*;

/// A few names, as a system has them.
struct Some_;

impl Names for Some_ {
    fn all(&self, meaning: Meaning) -> Vec<(i128, String)> {
        let known: &[(i128, &str)] = match meaning {
            Meaning::Errno => &[(2, "ENOENT"), (13, "EACCES")],
            Meaning::Signal => &[(9, "SIGKILL"), (15, "SIGTERM")],
            Meaning::Family => &[(2, "AF_INET"), (10, "AF_INET6")],
            Meaning::SocketState => &[(1, "ESTABLISHED"), (10, "LISTEN")],
            Meaning::Protocol => &[(6, "TCP"), (17, "UDP")],
            Meaning::User => &[(0, "root"), (1, "Root")],
            _ => &[],
        };
        known.iter().map(|(number, name)| (*number, (*name).to_owned())).collect()
    }
}

fn int(size: usize, signed: bool) -> Layout {
    Layout::Int { size, signed }
}

/// Builds members with their values, one after the other.
#[derive(Default)]
struct Record {
    members: Vec<Member>,
    bytes: Vec<u8>,
}

impl Record {
    fn with(
        mut self,
        name: &str,
        layout: Layout,
        meaning: Option<Meaning>,
        value: &[u8],
    ) -> Record {
        let member = Member { meaning, ..Member::new(name, self.bytes.len(), layout) };
        self.members.push(member);
        self.bytes.extend(value);
        self
    }

    fn layout(&self) -> Layout {
        Layout::Struct(Struct { size: self.bytes.len(), members: self.members.clone() })
    }

    fn compile(&self, text: &str) -> Result<Filter, FilterError> {
        Filter::compile(&Expr::parse(text)?, &Scope::record(&self.layout()), &Some_)
    }

    fn is(&self, text: &str) -> bool {
        match self.compile(text) {
            Ok(filter) => filter.matches_record(&self.bytes),
            Err(error) => panic!("{error}\n{}\n{:?}", error.marked(), error.hint),
        }
    }

    #[track_caller]
    fn all(&self, texts: &str) {
        for text in texts.split(';') {
            assert!(self.is(text), "{text}");
        }
    }

    #[track_caller]
    fn none(&self, texts: &str) {
        for text in texts.split(';') {
            assert!(!self.is(text), "{text}");
        }
    }

    #[track_caller]
    fn fails(&self, text: &str, at: &str, message: &str) -> FilterError {
        let error = self.compile(text).unwrap_err();
        assert_eq!(&text[error.span.clone()], at, "{error}");
        assert_eq!(error.message, message);
        error
    }
}

fn record() -> Record {
    let enumeration = Layout::Enum {
        size: 4,
        signed: false,
        names: vec![(0, "EXEC".into()), (1, "EXIT".into()), (-1, "NONE".into())],
    };
    let inner =
        Layout::Struct(Struct { size: 4, members: vec![Member::new("x", 0, int(4, true))] });
    let list = Layout::Array { element: int(2, false).into(), stride: 2, len: 2 };
    Record::default()
        .with("pid", int(4, false), None, &1234u32.to_le_bytes())
        .with("comm", Layout::Text { size: 16 }, None, b"dd\0garbage\0\0\0\0\0\0")
        .with("ret", int(4, true), Some(Meaning::Result), &(-2i32).to_le_bytes())
        .with("err", int(4, false), Some(Meaning::Errno), &13u32.to_le_bytes())
        .with(
            "lat_us",
            int(8, false),
            Some(Meaning::Duration(Unit::Microseconds)),
            &1500u64.to_le_bytes(),
        )
        .with("lat_ms", int(8, true), None, &1i64.to_le_bytes())
        .with("bytes", int(8, false), Some(Meaning::Size), &4097u64.to_le_bytes())
        .with("is_write", Layout::Bool, None, &[2])
        .with("sig", int(1, false), Some(Meaning::Signal), &[9])
        .with("event", enumeration, None, &(-1i32).to_le_bytes())
        .with("port", int(2, false), Some(Meaning::Port), &[0x1f, 0x90])
        .with("uid", int(4, false), Some(Meaning::User), &[1, 0, 0, 0])
        .with("wide", int(16, false), None, &[255; 16])
        .with("ratio", Layout::Float { size: 4 }, None, &0.1f32.to_le_bytes())
        .with("inner", inner, None, &(-7i32).to_le_bytes())
        .with("list", list, None, &[1, 0, 2, 0])
        .with(
            "at",
            Layout::Pointer,
            Some(Meaning::KernelAddress),
            &0xffff_8000_0000_0000u64.to_le_bytes(),
        )
        .with("ts", int(8, false), Some(Meaning::Clock(Unit::Nanoseconds)), &[5; 8])
        .with(
            "slot",
            Layout::Label { size: 4, names: vec!["hi".into(), "".into(), "net rx".into()] },
            None,
            &[2, 0, 0, 0],
        )
}

#[test]
fn numbers() {
    let record = record();
    record.all(
        "pid == 1234; pid != 5; pid >= 1234 && pid < 1_235; pid == 0x4d2; 1000 < pid; \
        pid in (1, 1234); pid not in (1, 2); PID == 1234; pid > -1; pid > 1233.5; pid; \
        wide == 0xffffffffffffffffffffffffffffffff; wide > -1; wide > 5; wide; \
        wide >= 340282366920938463463374607431768211455; inner.x == -7; inner.x < 0; \
        list[1] == 2; at == 0xffff800000000000; ts > 5; pid < 2K; !(pid == 5); not pid == 5; \
        port == 8080; port > 8000; ratio == 0.1; ratio < 0.2; ratio in (0.1, 3); is_write; \
        is_write == true; is_write == 1; is_write != false; pid == true; wide == true; \
        !(wide == false)",
    );
    record.none(
        "pid == 5; pid == 1234.5; !pid; pid in (1); wide == 1; wide < 5; !is_write; \
        is_write == false; is_write == 0; ratio > 0.1; ratio != 0.1; pid == -1; \
        pid > 99999999999999999999999999; pid == false; wide == false",
    );
    record.fails("comm == dd && pid == dd", "dd", "`pid` is a number, and `dd` is not");
    record.fails("pid == \"1234\"", "\"1234\"", "`pid` is a number, and `1234` is not");
    record.fails(
        "pid ~ 12",
        "pid",
        "`pid` is a number without names: a regular expression needs text",
    );
    record.fails("inner == 3", "inner", "`inner` is a struct: name one of its members");
    record.fails(
        "list == 3",
        "list",
        "`list` is an array: name one of its elements, for example `[0]`",
    );
    record.fails("list[2] == 3", "list[2]", "there is no member `list[2]`");
    record.fails("pid == 1e40", "1e40", "`1e40` is too large");
    record.fails("comm", "comm", "`comm` is text: it is not true or false by itself");
    record.fails("ratio", "ratio", "`ratio` is a number: it is not true or false by itself");
}

#[test]
fn units() {
    let record = record();
    record.all(
        "lat_us == 1.5ms; lat_us > 1ms; lat_us < 2ms; lat_us == 1500; lat_us > 1499999ns; \
        lat_ms < 1500us; lat_ms > 999us; lat_ms == 1ms; lat_ms != 1500us; lat_ms <= 1999us; \
        bytes > 4K; bytes < 1M; bytes <= 1.5GiB; bytes == 4097",
    );
    record.none("lat_ms == 1500us; lat_ms > 1ms; lat_us > 1.5ms; bytes == 4K");
    let error = record.fails("pid > 1ms", "1ms", "`pid` has no unit of time");
    assert_eq!(error.hint.unwrap(), "compare it with a number without a unit");
    record.fails("ts > 1s", "1s", "`ts` is a point in time, not a time span");
    record.fails("bytes > 1s", "1s", "`bytes` is a number of bytes, not a time");
    record.fails("lat_us > 4K", "4K", "`lat_us` is not a number of bytes");
    record.fails("port == 4K", "4K", "`port` is not a number of bytes");
    record.fails("lat_us > 4parsec", "4parsec", "unknown unit `parsec`");
}

#[test]
fn names_of_numbers() {
    let record = record();
    record.all(
        "ret == -ENOENT; ret == ENOENT; ret != EACCES; ret < 0; ret == -2; ret ~ NOENT; \
        err == EACCES; err != -EACCES; err in (ENOENT, EACCES); err ~ '^EACC'; err !~ '^-'; \
        sig == SIGKILL; sig == KILL; sig == sigkill; sig in (SIGTERM, 9); sig ~ '^SIG'; \
        event == NONE; event == -1; event < 0; event == none; event ~ 'NO'; event in (NONE); \
        event != EXEC; uid == Root; uid != root; slot == 'net rx'; slot == 2; slot ~ 'net'; \
        pid != ENOENT; pid != SIGKILL",
    );
    record.none(
        "ret == EACCES; err == -EACCES; event == EXEC; event ~ '^E'; sig > SIGKILL; slot == hi",
    );
    let error = record.fails("event == EXIR", "EXIR", "`event` has no value `EXIR`");
    assert_eq!(error.hint.unwrap(), "did you mean `EXIT`? the values are EXEC, EXIT, NONE");
    record.fails("sig == FOO", "FOO", "`sig` has no value `FOO`");
    record.fails("ret == -EFOO", "-EFOO", "`ret` has no value `-EFOO`");
}

#[test]
fn text() {
    let args = Layout::Rest { element: Box::new(Layout::Text { size: 1 }), stride: 1 };
    let mut record = record();
    let length = Field { offset: record.bytes.len(), size: 2 };
    record = record
        .with("args_len", int(2, false), None, &[9, 0])
        .with(
            "name",
            Layout::Array { element: int(1, false).into(), stride: 1, len: 4 },
            Some(Meaning::Text),
            b"name",
        )
        .with("args", args, None, b"ls\0-l\0/x\0junk");
    record.members.last_mut().unwrap().length = Some(length);
    record.all(
        "comm == dd; comm == 'dd'; comm != ddd; comm ~ d; comm ~ '^d+$'; comm !~ 'x'; \
        comm < de; comm >= dd; comm in (sh, dd); comm ~ \"^\\x64\"; name == name; name ~ am; \
        name > aaaa; args == 'ls -l /x'; args ~ '-l /x$'; args != ls; args in ('ls -l /x')",
    );
    record.none(
        "comm == d; comm == ddd; comm == garbage; comm ~ garbage; name == nam; name == names",
    );
    record.fails("comm == 'a\\x00'", "'a\\x00'", "text ends at a zero");
    let error = record.compile("comm ~ '('").unwrap_err();
    assert!(error.message.starts_with("this is not a regular expression: "), "{error}");
}

#[test]
fn addresses() {
    let bytes = |len| Layout::Array { element: int(1, false).into(), stride: 1, len };
    let family = |at| Some(Field { offset: at, size: 2 });
    let of = |number: u16| {
        let mut six = [0; 16];
        six[..4].copy_from_slice(&[0xfe, 0x80, 0, 1]);
        six[15] = 1;
        let mut mapped = [0; 16];
        mapped[10..].copy_from_slice(&[255, 255, 10, 0, 0, 9]);
        Record::default()
            .with("family", int(2, false), Some(Meaning::Family), &number.to_le_bytes())
            .with("saddr", int(4, false), Some(Meaning::Ipv4(family(0))), &[10, 1, 2, 3])
            .with("six", bytes(16), Some(Meaning::Ipv6(family(0))), &six)
            .with(
                "both",
                bytes(16),
                Some(Meaning::Ip(family(0))),
                &[10, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            )
            .with(
                "any",
                bytes(16),
                Some(Meaning::Ip(None)),
                &[10, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            )
            .with("mapped", bytes(16), Some(Meaning::Ipv6(None)), &mapped)
            .with("mac", bytes(6), Some(Meaning::Mac), &[0, 0x1b, 2, 0xff, 4, 5])
    };
    let four = of(2);
    four.all(
        "saddr == 10.1.2.3; saddr in 10.0.0.0/8; saddr in (192.168.0.0/16, 10.1.2.0/24); \
        saddr != 10.1.2.4; saddr not in 127.0.0.0/8; both in 10.0.0.0/8; any == 10.1.2.3; \
        mapped in 10.0.0.0/8; mapped == 10.0.0.9; mapped in ::ffff:0:0/96; saddr == 50462986; \
        mac == 00:1b:02:ff:04:05; mac != 0-1b-2-ff-4-6; mac in (00:1b:02:ff:04:05); \
        family == AF_INET; family == inet; any not in ::/0; any in 0.0.0.0/0",
    );
    // The family is another one, so the address is unknown.
    four.none("six in fe80::/10; six not in fe80::/10; saddr == 10.1.2.4; saddr == 0");
    let six = of(10);
    six.all("six in fe80::/10; six == fe80:1::1; both == a01:203::; mapped in ::/0");
    six.none("saddr == 10.1.2.3; saddr != 10.1.2.3; both in 10.0.0.0/8");
    four.fails("saddr == 10.0.0.0/8", "10.0.0.0/8", "`10.0.0.0/8` is a network");
    four.fails("saddr == 10.0.0", "10.0.0", "`10.0.0` is not an address");
    four.fails("saddr < 10.0.0.1", "saddr", "`saddr` is an address: its values have no order");
    four.fails("any == 3", "3", "`3` is not an address");
    four.fails("mac == 00:1b", "00:1b", "`00:1b` is not a hardware address");
    four.fails("saddr ~ 10", "saddr", "`saddr` is an address: a regular expression needs text");
}

#[test]
fn what_a_record_does_not_hold_is_unknown() {
    let mut record = record();
    record.bytes.truncate(6);
    record.all("pid == 1234; pid == 1234 || ret == 3; comm == dd; !(pid == 5 && ret == 3)");
    record.none("ret == 3; ret != 3; !(ret == 3); ret == 3 || pid == 5; ret; !ret; err ~ E");
    record.bytes.truncate(3);
    record.none("pid == 1234; pid != 1234; comm == dd; comm != dd; comm !~ x");
}

#[test]
fn several_kinds_of_frames() {
    let one = Record::default().with("pid", int(4, false), None, &[1, 0, 0, 0]);
    let two = Record::default().with("comm", Layout::Text { size: 4 }, None, b"sh\0\0");
    let (one_layout, two_layout) = (one.layout(), two.layout());
    let scopes = [Scope::record(&one_layout), Scope::record(&two_layout)];
    let compile = |text: &str| Filter::compile_all(&Expr::parse(text).unwrap(), &scopes, &NoNames);
    let filters = compile("pid == 1 || comm == sh").unwrap();
    assert_eq!(
        (filters[0].missing(), filters[1].missing()),
        (&["comm".into()][..], &["pid".into()][..])
    );
    assert!(filters.iter().all(Filter::can_match));
    assert!(filters[0].matches_record(&one.bytes) && filters[1].matches_record(&two.bytes));
    let filters = compile("pid == 1").unwrap();
    assert!(filters[0].can_match() && !filters[1].can_match());
    assert!(!filters[1].matches_record(&two.bytes));
    let filters = compile("!(pid == 2)").unwrap();
    assert!(filters[0].can_match() && !filters[1].can_match());
    let error = compile("pid == 1 && tid == 2").unwrap_err();
    assert_eq!(
        (error.span, &*error.hint.unwrap()),
        (12..15, "did you mean `pid`? the members are pid, comm")
    );
    assert!(Filter::compile_all(&Expr::parse("x").unwrap(), &[], &NoNames).unwrap().is_empty());
    let number = int(4, false);
    let scopes = [&one_layout, &two_layout, &number].map(|layout| Scope {
        parts: vec![Part { qualifier: Some("value"), layout }],
        derived: Vec::new(),
    });
    let of_value = |text: &str, count| {
        Filter::compile_all(&Expr::parse(text).unwrap(), &scopes[..count], &NoNames)
    };
    let filters = of_value("value > 10", 3).unwrap();
    assert!([false, false, true].into_iter().eq(filters.iter().map(Filter::can_match)));
    let message = of_value("value > 10", 2).unwrap_err().message;
    assert_eq!(message, "`value` is a struct: name one of its members");
    let both = compile("pid == 1").unwrap().remove(0).and(compile("pid > 1").unwrap().remove(0));
    assert!(!both.matches_record(&one.bytes));
}

#[test]
fn keys_values_and_what_is_calculated() {
    let (key, value) = (record(), int(8, false));
    let key_layout = key.layout();
    let scope = Scope {
        parts: vec![
            Part { qualifier: Some("key"), layout: &key_layout },
            Part { qualifier: Some("value"), layout: &value },
        ],
        derived: vec![
            Derived { name: "total", meaning: None },
            Derived { name: "p99", meaning: Some(Meaning::Duration(Unit::Microseconds)) },
            Derived { name: "average", meaning: None },
            Derived { name: "pid", meaning: None },
        ],
    };
    let is = |text: &str| {
        let filter = Filter::compile(&Expr::parse(text).unwrap(), &scope, &NoNames).unwrap();
        filter.matches(&[&key.bytes, &7u64.to_le_bytes()], &|index| match index {
            0 => Some(Value::Int(100)),
            1 => Some(Value::Int(2047)),
            2 => Some(Value::Float(2.5)),
            _ => None,
        })
    };
    for text in [
        "pid == 1234 && value > 5",
        "key.comm == dd && value == 7",
        "total >= 100",
        "p99 > 2ms",
        "average == 2.5",
        "average in (1, 2.5)",
        "total != 5",
        "total",
        "KEY.pid == 1234",
        "value",
    ] {
        assert!(is(text), "{text}");
    }
    for text in ["total != 100", "p99 > 2047us", "average > 3", "total == 99.5", "average != 2.5"] {
        assert!(!is(text), "{text}");
    }
    let error = Filter::compile(&Expr::parse("p99 ~ x").unwrap(), &scope, &NoNames).unwrap_err();
    assert_eq!(error.message, "`p99` is a number: a regular expression needs text");
}

/// Pseudorandom numbers, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most.max(1)
    }
}

#[test]
fn nothing_panics() {
    const WORDS: [&str; 46] = [
        "pid",
        "comm",
        "ret",
        "err",
        "lat_us",
        "bytes",
        "is_write",
        "event",
        "port",
        "wide",
        "ratio",
        "inner.x",
        "list[0]",
        "slot",
        "==",
        "!=",
        "<",
        ">=",
        "~",
        "!~",
        "in",
        "not",
        "and",
        "or",
        "(",
        ")",
        ",",
        "!",
        "&&",
        "||",
        "'x'",
        "\"\\x",
        "-ENOENT",
        "NONE",
        "1.5ms",
        "4K",
        "0x",
        "1e9",
        "10.0.0.0/8",
        "::1",
        "ä",
        "=",
        "\\",
        "'(a|b)*'",
        "true",
        "99999999999999999999999999999999999",
    ];
    let (record, mut random) = (record(), Random(1));
    let mut compiled = 0;
    for _ in 0..30_000 {
        let mut text = String::new();
        for _ in 0..random.below(12) {
            text.push_str(WORDS[random.below(WORDS.len())]);
            text.push_str(["", " "][random.below(2)]);
        }
        match record.compile(&text) {
            Ok(filter) => {
                compiled += 1;
                let bytes = &record.bytes[..random.below(record.bytes.len() + 1)];
                let (is, _) = (filter.matches_record(bytes), filter.matches(&[], &|_| None));
                assert!(!is || filter.can_match());
            }
            Err(error) => assert!(!error.marked().is_empty() && text.get(error.span).is_some()),
        }
    }
    assert!(compiled > 100, "{compiled}");
}

#[test]
fn constants_of_any_member_do_not_panic() {
    let record = record();
    let names: Vec<String> = record.members.iter().map(|member| member.name.clone()).collect();
    let values = [
        "0", "-1", "x", "'x'", "1ms", "4K", "1e38", "-0.5", "true", "false", "-EACCES", "::1",
        "NONE",
    ];
    for name in &names {
        for value in values {
            for op in ["==", "!=", "<", "<=", ">", ">=", "~", "!~", "in"] {
                if let Ok(filter) = record.compile(&format!("{name} {op} {value}")) {
                    let _ = filter.matches_record(&record.bytes);
                }
            }
        }
    }
}
