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

/// Stands for any author's name in the key of an entry.
const ANY_AUTHOR: &str = "*";

/// The aliases of a mailmap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mailmap {
    /// The name a member should have, by the key of an entry.
    ///
    /// The key is the key of the name a member appears under. Of an address that has entries with a name, there
    /// are also keys for commits whose author name is known: the address, a space, and the hash of the author's
    /// name or `*`. The empty address is an empty text there.
    names: BTreeMap<String, String>,
    has_author_names: bool,
    ignored_lines: usize,
}

impl Mailmap {
    fn new(names: BTreeMap<String, String>, ignored_lines: usize) -> Self {
        let has_author_names = names.keys().any(|key| key.contains(' '));
        Mailmap { names, has_author_names, ignored_lines }
    }

    /// Restores a mailmap from what [`Mailmap::iter`] returned.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::new(pairs.into_iter().map(|(from, to)| (member_key(&from), to)).collect(), 0)
    }

    /// Returns whether no name is mapped.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Returns whether there are entries with a name, or for the empty address.
    pub fn has_author_names(&self) -> bool {
        self.has_author_names
    }

    /// Returns the number of lines without an address. They map nothing.
    pub fn ignored_lines(&self) -> usize {
        self.ignored_lines
    }

    /// Returns the name that replaces the one with this key, given the hash of the author's name in the commit
    /// if it is known.
    pub(crate) fn get(&self, key: &str, author: Option<&str>) -> Option<&str> {
        let author = author.filter(|_| self.has_author_names);
        let of_author = author.and_then(|author| {
            // An author with an empty address is a member by the hash of the name.
            let address = if author == key { "" } else { key };
            let entry = |author: &str| self.names.get(&format!("{address} {author}"));
            entry(author).or_else(|| entry(ANY_AUTHOR))
        });
        of_author.or_else(|| self.names.get(key)).map(String::as_str)
    }

    /// Returns the names that replace others.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &str> {
        self.names.values().map(String::as_str)
    }

    /// Returns the pairs of the key of an entry and the name that it gives, in the order of the keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
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
    /// Returns the entries for authors whose name is known. Another author's name stays as it is, unless there
    /// is an entry for any name.
    fn for_known_names(&self, address: &str) -> BTreeMap<String, String> {
        let key = if address.is_empty() { String::new() } else { address_hash(address) };
        let by_name = self
            .by_name
            .iter()
            .map(|(name, proper)| (format!("{key} {}", name_hash(name)), member_of(proper)));
        let any_name = self.any_name.as_deref().map(member_of);
        let unchanged = || (!key.is_empty()).then(|| key.clone());
        let any_name = any_name.or_else(unchanged).map(|target| (format!("{key} {ANY_AUTHOR}"), target));
        by_name.chain(any_name).collect()
    }

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
        let entries = self.by_address.entry(address.to_lowercase()).or_default();
        if name.is_empty() {
            entries.any_name = Some(proper.to_owned());
        } else {
            entries.by_name.insert(name.to_lowercase(), proper.to_owned());
        }
    }

    fn into_mailmap(mut self) -> Mailmap {
        let (mut names, mut of_authors) = (BTreeMap::new(), BTreeMap::new());
        // Authors with an empty address are members by their names.
        if let Some(entries) = self.by_address.remove("") {
            names.extend(entries.by_name.iter().map(|(name, proper)| (name_hash(name), member_of(proper))));
            of_authors.extend(entries.for_known_names(""));
        }
        let mut accounts: BTreeMap<String, String> = BTreeMap::new();
        for (address, entries) in &self.by_address {
            if !entries.by_name.is_empty() {
                of_authors.extend(entries.for_known_names(address));
            }
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
        names.extend(of_authors);
        Mailmap::new(names, self.ignored_lines)
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

    /// Returns the entries for authors whose name is not known.
    fn pairs(text: &str) -> BTreeMap<String, String> {
        parse(text).names.into_iter().filter(|(from, _)| !from.contains(' ')).collect()
    }

    #[test]
    fn a_mailmap_is_restored_from_its_pairs() {
        let mailmap = parse("<a@x> <b@x>\n<joe@x> Joe <bugs@x>\n<ann> No Mail <>\n");
        let pairs = mailmap.iter().map(|(from, to)| (from.to_owned(), to.to_owned()));
        assert_eq!(Mailmap::from_pairs(pairs), mailmap);
        assert!(
            mailmap.has_author_names()
                && mailmap.iter().all(|(from, to)| !from.contains('@') && !to.contains('@'))
        );
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
        let text = "Ann\nAnn <>\nAnn <ann@x\nann@x.example>\nCleo <cleo@x.example>\n# x\n\n";
        let mailmap = parse(text);
        assert_eq!((mailmap.is_empty(), mailmap.ignored_lines()), (true, 4));
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
    fn an_address_of_several_people_is_mapped_by_the_authors_name() {
        let shared = "<joe@x> Joe <bugs@x>\n<jane@x> Jane <bugs@x>\n";
        let mailmap = parse(shared);
        let target = |author: Option<&str>| {
            let author = author.map(|author| Member::author_name_hash(Some(author)));
            mailmap.get(&hash("bugs@x"), author.as_deref()).map(str::to_owned)
        };
        assert_eq!(target(Some("joe")), Some(hash("joe@x")));
        assert_eq!(target(Some("Jane")), Some(hash("jane@x")));
        assert_eq!((target(Some("Jim")), target(None)), (Some(hash("bugs@x")), None));
        assert_eq!(pairs(shared), BTreeMap::new());
        let with_default = format!("{shared}<team@x> <bugs@x>\n");
        assert_eq!(pairs(&with_default), BTreeMap::from([(hash("bugs@x"), hash("team@x"))]));
    }
}
