//! Roles, and what each may do.

use serde::{Deserialize, Serialize};

/// What the holder of a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads metrics.
    Viewer,
    /// A program that claims tasks, acts under a claim, and pushes session logs. It reads no metrics.
    Worker,
    /// Requests actions.
    Operator,
    /// Decides about actions of others.
    Approver,
    /// Reads the audit log.
    Auditor,
    /// Does everything.
    Admin,
}

/// What a route does. A role is allowed or refused complete classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteClass {
    /// Answers everybody, also without a token: health checks, the OpenAPI document, signing in.
    Public,
    /// Reads metrics.
    Read,
    /// Claims and reports tasks, and pushes session logs.
    Work,
    /// Requests actions on GitHub that a worker may request, too, under its claim.
    ActUnderClaim,
    /// Requests any action on GitHub.
    Act,
    /// Approves or rejects actions.
    Decide,
    /// Reads the audit log.
    Audit,
    /// Changes tokens and settings.
    Administer,
}

impl RouteClass {
    /// All classes.
    pub const ALL: [RouteClass; 8] = [
        RouteClass::Public,
        RouteClass::Read,
        RouteClass::Work,
        RouteClass::ActUnderClaim,
        RouteClass::Act,
        RouteClass::Decide,
        RouteClass::Audit,
        RouteClass::Administer,
    ];

    /// Returns the name of the class in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            RouteClass::Public => "public",
            RouteClass::Read => "read",
            RouteClass::Work => "work",
            RouteClass::ActUnderClaim => "act_under_claim",
            RouteClass::Act => "act",
            RouteClass::Decide => "decide",
            RouteClass::Audit => "audit",
            RouteClass::Administer => "administer",
        }
    }
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 6] =
        [Role::Viewer, Role::Worker, Role::Operator, Role::Approver, Role::Auditor, Role::Admin];

    /// Returns whether the role may use routes of the class. This is the only table of roles.
    pub fn may(self, class: RouteClass) -> bool {
        use RouteClass::{Act, ActUnderClaim, Audit, Decide, Public, Read, Work};
        let allowed: &[RouteClass] = match self {
            Role::Viewer => &[Read],
            Role::Worker => &[Work, ActUnderClaim],
            Role::Operator => &[Read, ActUnderClaim, Act],
            Role::Approver => &[Read, Decide],
            Role::Auditor => &[Read, Audit],
            Role::Admin => &RouteClass::ALL,
        };
        class == Public || allowed.contains(&class)
    }

    /// Returns the name of the role.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Worker => "worker",
            Role::Operator => "operator",
            Role::Approver => "approver",
            Role::Auditor => "auditor",
            Role::Admin => "admin",
        }
    }

    /// Returns the role with the name, or `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        Role::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_its_name_says_and_no_more() {
        use RouteClass::{Act, ActUnderClaim, Administer, Audit, Decide, Read, Work};
        let classes = [Read, Work, ActUnderClaim, Act, Decide, Audit, Administer];
        for (role, expected) in [
            (Role::Viewer, [true, false, false, false, false, false, false]),
            (Role::Worker, [false, true, true, false, false, false, false]),
            (Role::Operator, [true, false, true, true, false, false, false]),
            (Role::Approver, [true, false, false, false, true, false, false]),
            (Role::Auditor, [true, false, false, false, false, true, false]),
            (Role::Admin, [true; 7]),
        ] {
            assert_eq!(classes.map(|class| role.may(class)), expected, "{role:?}");
            assert!(role.may(RouteClass::Public));
            assert_eq!(Role::parse(role.as_str()), Some(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
        assert_eq!(Role::parse("root"), None);
    }
}
