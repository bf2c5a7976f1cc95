//! Who is credited with an event.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The login that stands for every deleted account.
pub const GHOST: &str = "ghost";

/// The suffix GitHub gives to the login of an app's bot account.
pub const BOT_SUFFIX: &str = "[bot]";

/// What sort of actor a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberKind {
    /// A person's (or any ordinary) GitHub account.
    User,
    /// An app's account, or one whose login carries the `[bot]` suffix.
    Bot,
    /// A commit author without a GitHub account, known by the hash of the e-mail address only.
    Unlinked,
    /// A deleted account.
    Ghost,
}

impl MemberKind {
    /// Every kind, in the order in which they are declared.
    pub const ALL: [MemberKind; 4] =
        [MemberKind::User, MemberKind::Bot, MemberKind::Unlinked, MemberKind::Ghost];

    /// The name used in the lake and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            MemberKind::User => "user",
            MemberKind::Bot => "bot",
            MemberKind::Unlinked => "unlinked",
            MemberKind::Ghost => "ghost",
        }
    }

    /// The kind of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The actor an event is credited to, as GitHub shows it: aliases and configured bots are applied
/// later, while folding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The login; a bot's ends in `[bot]`; `~` and 12 hex digits for an unlinked author; `ghost`.
    pub name: String,
    /// GitHub's numeric account id, where there is an account.
    pub id: Option<i64>,
    /// What sort of actor this is.
    pub kind: MemberKind,
}

impl Member {
    /// A deleted account.
    pub fn ghost() -> Self {
        Member { name: GHOST.to_owned(), id: None, kind: MemberKind::Ghost }
    }

    /// An account. `is_bot` is what the API's actor type says; the `[bot]` suffix, which GraphQL
    /// drops and REST keeps, is put back, so that a bot has one name whichever API it came from.
    pub fn account(login: &str, id: Option<i64>, is_bot: bool) -> Self {
        if login.eq_ignore_ascii_case(GHOST) {
            return Member::ghost();
        }
        if is_bot || login.ends_with(BOT_SUFFIX) {
            let stem = login.strip_suffix(BOT_SUFFIX).unwrap_or(login);
            return Member { name: format!("{stem}{BOT_SUFFIX}"), id, kind: MemberKind::Bot };
        }
        Member { name: login.to_owned(), id, kind: MemberKind::User }
    }

    /// A commit author whom GitHub links to no account.
    ///
    /// A bot shows by its noreply address (`ID+NAME[bot]@users.noreply.HOST`) or by its author name;
    /// anybody else becomes `~` and the first 12 hex digits of the SHA-256 of the lower-cased
    /// address. The address itself is never kept.
    pub fn commit_author(name: Option<&str>, email: Option<&str>) -> Self {
        let email = email.unwrap_or("").trim().to_lowercase();
        let noreply = email.split_once("@users.noreply.").map(|(local, _)| local);
        let from_email = noreply
            .map(|local| local.split_once('+').map_or(local, |(_, login)| login))
            .filter(|login| login.ends_with(BOT_SUFFIX));
        let from_name = name.map(str::trim).filter(|name| name.ends_with(BOT_SUFFIX) && !name.contains(' '));
        // The name keeps the spelling that the address has lost.
        if let Some(bot) = from_name.or(from_email) {
            return Member::account(bot, None, true);
        }
        let digest = hex::encode(Sha256::digest(email.as_bytes()));
        Member { name: format!("~{}", &digest[..12]), id: None, kind: MemberKind::Unlinked }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bot_has_one_name_whichever_api_it_came_from() {
        let graphql = Member::account("dependabot", Some(1), true);
        let rest = Member::account("dependabot[bot]", Some(1), true);
        assert_eq!(graphql, rest);
        assert_eq!(graphql.name, "dependabot[bot]");
        assert_eq!(graphql.kind, MemberKind::Bot);
    }

    #[test]
    fn a_bots_commits_show_by_name_or_noreply_address() {
        let by_name = Member::commit_author(Some("renovate[bot]"), Some("x@example.org"));
        assert_eq!((by_name.name.as_str(), by_name.kind), ("renovate[bot]", MemberKind::Bot));
        let by_email =
            Member::commit_author(Some("Renovate"), Some("29139614+renovate[bot]@users.noreply.github.com"));
        assert_eq!((by_email.name.as_str(), by_email.kind), ("renovate[bot]", MemberKind::Bot));
        let person = Member::commit_author(Some("A"), Some("1+octocat@users.noreply.github.com"));
        assert_eq!(person.kind, MemberKind::Unlinked);
    }

    #[test]
    fn an_unlinked_author_is_the_hash_of_the_lower_cased_address() {
        let one = Member::commit_author(Some("Ann"), Some("Ann@Example.org"));
        let two = Member::commit_author(None, Some("ann@example.org"));
        assert_eq!(one.name, two.name);
        // printf %s ann@example.org | sha256sum
        assert_eq!(one.name, "~438c4c7afe60");
        assert!(!one.name.contains('@'));
    }

    #[test]
    fn deleted_accounts_are_one_ghost() {
        assert_eq!(Member::account("ghost", Some(10137), false), Member::ghost());
    }
}
