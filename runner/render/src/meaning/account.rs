// SPDX-License-Identifier: MIT
//! Users and groups, from /etc/passwd and /etc/group. Those of a directory service stay numbers,
//! because a lookup could wait for the network.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;

/// The maximum number of bytes that are read from a file.
const MOST: u64 = 4 << 20;

/// Names by ID, read at the first lookup.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    users: Option<HashMap<u32, Box<str>>>,
    groups: Option<HashMap<u32, Box<str>>>,
}

impl Accounts {
    /// The name of a user.
    pub(super) fn user(&mut self, id: u64) -> Option<&str> {
        find(&mut self.users, "/etc/passwd", id)
    }

    /// All users.
    pub(super) fn all_users(mut self) -> Vec<(i128, String)> {
        self.user(0);
        all(self.users)
    }

    /// All groups.
    pub(super) fn all_groups(mut self) -> Vec<(i128, String)> {
        self.group(0);
        all(self.groups)
    }

    /// The name of a group.
    pub(super) fn group(&mut self, id: u64) -> Option<&str> {
        find(&mut self.groups, "/etc/group", id)
    }
}

fn all(names: Option<HashMap<u32, Box<str>>>) -> Vec<(i128, String)> {
    let mut all: Vec<_> = names
        .into_iter()
        .flatten()
        .map(|(id, name)| (i128::from(id), String::from(name)))
        .collect();
    all.sort_unstable();
    all
}

fn find<'n>(names: &'n mut Option<HashMap<u32, Box<str>>>, path: &str, id: u64) -> Option<&'n str> {
    let names = names.get_or_insert_with(|| {
        let mut bytes = Vec::new();
        let _ = File::open(path).map(|file| file.take(MOST).read_to_end(&mut bytes));
        parse(&String::from_utf8_lossy(&bytes))
    });
    names.get(&u32::try_from(id).ok()?).map(|name| &**name)
}

/// The first name of each ID: `name:password:id:…`.
fn parse(text: &str) -> HashMap<u32, Box<str>> {
    let mut names = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(Ok(id))) = (fields.next(), fields.nth(1).map(str::parse))
            && !name.is_empty()
        {
            names.entry(id).or_insert_with(|| name.into());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_an_id() {
        let names = parse("root:x:0:0:r:/root:/bin/sh\ntoor:x:0:\nbad\n:x:5:\nadm:*:4:\nx:x:-1:\n");
        assert_eq!(names.len(), 2);
        assert_eq!((&*names[&0], &*names[&4]), ("root", "adm"));
    }

    #[test]
    fn of_this_machine() {
        let mut accounts = Accounts::default();
        assert_eq!(accounts.user(0), Some("root"));
        assert_eq!(accounts.group(0), Some("root"));
        for id in [u32::MAX.into(), 1 << 32] {
            assert_eq!(accounts.user(id), None);
        }
        assert_eq!(find(&mut None, "/nonexistent", 0), None);
    }
}
