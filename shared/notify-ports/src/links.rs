//! Links with which approvers decide on actions.

use async_trait::async_trait;
use gam_access::Tokens;
use gam_notify::ApprovalLinkSource;
use gam_work::actions::{ActionError, ActionId, Actions, ApprovalLinks};

/// Who makes links, in the audit log.
const NOTIFIER: &str = "notify";

/// Makes links for approvers of the actions in a store.
pub struct ActionLinks {
    actions: Actions,
    tokens: Tokens,
    links: ApprovalLinks,
}

impl ActionLinks {
    /// Connects to the actions and the tokens of a store. `links` signs.
    pub fn new(actions: Actions, tokens: Tokens, links: ApprovalLinks) -> Self {
        ActionLinks { actions, tokens, links }
    }
}

#[async_trait]
impl ApprovalLinkSource for ActionLinks {
    async fn link(&self, approver: &str, action_id: &str) -> Option<String> {
        let id = ActionId::parse(action_id)?;
        match self.actions.make_link(&NOTIFIER.into(), &id, (&self.tokens, approver)).await {
            Ok(link) => Some(self.links.url(&link)),
            Err(error @ (ActionError::Store(_) | ActionError::Tokens(_))) => {
                tracing::warn!(%error, "cannot make the link of an approver, whose message gets none");
                None
            }
            // The action may be decided by now, or be the approver's own, or the approver may have lost the token.
            Err(_) => None,
        }
    }
}
