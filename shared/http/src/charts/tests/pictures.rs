//! Snapshots of charts of fixed data.

use super::*;

/// Returns one chart of each kind.
pub(super) fn all(placement: Placement) -> Vec<(&'static str, Svg)> {
    let english = |title| frame(title, placement, Language::English, 680);
    let japanese = |title| frame(title, placement, Language::Japanese, 328);
    let weeks = time("2026-06-01", Grain::Week, 26);
    let days = time("2026-10-01", Grain::Day, 31);
    let wave = |length: usize, step: usize, size: usize| -> Vec<Option<f64>> {
        (0..length).map(|at| Some((at * step % 17 * size) as f64)).collect()
    };
    let repos = ["api", "web-app", "infra", "mobile", "docs", "billing", "search", "legacy"];
    let repos: Vec<_> = (0..).zip(repos).map(|(at, name)| series(name, &wave(26, at + 3, 9 - at))).collect();
    // As pages draw it: the greatest repositories, and the sum of the rest.
    let mut stack = repos;
    let sum = |named: &NamedSeries| named.values.iter().flatten().sum::<f64>();
    stack.sort_by(|a, b| sum(b).total_cmp(&sum(a)).then_with(|| a.name.cmp(&b.name)));
    let rest = stack.split_off(6);
    let other: Vec<_> =
        (0..26).map(|slot| Some(rest.iter().filter_map(|named| named.values[slot]).sum())).collect();
    stack.push(series("other", &other));
    let median: Vec<_> = wave(26, 5, 1).into_iter().map(|it| it.filter(|it| *it > 2.0)).collect();
    let p90: Vec<_> = median.iter().map(|it| it.map(|it| it * 3.5 + 4.0)).collect();
    let bounds = [0.0, 1.0, 4.0, 8.0, 24.0, 48.0, 96.0, 168.0];
    let bins: Vec<_> = (0..bounds.len())
        .map(|at| Bin {
            from_hours: bounds[at],
            to_hours: bounds.get(at + 1).copied(),
            count: 40 - (at as u64 * 5),
        })
        .collect();
    let names =
        [("aoki", 61.0), ("berg", 33.0), ("chen", 0.0), ("a-login-of-39-characters-which-is-long-1", 12.0)];
    let rows: Vec<_> = names.map(|(name, value)| NamedValue { name: name.to_owned(), value }).to_vec();
    let [median_name, p90_name] = duration_names(Language::Japanese);
    vec![
        ("stack", activity(&english("Commits by repository"), &weeks, Unit::Count, &stack, Some("other"))),
        ("bars", activity(&japanese("コミット"), &days, Unit::Count, &stack[..1], None)),
        (
            "areas",
            activity(
                &english("Lines changed"),
                &time("2025-01-01", Grain::Day, 200),
                Unit::Count,
                &[series("x", &wave(200, 5, 90_000))],
                None,
            ),
        ),
        (
            "lines",
            durations(
                &japanese("サイクルタイム"),
                &weeks,
                Unit::Hours,
                &[series(median_name, &median), series(p90_name, &p90)],
            ),
        ),
        ("distribution", distribution(&english("How cycle time is spread"), &bins)),
        ("rows", horizontal_bars(&english("Who reviews"), Unit::Count, &rows)),
        ("empty", durations(&japanese("サイクルタイム"), &days, Unit::Hours, &[])),
        ("sparkline", sparkline(&median)),
    ]
}

#[test]
fn charts_look_as_in_their_snapshots() {
    for (placement, suffix) in [
        (Placement::Inline, "inline"),
        (Placement::Standalone(Theme::Light), "light"),
        (Placement::Standalone(Theme::Dark), "dark"),
    ] {
        for (name, svg) in all(placement) {
            // The sparkline is the same wherever it stands.
            if name == "sparkline" && suffix != "inline" {
                continue;
            }
            insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(format!("{name}_{suffix}"), svg.as_str().replace("><", ">\n<"));
            });
        }
    }
}
