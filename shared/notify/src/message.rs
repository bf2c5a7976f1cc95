//! What a message says, before a channel gives it its form.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use gam_model::Severity;
use gam_model::notify::Language;
use serde_json::{Value, json};

use crate::channel_state::PendingGroup;
use crate::digest::DigestContent;
use crate::notification::Notification;
use crate::picture::Picture;
use crate::plain_text::one_line;
use crate::text::Texts;

/// One line of a message. Its text is plain: no control characters, and no markup of any channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageLine {
    /// The text.
    pub text: String,
    /// The page that proves it.
    pub link: Option<String>,
    /// Whether it begins a part of the message.
    pub is_heading: bool,
}

impl MessageLine {
    fn new(text: impl AsRef<str>, link: Option<String>) -> Self {
        MessageLine { text: one_line(text.as_ref()), link, is_heading: false }
    }

    fn heading(text: impl AsRef<str>) -> Self {
        MessageLine { is_heading: true, ..MessageLine::new(text, None) }
    }
}

/// A message, as every channel gets it.
#[derive(Debug, Clone, PartialEq)]
pub struct RichMessage {
    /// 32 hexadecimal digits. The same for each attempt.
    pub id: String,
    /// When it was made, UTC.
    pub made_at: DateTime<Utc>,
    /// The title.
    pub title: String,
    /// How urgent it is.
    pub severity: Severity,
    /// The lines.
    pub lines: Vec<MessageLine>,
    /// The page that shows all of it.
    pub link: Option<String>,
    /// The language of the texts.
    pub language: Language,
    /// A picture, for channels that show one.
    pub picture: Option<Picture>,
    /// The type and the data for programs.
    pub data: (&'static str, Value),
}

impl RichMessage {
    /// Returns the lines that fit into a message of a service, and then one that counts the others. `size` returns how much
    /// of `max` a line takes.
    pub(crate) fn lines_within(&self, max: usize, size: impl Fn(&MessageLine) -> usize) -> Vec<MessageLine> {
        if self.lines.iter().map(&size).sum::<usize>() <= max {
            return self.lines.clone();
        }
        let count_of_others =
            |count| MessageLine::new(Texts(self.language).more_lines(count), self.link.clone());
        let mut left = max.saturating_sub(size(&count_of_others(self.lines.len())));
        let fits = self.lines.iter().take_while(|line| {
            let rest = left.checked_sub(size(line));
            left = rest.unwrap_or_default();
            rest.is_some()
        });
        let mut lines: Vec<MessageLine> = fits.cloned().collect();
        // A heading belongs to what follows.
        while lines.pop_if(|line| line.is_heading).is_some() {}
        lines.push(count_of_others(self.lines.len() - lines.len()));
        lines
    }
}

/// Who reads a message.
pub(crate) struct MessageView<'a> {
    /// The storage key of the organization.
    pub(crate) org: &'a str,
    /// The language.
    pub(crate) language: Language,
    /// The address of the page.
    pub(crate) base_url: Option<&'a str>,
    /// The links with which the reader decides on actions, by the actions' ids.
    pub(crate) approval_links: BTreeMap<String, String>,
}

impl MessageView<'_> {
    /// Returns the URL of a link: a path becomes one of the page.
    fn url(&self, link: &str) -> Option<String> {
        if link.starts_with("https://") || link.starts_with("http://") {
            return Some(link.to_owned());
        }
        Some(format!("{}{link}", self.base_url?.trim_end_matches('/')))
    }

    fn link_of(&self, notification: &Notification) -> Option<String> {
        let approval = notification.action_id.as_ref().and_then(|id| self.approval_links.get(id).cloned());
        approval.or_else(|| self.url(notification.link.as_deref()?))
    }
}

/// Returns the message of a group.
pub(crate) fn group_message(group: &PendingGroup, view: &MessageView<'_>) -> RichMessage {
    let texts = Texts(view.language);
    let what = match (group.len(), &group.shown[..]) {
        (1, [only]) => texts.line(only),
        _ => texts.counts(&group.counts),
    };
    let mut lines: Vec<MessageLine> = group
        .shown
        .iter()
        .map(|notification| MessageLine::new(texts.line(notification), view.link_of(notification)))
        .collect();
    let more = group.len() - group.shown.len() as u64;
    if more > 0 {
        let link = view.url(&format!("/orgs/{}/notifications", view.org));
        lines.push(MessageLine::new(texts.more(more), link));
    }
    if let Some(why) = &group.held {
        lines.push(MessageLine::new(texts.held(group.since, why), None));
    }
    let shown = group.shown.iter().map(|notification| {
        let mut value = serde_json::to_value(notification).unwrap_or_default();
        value["link"] = json!(view.link_of(notification));
        value
    });
    let data = json!({
        "org": view.org,
        "counts": group.counts,
        "notifications": shown.collect::<Vec<_>>(),
        "held": group.held,
    });
    RichMessage {
        id: String::new(),
        made_at: group.since,
        title: one_line(&format!("[{}] {what}", view.org)),
        severity: group.severity(),
        lines,
        link: view.url(&format!("/orgs/{}/notifications", view.org)),
        language: view.language,
        picture: None,
        data: ("notifications", data),
    }
}

/// Returns the message of a digest.
pub(crate) fn digest_message(digest: &DigestContent, view: &MessageView<'_>) -> RichMessage {
    let texts = Texts(view.language);
    let mut lines = Vec::new();
    let mut subject: Option<&Option<String>> = None;
    for number in &digest.numbers {
        if subject != Some(&number.subject) {
            let name = number.subject.as_deref().unwrap_or(view.org);
            lines.push(MessageLine::heading(name));
            subject = Some(&number.subject);
        }
        lines.push(MessageLine::new(texts.number(number), view.url(&number.link)));
    }
    if !digest.notes.is_empty() {
        lines.push(MessageLine::heading(texts.notes()));
        let notes = digest.notes.iter().map(|note| MessageLine::new(texts.note(note), view.url(&note.link)));
        lines.extend(notes);
    }
    if digest.left_out > 0 {
        lines.push(MessageLine::new(
            texts.left_out(digest.left_out),
            view.url(&format!("/orgs/{}", view.org)),
        ));
    }
    RichMessage {
        id: String::new(),
        made_at: digest.made_at,
        title: one_line(&format!("[{}] {}", view.org, texts.digest(digest))),
        severity: Severity::Info,
        lines,
        link: view.url(&format!("/orgs/{}?since={}&until={}", view.org, digest.since, digest.until)),
        language: view.language,
        picture: None,
        data: ("digest", json!({ "org": view.org, "digest": digest })),
    }
}

/// Returns the message that a person sends to see whether a channel works.
pub(crate) fn test_message(
    org: &str,
    channel: &str,
    id: String,
    language: Language,
    made_at: DateTime<Utc>,
) -> RichMessage {
    let text = Texts(language).test(channel);
    RichMessage {
        id,
        made_at,
        title: one_line(&format!("[{org}] {text}")),
        severity: Severity::Info,
        lines: vec![MessageLine::new(text, None)],
        link: None,
        language,
        picture: None,
        data: ("test", json!({ "org": org, "channel": channel })),
    }
}
