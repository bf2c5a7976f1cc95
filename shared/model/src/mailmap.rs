//! Aliases in the format of git's `.mailmap`, which may also hold GitHub logins.
//!
//! A line gives the name a member should have, then a name the member appears under:
//! `Ann <ann> <ann@old.example>`. Each pair of angle brackets holds an e-mail address or a login. The parser
//! turns addresses into members' names at once and keeps no address.

use crate::member::Member;

/// An invalid line of a mailmap, by its number from 1. The message never quotes the line, which may hold an
/// e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {0} is invalid: expected Name <login or address> <other login or address>")]
pub struct InvalidLine(pub usize);

/// Returns the aliases of a mailmap: pairs of the name a member appears under and the name it should have.
///
/// A line with one pair of angle brackets only sets how git prints a person's name. It gives no alias.
///
/// # Errors
/// If a line is invalid.
pub fn aliases(text: &str) -> Result<Vec<(String, String)>, InvalidLine> {
    let mut aliases = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let names = bracketed_names(line).ok_or(InvalidLine(index + 1))?;
        match names.as_slice() {
            [_] => {}
            [proper, other] if proper.eq_ignore_ascii_case(other) => {}
            [proper, other] => aliases.push((other.clone(), proper.clone())),
            _ => return Err(InvalidLine(index + 1)),
        }
    }
    Ok(aliases)
}

/// Returns the members named between angle brackets; `None` if the line has none or is malformed.
fn bracketed_names(line: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = line;
    while let Some((_, after)) = rest.split_once('<') {
        let (name, after) = after.split_once('>')?;
        names.push(member_name(name.trim())?);
        rest = after;
    }
    (!names.is_empty() && !rest.contains('>')).then_some(names)
}

/// Returns the name of the member with this login or e-mail address.
///
/// GitHub's noreply addresses contain the login. Any other address is hashed.
fn member_name(text: &str) -> Option<String> {
    if text.is_empty() || text.contains(['<', ' ']) {
        return None;
    }
    let Some((local, host)) = text.split_once('@') else { return Some(text.to_owned()) };
    if host.to_lowercase().starts_with("users.noreply.") {
        let login = local.split_once('+').map_or(local, |(_, login)| login);
        return (!login.is_empty()).then(|| login.to_owned());
    }
    Some(Member::commit_author(None, Some(text)).name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(email: &str) -> String {
        Member::commit_author(None, Some(email)).name
    }

    #[test]
    fn addresses_become_members_and_logins_stay() {
        let text = "\
            # people\n\
            Ann Example <ann> <Ann@Work.example>  # her old job\n\
            <ann> Annie <1+ann-old@users.noreply.github.com>\n\
            Bob <bob@new.example> Robert <bob@old.example>\n\
            Cleo <cleo@x.example>\n\n";
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            aliases(text).unwrap(),
            [
                pair(&hash("ann@work.example"), "ann"),
                pair("ann-old", "ann"),
                pair(&hash("bob@old.example"), &hash("bob@new.example")),
            ]
        );
    }

    #[test]
    fn an_invalid_line_is_reported_by_number_only() {
        for line in ["Ann", "Ann <>", "Ann <ann@x", "<a> <b> <c>", "<a b>", "ann@x.example>"] {
            let error = aliases(&format!("\n{line}\n")).unwrap_err();
            assert_eq!(error, InvalidLine(2), "{line}");
            assert!(!error.to_string().contains("ann@"));
        }
    }
}
