//! The keys of records: an organization, a kind, and parts that sort.

use std::fmt;

use super::org_key;
use crate::error::{Error, Result};

/// Separates the parts of a sort text. It sorts before every character that a part can contain.
const SEPARATOR: char = '#';

/// Sorts directly after [`SEPARATOR`], so it ends the texts with a given prefix. No sort text contains it.
const AFTER_SEPARATOR: char = '$';

/// Sorts after every sort text. No sort text contains it.
const END: &str = "~";

/// The organization of records that belong to none, such as tokens. No login of GitHub has this form.
const NO_ORG: &str = "_";

/// Greatest length of an organization in bytes. GitHub's logins have at most 39 characters.
const MAX_ORG_BYTES: usize = 255;

/// Greatest length of a sort text in bytes. DynamoDB allows 1,024.
const MAX_SORT_BYTES: usize = 1_000;

/// What a record is. Each kind has its own keys, and a range lists records of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// An access token, by the hash of its secret.
    Token,
    /// The name of an access token, which makes it unique.
    TokenName,
    /// A task: who has claimed an issue, by repository id and issue number.
    Claim,
    /// An entry of the index of issues that workers can claim, by login and in the order of assignment.
    ReadyIssue,
    /// An entry of the index of leases, by the time from which the claim can be taken over.
    Lease,
    /// The claim that a worker holds, by principal and worker. It belongs to no organization.
    WorkerClaim,
    /// Lines of the log of a claim, by claim and number.
    TaskLog,
    /// What is known of the log of a claim.
    TaskLogHead,
    /// A cached issue, by repository id and number.
    Issue,
    /// What the cache of issues knows of a repository, by repository id.
    IssueRepo,
    /// A webhook's delivery that was seen, by its GUID. It belongs to no organization.
    Delivery,
    /// An order that a webhook made, in the order in which they are due. It belongs to no organization.
    WebhookOrder,
    /// A repository that webhooks marked dirty, by repository id.
    DirtyRepo,
    /// What is known of a webhook on GitHub, by its id.
    Hook,
    /// An action on GitHub, the newest first.
    Action,
    /// An action that has work to do, by the time from which it can be done. It belongs to no organization.
    ActionDue,
    /// The key under which a client requested an action, by principal and hash. It belongs to no organization.
    ActionKey,
    /// How much an account wrote to GitHub lately. It belongs to no organization.
    ActionPace,
    /// What an action would become, or the question, by id. It belongs to no organization.
    ActionPreview,
    /// An organization that has records of work although it may never have been collected, by its storage key. It belongs
    /// to no organization itself.
    WorkOrg,
    /// A row of the audit log that no segment in the lake holds yet, in order of insertion.
    AuditRow,
    /// How far the audit log was written: to its last segment, and to the last revision of a configuration.
    AuditHead,
    /// A principal has read the audit log in an hour, by principal and hour.
    AuditReading,
    /// How far notifications have read the audit log, and which conditions last.
    NotifyState,
    /// What a channel has to send, and whether it works, by the channel's name.
    NotifyChannel,
    /// A message that was sent or dropped, the newest first.
    NotifyMessage,
    /// How the last runs of a job went, by the job's name.
    RunHealth,
    /// The member who pushed a session event first, by the hash of its id.
    SessionOwner,
    /// The proof that a commit was made, by the commit's id. Only stores write receipts.
    Receipt,
}

impl RecordKind {
    /// All kinds.
    pub const ALL: [RecordKind; 29] = [
        RecordKind::Token,
        RecordKind::TokenName,
        RecordKind::Claim,
        RecordKind::ReadyIssue,
        RecordKind::Lease,
        RecordKind::WorkerClaim,
        RecordKind::TaskLog,
        RecordKind::TaskLogHead,
        RecordKind::Issue,
        RecordKind::IssueRepo,
        RecordKind::Delivery,
        RecordKind::WebhookOrder,
        RecordKind::DirtyRepo,
        RecordKind::Hook,
        RecordKind::Action,
        RecordKind::ActionDue,
        RecordKind::ActionKey,
        RecordKind::ActionPace,
        RecordKind::ActionPreview,
        RecordKind::WorkOrg,
        RecordKind::AuditRow,
        RecordKind::AuditHead,
        RecordKind::AuditReading,
        RecordKind::NotifyState,
        RecordKind::NotifyChannel,
        RecordKind::NotifyMessage,
        RecordKind::RunHealth,
        RecordKind::SessionOwner,
        RecordKind::Receipt,
    ];

    /// Returns the text that adapters store.
    pub fn as_str(self) -> &'static str {
        match self {
            RecordKind::Token => "token",
            RecordKind::TokenName => "token_name",
            RecordKind::Claim => "claim",
            RecordKind::ReadyIssue => "ready_issue",
            RecordKind::Lease => "lease",
            RecordKind::WorkerClaim => "worker_claim",
            RecordKind::TaskLog => "task_log",
            RecordKind::TaskLogHead => "task_log_head",
            RecordKind::Issue => "issue",
            RecordKind::IssueRepo => "issue_repo",
            RecordKind::Delivery => "delivery",
            RecordKind::WebhookOrder => "webhook_order",
            RecordKind::DirtyRepo => "dirty_repo",
            RecordKind::Hook => "hook",
            RecordKind::Action => "action",
            RecordKind::ActionDue => "action_due",
            RecordKind::ActionKey => "action_key",
            RecordKind::ActionPace => "action_pace",
            RecordKind::ActionPreview => "action_preview",
            RecordKind::WorkOrg => "work_org",
            RecordKind::AuditRow => "audit_row",
            RecordKind::AuditHead => "audit_head",
            RecordKind::AuditReading => "audit_reading",
            RecordKind::NotifyState => "notify_state",
            RecordKind::NotifyChannel => "notify_channel",
            RecordKind::NotifyMessage => "notify_message",
            RecordKind::RunHealth => "run_health",
            RecordKind::SessionOwner => "session_owner",
            RecordKind::Receipt => "receipt",
        }
    }
}

/// One part of a record's key. Numbers sort as numbers. Texts sort byte by byte after percent-encoding, which
/// leaves the ASCII characters from `&` to `}` as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyPart<'a> {
    /// A number, such as an id, a sequence or a time in milliseconds.
    Number(u64),
    /// A text in any language. Case matters.
    Text(&'a str),
}

impl fmt::Display for KeyPart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyPart::Number(number) => write!(f, "{number:020}"),
            // Stores do not allow an empty sort text. No text is encoded as a lone `%`.
            KeyPart::Text("") => f.write_str("%"),
            KeyPart::Text(text) => text.bytes().try_for_each(|byte| match byte {
                b'&'..=b'}' => write!(f, "{}", char::from(byte)),
                _ => write!(f, "%{byte:02X}"),
            }),
        }
    }
}

/// Joins parts to a sort text: printable ASCII without [`AFTER_SEPARATOR`] and [`END`].
fn sort_text(parts: &[KeyPart<'_>]) -> String {
    parts.iter().map(KeyPart::to_string).collect::<Vec<_>>().join(&SEPARATOR.to_string())
}

fn is_sort_text(text: &str) -> bool {
    let is_allowed = |byte: u8| matches!(byte, b'#' | b'%'..=b'}');
    (1..=MAX_SORT_BYTES).contains(&text.len()) && text.bytes().all(is_allowed)
}

fn invalid(what: String) -> Error {
    Error::InvalidArgument { what }
}

/// Returns the organization as adapters store it.
fn stored_org(org: Option<&str>) -> Result<String> {
    let Some(org) = org else { return Ok(NO_ORG.to_owned()) };
    if org.is_empty() || org == NO_ORG || org.len() > MAX_ORG_BYTES {
        return Err(invalid(format!("invalid organization {org:?} in the key of a record")));
    }
    Ok(org_key(org))
}

/// The key of a record. Keys sort by organization, kind and parts. A commit can write any keys together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    org: String,
    kind: RecordKind,
    sort: String,
}

impl RecordKey {
    /// Creates a key from an organization's login in any case, a kind and at least one part. `org` is `None`
    /// for records that belong to no organization.
    ///
    /// # Errors
    /// `InvalidArgument` if there are no parts, the parts are longer than 1,000 bytes, or the organization is
    /// empty, `_` or longer than 255 bytes.
    pub fn new(org: Option<&str>, kind: RecordKind, parts: &[KeyPart<'_>]) -> Result<Self> {
        let (org, sort) = (stored_org(org)?, sort_text(parts));
        if !is_sort_text(&sort) {
            let what = format!(
                "invalid key of a record of kind {}: {} bytes, expected 1 to {MAX_SORT_BYTES}",
                kind.as_str(),
                sort.len()
            );
            return Err(invalid(what));
        }
        Ok(RecordKey { org, kind, sort })
    }

    /// Creates a key from a partition and what [`RecordKey::sort`] returned, as it is in a store or in a
    /// cursor. `None` if `sort` is invalid.
    pub fn parse(partition: &RecordRange, sort: &str) -> Option<Self> {
        let key = || RecordKey { org: partition.org.clone(), kind: partition.kind, sort: sort.to_owned() };
        is_sort_text(sort).then(key)
    }

    /// Returns the organization as stores hold it: its login in lower case, or `_` for none.
    pub fn org(&self) -> &str {
        &self.org
    }

    /// Returns the kind of the record.
    pub fn kind(&self) -> RecordKind {
        self.kind
    }

    /// Returns the parts as one text of printable ASCII. Stores sort it byte by byte.
    pub fn sort(&self) -> &str {
        &self.sort
    }

    /// Returns the least key of a range. No record need have it.
    pub(crate) fn first_of(range: &RecordRange) -> Self {
        RecordKey { org: range.org.clone(), kind: range.kind, sort: range.from.clone() }
    }
}

/// Consecutive records of one organization and kind: all of them, or those whose keys begin with given parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRange {
    org: String,
    kind: RecordKind,
    from: String,
    to: String,
}

impl RecordRange {
    /// Creates the range of the records whose keys begin with `parts` and have more parts. No `parts` select
    /// all records of the organization and kind.
    ///
    /// # Errors
    /// `InvalidArgument` as [`RecordKey::new`], but no parts are allowed.
    pub fn new(org: Option<&str>, kind: RecordKind, parts: &[KeyPart<'_>]) -> Result<Self> {
        if parts.is_empty() {
            return Ok(RecordRange {
                org: stored_org(org)?,
                kind,
                from: SEPARATOR.to_string(),
                to: END.to_owned(),
            });
        }
        let RecordKey { org, kind, sort } = RecordKey::new(org, kind, parts)?;
        Ok(RecordRange {
            org,
            kind,
            from: format!("{sort}{SEPARATOR}"),
            to: format!("{sort}{AFTER_SEPARATOR}"),
        })
    }

    /// Leaves out the records up to `key`, which is the last one of the page before.
    #[must_use]
    pub fn after(mut self, key: &RecordKey) -> Self {
        // The least text that is greater than the key.
        self.from = self.from.max(format!("{}{SEPARATOR}", key.sort));
        self
    }

    /// Returns the organization as [`RecordKey::org`] does.
    pub fn org(&self) -> &str {
        &self.org
    }

    /// Returns the kind of the records.
    pub fn kind(&self) -> RecordKind {
        self.kind
    }

    /// Returns the sort text at which the range begins, inclusive. It need not be one of a key.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// Returns the sort text at which the range ends. No key has this one.
    pub fn to(&self) -> &str {
        &self.to
    }

    /// Returns whether no key can be in the range. Some stores reject such a range.
    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

#[cfg(test)]
mod tests {
    use super::KeyPart::{Number, Text};
    use super::*;

    fn key(parts: &[KeyPart<'_>]) -> RecordKey {
        RecordKey::new(Some("Acme"), RecordKind::Claim, parts).unwrap()
    }

    fn contains(range: &RecordRange, key: &RecordKey) -> bool {
        (range.from()..range.to()).contains(&key.sort())
    }

    /// Stores that exist hold keys of this form.
    #[test]
    fn sort_texts_never_change() {
        let key = key(&[Number(42), Text("a-B_9.z"), Text("x#y$z%~ é"), Text("")]);
        assert_eq!((key.org(), key.kind()), ("acme", RecordKind::Claim));
        assert_eq!(key.sort(), "00000000000000000042#a-B_9.z#x%23y%24z%25%7E%20%C3%A9#%");
        let global = RecordKey::new(None, RecordKind::Token, &[Text("ff")]).unwrap();
        assert_eq!((global.org(), global.sort()), ("_", "ff"));
        let kinds = RecordKind::ALL.map(RecordKind::as_str);
        let expected = [
            "token",
            "token_name",
            "claim",
            "ready_issue",
            "lease",
            "worker_claim",
            "task_log",
            "task_log_head",
            "issue",
            "issue_repo",
            "delivery",
            "webhook_order",
            "dirty_repo",
            "hook",
            "action",
            "action_due",
            "action_key",
            "action_pace",
            "action_preview",
            "work_org",
            "audit_row",
            "audit_head",
            "audit_reading",
            "notify_state",
            "notify_channel",
            "notify_message",
            "run_health",
            "session_owner",
            "receipt",
        ];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn keys_sort_part_by_part() {
        let sorted = [
            key(&[Number(9)]),
            key(&[Number(9), Text("")]),
            key(&[Number(9), Text(""), Number(1)]),
            key(&[Number(9), Text("a")]),
            key(&[Number(9), Text("a"), Text("z")]),
            key(&[Number(9), Text("a b")]),
            key(&[Number(9), Text("a-b")]),
            key(&[Number(9), Text("ab")]),
            key(&[Number(10)]),
            key(&[Number(u64::MAX)]),
        ];
        assert!(sorted.is_sorted(), "{sorted:#?}");
        assert!(sorted.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_range_holds_the_keys_with_its_prefix() {
        let range = |parts: &[KeyPart<'_>]| RecordRange::new(Some("acme"), RecordKind::Claim, parts).unwrap();
        let keys =
            [&[Text("a")][..], &[Text("a"), Text("b")], &[Text("a$")], &[Text("aa"), Number(1)]].map(key);
        let of_a = range(&[Text("a")]);
        assert_eq!(keys.each_ref().map(|key| contains(&of_a, key)), [false, true, false, false]);
        let all = range(&[]);
        for key in keys.iter().chain([&key(&[Text("")]), &key(&[Text("\u{10FFFF}~}")])]) {
            assert!(contains(&all, key), "{key:?}");
            assert!(!contains(&all.clone().after(key), key));
        }
        assert!(contains(&all.clone().after(&keys[0]), &keys[1]), "a longer key comes after its prefix");
        assert_eq!(of_a.clone().after(&key(&[Text("")])), of_a, "a page never begins before its range");
        assert!(of_a.clone().after(&keys[3]).is_empty() && !of_a.is_empty());
    }

    #[test]
    fn invalid_keys_are_errors() {
        let new = |org, parts: &[KeyPart<'_>]| RecordKey::new(org, RecordKind::Token, parts);
        let long = "x".repeat(MAX_SORT_BYTES + 1);
        assert!(new(Some("acme"), &[Text(&long[1..])]).is_ok());
        for (org, parts) in [
            (Some("acme"), &[][..]),
            (Some("acme"), &[Text(&long)]),
            (Some(""), &[Number(1)]),
            (Some("_"), &[Number(1)]),
            (Some(&long[..256]), &[Number(1)]),
        ] {
            let error = new(org, parts).unwrap_err();
            assert!(matches!(error, Error::InvalidArgument { .. }) && !error.is_retryable(), "{error}");
        }
    }

    #[test]
    fn stored_keys_survive_a_round_trip() {
        let all = RecordRange::new(Some("acme"), RecordKind::Claim, &[]).unwrap();
        let key = key(&[Number(1), Text("a b"), Text("")]);
        assert_eq!(RecordKey::parse(&all, key.sort()), Some(key));
        for invalid in ["", "a b", "a$", "~", "é", &"x".repeat(MAX_SORT_BYTES + 1)] {
            assert_eq!(RecordKey::parse(&all, invalid), None, "{invalid}");
        }
    }
}
