//! Who sends a request.

use crate::role::{Role, RouteClass};
use crate::token::{AccessToken, Scope};

/// Who sends a request, and what the sender may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Identifies the sender in logs and in the audit log: `token:ID`, or a word for senders without a stored token.
    pub id: String,
    /// The sender's role.
    pub role: Role,
    /// The organizations and repositories that the sender sees.
    pub scope: Scope,
    /// Whether the sender holds a token, so a limit of requests applies to it.
    pub has_token: bool,
    /// The login of the member whose sessions the sender pushes. `None` if the sender is no member.
    pub member: Option<String>,
    /// A keyed hash of the address that the request came from, for audit rows. `None` if the host does not know it.
    pub origin: Option<String>,
}

/// Who makes a change, as its audit row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// [`Principal::id`], or a word for what the program does itself.
    pub id: String,
    /// [`Principal::origin`].
    pub origin: Option<String>,
}

impl From<&Principal> for Requester {
    fn from(principal: &Principal) -> Self {
        Requester { id: principal.id.clone(), origin: principal.origin.clone() }
    }
}

/// Somebody who sent no request.
impl From<&str> for Requester {
    fn from(id: &str) -> Self {
        Requester { id: id.to_owned(), origin: None }
    }
}

impl Principal {
    /// The holder of a stored token.
    pub fn of_token(token: &AccessToken) -> Self {
        Principal {
            id: format!("token:{}", token.id),
            role: token.role,
            scope: token.scope.clone(),
            has_token: true,
            member: token.member.clone(),
            origin: None,
        }
    }

    /// The holder of a token that the host itself knows, such as the one that bootstraps a container.
    pub fn of_host_token(role: Role) -> Self {
        Principal { has_token: true, ..Self::trusted("host-token", role) }
    }

    /// A sender that somebody else vouches for: the user of this machine, or AWS.
    pub fn trusted(id: &str, role: Role) -> Self {
        Principal { id: id.to_owned(), role, scope: Scope::All, has_token: false, member: None, origin: None }
    }

    /// Returns whether the sender may use routes of the class.
    pub fn may(&self, class: RouteClass) -> bool {
        self.role.may(class)
    }
}
