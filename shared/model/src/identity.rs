//! The configuration of bots and aliases, applied while folding and never while collecting, so that
//! a change of mind reaches all of history and can be undone.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::member::{BOT_SUFFIX, MemberKind};

/// Which members are bots, and which names belong to one member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    bots: BTreeSet<String>,
    aliases: BTreeMap<String, String>,
}

/// An alias that leads back to itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("alias {0:?} leads back to itself: remove one of the aliases in the circle")]
pub struct AliasCycle(pub String);

/// A member after aliases and bots were applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved<'a> {
    /// The name that the work is credited to.
    pub name: Cow<'a, str>,
    /// Whether that member is a bot.
    pub bot: bool,
}

impl Identity {
    /// Bots by name, and aliases from a name to the name it belongs to; both are matched without
    /// regard to case.
    ///
    /// # Errors
    /// Where an alias leads back to itself.
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
        Ok(Identity { bots, aliases: resolved })
    }

    /// The member that a name belongs to.
    pub fn name<'a>(&'a self, name: &'a str) -> &'a str {
        if self.aliases.is_empty() {
            return name;
        }
        self.aliases.get(&member_key(name)).map_or(name, String::as_str)
    }

    /// Applies aliases and bots to a member as GitHub shows it.
    pub fn resolve<'a>(&'a self, name: &'a str, kind: MemberKind) -> Resolved<'a> {
        let target = self.name(name);
        let bot = if target == name {
            kind == MemberKind::Bot || self.is_bot_by_name(name)
        } else {
            self.is_bot_by_name(target)
        };
        Resolved { name: Cow::Borrowed(target), bot }
    }

    fn is_bot_by_name(&self, name: &str) -> bool {
        name.ends_with(BOT_SUFFIX) || (!self.bots.is_empty() && self.bots.contains(&member_key(name)))
    }

    /// A short hash of the configuration: rollups folded under another one are not counted.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for bot in &self.bots {
            hasher.update(format!("bot {bot}\n"));
        }
        for (from, to) in &self.aliases {
            hasher.update(format!("alias {from} {to}\n"));
        }
        hex::encode(&hasher.finalize()[..8])
    }
}

/// The key under which a member is stored: logins are compared without regard to case.
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
    fn aliases_are_followed_to_the_end_and_bots_are_named_by_configuration() {
        let it =
            identity(&["CI-User"], &[("~abc", "old-ann"), ("Old-Ann", "ann"), ("robo", "ci-user")]).unwrap();
        assert_eq!(it.resolve("~abc", MemberKind::Unlinked), Resolved { name: "ann".into(), bot: false });
        assert_eq!(it.resolve("OLD-ANN", MemberKind::User).name, "ann");
        assert!(it.resolve("ci-user", MemberKind::User).bot);
        assert!(it.resolve("robo", MemberKind::User).bot);
        assert!(it.resolve("x[bot]", MemberKind::User).bot);
        assert!(it.resolve("x", MemberKind::Bot).bot);
        assert!(!it.resolve("ann", MemberKind::User).bot);
    }

    #[test]
    fn a_circle_of_aliases_is_refused() {
        assert!(identity(&[], &[("a", "b"), ("b", "a")]).is_err());
        assert!(identity(&[], &[("a", "a")]).is_err());
    }

    #[test]
    fn the_hash_follows_the_meaning_not_the_order() {
        let one = identity(&["a", "b"], &[]).unwrap();
        let two = identity(&["B", "A"], &[]).unwrap();
        assert_eq!(one.hash(), two.hash());
        assert_ne!(one.hash(), Identity::default().hash());
    }
}
