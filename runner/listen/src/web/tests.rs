// SPDX-License-Identifier: MIT

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::auth::tests::SECRET;

/// A web configuration file, and what was reported about it.
struct File {
    _directory: tempfile::TempDir,
    path: PathBuf,
    errors: Arc<Mutex<Vec<String>>>,
}

impl File {
    fn new(text: &str) -> File {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.yml");
        let file = File { _directory: directory, path, errors: Arc::default() };
        file.write(text);
        file
    }

    /// Replaces the file, as editors do: another one takes its name.
    fn write(&self, text: &str) {
        let new = self.path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(new, &self.path).unwrap();
    }

    fn load(&self) -> Result<WebConfig, WebError> {
        let errors = Arc::clone(&self.errors);
        WebConfig::load(&self.path, move |error| errors.lock().unwrap().push(error.to_string()))
    }

    fn errors(&self) -> Vec<String> {
        std::mem::take(&mut *self.errors.lock().unwrap())
    }
}

#[test]
fn files_without_tls() {
    let file = File::new(&format!("basic_auth_users: {{a: {SECRET}}}"));
    let web = file.load().unwrap();
    assert!(web.has_users() && !web.uses_tls());
    assert!(Arc::ptr_eq(&web.rules(), &web.rules()), "it is not read again");
    assert!(!File::new("").load().unwrap().has_users());
}

#[test]
fn files_that_cannot_be_used() {
    let file = File::new("x: 1");
    let error = file.load().unwrap_err().to_string();
    assert_eq!(error, format!("`{}`: `x`: there is no such setting", file.path.display()));
    file.write("{");
    assert!(matches!(file.load(), Err(WebError::Syntax { .. })));
    file.write("");
    fs::set_permissions(&file.path, fs::Permissions::from_mode(0o666)).unwrap();
    let error = file.load().unwrap_err().to_string();
    assert!(error.contains("is not used") && error.contains("mode is 0666"), "{error}");
    fs::remove_file(&file.path).unwrap();
    assert!(matches!(file.load(), Err(WebError::Read { .. })));
    assert!(file.errors().is_empty(), "errors at the start are returned");
}

#[test]
fn changes_take_effect_unless_they_are_wrong() {
    let alice = format!("basic_auth_users: {{alice: {SECRET}}}");
    let file = File::new(&alice);
    let web = file.load().unwrap();
    let before = web.rules();
    for (text, reason) in [
        ("basic_auth_users: {alice: secret}", "htpasswd"),
        ("{", "is not YAML"),
        ("", "it has users, or none any more; restart"),
    ] {
        file.write(text);
        assert!(Arc::ptr_eq(&web.rules(), &before), "{text}");
        assert!(Arc::ptr_eq(&web.rules(), &before), "{text}");
        let errors = file.errors();
        assert!(errors.len() == 1 && errors[0].contains(reason), "{errors:?}");
    }
    fs::remove_file(&file.path).unwrap();
    assert!(Arc::ptr_eq(&web.rules(), &before));
    assert_eq!(file.errors().len(), 1);
    file.write(&alice.replace("alice", "bob"));
    assert!(!Arc::ptr_eq(&web.rules(), &before));
    assert!(file.errors().is_empty());
}

#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_tls_says_so() {
    let file = File::new("tls_server_config: {cert_file: a, key_file: b}");
    assert!(file.load().unwrap_err().to_string().contains("this build has no TLS"));
}
