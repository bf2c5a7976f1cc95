//! The rules for bots, aliases, excluded repositories, and where days begin.
//!
//! They are applied when a snapshot is folded and never when events are collected. A changed rule therefore
//! reaches all of history, and can be undone. Two rules are applied when rows are merged, and cannot be undone: how long
//! rows of sessions are kept, and which sessions are erased.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::agent::agent_by_name;
use crate::agent_price::PriceSettings;
use crate::erased_sessions::ErasedSessions;
use crate::mailmap::Mailmap;
use crate::member::{BOT_SUFFIX, MemberKind};
use crate::retention::Retention;
use crate::time_zone::TimeZone;

/// The configured bots, and the aliases that join several names into one member.
///
/// A name is resolved in this order: an alias of the configuration; else the mailmap, whose entries apply once,
/// as in git, and then an alias of the result; and last the [known agents](crate::agent), which need no
/// configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    bots: BTreeSet<String>,
    aliases: BTreeMap<String, String>,
    mailmap: Mailmap,
    /// The lower-cased names of repositories whose events count nowhere.
    excluded_repos: BTreeSet<String>,
    time_zone: TimeZone,
    /// What is added to the list prices of tokens.
    prices: PriceSettings,
    /// How long rows of sessions are kept. `None` for ever.
    session_retention: Option<Retention>,
    erased_sessions: ErasedSessions,
}

/// Aliases that form a cycle. Holds the lower-cased name of one of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("alias {0:?} leads back to itself: remove one of the aliases in the cycle")]
pub struct AliasCycle(pub String);

/// A member after the rules for bots and aliases were applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedMember<'a> {
    /// The name credited, in the case of the event or of the alias.
    pub name: Cow<'a, str>,
    /// Whether the credited member is a bot.
    pub is_bot: bool,
}

impl Identity {
    /// Creates the rules from the names of bots and from aliases, as pairs of an old name and the name to
    /// credit. Names are matched without regard to case. Of two aliases with one old name, the last wins.
    ///
    /// # Errors
    /// If aliases form a cycle.
    pub fn new(
        bots: impl IntoIterator<Item = String>,
        aliases: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, AliasCycle> {
        let direct: BTreeMap<String, String> =
            aliases.into_iter().map(|(from, to)| (member_key(&from), to)).collect();
        let mut resolved = BTreeMap::new();
        for (from, to) in &direct {
            let mut name = to;
            let mut steps = 0;
            while let Some(next) = direct.get(&member_key(name)) {
                name = next;
                steps += 1;
                if steps > direct.len() {
                    return Err(AliasCycle(from.clone()));
                }
            }
            resolved.insert(from.clone(), name.clone());
        }
        let bots = bots.into_iter().map(|bot| member_key(&bot)).collect();
        Ok(Identity { bots, aliases: resolved, ..Identity::default() })
    }

    /// Returns these rules with repositories whose events count nowhere, by name. Names are matched without
    /// regard to case. It replaces any earlier ones.
    #[must_use]
    pub fn with_excluded_repos(self, names: impl IntoIterator<Item = String>) -> Self {
        Identity { excluded_repos: names.into_iter().map(|name| name.to_lowercase()).collect(), ..self }
    }

    /// Returns these rules with a time zone that decides where days begin.
    #[must_use]
    pub fn with_time_zone(self, time_zone: TimeZone) -> Self {
        Identity { time_zone, ..self }
    }

    /// Returns these rules with additions to the list prices of tokens. They replace any earlier ones.
    #[must_use]
    pub fn with_prices(self, prices: PriceSettings) -> Self {
        Identity { prices, ..self }
    }

    /// Returns what is added to the list prices of tokens.
    pub fn prices(&self) -> &PriceSettings {
        &self.prices
    }

    /// Returns these rules with a time for which rows of sessions are kept; `None` for ever.
    #[must_use]
    pub fn with_session_retention(self, session_retention: Option<Retention>) -> Self {
        Identity { session_retention, ..self }
    }

    /// Returns how long rows of sessions are kept; `None` for ever.
    pub fn session_retention(&self) -> Option<Retention> {
        self.session_retention
    }

    /// Returns these rules with a list of erased sessions. It replaces any earlier one.
    #[must_use]
    pub fn with_erased_sessions(self, erased_sessions: ErasedSessions) -> Self {
        Identity { erased_sessions, ..self }
    }

    /// Returns the erased sessions.
    pub fn erased_sessions(&self) -> &ErasedSessions {
        &self.erased_sessions
    }

    /// Returns the time zone that decides where days begin; UTC if none is configured.
    pub fn time_zone(&self) -> TimeZone {
        self.time_zone
    }

    /// Returns whether the events of the repository with this name count nowhere.
    pub fn is_excluded_repo(&self, name: &str) -> bool {
        !self.excluded_repos.is_empty() && self.excluded_repos.contains(&name.to_lowercase())
    }

    /// Returns the configured bots, as lower-cased names.
    pub fn bots(&self) -> impl ExactSizeIterator<Item = &str> {
        self.bots.iter().map(String::as_str)
    }

    /// Returns the aliases: pairs of a lower-cased name and the name to credit.
    pub fn aliases(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.aliases.iter().map(|(from, to)| (from.as_str(), to.as_str()))
    }

    /// Returns the lower-cased names of the repositories whose events count nowhere.
    pub fn excluded_repos(&self) -> impl ExactSizeIterator<Item = &str> {
        self.excluded_repos.iter().map(String::as_str)
    }

    /// Returns these rules with a mailmap. It replaces any earlier one.
    #[must_use]
    pub fn with_mailmap(self, mailmap: Mailmap) -> Self {
        Identity { mailmap, ..self }
    }

    /// Returns the mailmap; an empty one if none is configured.
    pub fn mailmap(&self) -> &Mailmap {
        &self.mailmap
    }

    /// Follows the rules from a name in an event to the name to credit.
    pub fn name<'a>(&'a self, name: &'a str) -> &'a str {
        self.author(name, None)
    }

    /// Follows the rules from the author of a commit to the name to credit. `author_name_hash` is the fact of
    /// the commit.
    pub fn author<'a>(&'a self, name: &'a str, author_name_hash: Option<&str>) -> &'a str {
        let name = self.alias(name, author_name_hash).unwrap_or(name);
        match agent_by_name(name) {
            Some(agent) => self.alias(agent, None).unwrap_or(agent),
            None => name,
        }
    }

    /// Follows the rules from a name that somebody looks for to the name credited.
    ///
    /// A name that events are credited to is found as it is, also if the mailmap gives its own events to another
    /// name.
    pub fn find_name<'a>(&'a self, name: &'a str) -> &'a str {
        let key = member_key(name);
        if self.mailmap.targets().any(|target| member_key(self.followed(target)) == key) {
            return name;
        }
        self.name(name)
    }

    /// Returns the name that replaces this one by the configured aliases or the mailmap, if any does.
    fn alias(&self, name: &str, author_name_hash: Option<&str>) -> Option<&str> {
        if self.aliases.is_empty() && self.mailmap.is_empty() {
            return None;
        }
        let key = member_key(name);
        let from_mailmap = || self.mailmap.get(&key, author_name_hash).map(|target| self.followed(target));
        self.aliases.get(&key).map(String::as_str).or_else(from_mailmap)
    }

    /// Follows the configured aliases.
    fn followed<'a>(&'a self, name: &'a str) -> &'a str {
        self.aliases.get(&member_key(name)).map_or(name, String::as_str)
    }

    /// Applies the rules to a member's name and kind as GitHub reports them.
    ///
    /// The kind belongs to the original name: after an alias, only the new name decides who is a bot.
    pub fn resolve<'a>(&'a self, name: &'a str, kind: MemberKind) -> ResolvedMember<'a> {
        self.resolve_author(name, None, kind)
    }

    /// Does what [`Identity::resolve`] does, for the author of a commit.
    pub fn resolve_author<'a>(
        &'a self,
        name: &'a str,
        author_name_hash: Option<&str>,
        kind: MemberKind,
    ) -> ResolvedMember<'a> {
        let target = self.author(name, author_name_hash);
        let is_bot = if target == name {
            kind == MemberKind::Bot || self.is_bot_by_name(name)
        } else {
            self.is_bot_by_name(target)
        };
        ResolvedMember { name: Cow::Borrowed(target), is_bot }
    }

    fn is_bot_by_name(&self, name: &str) -> bool {
        name.ends_with(BOT_SUFFIX) || (!self.bots.is_empty() && self.bots.contains(&member_key(name)))
    }

    /// Returns 16 hex digits that identify the rules. Rollups folded under other rules are not counted.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for bot in &self.bots {
            hasher.update(format!("bot {bot}\n"));
        }
        for (from, to) in &self.aliases {
            hasher.update(format!("alias {from} {to}\n"));
        }
        for (from, to) in self.mailmap.iter() {
            hasher.update(format!("mailmap {from} {to}\n"));
        }
        for repo in &self.excluded_repos {
            hasher.update(format!("excluded {repo}\n"));
        }
        if self.time_zone != TimeZone::UTC {
            hasher.update(format!("time zone {}\n", self.time_zone.name()));
        }
        for price in self.prices.prices() {
            hasher.update(format!("price {price:?}\n"));
        }
        for (from, to) in self.prices.models() {
            hasher.update(format!("model {from} {to}\n"));
        }
        if let Some(retention) = self.session_retention {
            hasher.update(format!("session retention {retention}\n"));
        }
        for hash in self.erased_sessions.hashes() {
            hasher.update(format!("erased session {hash}\n"));
        }
        hex::encode(&hasher.finalize()[..8])
    }
}

/// Returns the key under which a member is stored: the lower-cased name, because GitHub compares logins
/// without regard to case.
pub fn member_key(name: &str) -> String {
    name.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(bots: &[&str], aliases: &[(&str, &str)]) -> Result<Identity, AliasCycle> {
        Identity::new(
            bots.iter().map(|s| s.to_string()),
            aliases.iter().map(|(a, b)| (a.to_string(), b.to_string())),
        )
    }

    #[test]
    fn aliases_are_followed_and_configured_bots_are_bots() {
        let rules =
            identity(&["CI-User"], &[("~abc", "old-ann"), ("Old-Ann", "ann"), ("robo", "ci-user")]).unwrap();
        assert_eq!(
            rules.resolve("~abc", MemberKind::Unlinked),
            ResolvedMember { name: "ann".into(), is_bot: false }
        );
        assert_eq!(rules.resolve("OLD-ANN", MemberKind::User).name, "ann");
        assert!(rules.resolve("ci-user", MemberKind::User).is_bot);
        assert!(rules.resolve("robo", MemberKind::User).is_bot);
        assert!(rules.resolve("x[bot]", MemberKind::User).is_bot);
        assert!(rules.resolve("x", MemberKind::Bot).is_bot);
        assert!(!rules.resolve("ann", MemberKind::User).is_bot);
    }

    #[test]
    fn known_agents_are_one_bot_without_configuration() {
        let rules = Identity::default();
        for name in ["Copilot", "copilot-swe-agent[bot]", "COPILOT[bot]"] {
            let resolved = rules.resolve(name, MemberKind::User);
            assert_eq!((resolved.name.as_ref(), resolved.is_bot), ("Copilot[bot]", true), "{name}");
        }
        let rules = identity(&[], &[("copilot[bot]", "assistant"), ("robot", "copilot")]).unwrap();
        for name in ["Copilot", "copilot-swe-agent[bot]", "robot"] {
            assert_eq!(rules.name(name), "assistant", "{name}");
        }
    }

    #[test]
    fn a_mailmap_applies_once_and_before_the_aliases() {
        let mailmap = crate::mailmap::parse("<b> <a>\n<c> <b>\n<x> <y>\n<y> <x>\n<old> <z>\n");
        let rules = identity(&[], &[("old", "new"), ("a-1", "a")]).unwrap().with_mailmap(mailmap);
        let names = ["a", "b", "x", "y", "z", "a-1"].map(|name| rules.name(name));
        assert_eq!(names, ["b", "c", "y", "x", "new", "a"]);
        let found = ["a", "b", "x", "y", "z", "new"].map(|name| rules.find_name(name));
        assert_eq!(found, ["b", "b", "x", "y", "new", "new"], "each credited name is found");
        assert_ne!(rules.hash(), identity(&[], &[("old", "new"), ("a-1", "a")]).unwrap().hash());
    }

    #[test]
    fn a_cycle_of_aliases_is_rejected() {
        assert!(identity(&[], &[("a", "b"), ("b", "a")]).is_err());
        assert!(identity(&[], &[("a", "a")]).is_err());
    }

    #[test]
    fn the_hash_ignores_order_and_case() {
        let one = identity(&["a", "b"], &[]).unwrap();
        let two = identity(&["B", "A"], &[]).unwrap();
        assert_eq!(one.hash(), two.hash());
        assert_ne!(one.hash(), Identity::default().hash());
    }
}
