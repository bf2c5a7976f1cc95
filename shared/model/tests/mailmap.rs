//! Mailmaps compared with what git makes of them.

use std::path::Path;
use std::process::Command;

use gam_model::{Identity, Member, mailmap};
use proptest::prelude::*;
use tempfile::TempDir;

/// Returns a repository; `None` if git is not installed.
fn repository() -> Option<TempDir> {
    let dir = tempfile::tempdir().expect("a directory");
    let init = Command::new("git").args(["init", "--quiet"]).arg(dir.path()).status();
    init.is_ok_and(|status| status.success()).then_some(dir)
}

/// Returns the address under which git shows each author, who has a name and an address.
fn check_mailmap(repository: &Path, text: &str, authors: &[(&str, &str)]) -> Vec<String> {
    std::fs::write(repository.join(".mailmap"), text).expect("the mailmap is written");
    let mut git = Command::new("git");
    git.current_dir(repository).arg("check-mailmap");
    git.args(authors.iter().map(|(name, address)| format!("{name} <{address}>")));
    let output = git.output().expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = String::from_utf8(output.stdout).expect("text");
    let address = |line: &str| {
        let (_, after) = line.split_once('<').expect("an address");
        after.strip_suffix('>').expect("an address").to_owned()
    };
    shown.lines().map(address).collect()
}

/// Asserts that each author is the member that the author's address in git is.
fn assert_as_git(repository: &Path, text: &str, authors: &[(&str, &str)]) {
    let identity = Identity::default().with_mailmap(mailmap::parse(text));
    let shown = check_mailmap(repository, text, authors);
    for ((name, address), shown) in authors.iter().zip(shown) {
        let member = Member::commit_author(Some(name), Some(address)).name;
        let expected = Member::commit_author(Some(name), Some(&shown)).name;
        let author_name_hash = Member::author_name_hash(Some(name));
        let credited = identity.author(&member, Some(&author_name_hash));
        assert_eq!(credited, expected, "{name} <{address}> is <{shown}> in git, with:\n{text}");
    }
}

#[test]
fn odd_mailmaps_are_read_as_git_reads_them() {
    let Some(repository) = repository() else { return };
    let text = "\
        # A comment with <an@address> <and@another>\n\
        \x20# no comment <indented@x> <indent-old@x>\n\
        Just A Name\n\
        No Address <>\n\
        Not Closed <open@x\n\
        Proper Name <one@x>\n\
        Two <two@x> <two-old@x>\n\
        Three <three@x> <three-old@x> <three-older@x>\n\
        <swap-a@x> <swap-b@x>\n\
        <swap-b@x> <swap-a@x>\n\
        <chain-2@x> <chain-1@x>\n\
        <chain-3@x> <chain-2@x>\n\
        \x20 Spaces  \t <spaces@x> \t <spaces-old@x> \t # why\n\
        <odd@x> <lars.doelle@on-line ! de>\n\
        <odd@x> <at solidboot.com>\n\
        <odd@x> <greg@echidna.(none)>\n\
        <odd@x> <[bracket@x]>\n\
        Named <named@x> Old Name <named-old@x>\n\
        By Name <by-name@x> Empty <>\n\
        Joe <joe@x> Joe <bugs@x>\n\
        Jane <jane@x> Jane <bugs@x>\n\
        <dev@x> <both@x>\n\
        <ops@x> Ops <both@x>\n\
        <last@x> <again@x>\n\
        <first@x> <AGAIN@x>\n\
        Same <same@x> Another Name <same@x>\n\
        <two@x> <back@x>\n\
        <BACK@x> <back@x>\n\
        <a@x>no space<no-space@x>\n\
        Nested <<nested@x>> <nested-old@x>\n";
    let authors = [
        ("A", "and@another"),
        ("A", "indent-old@x"),
        ("A", "one@x"),
        ("A", "two-old@x"),
        ("A", "TWO-OLD@X"),
        ("A", "three-old@x"),
        ("A", "three-older@x"),
        ("A", "swap-a@x"),
        ("A", "swap-b@x"),
        ("A", "chain-1@x"),
        ("A", "chain-2@x"),
        ("A", "spaces-old@x"),
        ("A", "lars.doelle@on-line ! de"),
        ("A", "at solidboot.com"),
        ("A", "greg@echidna.(none)"),
        ("A", "[bracket@x]"),
        ("Old Name", "named-old@x"),
        ("old name", "named-old@x"),
        ("Another Name", "named-old@x"),
        ("Joe", "bugs@x"),
        ("JANE", "bugs@x"),
        ("Jim", "bugs@x"),
        ("Ops", "both@x"),
        ("Dev", "both@x"),
        ("Empty", ""),
        ("Somebody Else", ""),
        ("A", "again@x"),
        ("Another Name", "same@x"),
        ("Same", "same@x"),
        ("A", "back@x"),
        ("no space", "no-space@x"),
        ("A", "nested-old@x"),
    ];
    assert_as_git(repository.path(), text, &authors);
    assert_eq!(mailmap::parse(text).ignored_lines(), 3);
}

/// The published mailmaps of git and Linux have these kinds of lines.
#[test]
fn a_long_mailmap_loads() {
    let Some(repository) = repository() else { return };
    let text: String = (0..2_000)
        .map(|n| match n % 4 {
            0 => format!("Person {n} <p{n}@x>\n"),
            1 => format!("Person {n} <p{n}@x> <p{n}@old.(none)>\n"),
            2 => format!("<p{n}@x> <p{n} at old>\n"),
            _ => format!("Pérson {n} <p{n}@x> Persona {n} <p{n}@old>\n"),
        })
        .collect();
    let authors =
        [("A", "p1@old.(none)"), ("A", "p2 at old"), ("persona 3", "p3@old"), ("A", "p1997@old.(none)")];
    assert_as_git(repository.path(), &text, &authors);
    assert_eq!(mailmap::parse(&text).ignored_lines(), 0);
}

/// A few addresses and odd pieces, of which lines are made.
const PIECES: [&str; 14] = [
    "<a@x>", "<b@x>", "<c@x>", "<A@X>", "<d ! x>", "<>", " ", "#", "<a@x", "d@x>", "\t", "<x@[y]>", "Ann",
    "ben",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn random_lines_are_read_as_git_reads_them(
        lines in prop::collection::vec(prop::collection::vec(0..PIECES.len(), 0..5), 1..12),
    ) {
        let Some(repository) = repository() else { return Ok(()) };
        let line = |pieces: &Vec<usize>| pieces.iter().map(|&piece| PIECES[piece]).collect::<String>() + "\n";
        let text: String = lines.iter().map(line).collect();
        let addresses = ["a@x", "b@x", "c@x", "d ! x", "x@[y]", "d@x", ""];
        let authors: Vec<(&str, &str)> = ["Ann", "BEN", "cy"]
            .into_iter()
            .flat_map(|name| addresses.map(|address| (name, address)))
            .collect();
        assert_as_git(repository.path(), &text, &authors);
    }
}
