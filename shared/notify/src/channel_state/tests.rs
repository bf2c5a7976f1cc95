use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    // 12:00 UTC.
    let noon: DateTime<Utc> = "2026-03-02T12:00:00Z".parse().unwrap();
    noon + TimeDelta::seconds(seconds)
}

fn channel(rest: &str) -> ChannelSettings {
    let text = format!("[[notify.channels]]\nname = \"ops\"\ntype = \"slack\"\nurl = \"NOTIFY_A\"\n{rest}");
    gam_model::configuration::Configuration::parse_stored(&text).unwrap().notify.channels[0].clone()
}

fn notification(id: &str, kind: NotificationKind) -> Notification {
    Notification::new(id, kind, at(0), format!("subject {id}"))
}

const FAILED: NotificationKind = NotificationKind::ActionFailed;
const WANTED: NotificationKind = NotificationKind::ApprovalWanted;

fn step(state: &mut ChannelState, settings: &ChannelSettings, seconds: i64) -> ChannelStep {
    state.next_step(settings, TimeZone::UTC, at(seconds), &format!("{seconds:032}"))
}

#[track_caller]
fn group(step: ChannelStep) -> (String, PendingGroup) {
    match step {
        ChannelStep::Send(message) => match message.content {
            MessageContent::Group(group) => (message.id, group),
            MessageContent::Digest(_) => panic!("a digest"),
        },
        other => panic!("{other:?}"),
    }
}

fn busy(seconds: f64) -> SendOutcome {
    SendOutcome::Busy { why: "429".to_owned(), after: Some(Duration::from_secs_f64(seconds)) }
}

#[test]
fn notifications_wait_for_others_and_keep_an_interval() {
    let (settings, mut state) = (channel(""), ChannelState::default());
    assert_eq!(step(&mut state, &settings, 0), ChannelStep::Idle);
    for id in 0..25 {
        state.add(&notification(&id.to_string(), FAILED), at(id));
    }
    assert_eq!(step(&mut state, &settings, 29), ChannelStep::Wait(at(30)));
    let (id, first) = group(step(&mut state, &settings, 30));
    assert_eq!((first.len(), first.shown.len(), first.shown[0].id.as_str()), (25, MAX_SHOWN, "0"));
    state.finish(&id, &SendOutcome::Sent, at(31)).unwrap();
    state.add(&notification("late", FAILED), at(32));
    assert_eq!(
        step(&mut state, &settings, 100),
        ChannelStep::Wait(at(331)),
        "five minutes after the last message"
    );
    assert_eq!(group(step(&mut state, &settings, 331)).1.len(), 1);
}

#[test]
fn only_urgent_notifications_are_sent_in_quiet_hours() {
    let settings = channel("quiet_hours = \"11:00-13:00\"\ninterval_minutes = 0\n");
    let mut state = ChannelState::default();
    state.add(&notification("a", FAILED), at(0));
    state.add(&notification("b", WANTED), at(0));
    let (id, urgent) = group(step(&mut state, &settings, 30));
    assert_eq!((urgent.len(), urgent.shown[0].kind), (1, WANTED));
    state.finish(&id, &SendOutcome::Sent, at(31)).unwrap();
    assert_eq!(step(&mut state, &settings, 60), ChannelStep::Wait(at(3_600)));
    assert_eq!(group(step(&mut state, &settings, 3_600)).1.shown[0].kind, FAILED);
}

#[test]
fn a_message_is_tried_again_under_its_id_and_then_held() {
    let settings = channel("wait_seconds = 0\ninterval_minutes = 0\n");
    let mut state = ChannelState::default();
    state.add(&notification("a", FAILED), at(0));
    let (id, _) = group(step(&mut state, &settings, 0));
    assert_eq!(step(&mut state, &settings, 1), ChannelStep::Wait(at(90)), "another process does not send it");
    state.finish(&id, &busy(0.5), at(1)).unwrap();
    assert_eq!(step(&mut state, &settings, 1), ChannelStep::Wait(at(1) + TimeDelta::milliseconds(500)));
    assert_eq!(group(step(&mut state, &settings, 2)).0, id);
    let failed = SendOutcome::failed("503");
    let mut now = 2;
    for attempt in 1..=3 {
        let result = state.finish(&id, &failed, at(now)).unwrap();
        let opened = if attempt == 3 { BreakerChange::Opened } else { BreakerChange::None };
        assert_eq!((result.breaker, result.ended), (opened, None), "{attempt}");
        state.add(&notification(&format!("during {attempt}"), WANTED), at(now));
        now += 20;
        if attempt < 3 {
            assert_eq!(group(step(&mut state, &settings, now)).0, id);
        }
    }
    assert_eq!(step(&mut state, &settings, now), ChannelStep::Wait(at(42 + 60)), "the breaker is open");
    let (later, all) = group(step(&mut state, &settings, 102));
    assert_ne!(later, id);
    assert_eq!((all.len(), all.held.as_deref(), all.shown[0].kind), (4, Some("503"), WANTED));
    assert_eq!(state.finish(&id, &SendOutcome::Sent, at(103)), None, "an answer that comes too late");
    let sent = state.finish(&later, &SendOutcome::Sent, at(103)).unwrap();
    assert_eq!(sent.breaker, BreakerChange::Closed);
    assert!(!state.has_work());
}

#[test]
fn a_message_of_a_process_that_died_is_sent_by_another() {
    let settings = channel("wait_seconds = 0\n");
    let mut state = ChannelState::default();
    state.add(&notification("a", FAILED), at(0));
    let (id, content) = group(step(&mut state, &settings, 0));
    let stored = serde_json::to_string(&state).unwrap();
    let mut state: ChannelState = serde_json::from_str(&stored).unwrap();
    assert_eq!(group(step(&mut state, &settings, 90)), (id, content));
}

#[test]
fn a_refused_message_is_dropped_and_a_refused_channel_holds() {
    let settings = channel("wait_seconds = 0\ninterval_minutes = 0\n");
    let mut state = ChannelState::default();
    state.add(&notification("a", FAILED), at(0));
    let (id, _) = group(step(&mut state, &settings, 0));
    let refused = SendOutcome::MessageRefused { why: "400".to_owned() };
    assert!(state.finish(&id, &refused, at(1)).unwrap().ended.is_some());
    assert!(!state.has_work() && !state.breaker.is_open());
    state.add(&notification("b", FAILED), at(2));
    let (id, _) = group(step(&mut state, &settings, 2));
    let result = state.finish(&id, &SendOutcome::refused("404"), at(3)).unwrap();
    assert_eq!((result.breaker, result.ended), (BreakerChange::Opened, None));
    assert!(state.has_work(), "the notification is not lost");
    assert_eq!(step(&mut state, &settings, 3_600), ChannelStep::Wait(at(3) + TimeDelta::hours(6)));
}

#[test]
fn a_channel_that_is_always_busy_counts_as_failing() {
    let settings = channel("wait_seconds = 0\n");
    let mut state = ChannelState::default();
    state.add(&notification("a", FAILED), at(0));
    let mut now = 0;
    while !state.breaker.is_open() {
        let (id, _) = group(step(&mut state, &settings, now));
        state.finish(&id, &busy(1.0), at(now)).unwrap();
        now += 1;
        assert!(now < 20, "the breaker never opens");
    }
    assert_eq!(now, 7);
}

#[test]
fn a_failed_probe_of_a_refused_channel_waits_again() {
    let settings = channel("wait_seconds = 0\n");
    let mut state = ChannelState::default();
    state.add(&notification("a", FAILED), at(0));
    let (id, _) = group(step(&mut state, &settings, 0));
    state.finish(&id, &SendOutcome::refused("404"), at(0)).unwrap();
    let mut now = 6 * 3_600;
    for pause in [120, 240, 480] {
        let (id, _) = group(step(&mut state, &settings, now));
        let result = state.finish(&id, &SendOutcome::failed("503"), at(now)).unwrap();
        assert_eq!(result.breaker, BreakerChange::None, "it is reported once");
        assert_eq!(step(&mut state, &settings, now), ChannelStep::Wait(at(now + pause)), "{pause}");
        now += pause;
    }
}

fn digest(name: &str, bytes: usize) -> DigestContent {
    let number = crate::digest::DigestNumber {
        metric: "x".repeat(bytes),
        subject: None,
        value: None,
        previous: None,
        is_hours: false,
        link: String::new(),
    };
    DigestContent { name: name.to_owned(), made_at: at(0), numbers: vec![number], ..DigestContent::default() }
}

fn names(digests: &[DigestContent]) -> Vec<&str> {
    digests.iter().map(|digest| digest.name.as_str()).collect()
}

#[test]
fn the_oldest_digests_are_dropped_and_returned_when_too_many_wait() {
    let mut state = ChannelState::default();
    for number in 0..MAX_WAITING_DIGESTS {
        assert!(state.add_digest(digest(&number.to_string(), 1)).is_empty(), "{number}");
    }
    assert_eq!(names(&state.add_digest(digest("more", 1))), ["0"]);
    // One that failed comes back while newer ones fill the queue.
    let settings = channel("wait_seconds = 0\ninterval_minutes = 0\n");
    let ChannelStep::Send(message) = step(&mut state, &settings, 0) else { panic!("nothing is sent") };
    assert!(state.add_digest(digest("last", 1)).is_empty());
    let result = state.finish(&message.id, &SendOutcome::refused("404"), at(1)).unwrap();
    assert_eq!((names(&result.dropped), state.digests.len()), (vec!["1"], MAX_WAITING_DIGESTS));
    assert_eq!(names(&state.add_digest(digest("again", 1))), ["2"], "the bound still holds");
}

#[test]
fn digests_that_wait_fit_into_a_record() {
    let mut state = ChannelState::default();
    let dropped: usize =
        (0..MAX_WAITING_DIGESTS).map(|it| state.add_digest(digest(&it.to_string(), 50_000)).len()).sum();
    assert_eq!((dropped + state.digests.len(), state.digests.len()), (MAX_WAITING_DIGESTS, 3));
    assert!(serde_json::to_string(&state).unwrap().len() < 200_000);
}

#[test]
fn a_digest_keeps_its_id_when_it_is_held_and_is_not_sent_after_every_group() {
    let settings = channel("wait_seconds = 0\ninterval_minutes = 5\n");
    let mut state = ChannelState::default();
    assert!(state.add_digest(digest("weekly", 1)).is_empty());
    let ChannelStep::Send(first) = step(&mut state, &settings, 0) else { panic!("nothing is sent") };
    state.finish(&first.id, &SendOutcome::refused("404"), at(0)).unwrap();
    // Something happens all the time meanwhile.
    state.add(&notification("a", FAILED), at(60));
    let ChannelStep::Send(second) = step(&mut state, &settings, 6 * 3_600) else { panic!("nothing is sent") };
    assert!(matches!(second.content, MessageContent::Digest(_)), "the older one comes first");
    assert_eq!(second.id, first.id);
    state.finish(&second.id, &SendOutcome::Sent, at(6 * 3_600)).unwrap();
    assert_eq!(group(step(&mut state, &settings, 6 * 3_600 + 300)).1.len(), 1);
}
