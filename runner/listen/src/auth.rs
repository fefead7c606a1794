// SPDX-License-Identifier: MIT
//! Basic authentication (RFC 7617) by passwords that are stored as bcrypt hashes.
//!
//! A bcrypt takes a tenth of a second or more, by design. The last password of each user that was
//! right is therefore remembered, as a digest with a random key, so that a scrape does not pay for
//! it. An unknown user costs the same time as a wrong password. How many passwords are checked at
//! once is not decided here, but in `pool`.

use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::alphabet::BCRYPT;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use sha2::{Digest as _, Sha256};

/// The highest cost of a hash, as a power of two: a few seconds, for which a server that stops has
/// to wait.
const MAX_COST: u32 = 16;

/// The longest password that bcrypt distinguishes, with the zero behind it.
const MAX_PASSWORD: usize = 72;

/// The base64 of bcrypt has another alphabet, and the bits that fill up the last character are not
/// always zero.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &BCRYPT,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_encode_padding(false)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireNone),
);

/// A hash such as `$2y$10$…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hash {
    cost: u32,
    salt: [u8; 16],
    digest: [u8; 23],
}

impl Hash {
    /// Parses the text of a hash.
    pub(crate) fn parse(text: &str) -> Result<Hash, &'static str> {
        let bad = "it is not a bcrypt hash; `htpasswd -nBC 10 \"\"` makes one";
        let mut parts = text.split('$');
        let (Some(""), Some("2a" | "2b" | "2y"), Some(cost), Some(rest), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad);
        };
        let is_number = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
        let cost = cost.parse().ok().filter(|cost| is_number && *cost >= 4).ok_or(bad)?;
        if cost > MAX_COST {
            return Err("the cost of its bcrypt hash is greater than 16; make one of a lower cost");
        }
        let (salt, digest) = rest.split_at_checked(22).ok_or(bad)?;
        let decode = |text| BASE64.decode(text).map_err(|_| bad);
        let salt = decode(salt)?.try_into().map_err(|_| bad)?;
        let digest = decode(digest)?.try_into().map_err(|_| bad)?;
        Ok(Hash { cost, salt, digest })
    }

    /// Whether a password has this hash. The time does not depend on the password.
    fn matches(&self, password: &[u8]) -> bool {
        let mut bytes = password.to_vec();
        bytes.push(0);
        bytes.truncate(MAX_PASSWORD);
        let found = bcrypt::bcrypt(self.cost, self.salt, &bytes);
        let differences = found.iter().zip(&self.digest).fold(0, |all, (a, b)| all | (a ^ b));
        differences == 0
    }
}

/// What is known about the credentials of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// They are right.
    Accepted,
    /// They are missing or malformed.
    Refused,
    /// [`Users::verify`] finds out.
    Unknown,
}

/// The users, and their passwords.
#[derive(Debug)]
pub(crate) struct Users {
    users: Vec<User>,
    /// Of digests; random.
    key: [u8; 32],
}

#[derive(Debug)]
struct User {
    name: String,
    hash: Hash,
    /// The digest of the last password that was right.
    accepted: Mutex<Option<[u8; 32]>>,
}

impl Users {
    /// `users` are names with hashes; at least one.
    pub(crate) fn new(users: Vec<(String, Hash)>) -> std::io::Result<Users> {
        let mut key = [0; 32];
        rustix::rand::getrandom(&mut key[..], rustix::rand::GetRandomFlags::empty())?;
        let users = users.into_iter();
        let users =
            users.map(|(name, hash)| User { name, hash, accepted: Mutex::default() }).collect();
        Ok(Users { users, key })
    }

    /// Checks the header `Authorization` without a bcrypt.
    pub(crate) fn check(&self, header: Option<&str>) -> Check {
        let Some((name, password)) = header.and_then(credentials) else { return Check::Refused };
        let Some(user) = self.find(&name) else { return Check::Unknown };
        let accepted = user.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        // Without the key, nobody can use the time of the comparison.
        match *accepted == Some(self.digest(&password)) {
            true => Check::Accepted,
            false => Check::Unknown,
        }
    }

    /// Checks the header `Authorization`, at the cost of a bcrypt, and remembers a right password.
    pub(crate) fn verify(&self, header: Option<&str>) -> bool {
        let Some((name, password)) = header.and_then(credentials) else { return false };
        let Some(user) = self.find(&name) else {
            // Takes as long as for a user that exists.
            if let Some(user) = self.users.first() {
                user.hash.matches(&password);
            }
            return false;
        };
        let is_right = user.hash.matches(&password);
        if is_right {
            let mut accepted = user.accepted.lock().unwrap_or_else(PoisonError::into_inner);
            *accepted = Some(self.digest(&password));
        }
        is_right
    }

    fn find(&self, name: &[u8]) -> Option<&User> {
        self.users.iter().find(|user| user.name.as_bytes() == name)
    }

    fn digest(&self, password: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(self.key).chain_update(password).finalize().into()
    }
}

/// User and password of the header `Authorization`.
pub(crate) fn credentials(header: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, text) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let mut name = STANDARD.decode(text.trim()).ok()?;
    let colon = name.iter().position(|byte| *byte == b':')?;
    let password = name.split_off(colon + 1);
    name.pop();
    Some((name, password))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The hash of `secret`, of cost 4, made by htpasswd.
    pub(crate) const SECRET: &str = "$2y$04$i88hakvN1o0.D/RPwARUWud0K6i150sbP/G7vWIStKeojTX6K1Ma6";

    fn header(user: &str, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    }

    fn users() -> Users {
        Users::new(vec![("alice".to_owned(), Hash::parse(SECRET).unwrap())]).unwrap()
    }

    #[test]
    fn right_wrong_and_unknown() {
        let users = users();
        let right = header("alice", "secret");
        assert_eq!(users.check(Some(&right)), Check::Unknown);
        assert!(users.verify(Some(&right)));
        assert_eq!(users.check(Some(&right)), Check::Accepted, "it is remembered");
        for (user, password) in
            [("alice", "Secret"), ("alice", ""), ("alice", "secret\0"), ("bob", "secret"), ("", "")]
        {
            let wrong = header(user, password);
            assert_eq!(users.check(Some(&wrong)), Check::Unknown, "{user}");
            assert!(!users.verify(Some(&wrong)), "{user}:{password}");
            assert_eq!(users.check(Some(&wrong)), Check::Unknown, "failures are not remembered");
        }
        assert_eq!(users.check(Some(&right)), Check::Accepted);
    }

    #[test]
    fn malformed_credentials() {
        let users = users();
        let no_colon = format!("Basic {}", STANDARD.encode("alice"));
        for header in
            ["", "Basic", "Basic ", "Basic !", "Bearer YTpi", &no_colon, "BasicYTpi", "Basic YTpi="]
        {
            assert_eq!(users.check(Some(header)), Check::Refused, "{header}");
            assert!(!users.verify(Some(header)), "{header}");
        }
        assert_eq!(users.check(None), Check::Refused);
        let lower = header("alice", "secret").replace("Basic", "basic");
        assert!(users.verify(Some(&lower)));
        assert!(!users.verify(Some(&header("alice", &"x".repeat(10_000)))));
    }

    #[test]
    fn hashes() {
        // Test vectors of OpenBSD's bcrypt, as jBCrypt has them.
        for (hash, password) in [
            ("$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.", ""),
            ("$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe", "a"),
        ] {
            assert!(Hash::parse(hash).unwrap().matches(password.as_bytes()));
            assert!(!Hash::parse(hash).unwrap().matches(b"b"));
        }
    }

    #[test]
    fn bad_hashes() {
        let good = SECRET;
        Hash::parse(&good.replacen("$04$", "$16$", 1)).unwrap();
        for (bad, reason) in [
            ("", "htpasswd"),
            ("secret", "htpasswd"),
            (&good[..59], "htpasswd"),
            (&format!("{good}."), "htpasswd"),
            (&good.replacen("$2y", "$2x", 1), "htpasswd"),
            (&good.replacen("$2y", "$6", 1), "htpasswd"),
            (&good.replacen("$04$", "$4$", 1), "htpasswd"),
            (&good.replacen("$04$", "$+4$", 1), "htpasswd"),
            (&good.replacen("$04$", "$03$", 1), "htpasswd"),
            (&good.replacen("$04$", "$17$", 1), "greater than 16"),
            (&format!("$2y$04${}", "\u{e9}".repeat(26)), "htpasswd"),
            (&format!("$2y$04${}", "!".repeat(53)), "htpasswd"),
        ] {
            assert!(Hash::parse(bad).unwrap_err().contains(reason), "{bad}");
        }
    }
}
