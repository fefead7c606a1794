// SPDX-License-Identifier: MIT
//! For a target in tests/fuzz: everything that reads texts of clients, of users and of files; only
//! built with `--cfg fuzzing`.

use crate::request::{MAX_HEAD, parse_head};
use crate::{Address, auth, web};

/// Reads any bytes in every way.
pub fn run(data: &[u8]) {
    if let Ok(Some((request, length))) = parse_head(data) {
        assert!(length <= data.len().min(MAX_HEAD));
        assert!(request.path().starts_with('/'));
        let _ = auth::credentials(request.header("authorization").unwrap_or_default());
        // What follows changes nothing.
        assert_eq!(parse_head(&data[..length]), Ok(Some((request, length))));
    }
    let any = String::from_utf8_lossy(data);
    if let Ok(address) = any.parse::<Address>() {
        assert_eq!(address.to_string().parse(), Ok(address), "{any}");
    }
    let _ = auth::credentials(&any);
    let _ = auth::Hash::parse(&any);
    web::fuzz(data);
}
