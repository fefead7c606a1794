// SPDX-License-Identifier: MIT
use minisign::KeyPair;

use super::*;

struct Signer {
    pair: KeyPair,
    key: Key,
}

fn signer(name: &str) -> Signer {
    let pair = KeyPair::generate_unencrypted_keypair().unwrap();
    let key = Key::new(name, &pair.pk.to_box().unwrap().to_string()).unwrap();
    assert!(Key::new(name, &pair.pk.to_base64()).is_ok());
    Signer { pair, key }
}

impl Signer {
    fn sign(&self, bytes: &[u8], comment: &str) -> String {
        let KeyPair { pk, sk } = &self.pair;
        minisign::sign(Some(pk), sk, bytes, Some(comment), None).unwrap().into_string()
    }
}

fn rule(text: &[&str], keys: &[&str]) -> Rule {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Rule { sources: owned(text), keys: owned(keys), ..Rule::default() }
}

fn artifact<'a>(source: &'a str, bytes: &'a [u8], signature: Option<&'a str>) -> Artifact<'a> {
    Artifact { source, bytes, signature }
}

#[track_caller]
fn refused(policy: &Policy, artifact: Artifact<'_>, reason: &str) {
    assert_eq!(policy.check(artifact).unwrap_err().to_string(), reason);
}

#[test]
fn without_rules_and_keys_everything_may_be_used() {
    let accepted = Policy::default().check(artifact("/x", b"x", None));
    assert_eq!(accepted.unwrap(), Accepted::NoPolicy);
}

#[test]
fn with_a_key_everything_must_be_signed() {
    let (ours, other) = (signer("ours"), signer("other"));
    let policy = Policy { keys: vec![ours.key.clone()], ..Policy::default() };
    let signature = ours.sign(b"bytes", "version:2");
    let accepted = policy.check(artifact("/x", b"bytes", Some(&signature))).unwrap();
    assert_eq!(accepted, Accepted::Signed { key: "ours".into(), comment: "version:2".into() });
    refused(&policy, artifact("-", b"bytes", None), "the policy refuses it: it has no signature");
    let wrong = "the policy refuses it: its signature is not of these bytes by a key of: ours";
    refused(&policy, artifact("/x", b"Bytes", Some(&signature)), wrong);
    let by_other = other.sign(b"bytes", "version:2");
    refused(&policy, artifact("/x", b"bytes", Some(&by_other)), wrong);
    // The comment that it vouches for cannot be changed either.
    let changed = signature.replace("version:2", "version:3");
    refused(&policy, artifact("/x", b"bytes", Some(&changed)), wrong);
    let bad = policy.check(artifact("/x", b"bytes", Some("nonsense"))).unwrap_err().to_string();
    assert!(bad.contains("it is not a signature of minisign"), "{bad}");
}

#[test]
fn the_first_rule_that_names_a_source_decides() {
    let (ours, other) = (signer("ours"), signer("other"));
    let by_ours = ours.sign(b"x", "");
    let by_other = other.sign(b"x", "");
    let digests = Rule { sha256: vec![digest(b"x").to_uppercase()], ..rule(&["-"], &[]) };
    let anything = Rule { allow_unsigned: true, ..rule(&["/opt/tracers/*"], &[]) };
    let rules = vec![
        rule(&["https://a/*", "oci://a/*"], &["ours"]),
        rule(&["https://*"], &["*"]),
        digests,
        anything,
        rule(&["/key/*"], &["missing"]),
    ];
    let policy = Policy { rules, keys: vec![ours.key.clone(), other.key.clone()] };
    let accepts = |source, signature| policy.check(artifact(source, b"x", signature)).unwrap();
    for (source, signature, name) in [
        ("https://a/x", &by_ours, "ours"),
        ("https://b/x", &by_other, "other"),
        ("https://b/x", &by_ours, "ours"),
    ] {
        let signed = Accepted::Signed { key: name.into(), comment: String::new() };
        assert_eq!(accepts(source, Some(signature)), signed);
    }
    assert_eq!(accepts("-", None), Accepted::Digest);
    assert_eq!(accepts("/opt/tracers/x", None), Accepted::Unsigned);
    refused(
        &policy,
        artifact("oci://a/x", b"x", Some(&by_other)),
        "rule 1 of the policy refuses it: its signature is not of these bytes by a key of: ours",
    );
    let text = format!(
        "rule 3 of the policy refuses it: its digest is {}, which is not listed",
        digest(b"y")
    );
    refused(&policy, artifact("-", b"y", None), &text);
    refused(
        &policy,
        artifact("/key/x", b"x", Some(&by_ours)),
        "rule 5 of the policy refuses it: no key of the rule is among the trusted keys",
    );
    let none = "the policy refuses it: no rule names this source";
    refused(&policy, artifact("/other", b"x", Some(&by_ours)), none);
}

#[test]
fn old_versions_cannot_be_replayed() {
    let ours = signer("ours");
    let least = Rule { min_version: Some("1.4".parse().unwrap()), ..rule(&["*"], &["ours"]) };
    let policy = Policy { rules: vec![least], keys: vec![ours.key.clone()] };
    for (comment, reason) in [
        ("version:1.4.0", None),
        ("timestamp:1\tversion:2", None),
        ("version:1.3.9", Some("its version is 1.3.9, less than 1.4")),
        ("timestamp:1", Some("its signature states no version, and 1.4 is needed")),
    ] {
        let signature = ours.sign(b"x", comment);
        let found = policy.check(artifact("/x", b"x", Some(&signature)));
        assert_eq!(found.err().map(|refusal| refusal.reason).as_deref(), reason, "{comment}");
    }
}
