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
