//! Quoting of inputs in errors.

/// The most characters of an input that an error quotes.
const MAX_QUOTED_CHARS: usize = 80;
/// The most characters of a login. GitHub allows 39, and a suffix for managed accounts.
const MAX_LOGIN_CHARS: usize = 100;

/// Quotes an input for an error: escaped, and cut if it is long.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Cuts an input that an error repeats without quotes.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Returns whether the text can be a login. Commands are offered only for valid logins: they are pasted into
/// shells.
fn is_login(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_LOGIN_CHARS
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Says that there is nothing of an organization.
pub(crate) fn never_collected(org: &str) -> String {
    if is_login(org) {
        format!(
            "organization {org:?} was never collected: check the spelling, or run `github-metrics up {org}`, or \
             `github-metrics collect {org}` and then `github-metrics aggregate {org}`"
        )
    } else {
        format!(
            "organization {} was never collected: it is no login of GitHub, check the spelling",
            quoted(org)
        )
    }
}

/// Says that the numbers of an organization are not complete yet.
pub(crate) fn not_computed(org: &str) -> String {
    let advice = match is_login(org) {
        true => format!("try again later, or run `github-metrics aggregate {org}` to complete them"),
        false => "try again later".to_owned(),
    };
    format!("the numbers of {} are being computed and not complete yet: {advice}", quoted(org))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_offered_for_valid_logins_only() {
        assert!(never_collected("acme-1").contains("`github-metrics up acme-1`"));
        assert!(not_computed("acme-1").contains("`github-metrics aggregate acme-1`"));
        for org in ["a b;rm -rf", "\u{1b}[31mRED", "$(id)", "--help", ""] {
            for message in [never_collected(org), not_computed(org)] {
                assert!(!message.contains("github-metrics"), "{message}");
                assert!(!message.contains(char::is_control), "{message:?}");
            }
        }
        assert!(never_collected(&"x".repeat(30_000)).len() < 200);
    }
}
