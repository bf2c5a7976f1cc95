//! The texts of messages, in English and Japanese.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use gam_model::NotificationKind;
use gam_model::notify::Language;

use crate::digest::{DigestContent, DigestNote, DigestNumber, NoteRule};
use crate::notification::Notification;
use crate::picture::PictureRequest;

/// The texts of a language.
#[derive(Clone, Copy)]
pub(crate) struct Texts(pub(crate) Language);

impl Texts {
    fn pick<T>(self, english: T, japanese: T) -> T {
        match self.0 {
            Language::English => english,
            Language::Japanese => japanese,
        }
    }

    /// Returns the name of a kind.
    fn kind(self, kind: NotificationKind) -> &'static str {
        use NotificationKind as Kind;
        let (english, japanese) = match kind {
            Kind::TaskFailed => ("Task failed", "タスクが失敗"),
            Kind::TaskPoisoned => ("Task failed too often", "タスクの失敗が上限に到達"),
            Kind::ApprovalWanted => ("Approval wanted", "承認待ち"),
            Kind::ActionFailed => ("Action failed", "操作が失敗"),
            Kind::ActionUnknown => ("Action with unknown result", "操作の結果が不明"),
            Kind::HookGap => ("Webhooks missed", "Webhookの未達"),
            Kind::DataLate => ("Data is late", "データの遅延"),
            Kind::DataIncomplete => ("Data is incomplete", "データの欠落"),
            Kind::BudgetLow => ("Rate limit is low", "レート制限の残りが少ない"),
            Kind::BreakerOpened => ("Circuit breaker opened", "サーキットブレーカーが作動"),
            Kind::AuditHead => ("Head of the audit log", "監査ログの先頭"),
            Kind::IngestFailed => ("Collection keeps failing", "収集が連続して失敗"),
        };
        self.pick(english, japanese)
    }

    /// Returns a notification as one line.
    pub(crate) fn line(self, notification: &Notification) -> String {
        let over = match notification.is_over {
            true => self.pick("Over: ", "解消: "),
            false => "",
        };
        let detail = notification.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        format!("{over}{}: {}{detail}", self.kind(notification.kind), notification.subject)
    }

    /// Returns the number of notifications, and how many of each kind.
    pub(crate) fn counts(self, counts: &BTreeMap<NotificationKind, u64>) -> String {
        let each = |(kind, count): (&NotificationKind, &u64)| format!("{count} × {}", self.kind(*kind));
        let parts: Vec<String> = counts.iter().map(each).collect();
        parts.join(self.pick(", ", "、"))
    }

    /// Says that there are more notifications than shown.
    pub(crate) fn more(self, more: u64) -> String {
        self.pick(format!("and {more} more"), format!("他{more}件"))
    }

    /// Says that a digest has more numbers than are shown.
    pub(crate) fn left_out(self, more: u64) -> String {
        self.pick(
            format!("and {more} more numbers and notes, which the page shows"),
            format!("他{more}件の数値と注目点はページにあります"),
        )
    }

    /// Says that a message has more lines than its service takes.
    pub(crate) fn more_lines(self, more: usize) -> String {
        self.pick(
            format!("and {more} more lines, which the page shows"),
            format!("他{more}行はページにあります"),
        )
    }

    /// Says why notifications come late.
    pub(crate) fn held(self, since: DateTime<Utc>, why: &str) -> String {
        let since = since.format("%Y-%m-%d %H:%M UTC");
        self.pick(
            format!("Held since {since}, because this channel did not work: {why}"),
            format!("{since}から保留（このチャンネルに送信できなかったため: {why}）"),
        )
    }

    /// The text of a test message.
    pub(crate) fn test(self, channel: &str) -> String {
        self.pick(format!("Test of the channel {channel}"), format!("チャンネル {channel} のテスト"))
    }

    /// The title of a digest. Its last day is inclusive.
    pub(crate) fn digest(self, digest: &DigestContent) -> String {
        let last = digest.until.pred_opt().unwrap_or(digest.until);
        let days =
            if last == digest.since { last.to_string() } else { format!("{} – {last}", digest.since) };
        self.pick(format!("Digest {}: {days}", digest.name), format!("ダイジェスト {}: {days}", digest.name))
    }

    /// Says what the picture of a digest shows.
    pub(crate) fn picture(self, request: &PictureRequest) -> String {
        let last = request.until.pred_opt().unwrap_or(request.until);
        format!("{}: {} – {last}", self.metric(&request.metric), request.since)
    }

    /// The heading of the notes.
    pub(crate) fn notes(self) -> &'static str {
        self.pick("Worth a look", "注目")
    }

    /// Returns a number with its change.
    pub(crate) fn number(self, number: &DigestNumber) -> String {
        let name = self.metric(&number.metric);
        let value = self.value(number.value, number.is_hours);
        match (number.value, number.previous) {
            (Some(now), Some(before)) => {
                let sign = if now > before { "+" } else { "" };
                let change =
                    if now == before { "±0".to_owned() } else { format!("{sign}{}", round(now - before)) };
                format!("{name}: {value} ({change})")
            }
            _ => format!("{name}: {value}"),
        }
    }

    fn value(self, value: Option<f64>, is_hours: bool) -> String {
        match value {
            None => self.pick("none", "なし").to_owned(),
            Some(value) if is_hours => format!("{} h", round(value)),
            Some(value) => round(value),
        }
    }

    /// Returns what a note says.
    pub(crate) fn note(self, note: &DigestNote) -> String {
        let subject = note.subject.as_ref().map(|subject| format!("{subject}: ")).unwrap_or_default();
        let (value, other) = (round(note.value), round(note.compared_with));
        let name = self.metric(&note.metric);
        let text = match note.rule {
            NoteRule::SlowerThanUsual => self.pick(
                format!("{name} is {value} h, more than twice the usual {other} h"),
                format!("{name}は{value}時間で、通常の{other}時間の2倍を超えています"),
            ),
            NoteRule::DeploysFailed => self.pick(
                format!("{value} of {other} deployments failed"),
                format!("デプロイ{other}件のうち{value}件が失敗しました"),
            ),
            NoteRule::FewReviews => self.pick(
                format!("{value} reviews of {other} merged pull requests"),
                format!("マージされたプルリクエスト{other}件に対し、レビューは{value}件です"),
            ),
            NoteRule::Incomplete => self.pick(
                "The data of these days is not complete yet; numbers can grow".to_owned(),
                "この期間のデータはまだ揃っていません。数値は増える可能性があります".to_owned(),
            ),
        };
        format!("{subject}{text}")
    }

    /// Returns the name of a metric.
    fn metric(self, name: &str) -> String {
        let (english, japanese) = match name {
            "commits" => ("Commits", "コミット"),
            "lines_changed" => ("Lines changed", "変更行数"),
            "prs_opened" => ("Pull requests opened", "作成されたプルリクエスト"),
            "prs_merged" => ("Pull requests merged", "マージされたプルリクエスト"),
            "reviews" => ("Reviews", "レビュー"),
            "issues_opened" => ("Issues opened", "作成されたイシュー"),
            "issues_closed" => ("Issues closed", "クローズされたイシュー"),
            "releases" => ("Releases", "リリース"),
            "deploys" => ("Deployments", "デプロイ"),
            "deploy_failures" => ("Failed deployments", "失敗したデプロイ"),
            "active_members" => ("Active members", "活動メンバー"),
            "cycle_time_hours" => ("Median cycle time", "サイクルタイムの中央値"),
            "first_review_hours" => ("Median time to first review", "最初のレビューまでの中央値"),
            other => return other.to_owned(),
        };
        self.pick(english, japanese).to_owned()
    }
}

/// Returns a number with at most one decimal.
fn round(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    if rounded.fract() == 0.0 { format!("{rounded:.0}") } else { format!("{rounded:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_change() {
        let number = |value, previous| DigestNumber {
            metric: "cycle_time_hours".to_owned(),
            subject: None,
            value,
            previous,
            is_hours: true,
            link: String::new(),
        };
        let text = |value, previous| Texts(Language::English).number(&number(value, previous));
        assert_eq!(text(Some(12.34), Some(10.0)), "Median cycle time: 12.3 h (+2.3)");
        assert_eq!(text(Some(8.0), Some(10.0)), "Median cycle time: 8 h (-2)");
        assert_eq!(text(Some(8.0), Some(8.0)), "Median cycle time: 8 h (±0)");
        assert_eq!(text(None, Some(8.0)), "Median cycle time: none");
    }

    #[test]
    fn every_kind_has_a_name_in_each_language() {
        for kind in NotificationKind::ALL {
            let [english, japanese] = [Language::English, Language::Japanese].map(|it| Texts(it).kind(kind));
            assert!(english.is_ascii() && !japanese.is_ascii(), "{kind:?}");
        }
    }
}
