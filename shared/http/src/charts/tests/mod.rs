//! Pictures of fixed data as snapshots, and properties of pictures of any data.

mod any_data;
mod pictures;

use chrono::{Days, NaiveDate};
use gam_model::{Grain, Range};

use super::*;

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a day")
}

fn frame(title: &str, placement: Placement, language: Language, width: u32) -> Frame {
    Frame { title: title.to_owned(), placement, language, width, height: 200 }
}

/// Returns buckets from a day on. The first is incomplete and the last partial, if there are at least three.
fn time(since: &str, grain: Grain, count: usize) -> TimeAxis {
    let first = grain.bucket(day(since));
    let buckets = std::iter::successors(Some(first), |bucket| Some(bucket.next())).take(count);
    let slot = |(at, bucket): (usize, gam_model::Bucket)| Slot {
        start: bucket.start(),
        end: bucket.end(),
        is_partial: count > 2 && at + 1 == count,
        is_incomplete: count > 2 && at == 0,
    };
    TimeAxis { grain, slots: buckets.enumerate().map(slot).collect() }
}

fn series(name: &str, values: &[Option<f64>]) -> NamedSeries {
    NamedSeries { name: name.to_owned(), values: values.to_vec() }
}

/// Parses a chart, and checks what holds for all: a title, no number that is none, nothing that runs or loads.
fn check(svg: &Svg) -> roxmltree::Document<'_> {
    let document = roxmltree::Document::parse(svg.as_str()).unwrap_or_else(|error| panic!("{error}: {svg}"));
    let root = document.root_element();
    assert_eq!(root.tag_name().name(), "svg");
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        let name = node.tag_name().name();
        let allowed =
            ["svg", "title", "desc", "style", "g", "path", "text", "rect", "circle", "line", "polyline"];
        assert!(allowed.contains(&name), "{name} in {svg}");
        for attribute in node.attributes() {
            let value = attribute.value();
            assert!(!value.contains("NaN") && !value.contains("inf"), "{} in {svg}", attribute.name());
            assert!(!attribute.name().starts_with("on") && attribute.name() != "href", "{svg}");
        }
    }
    document
}

fn text_of<'a>(document: &'a roxmltree::Document<'_>, element: &str) -> &'a str {
    let node = document.descendants().find(|node| node.has_tag_name(("http://www.w3.org/2000/svg", element)));
    node.and_then(|node| node.text()).unwrap_or_default()
}

#[test]
fn screen_readers_get_title_and_summary() {
    let time = time("2026-10-05", Grain::Week, 3);
    let values = series("api", &[Some(3.0), Some(1200.0), None]);
    for (language, expected) in [
        (Language::English, "5 Oct 2026 – 25 Oct 2026, total 1,203, most 1,200 (12 Oct 2026 – 18 Oct 2026)."),
        (
            Language::Japanese,
            "2026年10月5日〜2026年10月25日、合計 1,203、最大 1,200 (2026年10月12日〜2026年10月18日)。",
        ),
    ] {
        let frame = frame("Commits & <more>", Placement::Inline, language, 680);
        let svg = activity(&frame, &time, Unit::Count, std::slice::from_ref(&values), None);
        let document = check(&svg);
        assert_eq!(document.root_element().attribute("role"), Some("img"));
        assert_eq!(text_of(&document, "title"), "Commits & <more>");
        assert_eq!(text_of(&document, "desc"), expected);
    }
    let [median, p90] = duration_names(Language::English);
    let lines = [series(median, &[Some(1.5), None]), series(p90, &[Some(0.25), Some(72.0)])];
    let frame = frame("Cycle time", Placement::Inline, Language::English, 680);
    let svg = durations(&frame, &self::time("2026-10-01", Grain::Month, 2), Unit::Hours, &lines);
    assert_eq!(
        text_of(&check(&svg), "desc"),
        "1 Oct 2026 – 30 Nov 2026. median 1.5 h (Oct 2026). 90th percentile 3.0 d (Nov 2026)."
    );
}

#[test]
fn a_script_finds_the_slots_of_an_inline_chart() {
    let time = time("2026-10-05", Grain::Day, 4);
    let frame = frame("Commits", Placement::Inline, Language::English, 328);
    let svg = activity(&frame, &time, Unit::Count, &[series("a", &[Some(1.0); 4])], None);
    let document = check(&svg);
    let number = |name: &str| -> f32 {
        let text = document.root_element().attribute(name).unwrap_or_else(|| panic!("{name}"));
        text.parse().expect("a number")
    };
    assert_eq!((number("data-slots"), number("data-top")), (4.0, 8.0));
    assert!((number("data-left") + number("data-width") - 320.0).abs() < 0.2, "{svg}");
    assert_eq!(document.root_element().attribute("class"), Some("chart"));
}

#[test]
fn only_a_chart_that_follows_the_system_has_a_style_sheet() {
    let time = time("2026-10-05", Grain::Day, 4);
    let values = [series("a", &[Some(1.0); 4])];
    for (placement, has_style) in [
        (Placement::Inline, false),
        (Placement::Standalone(Theme::Light), false),
        (Placement::Standalone(Theme::Dark), false),
        (Placement::Standalone(Theme::Auto), true),
    ] {
        let svg = activity(&frame("x", placement, Language::English, 680), &time, Unit::Count, &values, None);
        assert_eq!(
            check(&svg).descendants().any(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "style"))),
            has_style
        );
        assert!(!svg.as_str().contains(" style="), "{svg}");
    }
    assert!(auto_style_source().starts_with("'sha256-"), "{}", auto_style_source());
}

/// A style sheet maps attributes to tokens, so each colour of a chart must be a token.
#[test]
fn every_colour_of_a_chart_is_a_token() {
    let tokens: Vec<_> = palette::chart_tokens().map(|token| token.light).chain(["none", "#FFF"]).collect();
    for svg in pictures::all(Placement::Standalone(Theme::Auto)).into_iter().map(|(_, svg)| svg) {
        for node in check(&svg).descendants() {
            for name in ["fill", "stroke"] {
                if let Some(value) = node.attribute(name) {
                    assert!(tokens.contains(&value), "{name} {value} in {svg}");
                }
            }
        }
    }
}

#[test]
fn a_chart_of_usual_size_is_small() {
    for (name, svg) in pictures::all(Placement::Inline) {
        assert!(svg.as_str().len() < 15_000, "{name}: {}", svg.as_str().len());
    }
}

#[test]
fn numbers_are_written_as_people_write_them() {
    for (value, text) in [(0.0, "0"), (999.4, "999"), (1000.0, "1,000"), (-12_345_678.0, "−12,345,678")] {
        assert_eq!(format_count(value), text);
    }
    assert_eq!((format_count(f64::NAN), format_count(f64::INFINITY)), ("–".to_owned(), "–".to_owned()));
    for (hours, english, japanese) in [
        (0.0, "0 min", "0分"),
        (0.5, "30 min", "30分"),
        (15.34, "15.3 h", "15.3時間"),
        (47.9, "47.9 h", "47.9時間"),
        (72.0, "3.0 d", "3.0日"),
        (48_000.0, "2,000 d", "2,000日"),
    ] {
        assert_eq!(format_hours(hours, Language::English), english);
        assert_eq!(format_hours(hours, Language::Japanese), japanese);
    }
}

#[test]
fn a_day_ends_before_the_next_slot_begins() {
    let range = Range::new(day("2026-09-28"), day("2026-10-05")).expect("a range");
    let slot = Slot { start: range.since(), end: range.until(), is_partial: false, is_incomplete: false };
    assert_eq!(format_slot(&slot, Grain::Week, Language::English), "28 Sep 2026 – 4 Oct 2026");
    assert_eq!(format_slot(&slot, Grain::Month, Language::Japanese), "2026年9月");
    assert_eq!(format_day(range.until() - Days::new(1), Language::Japanese), "2026年10月4日");
}
