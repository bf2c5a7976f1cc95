//! Aliases in the format of git's `.mailmap`, which may also hold GitHub logins.
//!
//! A line gives the name and address a person should have, then those the person appears under:
//! `Ann <ann@new.example> <ann@old.example>`. Lines are read as git reads them
//! (<https://git-scm.com/docs/gitmailmap>): what follows the second address is ignored, as is a line without an
//! address; the last of several entries for one address wins; an entry applies once, so `<b> <a>` and `<c> <b>`
//! give `b` for `a`.
//!
//! Each pair of angle brackets holds an address or a login. Addresses become members' names at once, and no
//! address is kept.

use std::collections::{BTreeMap, BTreeSet};

use crate::identity::member_key;
use crate::member::{address_hash, name_hash};

/// The aliases of a mailmap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mailmap {
    /// The name a member should have, by the key of the name it appears under.
    names: BTreeMap<String, String>,
    ignored_lines: usize,
}

impl Mailmap {
    /// Returns whether no name is mapped.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Restores a mailmap from what [`Mailmap::iter`] returned.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let names = pairs.into_iter().map(|(from, to)| (member_key(&from), to)).collect();
        Mailmap { names, ignored_lines: 0 }
    }

    /// Returns the number of lines that map nothing: those without an address, and those for every author with
    /// an empty address.
    pub fn ignored_lines(&self) -> usize {
        self.ignored_lines
    }

    /// Returns the name that replaces the one with this key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.names.get(key).map(String::as_str)
    }

    /// Returns the names that replace others.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &str> {
        self.names.values().map(String::as_str)
    }

    /// Returns the pairs of the key of a name and the name that replaces it, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names.iter().map(|(from, to)| (from.as_str(), to.as_str()))
    }
}

/// Parses the text of a mailmap. Lines that map nothing are counted and passed over.
pub fn parse(text: &str) -> Mailmap {
    let mut parser = Parser::default();
    text.lines().for_each(|line| parser.add_line(line));
    parser.into_mailmap()
}

/// What the entries of one address map it to.
#[derive(Default)]
struct AddressEntries {
    /// The address for any author name.
    any_name: Option<String>,
    /// The address for an author name in lower case.
    by_name: BTreeMap<String, String>,
}

impl AddressEntries {
    /// Returns the address for an author whose name is not known: that for any name, or the only one.
    fn for_unknown_name(&self) -> Option<&str> {
        let distinct: BTreeSet<&str> = self.by_name.values().map(String::as_str).collect();
        let only = || distinct.first().copied().filter(|_| distinct.len() == 1);
        self.any_name.as_deref().or_else(only)
    }
}

#[derive(Default)]
struct Parser {
    /// By the address in lower case.
    by_address: BTreeMap<String, AddressEntries>,
    ignored_lines: usize,
}

impl Parser {
    fn add_line(&mut self, line: &str) {
        if line.starts_with('#') || line.trim().is_empty() {
            return;
        }
        let Some((_, proper, rest)) =
            parse_name_and_address(line).filter(|(_, address, _)| !address.is_empty())
        else {
            self.ignored_lines += 1;
            return;
        };
        // A line with one address sets how git prints the name, and maps no address.
        let Some((name, address, _)) = parse_name_and_address(rest) else { return };
        if address.is_empty() && name.is_empty() {
            self.ignored_lines += 1;
            return;
        }
        let entries = self.by_address.entry(address.to_lowercase()).or_default();
        if name.is_empty() {
            entries.any_name = Some(proper.to_owned());
        } else {
            entries.by_name.insert(name.to_lowercase(), proper.to_owned());
        }
    }

    fn into_mailmap(mut self) -> Mailmap {
        let mut names = BTreeMap::new();
        // Authors with an empty address are members by their names.
        if let Some(entries) = self.by_address.remove("") {
            names.extend(entries.by_name.iter().map(|(name, proper)| (name_hash(name), member_of(proper))));
        }
        let mut accounts: BTreeMap<String, String> = BTreeMap::new();
        for (address, entries) in &self.by_address {
            let Some(proper) = entries.for_unknown_name() else { continue };
            let target = member_of(proper);
            for address in [address, proper] {
                accounts.extend(account_of(address).map(|login| (address_hash(address), login)));
            }
            names.extend(account_of(address).map(|login| (member_key(&login), target.clone())));
            names.insert(address_hash(address), target);
        }
        // An account's address is the account, also in commits that GitHub does not link to it.
        for (hash, login) in accounts {
            let target = names.get(&member_key(&login)).cloned().unwrap_or(login);
            names.entry(hash).or_insert(target);
        }
        names.retain(|from, to| *from != member_key(to));
        Mailmap { names, ignored_lines: self.ignored_lines }
    }
}

/// Splits a text into the name before an address, the address, and what follows; `None` without an address.
fn parse_name_and_address(text: &str) -> Option<(&str, &str, &str)> {
    let (name, after) = text.split_once('<')?;
    let (address, rest) = after.split_once('>')?;
    Some((name.trim_matches(|c: char| c.is_ascii_whitespace()), address, rest))
}

/// Returns the name of the member with this address or login.
fn member_of(address: &str) -> String {
    account_of(address).unwrap_or_else(|| address_hash(address))
}

/// Returns the login of the account that the text names: a login, or one of GitHub's noreply addresses, which
/// contain the login. `None` for any other address.
fn account_of(text: &str) -> Option<String> {
    let login = match text.split_once('@') {
        None => text,
        Some((local, host)) if host.to_lowercase().starts_with("users.noreply.") => {
            local.split_once('+').map_or(local, |(_, login)| login)
        }
        Some(_) => return None,
    };
    let is_login_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '[' | ']' | '~');
    (!login.is_empty() && login.chars().all(is_login_char)).then(|| login.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::Member;

    fn hash(address: &str) -> String {
        Member::commit_author(None, Some(address)).name
    }

    fn pairs(text: &str) -> BTreeMap<String, String> {
        parse(text).names
    }

    #[test]
    fn addresses_become_members_and_logins_stay() {
        let text = "\
            # people\n\
            Ann Example <ann> <Ann@Work.example>  # her old job\n\
            <ann> Annie <1+ann-old@users.noreply.github.com>\n\
            Bob <bob@new.example> Robert <bob@old.example>\n\
            Cleo <cleo@x.example>\n\n";
        let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        let expected = [
            pair(&hash("ann@work.example"), "ann"),
            pair("ann-old", "ann"),
            pair(&hash("1+ann-old@users.noreply.github.com"), "ann"),
            pair(&address_hash("ann"), "ann"),
            pair(&hash("bob@old.example"), &hash("bob@new.example")),
        ];
        assert_eq!(pairs(text), BTreeMap::from(expected));
        assert_eq!(parse(text).ignored_lines(), 0);
    }

    #[test]
    fn lines_that_map_nothing_are_counted() {
        let text = "Ann\nAnn <>\nAnn <ann@x\nann@x.example>\nAnn <ann@x> <>\nCleo <cleo@x.example>\n# x\n\n";
        let mailmap = parse(text);
        assert_eq!((mailmap.is_empty(), mailmap.ignored_lines()), (true, 5));
    }

    #[test]
    fn odd_lines_are_read_as_git_reads_them() {
        let names =
            pairs("<a@x> <b@x> <c@x>\n<p@x> <at odd ! place>\n<q@x> <[q@y]>\n<r@x> Nick <>\n<s@x> <S@x>\n");
        let expected = [("b@x", "a@x"), ("at odd ! place", "p@x"), ("[q@y]", "q@x")];
        let mut expected: BTreeMap<String, String> =
            expected.into_iter().map(|(from, to)| (hash(from), hash(to))).collect();
        expected.insert(Member::commit_author(Some("nick"), None).name, hash("r@x"));
        assert_eq!(names, expected);
    }

    #[test]
    fn the_last_entry_of_an_address_wins() {
        let names = pairs("<a@x> <old@x>\n<b@x> <OLD@x>\n<a@x> <c@x>\n<c@x> <c@x>\n");
        assert_eq!(names, BTreeMap::from([(hash("old@x"), hash("b@x"))]));
    }

    #[test]
    fn an_address_of_several_people_is_mapped_for_nobody_in_particular() {
        let shared = "<joe@x> Joe <bugs@x>\n<jane@x> Jane <bugs@x>\n";
        assert_eq!(pairs(shared), BTreeMap::new());
        let with_default = format!("{shared}<team@x> <bugs@x>\n");
        assert_eq!(pairs(&with_default), BTreeMap::from([(hash("bugs@x"), hash("team@x"))]));
    }
}
