//! Aliases as git's `.mailmap` writes them, with GitHub logins beside e-mail addresses.
//!
//! A line names who somebody is, and then as whom they appear: `Ann <ann> <ann@old.example>`. What
//! stands between angle brackets is an e-mail address or a login. Addresses are turned into the names
//! of members at once, so none of them is kept.

use crate::member::Member;

/// A line that cannot be understood. The text never shows an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {0}: write it as Name <login or address> <other login or address>")]
pub struct BadLine(pub usize);

/// The aliases in a file: from the name somebody appears under to the name that is theirs. A line with
/// one address only tells how a name is written, which nothing here depends on.
///
/// # Errors
/// Where a line cannot be understood.
pub fn aliases(text: &str) -> Result<Vec<(String, String)>, BadLine> {
    let mut aliases = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let names = names(line).ok_or(BadLine(number + 1))?;
        match names.as_slice() {
            [_] => {}
            [proper, other] if proper.eq_ignore_ascii_case(other) => {}
            [proper, other] => aliases.push((other.clone(), proper.clone())),
            _ => return Err(BadLine(number + 1)),
        }
    }
    Ok(aliases)
}

/// What stands between angle brackets, as members' names.
fn names(line: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = line;
    while let Some((_, after)) = rest.split_once('<') {
        let (name, after) = after.split_once('>')?;
        names.push(member(name.trim())?);
        rest = after;
    }
    (!names.is_empty() && !rest.contains('>')).then_some(names)
}

/// The member whom a login or an address belongs to: GitHub's own addresses tell the login.
fn member(text: &str) -> Option<String> {
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
    fn what_is_no_such_line_is_told_by_its_number_alone() {
        for bad in ["Ann", "Ann <>", "Ann <ann@x", "<a> <b> <c>", "<a b>", "ann@x.example>"] {
            let error = aliases(&format!("\n{bad}\n")).unwrap_err();
            assert_eq!(error, BadLine(2), "{bad}");
            assert!(!error.to_string().contains("ann@"));
        }
    }
}
