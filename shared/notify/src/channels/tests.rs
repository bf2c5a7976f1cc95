use gam_model::NotificationKind;
use gam_model::notify::Language;
use serde_json::Value;

use super::*;
use crate::channel_state::{ChannelState, ChannelStep, MessageContent, PendingGroup};
use crate::digest::{DigestContent, DigestNote, DigestNumber, NoteRule};
use crate::message::{MessageView, digest_message, group_message};
use crate::notification::Notification;
use crate::picture::Picture;

const ATTACK: &str = "<!channel> @everyone *bold* [x](http://evil) </script>\r\nBcc: a@b \u{202e}gnp";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn channel(kind: &str, rest: &str) -> ChannelSettings {
    let text = format!("[[notify.channels]]\nname = \"ops\"\ntype = \"{kind}\"\n{rest}\nwait_seconds = 0\n");
    gam_model::configuration::Configuration::parse_stored(&text).unwrap().notify.channels[0].clone()
}

fn view(language: Language) -> MessageView<'static> {
    let base_url = Some("https://m.example.com/");
    let approval_links = [("acme.1".to_owned(), "https://m.example.com/approve?token=t".to_owned())].into();
    MessageView { org: "acme", language, base_url, approval_links }
}

fn group(notifications: &[Notification]) -> PendingGroup {
    let mut state = ChannelState::default();
    let now = at("2026-03-02T12:00:00Z");
    notifications.iter().for_each(|notification| state.add(notification, now));
    let settings = channel("slack", "url = \"NOTIFY_A\"");
    match state.next_step(&settings, gam_model::TimeZone::UTC, now, &"0".repeat(32)) {
        ChannelStep::Send(message) => match message.content {
            MessageContent::Group(group) => group,
            MessageContent::Digest(_) => panic!("a digest"),
        },
        other => panic!("{other:?}"),
    }
}

fn message(language: Language) -> RichMessage {
    let time = at("2026-03-02T11:59:00Z");
    let mut wanted =
        Notification::new("1", NotificationKind::ApprovalWanted, time, "action acme.1 approve-merge-pr")
            .about(Some("site"), Some(42))
            .with_detail("0 of 1")
            .with_link("/orgs/acme/actions");
    wanted.action_id = Some("acme.1".to_owned());
    let failed =
        Notification::new("2", NotificationKind::TaskFailed, time, ATTACK).with_link("/orgs/acme/tasks");
    let mut group = group(&[failed, wanted]);
    group.held = Some("Slack answered 503".to_owned());
    let mut message = group_message(&group, &view(language));
    message.id = "0123456789abcdef0123456789abcdef".to_owned();
    message
}

fn digest(language: Language) -> RichMessage {
    let number = |metric: &str, value, previous, is_hours| DigestNumber {
        metric: metric.to_owned(),
        subject: None,
        value,
        previous,
        is_hours,
        link: "/orgs/acme?since=2026-02-23&until=2026-03-02".to_owned(),
    };
    let note = DigestNote {
        rule: NoteRule::SlowerThanUsual,
        subject: Some("site".to_owned()),
        metric: "cycle_time_hours".to_owned(),
        value: 30.0,
        compared_with: 12.0,
        link: "/orgs/acme/repos/site?since=2026-02-23&until=2026-03-02".to_owned(),
    };
    let content = DigestContent {
        name: "weekly".to_owned(),
        made_at: at("2026-03-02T09:00:00Z"),
        since: "2026-02-23".parse().unwrap(),
        until: "2026-03-02".parse().unwrap(),
        numbers: vec![
            number("prs_merged", Some(21.0), Some(14.0), false),
            number("cycle_time_hours", Some(30.04), None, true),
        ],
        notes: vec![note],
        left_out: 0,
    };
    let mut message = digest_message(&content, &view(language));
    message.id = "0123456789abcdef0123456789abcdef".to_owned();
    message
}

/// A digest with a picture, whose bytes are no PNG.
fn digest_with_picture(language: Language) -> RichMessage {
    let picture =
        Picture { png: b"PNG".to_vec(), description: "Commits: 2026-02-02 – 2026-03-01".to_owned() };
    RichMessage { picture: Some(picture), ..digest(language) }
}

fn secrets(pairs: &[(&str, &str)]) -> ChannelSecrets {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned().into())).collect()
}

fn json(request: &HttpPost) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

fn snapshot(name: &str, text: &str) {
    // Invisible characters are part of what a channel gets.
    let visible: String = text
        .chars()
        .flat_map(|it| if it == '\u{200B}' { "<ZWSP>".chars().collect() } else { vec![it] })
        .collect();
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "../snapshots" }, {
        insta::assert_snapshot!(name, visible);
    });
}

fn pretty(request: &HttpPost) -> String {
    serde_json::to_string_pretty(&json(request)).unwrap()
}

#[test]
fn messages_of_slack() {
    let channel = channel("slack", "url = \"NOTIFY_A\"");
    let secrets = secrets(&[("NOTIFY_A", "https://hooks.slack.com/services/x")]);
    for (name, message) in
        [("slack_group", message(Language::English)), ("slack_digest_ja", digest(Language::Japanese))]
    {
        snapshot(name, &pretty(&slack::request(&channel, Values(&secrets), &message).unwrap()));
    }
}

#[test]
fn messages_of_discord() {
    let channel = channel("discord", "url = \"NOTIFY_A\"");
    let secrets = secrets(&[("NOTIFY_A", "https://discord.com/api/webhooks/x")]);
    let request = discord::request(&channel, Values(&secrets), &message(Language::Japanese)).unwrap();
    snapshot("discord_group_ja", &pretty(&request));
    let request = discord::request(&channel, Values(&secrets), &digest(Language::English)).unwrap();
    snapshot("discord_digest", &pretty(&request));
    assert_eq!(request.content_type, "application/json");
}

#[test]
fn a_picture_is_a_file_of_a_discord_message_and_of_a_mail() {
    let secrets = secrets(&[
        ("NOTIFY_A", "https://discord.com/api/webhooks/x"),
        ("NOTIFY_S", "smtps://h"),
        ("NOTIFY_F", "m@example.com"),
        ("NOTIFY_R", "t@example.com"),
        ("NOTIFY_T", "t"),
    ]);
    let message = digest_with_picture(Language::English);
    let discord = channel("discord", "url = \"NOTIFY_A\"");
    let request = discord::request(&discord, Values(&secrets), &message).unwrap();
    let boundary = "message-0123456789abcdef0123456789abcdef";
    assert_eq!(request.content_type, format!("multipart/form-data; boundary={boundary}"));
    snapshot("discord_digest_picture", &String::from_utf8(request.body).unwrap().replace("\r\n", "\n"));

    let mail = channel("email", "url = \"NOTIFY_S\"\nfrom = \"NOTIFY_F\"\nto = \"NOTIFY_R\"");
    let mail = email::mail(&mail, Values(&secrets), &message).unwrap();
    assert_eq!(mail.picture.as_deref(), Some(&b"PNG"[..]));
    snapshot("mail_digest_picture", &mail.html.replace("><", ">\n<"));

    // Slack and LINE show pictures by their address only.
    assert!(!shows_pictures(ChannelKind::Slack) && !shows_pictures(ChannelKind::Line));
    let slack = channel("slack", "url = \"NOTIFY_A\"");
    let slack_request =
        |message: &RichMessage| slack::request(&slack, Values(&secrets), message).unwrap().body;
    assert_eq!(slack_request(&message), slack_request(&digest(Language::English)));
}

#[test]
fn messages_of_line() {
    let channel = channel("line", "token = \"NOTIFY_T\"\nto = \"NOTIFY_U\"");
    let secrets = secrets(&[("NOTIFY_T", "hunter2"), ("NOTIFY_U", "U1")]);
    let request = line::request(&channel, Values(&secrets), &message(Language::Japanese)).unwrap();
    assert_eq!(request.url.as_str(), "https://api.line.me/v2/bot/message/push");
    let key = ("x-line-retry-key", "01234567-89ab-4def-8123-456789abcdef".to_owned());
    assert_eq!(request.headers, [("authorization", "Bearer hunter2".to_owned()), key]);
    assert!(!format!("{request:?}").contains("hunter2"));
    snapshot("line_group_ja", &pretty(&request));
}

#[test]
fn messages_of_webhooks() {
    let channel =
        channel("webhook", "url = \"NOTIFY_A\"\nsigning_secrets = [\"NOTIFY_NEW\", \"NOTIFY_OLD\"]");
    let key = |letter: &str| format!("whsec_{}", letter.repeat(44).replace("AAAA", "QUFB"));
    let all = [("NOTIFY_A", "https://example.com/in"), ("NOTIFY_NEW", &key("A")), ("NOTIFY_OLD", &key("Q"))];
    let request = webhook::request(
        &channel,
        Values(&secrets(&all)),
        &message(Language::English),
        at("2026-03-02T12:00:30Z"),
    )
    .unwrap();
    let header = |name: &str| request.headers.iter().find(|(header, _)| *header == name).unwrap().1.clone();
    assert_eq!(header("webhook-id"), "msg_0123456789abcdef0123456789abcdef");
    assert_eq!(header("webhook-timestamp"), "1772452830");
    assert_eq!(header("webhook-signature").split(" v1,").count(), 2, "while one secret replaces another");
    snapshot("webhook_group", &pretty(&request));
    let short =
        secrets(&[("NOTIFY_A", "https://example.com"), ("NOTIFY_NEW", "hunter2"), ("NOTIFY_OLD", "x")]);
    let error =
        webhook::request(&channel, Values(&short), &message(Language::English), at("2026-03-02T12:00:30Z"));
    let error = error.err().unwrap();
    assert!(error.contains("NOTIFY_NEW") && !error.contains("hunter2"), "{error}");
}

#[test]
fn mails() {
    let channel = channel("email", "url = \"NOTIFY_S\"\nfrom = \"NOTIFY_F\"\nto = \"NOTIFY_R\"");
    let secrets = secrets(&[
        ("NOTIFY_S", "smtps://u:hunter2@h"),
        ("NOTIFY_F", "m@example.com"),
        ("NOTIFY_R", "t@example.com"),
    ]);
    for (name, message) in
        [("mail_group", message(Language::English)), ("mail_digest_ja", digest(Language::Japanese))]
    {
        let mail = email::mail(&channel, Values(&secrets), &message).unwrap();
        assert!(!format!("{mail:?}").contains("hunter2") && !format!("{mail:?}").contains("approve"));
        assert!(!mail.subject.contains(['\r', '\n']));
        snapshot(name, &format!("{}\n\n{}\n{}", mail.subject, mail.text, mail.html.replace("><", ">\n<")));
    }
}

#[test]
fn messages_stay_within_the_limits_of_each_service() {
    let long = "語*<@".repeat(2_000);
    let many: Vec<Notification> = (0..500)
        .map(|id| {
            Notification::new(
                id.to_string(),
                NotificationKind::ActionFailed,
                at("2026-03-02T12:00:00Z"),
                &long,
            )
        })
        .collect();
    let message = {
        let mut message = group_message(&group(&many), &view(Language::Japanese));
        message.id = "0".repeat(32);
        message.lines = message.lines.iter().cycle().take(100).cloned().collect();
        message
    };
    let urls = secrets(&[("NOTIFY_A", "https://example.com"), ("NOTIFY_T", "t"), ("NOTIFY_U", "u")]);
    let slack =
        json(&slack::request(&channel("slack", "url = \"NOTIFY_A\""), Values(&urls), &message).unwrap());
    assert!(
        slack.to_string().chars().count() < 13_200 * 2 && slack["blocks"].as_array().unwrap().len() <= 50
    );
    let texts: usize = slack["blocks"][1]["elements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|section| section["elements"][0]["text"].as_str().unwrap().chars().count())
        .sum();
    assert!(texts < 13_200, "{texts}");
    assert_counts_the_others(slack["blocks"][1]["elements"].as_array().unwrap().iter().map(|section| {
        (section["elements"][0]["text"].as_str().unwrap(), section["elements"][0]["url"].as_str())
    }));
    assert!(slack["blocks"][0]["text"]["text"].as_str().unwrap().chars().count() <= 150);
    let discord =
        json(&discord::request(&channel("discord", "url = \"NOTIFY_A\""), Values(&urls), &message).unwrap());
    let chars = |field: &str| discord["embeds"][0][field].as_str().unwrap().chars().count();
    assert!(
        chars("title") <= 256
            && chars("description") <= 4_096
            && chars("title") + chars("description") <= 6_000
    );
    let link = "https://m.example.com/orgs/acme/notifications";
    let described = discord["embeds"][0]["description"].as_str().unwrap();
    assert_counts_the_others(described.lines().map(
        |line| match line.strip_suffix(&format!("](<{link}>)")) {
            Some(text) => (text.trim_start_matches('['), Some(link)),
            None => (line, None),
        },
    ));
    let line = channel("line", "token = \"NOTIFY_T\"\nto = \"NOTIFY_U\"");
    let line = json(&line::request(&line, Values(&urls), &message).unwrap());
    let units = line["messages"][0]["text"].as_str().unwrap().encode_utf16().count();
    assert!((1..=5_000).contains(&units), "{units}");
    let text = line["messages"][0]["text"].as_str().unwrap();
    let lines: Vec<&str> = text.lines().skip(1).collect();
    let (url, lines) = lines.split_last().unwrap();
    let last = lines.len() - 1;
    assert_counts_the_others(lines.iter().enumerate().map(|(at, it)| (*it, (at == last).then_some(*url))));
}

/// The last line of a message of 100 lines says how many are left out, and links to the page. `lines` are texts and links.
#[track_caller]
fn assert_counts_the_others<'a>(lines: impl Iterator<Item = (&'a str, Option<&'a str>)>) {
    let lines: Vec<_> = lines.collect();
    let shown = lines.len() - 1;
    assert!((1..100).contains(&shown), "{shown}");
    let (text, link) = lines[shown];
    assert_eq!(text, format!("他{}行はページにあります", 100 - shown));
    assert_eq!(link, Some("https://m.example.com/orgs/acme/notifications"));
}

#[test]
fn a_message_that_fits_leaves_nothing_out_and_no_heading_stands_alone() {
    let mut message = digest(Language::English);
    let texts = |message: &RichMessage, max| -> Vec<String> {
        message.lines_within(max, |_| 1).into_iter().map(|line| line.text).collect()
    };
    let all: Vec<String> = message.lines.iter().map(|line| line.text.clone()).collect();
    assert_eq!(texts(&message, 5), all);
    let others = |count: usize| format!("and {count} more lines, which the page shows");
    assert_eq!(texts(&message, 4), [all[0].clone(), all[1].clone(), all[2].clone(), others(2)]);
    assert_eq!(texts(&message, 2), [others(5)], "a heading belongs to what follows");
    message.lines.truncate(1);
    assert_eq!(texts(&message, 1), ["acme"]);
}
