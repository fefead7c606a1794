// SPDX-License-Identifier: MIT
//! What the target `registry` in tests/fuzz runs: everything that reads texts of servers, of users
//! and of files with credentials; only built with `--cfg fuzzing`.

use bpfpack_schemas::printable::is_printable;

use crate::artifact::{of_labels, recognize};
use crate::http::Url;
use crate::manifest::Manifest;
use crate::{Reference, challenge, client, credentials, http, text};

/// Reads any bytes in every way.
pub fn run(data: &[u8]) {
    let any = String::from_utf8_lossy(data);
    match any.parse::<Reference>() {
        Ok(reference) => {
            let shown = reference.to_string();
            assert_eq!(shown.parse().as_ref(), Ok(&reference), "{shown}");
            // It becomes a part of a URL.
            assert!(shown.bytes().all(|byte| byte.is_ascii_graphic()), "{shown}");
        }
        Err(error) => is_safe(&error.to_string()),
    }
    let base = Url::parse("https://h.io/v2/a/blobs?b=c");
    for url in [Url::parse(&any), base.and_then(|base| base.join(&any))] {
        match url {
            Ok(url) => {
                is_safe(&url.to_string());
                assert!(url.is_same_origin(&url));
            }
            Err(error) => is_safe(&error.to_string()),
        }
    }
    let _ = challenge::find([&*any].into_iter());
    match Manifest::parse(data, Some("application/vnd.oci.image.manifest.v1+json")) {
        Ok(manifest) => match recognize(&manifest) {
            Ok(found) => assert!(manifest.layers.contains(found.content)),
            Err(error) => is_safe(&error.to_string()),
        },
        Err(error) => is_safe(&error.to_string()),
    }
    let _ = of_labels(data);
    if let Some(message) = http::message(data) {
        is_safe(&message);
    }
    if let Some(token) = client::find_token(data) {
        assert!(token.bytes().all(|byte| byte.is_ascii_graphic()), "{token}");
    }
    credentials::run(data);
    is_safe(&text::short(&any));
}

/// Fails if a message could do something to a terminal.
fn is_safe(message: &str) {
    assert!(message.chars().all(is_printable), "{message:?}");
    assert!(message.chars().count() < 2000, "{message}");
}
