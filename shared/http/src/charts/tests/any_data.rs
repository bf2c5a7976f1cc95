//! Charts of any data: valid XML, no number that is none, nothing from outside unescaped.

use proptest::prelude::*;

use super::*;

/// Names as an attacker or an unlucky person would choose them.
const HOSTILE_NAMES: [&str; 9] = [
    "<script>alert(1)</script>",
    "a & b \"c\" 'd' ]]> <!--",
    "x\" onload=\"alert(1)",
    "\u{0}\u{1}\u{1b}[31m\u{7f}\u{85}\u{fffe}\u{ffff}",
    "\u{202e}txt.exe\u{2066}\u{200f}",
    "مستودع שלום",
    "東京タワー🗼",
    "{c} {t} {a} {b} %s",
    "",
];

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(HOSTILE_NAMES.to_vec()).prop_map(str::to_owned),
        Just("x".repeat(100)),
        any::<String>(),
    ]
}

fn any_value() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        3 => (0_u32..1000).prop_map(|value| Some(f64::from(value))),
        1 => Just(None),
        1 => any::<f64>().prop_map(Some),
        1 => prop::sample::select(vec![0.0, -1.0, 1e-9, 16_777_217.0, u64::MAX as f64, f64::MAX, f64::NAN, f64::INFINITY])
            .prop_map(Some),
    ]
}

fn any_length() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0_usize..70, 1 => 90_usize..95, 1 => Just(1000_usize)]
}

fn any_series() -> impl Strategy<Value = (usize, Vec<NamedSeries>)> {
    (any_length(), 0_usize..9).prop_flat_map(|(length, count)| {
        let values = prop_oneof![
            3 => prop::collection::vec(any_value(), length),
            1 => Just(vec![None; length]),
            // Fewer and more values than slots.
            1 => prop::collection::vec(any_value(), 0..5),
        ];
        let one = (any_name(), values).prop_map(|(name, values)| NamedSeries { name, values });
        (Just(length), prop::collection::vec(one, count))
    })
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let placement = prop::sample::select(vec![
        Placement::Inline,
        Placement::Standalone(Theme::Light),
        Placement::Standalone(Theme::Dark),
        Placement::Standalone(Theme::Auto),
    ]);
    let language = prop::sample::select(vec![Language::English, Language::Japanese]);
    let width = prop_oneof![Just(240_u32), Just(680), Just(1600), any::<u32>()];
    (any_name(), placement, language, width, any::<u16>()).prop_map(
        |(title, placement, language, width, height)| Frame {
            title,
            placement,
            language,
            width,
            height: height.into(),
        },
    )
}

fn any_time(length: usize) -> impl Strategy<Value = TimeAxis> {
    let grain = prop::sample::select(Grain::ALL.to_vec());
    (grain, prop::collection::vec(any::<(bool, bool)>(), length)).prop_map(move |(grain, marks)| {
        let mut time = time("1970-01-01", grain, length);
        for (slot, (is_partial, is_incomplete)) in time.slots.iter_mut().zip(marks) {
            (slot.is_partial, slot.is_incomplete) = (is_partial, is_incomplete);
        }
        time
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn charts_over_time_are_valid(
        frame in any_frame(),
        unit in prop::sample::select(vec![Unit::Count, Unit::Hours, Unit::Dollars]),
        (time, series) in any_series().prop_flat_map(|(length, series)| (any_time(length), Just(series))),
    ) {
        let other = series.last().map(|it| it.name.clone());
        check(&activity(&frame, &time, unit, &series, other.as_deref()));
        check(&durations(&frame, &time, unit, &series));
        for one in &series {
            check(&sparkline(&one.values));
        }
    }

    #[test]
    fn charts_of_names_and_bins_are_valid(
        frame in any_frame(),
        rows in prop::collection::vec((any_name(), any_value()), 0..80),
        bins in prop::collection::vec((any_value(), any_value(), any::<u64>()), 0..12),
    ) {
        let rows: Vec<_> =
            rows.into_iter().map(|(name, value)| NamedValue { name, value: value.unwrap_or(0.0) }).collect();
        check(&horizontal_bars(&frame, Unit::Count, &rows));
        let bins: Vec<_> = bins
            .into_iter()
            .map(|(from, to_hours, count)| Bin { from_hours: from.unwrap_or(0.0), to_hours, count })
            .collect();
        check(&distribution(&frame, &bins));
    }
}

#[test]
fn names_from_outside_are_text() {
    for name in HOSTILE_NAMES {
        let placement = Placement::Standalone(Theme::Light);
        let frame = frame(name, placement, Language::English, 680);
        let time = time("2026-10-05", Grain::Week, 5);
        let both = [series(name, &[Some(1.0); 5]), series("b", &[Some(2.0); 5])];
        let rows = [NamedValue { name: name.to_owned(), value: 3.0 }];
        for svg in [
            activity(&frame, &time, Unit::Count, &both, None),
            durations(&frame, &time, Unit::Hours, &both),
            horizontal_bars(&frame, Unit::Count, &rows),
        ] {
            let document = check(&svg);
            let shown: String = document.descendants().filter_map(|node| node.text()).collect();
            assert!(!shown.contains(['\u{202e}', '\u{2066}', '\u{1b}', '\u{0}']), "{shown:?}");
            let title = super::super::text::clean(name);
            let expected = if title.trim().is_empty() { "–" } else { &title };
            assert_eq!(text_of(&document, "title"), expected);
        }
    }
}
