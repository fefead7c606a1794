// SPDX-License-Identifier: MIT
//! Rules: what a source needs to be used.

use std::fmt;

use serde::Deserialize;

use crate::artifact::{Artifact, digest};
use crate::key::{Key, KeyError};
use crate::pattern::matches;
use crate::version::Version;

/// A rule, as in a `[[source]]` section of the policy. The first one that names a source decides.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Patterns of sources; `*` stands for any characters.
    pub sources: Vec<String>,
    /// Names of the keys of which one must have signed; `*` is any key.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Digests that need no signature, in lower-case hexadecimal.
    #[serde(default)]
    pub sha256: Vec<String>,
    /// The least version that a signature must state: older ones cannot be replayed.
    #[serde(default)]
    pub min_version: Option<Version>,
    /// Whether nothing is needed.
    #[serde(default)]
    pub allow_unsigned: bool,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} needs ", self.sources.join(", "))?;
        let mut needs = Vec::new();
        if !self.sha256.is_empty() {
            needs.push(format!("one of {} digests", self.sha256.len()));
        }
        if self.allow_unsigned {
            needs.push("nothing".to_owned());
        } else if !self.keys.is_empty() {
            let mut text = format!("a signature by {}", self.keys.join(" or "));
            if let Some(version) = &self.min_version {
                text += &format!(" of version {version} or later");
            }
            needs.push(text);
        }
        match needs.is_empty() {
            true => f.write_str("what no package has"),
            false => f.write_str(&needs.join(" or ")),
        }
    }
}

/// The rules and keys of a machine.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The rules, in order.
    pub rules: Vec<Rule>,
    /// The keys.
    pub keys: Vec<Key>,
}

/// Why something may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// There are neither rules nor keys.
    NoPolicy,
    /// A key has signed it.
    Signed {
        /// The key's name.
        key: String,
        /// The comment that the signature vouches for.
        comment: String,
    },
    /// A rule has its digest.
    Digest,
    /// A rule asks for nothing.
    Unsigned,
}

/// Why something is refused.
#[derive(Debug)]
pub struct Refusal {
    /// The rule, by its number from 1 on; `None` if no rule names the source.
    pub rule: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Some(rule) => write!(f, "rule {rule} of the policy refuses it: {}", self.reason),
            None => write!(f, "the policy refuses it: {}", self.reason),
        }
    }
}

impl std::error::Error for Refusal {}

impl Policy {
    /// Whether there are neither rules nor keys, so that everything may be used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.keys.is_empty()
    }

    /// Decides whether an artifact may be used.
    ///
    /// # Errors
    /// Returns the reason if it may not.
    pub fn check(&self, artifact: Artifact<'_>) -> Result<Accepted, Refusal> {
        let names = |rule: &&Rule| rule.sources.iter().any(|p| matches(p, artifact.source));
        let found = self.rules.iter().zip(1..).find(|(rule, _)| names(rule));
        match found {
            Some((rule, number)) => {
                self.apply(rule, artifact).map_err(|reason| Refusal { rule: Some(number), reason })
            }
            None if self.is_empty() => Ok(Accepted::NoPolicy),
            None if self.rules.is_empty() => {
                let any = Rule { keys: vec!["*".to_owned()], ..Rule::default() };
                self.apply(&any, artifact).map_err(|reason| Refusal { rule: None, reason })
            }
            None => Err(Refusal { rule: None, reason: "no rule names this source".to_owned() }),
        }
    }

    fn apply(&self, rule: &Rule, artifact: Artifact<'_>) -> Result<Accepted, String> {
        if !rule.sha256.is_empty() {
            let digest = digest(artifact.bytes);
            if rule.sha256.iter().any(|wanted| wanted.eq_ignore_ascii_case(&digest)) {
                return Ok(Accepted::Digest);
            }
            if rule.keys.is_empty() && !rule.allow_unsigned {
                return Err(format!("its digest is {digest}, which is not listed"));
            }
        }
        if rule.allow_unsigned {
            return Ok(Accepted::Unsigned);
        }
        let signature = artifact.signature.ok_or("it has no signature")?;
        let accepted = self.signed(rule, artifact.bytes, signature)?;
        if let (Some(least), Accepted::Signed { comment, .. }) = (&rule.min_version, &accepted) {
            match Version::of_comment(comment) {
                Some(version) if version >= *least => {}
                Some(version) => {
                    return Err(format!("its version is {version}, less than {least}"));
                }
                None => {
                    return Err(format!("its signature states no version, and {least} is needed"));
                }
            }
        }
        Ok(accepted)
    }

    fn signed(&self, rule: &Rule, bytes: &[u8], signature: &str) -> Result<Accepted, String> {
        let is_named = |key: &&Key| rule.keys.iter().any(|name| name == "*" || *name == key.name);
        let keys: Vec<&Key> = self.keys.iter().filter(is_named).collect();
        let mut reason = "no key of the rule is among the trusted keys".to_owned();
        for key in &keys {
            match key.verify(bytes, signature) {
                Ok(comment) => return Ok(Accepted::Signed { key: key.name.clone(), comment }),
                Err(KeyError::Wrong(_)) => {
                    let names: Vec<&str> = keys.iter().map(|key| &*key.name).collect();
                    let names = names.join(", ");
                    reason = format!("its signature is not of these bytes by a key of: {names}");
                }
                Err(error) => reason = error.to_string(),
            }
        }
        Err(reason)
    }
}
