// SPDX-License-Identifier: MIT
//! Packages in YAML, which `ecc -y` of both projects writes.

use crate::error::InputError;

/// Bytes of the text that can begin something new. The parser keeps about 100 bytes for each thing,
/// and a package has some thousands.
#[cfg(feature = "archives")]
const MAX_MARKS: usize = 200_000;

#[cfg(not(feature = "archives"))]
pub(crate) fn to_json(_: &[u8]) -> Result<Vec<u8>, InputError> {
    Err(InputError::NotBuilt("YAML"))
}

/// The same package as JSON.
#[cfg(feature = "archives")]
pub(crate) fn to_json(text: &[u8]) -> Result<Vec<u8>, InputError> {
    let yaml = |text: &str| InputError::Yaml(bpfpack_schemas::printable::clean(text));
    let is_mark = |byte: &&u8| b"\n,[{:-?&*".contains(byte);
    if text.iter().filter(is_mark).take(MAX_MARKS + 1).count() > MAX_MARKS {
        return Err(yaml("it has too many keys and values"));
    }
    let value: serde_json::Value =
        yaml_serde::from_slice(text).map_err(|error| yaml(&error.to_string()))?;
    serde_json::to_vec(&value).map_err(|error| yaml(&error.to_string()))
}

#[cfg(all(test, feature = "archives"))]
mod tests {
    use super::*;

    #[test]
    fn yaml_becomes_json() {
        let json = to_json(b"bpf_object: eNo=\nmeta:\n  a: [1, true]\n  b: \"0x1\"\n").unwrap();
        let expected = r#"{"bpf_object":"eNo=","meta":{"a":[1,true],"b":"0x1"}}"#;
        assert_eq!(String::from_utf8(json).unwrap(), expected);
        let error = to_json(b"bpf_object: [\n").unwrap_err().to_string();
        assert!(error.starts_with("it is not a package in YAML: "), "{error}");
    }

    #[test]
    fn aliases_and_depth_are_limited() {
        let mut text = String::from("bpf_object: x\na0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let last = level - 1;
            let aliases = vec![format!("*a{last}"); 9].join(", ");
            text += &format!("a{level}: &a{level} [{aliases}]\n");
        }
        assert!(to_json(text.as_bytes()).is_err());
        let deep = format!("bpf_object: {}{}\n", "[".repeat(10_000), "]".repeat(10_000));
        assert!(to_json(deep.as_bytes()).is_err());
        let wide = format!("bpf_object: [{}]\n", "1,".repeat(MAX_MARKS));
        assert!(to_json(wide.as_bytes()).unwrap_err().to_string().ends_with("keys and values"));
    }
}
