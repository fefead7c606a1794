// SPDX-License-Identifier: MIT
//! Versions of packages, which signatures state.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// Numbers that are separated by dots: `1.2.10` comes after `1.2.9`, and `1.2` is `1.2.0`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Version(Vec<u64>);

impl Version {
    /// The version that a trusted comment states: `… version:1.2.3 …`.
    #[must_use]
    pub fn of_comment(comment: &str) -> Option<Version> {
        comment.split_whitespace().find_map(|word| word.strip_prefix("version:")?.parse().ok())
    }

    fn numbers(&self) -> &[u64] {
        let len = self.0.iter().rposition(|number| *number != 0).map_or(0, |last| last + 1);
        &self.0[..len]
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Version, String> {
        let numbers: Result<Vec<u64>, _> = text.split('.').map(str::parse).collect();
        match numbers {
            Ok(numbers) if !text.contains('+') => Ok(Version(numbers)),
            _ => Err(format!("`{text}` is not a version such as 1.2.3")),
        }
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Version, String> {
        text.parse()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u64::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Version) -> bool {
        self.numbers() == other.numbers()
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> std::cmp::Ordering {
        self.numbers().cmp(other.numbers())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_are_compared_one_by_one() {
        assert!(version("1.2.10") > version("1.2.9"));
        assert!(version("2") > version("1.99"));
        assert_eq!(version("1.2"), version("1.2.0"));
        assert!(version("0") < version("0.0.1"));
        for text in ["", "1.", "v1", "1.-2", "+1", "1.2-rc1", "99999999999999999999999"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }

    #[test]
    fn comments_state_a_version() {
        let of = Version::of_comment;
        assert_eq!(of("timestamp:1\tfile:x\tversion:1.4"), Some(version("1.4")));
        assert_eq!(of("subversion:1"), None);
        assert_eq!(of("version:new"), None);
    }
}
