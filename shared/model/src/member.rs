//! Members: the accounts and authors credited with events.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::agent::{agent_by_address, agent_by_id, agent_by_name};

/// The login under which GitHub shows every deleted account.
pub const GHOST: &str = "ghost";

/// The member name of a release or a deployment without an author.
pub const UNKNOWN: &str = "unknown";

/// The suffix of the login of an app's bot account.
pub const BOT_SUFFIX: &str = "[bot]";

/// What sort of actor a member is.
///
/// The variants' lower-case names are stored in the lake and used in the API.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum MemberKind {
    /// An ordinary GitHub account, usually a person's.
    User,
    /// An app's account, or one whose login ends in `[bot]`.
    Bot,
    /// A commit author without a GitHub account, identified only by the hash of the e-mail address, or of the
    /// name if the address is empty.
    Unlinked,
    /// A deleted account.
    Ghost,
    /// Nobody that GitHub shows: the author of a release or a deployment that has none. Neither a person nor a
    /// bot.
    Unknown,
}

impl MemberKind {
    /// All kinds, in declaration order.
    pub const ALL: [Self; Self::VARIANTS.len()] = *Self::VARIANTS.first_chunk().unwrap();

    /// Returns the stored name.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns the kind with this stored name; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

/// The actor an event is credited to, as GitHub reports it. The fold applies aliases and configured bots
/// later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The login, which ends in `[bot]` for a bot; `~` and 12 hex digits for an unlinked author; `ghost`; or
    /// `unknown`.
    pub name: String,
    /// GitHub's numeric account id; `None` without an account.
    pub id: Option<i64>,
    /// What sort of actor the member is.
    pub kind: MemberKind,
}

impl Member {
    /// Returns the member that stands for every deleted account.
    pub fn ghost() -> Self {
        Member { name: GHOST.to_owned(), id: None, kind: MemberKind::Ghost }
    }

    /// Returns the member that stands for the author of a release or a deployment without one.
    pub fn unknown() -> Self {
        Member { name: UNKNOWN.to_owned(), id: None, kind: MemberKind::Unknown }
    }

    /// Creates a member from a GitHub account. `is_bot` is what the API's actor type says.
    ///
    /// Adds a bot's `[bot]` suffix if it is missing: REST returns it and GraphQL does not, and a bot has one
    /// name. A [known agent](crate::agent) is a bot of one name, whatever the API says.
    pub fn account(login: &str, id: Option<i64>, is_bot: bool) -> Self {
        if login.eq_ignore_ascii_case(GHOST) {
            return Member::ghost();
        }
        if let Some(agent) = id.and_then(agent_by_id).or_else(|| agent_by_name(login)) {
            return Member { name: agent.to_owned(), id, kind: MemberKind::Bot };
        }
        if is_bot || login.ends_with(BOT_SUFFIX) {
            let stem = login.strip_suffix(BOT_SUFFIX).unwrap_or(login);
            return Member { name: format!("{stem}{BOT_SUFFIX}"), id, kind: MemberKind::Bot };
        }
        Member { name: login.to_owned(), id, kind: MemberKind::User }
    }

    /// Creates a member from a commit author without a linked GitHub account.
    ///
    /// The address of a [known agent](crate::agent), another noreply address
    /// (`ID+NAME[bot]@users.noreply.HOST`), or an author name that ends in `[bot]` identifies a bot. Any other
    /// author becomes `~` and the first 12 hex digits of the SHA-256 of the lower-cased address, or of the
    /// lower-cased name if the address is empty. Neither of them is stored.
    pub fn commit_author(name: Option<&str>, email: Option<&str>) -> Self {
        let email = email.unwrap_or("").trim().to_lowercase();
        let name = name.unwrap_or("").trim();
        let noreply = email.split_once("@users.noreply.").map(|(local, _)| local);
        let from_email = noreply
            .map(|local| local.split_once('+').map_or(local, |(_, login)| login))
            .filter(|login| login.ends_with(BOT_SUFFIX));
        let from_name = Some(name).filter(|name| name.ends_with(BOT_SUFFIX) && !name.contains(' '));
        // The id of a noreply address names the account even after its login has changed.
        let id = noreply.and_then(|local| local.split_once('+')?.0.parse().ok());
        let agent = agent_by_address(&email).or_else(|| id.and_then(agent_by_id));
        // The name is preferred: unlike the lower-cased address, it has the login's own case.
        if let Some(bot) = agent.or(from_name).or(from_email) {
            return Member::account(bot, None, true);
        }
        let name = if email.is_empty() { name_hash(name) } else { address_hash(&email) };
        Member { name, id: None, kind: MemberKind::Unlinked }
    }
}

impl Member {
    /// Returns the hash of an author's name in a commit: `~` and the first 12 hex digits of the SHA-256 of the
    /// lower-cased name. It matches entries of a mailmap that have a name and an address.
    pub fn author_name_hash(name: Option<&str>) -> String {
        name_hash(name.unwrap_or("").trim())
    }
}

/// Returns the name of the unlinked member with this address.
pub(crate) fn address_hash(address: &str) -> String {
    unlinked_name(&address.to_lowercase())
}

/// Returns the name of the unlinked member with this author name and an empty address.
pub(crate) fn name_hash(name: &str) -> String {
    unlinked_name(&name.to_lowercase())
}

fn unlinked_name(text: &str) -> String {
    format!("~{}", &hex::encode(Sha256::digest(text.as_bytes()))[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_names_do_not_change() {
        let names = MemberKind::ALL.map(MemberKind::as_str);
        assert_eq!(names, ["user", "bot", "unlinked", "ghost", "unknown"]);
        assert_eq!(names.map(MemberKind::parse), MemberKind::ALL.map(Some));
        assert_eq!(MemberKind::parse("User"), None);
    }

    #[test]
    fn a_bot_has_the_same_name_in_both_apis() {
        let graphql = Member::account("dependabot", Some(1), true);
        let rest = Member::account("dependabot[bot]", Some(1), true);
        assert_eq!(graphql, rest);
        assert_eq!(graphql.name, "dependabot[bot]");
        assert_eq!(graphql.kind, MemberKind::Bot);
    }

    #[test]
    fn bot_commits_are_recognised_by_name_or_noreply_address() {
        let by_name = Member::commit_author(Some("renovate[bot]"), Some("x@example.org"));
        assert_eq!((by_name.name.as_str(), by_name.kind), ("renovate[bot]", MemberKind::Bot));
        let by_email =
            Member::commit_author(Some("Renovate"), Some("29139614+renovate[bot]@users.noreply.github.com"));
        assert_eq!((by_email.name.as_str(), by_email.kind), ("renovate[bot]", MemberKind::Bot));
        let person = Member::commit_author(Some("A"), Some("1+octocat@users.noreply.github.com"));
        assert_eq!(person.kind, MemberKind::Unlinked);
    }

    #[test]
    fn an_unlinked_author_is_a_hash_of_the_address() {
        let one = Member::commit_author(Some("Ann"), Some("Ann@Example.org"));
        let two = Member::commit_author(None, Some("ann@example.org"));
        assert_eq!(one.name, two.name);
        // printf %s ann@example.org | sha256sum
        assert_eq!(one.name, "~438c4c7afe60");
        assert!(!one.name.contains('@'));
    }

    #[test]
    fn an_unlinked_author_without_an_address_is_a_hash_of_the_name() {
        let ann = Member::commit_author(Some("Ann Lee"), Some(" "));
        assert_eq!(ann, Member::commit_author(Some(" ann lee "), None));
        assert_ne!(ann.name, Member::commit_author(Some("Ben"), Some("")).name);
        // printf %s 'ann lee' | sha256sum
        assert_eq!((ann.name.as_str(), ann.kind), ("~e4959174ae7b", MemberKind::Unlinked));
    }

    #[test]
    fn copilot_is_one_bot_however_it_shows() {
        let copilot = |id| Member { name: "Copilot[bot]".into(), id, kind: MemberKind::Bot };
        assert_eq!(Member::account("Copilot", Some(198_982_749), true), copilot(Some(198_982_749)));
        assert_eq!(Member::account("Copilot", Some(223_556_219), false), copilot(Some(223_556_219)));
        assert_eq!(Member::account("renamed", Some(175_728_472), false), copilot(Some(175_728_472)));
        assert_eq!(Member::account("copilot-swe-agent", Some(198_982_749), true), copilot(Some(198_982_749)));
        for (name, email) in [
            ("copilot-swe-agent[bot]", "198982749+Copilot@users.noreply.github.com"),
            ("Copilot", "223556219+Copilot@users.noreply.github.com"),
            ("Copilot", "175728472+Copilot@users.noreply.github.com"),
            ("Copilot", "198982749+new-name@users.noreply.github.com"),
            ("Copilot", "copilot@github.com"),
            ("copilot-swe-agent[bot]", "x@example.org"),
        ] {
            assert_eq!(Member::commit_author(Some(name), Some(email)), copilot(None), "{name} {email}");
        }
        let person = Member::commit_author(Some("Copilot"), Some("me@example.org"));
        assert_eq!(person.kind, MemberKind::Unlinked, "a name without `[bot]` proves nothing");
    }

    #[test]
    fn deleted_accounts_share_one_member() {
        assert_eq!(Member::account("ghost", Some(10137), false), Member::ghost());
    }
}
