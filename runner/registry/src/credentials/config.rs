// SPDX-License-Identifier: MIT
//! The content of docker's `config.json`: which entry is for a registry, and how it changes. What
//! it has besides remains.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize as _;
use serde_json::{Map, Value, json};

use super::Credentials;
use crate::text::short;

/// The key of Docker Hub, from the time of version 1 of its protocol.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Where an entry says that credentials are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// In the file.
    Here(Credentials),
    /// A program has them: the end of its name, and the key to ask for.
    Helper { name: String, key: String },
}

/// The content of a file.
#[derive(Debug)]
pub(super) struct Config(Map<String, Value>);

/// The key under which new credentials for a registry are stored.
pub(super) fn key(host: &str) -> String {
    match is_docker_hub(host) {
        true => DOCKER_HUB.to_owned(),
        false => host.to_owned(),
    }
}

fn is_docker_hub(host: &str) -> bool {
    matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io")
}

/// The keys that may have credentials for a repository, best first. Podman also stores them for a
/// part of a registry; old versions of docker stored URLs.
fn keys(host: &str, repository: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut path = repository;
    while !path.is_empty() {
        keys.push(format!("{host}/{path}"));
        path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    keys.push(key(host));
    let forms = ["", "https://", "http://"]
        .map(|scheme| ["", "/", "/v1/", "/v2/"].map(|end| format!("{scheme}{host}{end}")));
    keys.extend(forms.into_iter().flatten());
    keys
}

impl Config {
    /// Parses a file. An empty one has no entries.
    pub(super) fn parse(bytes: &[u8]) -> Result<Config, String> {
        if bytes.trim_ascii().is_empty() {
            return Ok(Config(Map::new()));
        }
        let object = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        Ok(Config(object))
    }

    /// Where the credentials for a repository are. A program for one registry comes before an entry
    /// in the file, and the program for all registries after it, so that `ecli login` works beside
    /// such a program.
    pub(super) fn find(&self, host: &str, repository: &str) -> Result<Vec<Source>, String> {
        let mut found = Vec::new();
        let object = |name: &str| self.0.get(name).and_then(Value::as_object);
        let name_of =
            |value: &Value| value.as_str().filter(|name| !name.is_empty()).map(str::to_owned);
        let keys = keys(host, repository);
        if let Some(helpers) = object("credHelpers") {
            let of_host = keys.iter().find_map(|key| Some((key, helpers.get(key)?)));
            if let Some((key, name)) = of_host.and_then(|(key, name)| Some((key, name_of(name)?))) {
                found.push(Source::Helper { name, key: key.clone() });
            }
        }
        if let Some(auths) = object("auths") {
            for key in keys {
                if let Some(credentials) = auths
                    .get(&key)
                    .map(credentials)
                    .transpose()
                    .map_err(|reason| format!("the entry `{}`: {reason}", short(&key)))?
                    .flatten()
                {
                    found.push(Source::Here(credentials));
                    break;
                }
            }
        }
        if let Some(name) = self.0.get("credsStore").and_then(name_of) {
            found.push(Source::Helper { name, key: key(host) });
        }
        Ok(found)
    }

    /// Stores credentials for a registry.
    pub(super) fn set(&mut self, host: &str, user: &str, password: &str) -> Result<(), String> {
        let auth = STANDARD.encode(format!("{user}:{password}"));
        self.auths()?.insert(key(host), json!({ "auth": auth }));
        Ok(())
    }

    /// Removes the credentials for a registry. Returns whether there were any.
    pub(super) fn remove(&mut self, host: &str) -> Result<bool, String> {
        let auths = self.auths()?;
        let mut removed = false;
        for key in keys(host, "") {
            removed |= auths.shift_remove(&key).is_some();
        }
        Ok(removed)
    }

    fn auths(&mut self) -> Result<&mut Map<String, Value>, String> {
        let auths = self.0.entry("auths").or_insert_with(|| Value::Object(Map::new()));
        auths.as_object_mut().ok_or_else(|| "`auths` is not an object".to_owned())
    }

    /// The text of the file, indented as docker does it.
    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut writer = serde_json::Serializer::with_formatter(&mut text, format);
        self.0.serialize(&mut writer).expect("a value is valid JSON");
        text.push(b'\n');
        text
    }
}

/// For the fuzz target: what is stored is found, and what is removed is not.
#[cfg(fuzzing)]
pub(crate) fn run(data: &[u8]) {
    let Ok(mut config) = Config::parse(data) else { return };
    let _ = config.find("h.io", "a/b");
    if config.set("new.io", "user", "pass:word").is_ok() {
        let read = Config::parse(&config.text()).expect("it was written");
        let found = read.find("new.io", "").expect("it was written");
        let stored = Credentials::Password { user: "user".into(), password: "pass:word".into() };
        assert!(found.contains(&Source::Here(stored)));
        assert_eq!(config.remove("new.io"), Ok(true));
        assert_eq!(config.remove("new.io"), Ok(false));
    }
}

/// The credentials in an entry of `auths`; an entry may be empty.
fn credentials(entry: &Value) -> Result<Option<Credentials>, &'static str> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(token) = text("identitytoken") {
        return Ok(Some(Credentials::IdentityToken(token.to_owned())));
    }
    if let Some(auth) = text("auth") {
        let decoded = STANDARD.decode(auth).map_err(|_| "`auth` is not base64")?;
        let decoded = String::from_utf8(decoded).map_err(|_| "`auth` is not UTF-8")?;
        let (user, password) = decoded.split_once(':').ok_or("`auth` has no colon")?;
        // Old versions of docker padded the password with zeros.
        let password = password.trim_end_matches('\0');
        return Ok(Some(Credentials::Password { user: user.into(), password: password.into() }));
    }
    Ok(text("username").zip(text("password")).map(|(user, password)| Credentials::Password {
        user: user.to_owned(),
        password: password.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(value: Value) -> Config {
        Config::parse(value.to_string().as_bytes()).unwrap()
    }

    fn password(user: &str, password: &str) -> Source {
        Source::Here(Credentials::Password { user: user.into(), password: password.into() })
    }

    #[test]
    fn entries() {
        let auth = STANDARD.encode("me:pass:word");
        let entry = json!({ "auth": auth });
        for key in ["h.io:5000", "https://h.io:5000", "https://h.io:5000/v2/", "h.io:5000/a"] {
            let config = config(json!({ "auths": { key: entry } }));
            assert_eq!(config.find("h.io:5000", "a/b").unwrap(), [password("me", "pass:word")]);
            assert_eq!(config.find("h.io", "a/b").unwrap(), [], "{key}");
            assert_eq!(config.find("evil.h.io:5000", "a/b").unwrap(), [], "{key}");
        }
        let hub = config(json!({ "auths": { DOCKER_HUB: { "username": "u", "password": "p" } } }));
        assert_eq!(hub.find("docker.io", "a/b").unwrap(), [password("u", "p")]);
        let token = config(json!({ "auths": { "h.io": { "auth": auth, "identitytoken": "t" } } }));
        let token = token.find("h.io", "a").unwrap();
        assert_eq!(token, [Source::Here(Credentials::IdentityToken("t".to_owned()))]);
        assert!(!format!("{token:?}").contains("\"t\""));
    }

    #[test]
    fn programs() {
        let config = config(json!({
            "credHelpers": { "h.io": "one" },
            "credsStore": "all",
            "auths": { "h.io": {}, "other.io": { "auth": STANDARD.encode("a:b") } },
        }));
        let helper = |name: &str, key: &str| Source::Helper { name: name.into(), key: key.into() };
        assert_eq!(
            config.find("h.io", "a").unwrap(),
            [helper("one", "h.io"), helper("all", "h.io")]
        );
        let other = config.find("other.io", "a").unwrap();
        assert_eq!(other, [password("a", "b"), helper("all", "other.io")]);
    }

    #[test]
    fn what_is_no_configuration() {
        for text in ["[]", "{", "3", "\"x\""] {
            assert!(Config::parse(text.as_bytes()).is_err(), "{text}");
        }
        for text in ["", " \n", "{}", r#"{"auths":3,"credsStore":3,"credHelpers":[]}"#] {
            assert_eq!(Config::parse(text.as_bytes()).unwrap().find("h.io", "a").unwrap(), []);
        }
        for auth in ["?", "YQ==", "/w=="] {
            let config = config(json!({ "auths": { "h.io": { "auth": auth } } }));
            assert!(config.find("h.io", "a").is_err(), "{auth}");
        }
    }

    #[test]
    fn changes_keep_the_rest() {
        let mut config = config(json!({ "x": [1], "auths": { "o.io": { "auth": "?" } }, "y": 2 }));
        config.set("h.io", "u", "p").unwrap();
        let text = String::from_utf8(config.text()).unwrap();
        assert_eq!(
            text,
            "{\n\t\"x\": [\n\t\t1\n\t],\n\t\"auths\": {\n\t\t\"o.io\": {\n\t\t\t\"auth\": \"?\"\n\t\t},\
             \n\t\t\"h.io\": {\n\t\t\t\"auth\": \"dTpw\"\n\t\t}\n\t},\n\t\"y\": 2\n}\n"
        );
        assert_eq!(config.find("h.io", "a").unwrap(), [password("u", "p")]);
        assert!(config.remove("h.io").unwrap());
        assert!(!config.remove("h.io").unwrap());
        assert_eq!(config.find("h.io", "a").unwrap(), []);
        assert!(config.find("o.io", "a").is_err());
        let mut broken = self::config(json!({ "auths": 3 }));
        assert!(broken.set("h.io", "u", "p").is_err());
    }
}
