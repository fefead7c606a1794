// SPDX-License-Identifier: MIT
//! Decides which redirects are followed.

use super::{HttpError, Scheme, Url};
use crate::text;

/// The number of redirects that are followed. Registries redirect once, to an object store.
const MOST: usize = 5;

/// Whether a status is a redirect.
pub(super) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads, if it is followed: not from https to http, not to another scheme, not
/// with a body, and not for ever. `followed` redirects came before it.
pub(super) fn next(
    from: &Url,
    location: Option<&str>,
    is_fetch: bool,
    followed: usize,
) -> Result<Url, HttpError> {
    let refuse = |reason: String| HttpError::Redirect {
        from: from.to_string(),
        to: text::short(location.unwrap_or_default()),
        reason,
    };
    let Some(reference) = location else {
        return Err(refuse("the address is missing".to_owned()));
    };
    if !is_fetch {
        return Err(refuse("data is sent only to the address that was given".to_owned()));
    }
    if followed >= MOST {
        return Err(refuse(format!("only {MOST} redirects are followed")));
    }
    let to = from.join(reference).map_err(|error| refuse(error.to_string()))?;
    if from.scheme() == Scheme::Https && to.scheme() == Scheme::Http {
        return Err(refuse("from https to http".to_owned()));
    }
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects() {
        let from = Url::parse("https://h/a").unwrap();
        let to = |location| next(&from, Some(location), true, 0).map(|url| url.to_string());
        assert_eq!(to("/b").unwrap(), "https://h/b");
        assert_eq!(to("https://other/b").unwrap(), "https://other/b");
        for location in ["http://h/b", "file:///etc/passwd", "ftp://h/", "https://u:p@h/", "a\nb"] {
            assert!(to(location).is_err(), "{location}");
        }
        assert!(next(&from, None, true, 0).is_err());
        assert!(next(&from, Some("/b"), false, 0).is_err());
        assert!(next(&from, Some("/b"), true, MOST - 1).is_ok());
        assert!(next(&from, Some("/b"), true, MOST).is_err());
        let plain = Url::parse("http://h/a").unwrap();
        assert!(next(&plain, Some("https://h/b"), true, 0).is_ok());
    }
}
