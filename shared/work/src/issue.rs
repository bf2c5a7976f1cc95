//! The cached issue, its record, and which of two states wins.

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use gam_model::issue::{IssueDetails, IssueLabel, IssueState, IssueUser, ThreadRef};
use gam_store::{
    Error as StoreError, Expectation, KeyPart, Record, RecordCommit, RecordCommitId, RecordKey, RecordKind,
    RecordRange, RecordStore, Result,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Greatest length of a cached body, as JSON, in bytes. A body of GitHub's 65,536 characters fits unless most of them
/// are escaped.
const MAX_BODY_BYTES: usize = 300_000;
/// How long a closed issue and a tombstone stay in the cache after they were received. A late webhook of before does not
/// revive either.
pub const CLOSED_ISSUE_LIFETIME: TimeDelta = TimeDelta::days(90);
/// Greatest number of trusted edits that an issue remembers. Before the oldest of them, labels vouch for nothing.
const MAX_TRUSTED_EDITS: usize = 50;
/// The version of the record. A program refuses newer ones.
const FORMAT: u32 = 1;

/// Why an issue is no longer in its repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tombstone {
    /// Somebody deleted it.
    Deleted,
    /// It lives on in another repository, under another number.
    Transferred(Option<ThreadRef>),
    /// Its repository was deleted, or transferred to another owner.
    RepositoryGone,
}

/// Says for which content somebody set a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelVoucher {
    /// GitHub's id of the label.
    pub label_id: i64,
    /// [`content_hash`] of the title and body at that time.
    pub content_hash: String,
    /// Who set the label. `None` if GitHub did not say.
    pub by: Option<IssueUser>,
    /// When it was set, UTC, by GitHub's clock.
    pub at: DateTime<Utc>,
}

/// An edit of title or body by somebody with write permission. What vouched for the content before vouches for the
/// content after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedEdit {
    /// [`content_hash`] before the edit.
    pub from: String,
    /// [`content_hash`] after the edit.
    pub to: String,
    /// When it was made, UTC, by GitHub's clock.
    pub at: DateTime<Utc>,
}

/// An issue as the cache holds it. Pull requests are never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedIssue {
    /// Version of this record.
    pub format: u32,
    /// GitHub's id of the repository.
    pub repo_id: i64,
    /// The latest known name of the repository, without the organization.
    pub repo: String,
    /// What GitHub returned. `body` is cut if it is very long, see `is_body_cut`.
    pub details: IssueDetails,
    /// Whether `details.body` lacks its end.
    pub is_body_cut: bool,
    /// [`content_hash`] of the title and the complete body.
    pub content_hash: String,
    /// Open pull requests that close the issue when they are merged. `None` until GitHub was asked.
    pub closing_pull_requests: Option<Vec<ThreadRef>>,
    /// Who set which label for which content, as far as known. At most one for each label of the issue.
    pub vouchers: Vec<LabelVoucher>,
    /// Edits by people with write permission, in order of time.
    pub trusted_edits: Vec<TrustedEdit>,
    /// `None` if the issue is in its repository.
    pub tombstone: Option<Tombstone>,
    /// When this state was received, UTC, by this service's clock.
    pub as_of: DateTime<Utc>,
}

/// How a received state compares with the cached one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// It is newer, or nothing is cached.
    Newer,
    /// It is the cached state.
    Same,
    /// It is older, or the issue has a tombstone. It must not be stored.
    Older,
    /// It differs, but has the same `updated_at`. Only GitHub knows which one is right.
    Tie,
}

/// Returns the hash of a title and a body that labels vouch for: SHA-256 in hexadecimal digits.
pub fn content_hash(title: &str, body: &str) -> String {
    let mut hash = Sha256::new();
    // The length separates the two, so that no text can move from one to the other.
    hash.update((title.len() as u64).to_be_bytes());
    hash.update(title);
    hash.update(body);
    hex::encode(hash.finalize())
}

/// Compares a received state with the cached one by GitHub's `updated_at`.
pub fn compare(cached: Option<&CachedIssue>, received: &CachedIssue) -> Freshness {
    let Some(cached) = cached else { return Freshness::Newer };
    if cached.tombstone.is_some() {
        return Freshness::Older;
    }
    match received.details.updated_at.cmp(&cached.details.updated_at) {
        std::cmp::Ordering::Greater => Freshness::Newer,
        std::cmp::Ordering::Less => Freshness::Older,
        std::cmp::Ordering::Equal if received.has_content_of(cached) => Freshness::Same,
        std::cmp::Ordering::Equal => Freshness::Tie,
    }
}

impl CachedIssue {
    /// Creates an issue from what GitHub returned, without anything that only later requests show.
    pub fn new(repo_id: i64, repo: &str, mut details: IssueDetails, as_of: DateTime<Utc>) -> Self {
        let content_hash = content_hash(&details.title, &details.body);
        let is_body_cut = cut_body(&mut details.body);
        CachedIssue {
            format: FORMAT,
            repo_id,
            repo: repo.to_owned(),
            details,
            is_body_cut,
            content_hash,
            closing_pull_requests: None,
            vouchers: Vec::new(),
            trusted_edits: Vec::new(),
            tombstone: None,
            as_of: as_of.trunc_subsecs(0),
        }
    }

    /// Returns whether the issue is open and still in its repository.
    pub fn is_open(&self) -> bool {
        self.details.state == IssueState::Open && self.tombstone.is_none()
    }

    /// Returns the label with a name, compared without case as GitHub does.
    pub fn label(&self, name: &str) -> Option<&IssueLabel> {
        self.details.labels.iter().find(|label| label.name.to_lowercase() == name.to_lowercase())
    }

    /// Returns whether a label of the issue was set for the present title and body, or for earlier ones that only
    /// people with write permission have edited since.
    pub fn is_vouched_by(&self, label_id: i64) -> bool {
        let Some(voucher) = self.vouchers.iter().find(|voucher| voucher.label_id == label_id) else {
            return false;
        };
        let mut hash = &voucher.content_hash;
        for edit in self.trusted_edits.iter().filter(|edit| edit.at >= voucher.at) {
            if edit.from == *hash {
                hash = &edit.to;
            }
        }
        *hash == self.content_hash
    }

    /// Adds a voucher. Of two for one label the later one stays, and none stays for a label that the issue lacks.
    pub fn add_voucher(&mut self, voucher: LabelVoucher) {
        let known = self.vouchers.iter_mut().find(|known| known.label_id == voucher.label_id);
        match known {
            // The hash decides a tie, so that every order of arrival ends alike.
            Some(known) if (known.at, &known.content_hash) < (voucher.at, &voucher.content_hash) => {
                *known = voucher
            }
            Some(_) => {}
            None => self.vouchers.push(voucher),
        }
        self.retain_vouchers();
    }

    /// Removes the vouchers for a content that somebody without write permission wrote at this time, UTC. Whoever labelled
    /// the issue before that did not see it.
    pub fn drop_vouchers_of(&mut self, content_hash: &str, at: DateTime<Utc>) {
        self.vouchers.retain(|voucher| voucher.content_hash != content_hash || voucher.at > at);
    }

    /// Adds an edit by somebody with write permission.
    pub fn add_trusted_edit(&mut self, edit: TrustedEdit) {
        if self.trusted_edits.contains(&edit) {
            return;
        }
        let index = self.trusted_edits.partition_point(|known| known.at <= edit.at);
        self.trusted_edits.insert(index, edit);
        let excess = self.trusted_edits.len().saturating_sub(MAX_TRUSTED_EDITS);
        self.trusted_edits.drain(..excess);
    }

    /// Takes over what a newly received state does not show: vouchers, trusted edits, closing pull requests.
    pub fn inherit(&mut self, cached: &CachedIssue) {
        for voucher in &cached.vouchers {
            self.add_voucher(voucher.clone());
        }
        for edit in &cached.trusted_edits {
            self.add_trusted_edit(edit.clone());
        }
        if self.closing_pull_requests.is_none() {
            self.closing_pull_requests.clone_from(&cached.closing_pull_requests);
        }
        if self.details.blocked_by_open.is_none() {
            self.details.blocked_by_open = cached.details.blocked_by_open;
        }
    }

    fn retain_vouchers(&mut self) {
        let labels = &self.details.labels;
        self.vouchers.retain(|voucher| labels.iter().any(|label| label.id == voucher.label_id));
        self.vouchers.sort_by_key(|voucher| voucher.label_id);
    }

    /// Returns whether two states show the same, whatever else is known of each.
    fn has_content_of(&self, other: &CachedIssue) -> bool {
        self.details == other.details && self.content_hash == other.content_hash
    }

    /// Returns from when on the record is absent. `None` for an open issue. It does not follow GitHub's clock: what was
    /// learned late is remembered as long.
    pub fn expires(&self) -> Option<DateTime<Utc>> {
        let is_ended = self.tombstone.is_some() || self.details.state == IssueState::Closed;
        is_ended.then(|| self.as_of + CLOSED_ISSUE_LIFETIME)
    }

    /// Returns the key of the issue's record. `org` is the organization's storage key.
    ///
    /// # Errors
    /// If the organization is invalid.
    pub fn key(&self, org: &str) -> Result<RecordKey> {
        issue_key(org, self.repo_id, self.details.number)
    }

    /// Adds a write of the issue to a commit.
    ///
    /// # Errors
    /// If the organization is invalid.
    pub fn put(&self, org: &str, commit: RecordCommit, expectation: Expectation) -> Result<RecordCommit> {
        let body = serde_json::to_string(self).expect("an issue has only text keys");
        let key = self.key(org)?;
        Ok(match self.expires() {
            Some(expires) => commit.put_until(key, body, expires, expectation),
            None => commit.put(key, body, expectation),
        })
    }

    /// Parses a record of kind [`RecordKind::Issue`].
    ///
    /// # Errors
    /// If the record is damaged, or a newer program wrote it.
    pub fn parse(record: &Record) -> Result<Self> {
        let unusable = |what: String| StoreError::Unusable {
            what: format!("the record of an issue cannot be read ({what}): upgrade github-metrics"),
            source: None,
        };
        let issue: CachedIssue =
            serde_json::from_str(&record.body).map_err(|error| unusable(error.to_string()))?;
        if issue.format > FORMAT {
            return Err(unusable(format!("its format is {}, this program reads {FORMAT}", issue.format)));
        }
        Ok(issue)
    }
}

/// Cuts a body to [`MAX_BODY_BYTES`] of JSON. Returns whether it did.
fn cut_body(body: &mut String) -> bool {
    let mut length = 0;
    for (index, character) in body.char_indices() {
        length += match character {
            '"' | '\\' | '\n' | '\r' | '\t' => 2,
            '\0'..='\u{1f}' => 6,
            _ => character.len_utf8(),
        };
        if length > MAX_BODY_BYTES {
            body.truncate(index);
            return true;
        }
    }
    false
}

fn number_part(number: i64) -> KeyPart<'static> {
    KeyPart::Number(u64::try_from(number).unwrap_or_default())
}

/// Returns the key of an issue's record: by repository id, then by number.
///
/// # Errors
/// If the organization is invalid.
pub fn issue_key(org: &str, repo_id: i64, number: i64) -> Result<RecordKey> {
    RecordKey::new(Some(org), RecordKind::Issue, &[number_part(repo_id), number_part(number)])
}

/// Returns the range of all cached issues of an organization, or of one of its repositories.
///
/// # Errors
/// If the organization is invalid.
pub fn issue_range(org: &str, repo_id: Option<i64>) -> Result<RecordRange> {
    let parts: Vec<KeyPart<'_>> = repo_id.map(number_part).into_iter().collect();
    RecordRange::new(Some(org), RecordKind::Issue, &parts)
}

/// Reads a cached issue with the revision of its record. `None` if it is not cached.
///
/// # Errors
/// If the store fails or the record is damaged.
pub async fn load_issue(
    records: &dyn RecordStore,
    org: &str,
    repo_id: i64,
    number: i64,
    now: DateTime<Utc>,
) -> Result<Option<(CachedIssue, RecordCommitId)>> {
    let record = records.get(&issue_key(org, repo_id, number)?, now).await?;
    record.map(|record| Ok((CachedIssue::parse(&record)?, record.revision))).transpose()
}

/// Reads up to `limit` cached issues of a range, with their keys, in order of repository id and number. If there are
/// fewer, the range has no more. The next page is [`RecordRange::after`] the last key.
///
/// # Errors
/// If the store fails or a record is damaged.
pub async fn list_issues(
    records: &dyn RecordStore,
    range: &RecordRange,
    limit: usize,
    now: DateTime<Utc>,
) -> Result<Vec<(RecordKey, CachedIssue)>> {
    let page = records.range(range, limit, now).await?;
    page.into_iter().map(|(key, record)| Ok((key, CachedIssue::parse(&record)?))).collect()
}

/// A change of the cache.
#[derive(Debug, Clone, Copy)]
pub struct IssueChange<'a> {
    /// The organization's storage key.
    pub org: &'a str,
    /// What was cached. `None` if nothing was.
    pub before: Option<&'a CachedIssue>,
    /// What will be cached.
    pub after: &'a CachedIssue,
}

/// Adds writes to the commits that change the cache, so that what depends on an issue changes together with it.
#[async_trait]
pub trait IssueFollower: Send + Sync {
    /// Adds writes to the commit of a change. If the commit is a conflict, the change is tried again from the start,
    /// with another call. A change adds at most 20 writes.
    ///
    /// # Errors
    /// If the store fails.
    async fn follow(
        &self,
        change: IssueChange<'_>,
        commit: RecordCommit,
        now: DateTime<Utc>,
    ) -> Result<RecordCommit>;

    /// Does what follows from the suspension of the app's installation in an organization. Can be repeated.
    ///
    /// # Errors
    /// If the store fails.
    async fn suspend(&self, _org: &str, _now: DateTime<Utc>) -> Result<()> {
        Ok(())
    }
}
