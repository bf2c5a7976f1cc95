//! Which rows of the audit log people are notified of.

use gam_model::{AuditEntry, NotificationKind};
use serde_json::Value;

use crate::notification::Notification;

/// The detail of a row about a breaker of a channel: the channel's name.
pub(crate) const CHANNEL_DETAIL: &str = "channel";

/// Returns the notification of a row, or `None` if nobody is notified of it. `org` is the organization's storage key.
pub(crate) fn notification_of(entry: &AuditEntry, org: &str) -> Option<Notification> {
    let detail: Value =
        entry.detail.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let text = |name: &str| detail.get(name).and_then(Value::as_str).map(str::to_owned);
    // A task that nobody gets any more waits for a person.
    let is_exhausted = text("waits_for").as_deref() == Some("too_many_attempts");
    let kind = match entry.kind.as_str() {
        "task_failed" | "task_expired" if is_exhausted => NotificationKind::TaskPoisoned,
        "task_failed" => NotificationKind::TaskFailed,
        "approval_requested" => NotificationKind::ApprovalWanted,
        "action_failed" => NotificationKind::ActionFailed,
        "action_unknown" => NotificationKind::ActionUnknown,
        "webhook_gap" => NotificationKind::HookGap,
        "breaker_opened" => NotificationKind::BreakerOpened,
        _ => return None,
    };
    let page = match kind {
        NotificationKind::TaskFailed | NotificationKind::TaskPoisoned => "tasks",
        NotificationKind::HookGap => "hooks",
        NotificationKind::BreakerOpened => "notifications",
        _ => "actions",
    };
    let mut notification = Notification::new(&entry.event_id, kind, entry.occurred_at, &entry.subject)
        .about(entry.repo.as_deref(), entry.number)
        .with_link(format!("/orgs/{org}/{page}"));
    notification.detail = Some(entry.outcome.clone()).filter(|outcome| outcome != "ok");
    notification.action_id = text("action_id").filter(|_| kind == NotificationKind::ApprovalWanted);
    notification.excluded_channel = text(CHANNEL_DETAIL);
    Some(notification)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, detail: Option<&str>) -> AuditEntry {
        AuditEntry {
            event_id: format!("{kind}:1"),
            kind: kind.to_owned(),
            org: Some("acme".to_owned()),
            repo: Some("site".to_owned()),
            repo_id: Some(7),
            number: Some(42),
            principal: "token:ab".to_owned(),
            subject: "issue site#42".to_owned(),
            outcome: "ok".to_owned(),
            occurred_at: "2026-03-01T10:00:00Z".parse().unwrap(),
            count: None,
            origin: None,
            commit_id: "c".to_owned(),
            detail: detail.map(str::to_owned),
        }
    }

    #[test]
    fn rows_that_need_people_become_notifications() {
        let kind = |row: &str, detail| notification_of(&entry(row, detail), "acme").map(|it| it.kind);
        assert_eq!(kind("task_failed", None), Some(NotificationKind::TaskFailed));
        assert_eq!(
            kind("task_failed", Some(r#"{"waits_for":"too_many_attempts"}"#)),
            Some(NotificationKind::TaskPoisoned)
        );
        assert_eq!(
            kind("task_expired", Some(r#"{"waits_for":"too_many_attempts"}"#)),
            Some(NotificationKind::TaskPoisoned)
        );
        for silent in ["task_expired", "task_completed", "log_read", "of_a_newer_version"] {
            assert_eq!(kind(silent, None), None, "{silent}");
        }
        let wanted =
            notification_of(&entry("approval_requested", Some(r#"{"action_id":"acme.1"}"#)), "acme").unwrap();
        assert_eq!(
            (wanted.link.as_deref(), wanted.action_id.as_deref()),
            (Some("/orgs/acme/actions"), Some("acme.1"))
        );
        assert_eq!((wanted.repo.as_deref(), wanted.number, wanted.detail), (Some("site"), Some(42), None));
    }

    #[test]
    fn a_channel_never_reports_its_own_breaker() {
        let row = entry("breaker_opened", Some(r#"{"channel":"ops"}"#));
        assert_eq!(notification_of(&row, "acme").unwrap().excluded_channel.as_deref(), Some("ops"));
    }
}
