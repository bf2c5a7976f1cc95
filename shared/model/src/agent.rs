//! Known agent accounts: programs that GitHub shows as users, or under several names.
//!
//! The list is applied when GitHub's answers become events, and again in the fold, so rows that were read before
//! an account was listed are counted as an agent's, too. A change of the list takes a greater `LOGIC_VERSION`.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::identity::member_key;
use crate::member::{BOT_SUFFIX, address_hash};

/// The day on which [`KNOWN_AGENTS`] was last compared with what GitHub shows, as `YYYY-MM-DD`.
pub const KNOWN_AGENTS_AS_OF: &str = "2026-11-28";

/// An agent, and everything under which GitHub shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownAgent {
    /// The name of its member, which ends in `[bot]`.
    pub member: &'static str,
    /// Its numeric account ids.
    pub ids: &'static [i64],
    /// Its logins, without `[bot]`. They are compared without regard to case.
    pub logins: &'static [&'static str],
    /// Its addresses in commits that are not GitHub's noreply addresses, in lower case.
    pub addresses: &'static [&'static str],
}

/// All known agents.
pub const KNOWN_AGENTS: &[KnownAgent] = &[
    // REST shows the login `Copilot` with the type Bot, GraphQL the name of the app. Commits name
    // `copilot-swe-agent[bot] <198982749+Copilot@users.noreply.github.com>`, and trailers name `Copilot` with the
    // noreply address of any of the three accounts: the coding agent, code review, and the editors and the
    // command line.
    KnownAgent {
        member: "Copilot[bot]",
        ids: &[198_982_749, 175_728_472, 223_556_219],
        logins: &["Copilot", "copilot-swe-agent", "copilot-pull-request-reviewer"],
        addresses: &["copilot@github.com"],
    },
];

/// Hosts of noreply addresses.
const NOREPLY_HOST: &str = "users.noreply.github.com";

/// The agents by the names of unlinked members that their addresses give.
static BY_ADDRESS_HASH: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    let hashes = |agent: &'static KnownAgent| {
        let addresses = agent.addresses.iter().map(|address| (*address).to_owned());
        addresses.chain(noreply_addresses(agent)).map(|address| (address_hash(&address), agent.member))
    };
    KNOWN_AGENTS.iter().flat_map(hashes).collect()
});

/// Returns the noreply addresses of an agent, in lower case.
fn noreply_addresses(agent: &KnownAgent) -> impl Iterator<Item = String> {
    let logins = agent.logins.iter().map(|login| member_key(login));
    logins.flat_map(|login| {
        let suffixed = format!("{login}{BOT_SUFFIX}");
        [login, suffixed].into_iter().flat_map(|login| {
            let with_id =
                agent.ids.iter().map(|id| format!("{id}+{login}@{NOREPLY_HOST}")).collect::<Vec<_>>();
            with_id.into_iter().chain([format!("{login}@{NOREPLY_HOST}")])
        })
    })
}

/// Returns the member name of the agent with this account id; `None` if it is no known agent.
pub fn agent_by_id(id: i64) -> Option<&'static str> {
    KNOWN_AGENTS.iter().find(|agent| agent.ids.contains(&id)).map(|agent| agent.member)
}

/// Returns the member name of the agent that a row calls by this name: a login with or without `[bot]`, or the
/// hash of an address. `None` if it is no known agent.
pub fn agent_by_name(name: &str) -> Option<&'static str> {
    if name.starts_with('~') {
        return BY_ADDRESS_HASH.get(name).copied();
    }
    let login = name.strip_suffix(BOT_SUFFIX).unwrap_or(name);
    let has_login = |agent: &&KnownAgent| agent.logins.iter().any(|it| it.eq_ignore_ascii_case(login));
    KNOWN_AGENTS.iter().find(has_login).map(|agent| agent.member)
}

/// Returns the member name of the agent with this address in commits, which must be in lower case; `None` if it
/// is no known agent.
pub(crate) fn agent_by_address(address: &str) -> Option<&'static str> {
    BY_ADDRESS_HASH.get(&address_hash(address)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copilot_is_one_agent_under_all_its_names() {
        for name in [
            "Copilot",
            "copilot",
            "Copilot[bot]",
            "copilot-swe-agent",
            "copilot-swe-agent[bot]",
            "copilot-pull-request-reviewer[bot]",
        ] {
            assert_eq!(agent_by_name(name), Some("Copilot[bot]"), "{name}");
        }
        for id in [198_982_749, 175_728_472, 223_556_219] {
            assert_eq!(agent_by_id(id), Some("Copilot[bot]"), "{id}");
            let address = format!("{id}+copilot@users.noreply.github.com");
            assert_eq!(agent_by_address(&address), Some("Copilot[bot]"), "{id}");
            assert_eq!(agent_by_name(&address_hash(&address)), Some("Copilot[bot]"), "{id}");
        }
        assert_eq!(
            agent_by_address("198982749+copilot-swe-agent[bot]@users.noreply.github.com"),
            Some("Copilot[bot]")
        );
        assert_eq!(agent_by_address("copilot@github.com"), Some("Copilot[bot]"));
        for name in ["copilot-fan", "ann", "~0123456789ab", "copilot[x]", ""] {
            assert_eq!(agent_by_name(name), None, "{name}");
        }
        assert_eq!(agent_by_id(1), None);
    }

    #[test]
    fn every_agent_is_a_bot_by_its_name() {
        for agent in KNOWN_AGENTS {
            assert!(agent.member.ends_with(BOT_SUFFIX), "{agent:?}");
            assert_eq!(agent_by_name(agent.member), Some(agent.member), "its name resolves to itself");
            assert!(agent.addresses.iter().all(|address| *address == address.to_lowercase()), "{agent:?}");
        }
    }
}
