//! Durations over time, as lines.

use charts_rs::{Series, Symbol};

use super::bars::{notes, shade};
use super::drawing::{Columns, finish, for_measuring, format_value, line, scaled, write_over};
use super::palette::{RAISED, SERIES};
use super::scale::Scale;
use super::text::shorten;
use super::time::{TimeAxis, format_slot};
use super::words::Words;
use super::{Frame, NamedSeries, Svg, Unit};

/// With more slots than this, points are not marked.
const MAX_MARKED: usize = 60;
/// The dashes of each line, so that lines differ without colour. The first is solid.
const DASHES: [Option<&str>; 4] = [None, Some("6,3"), Some("2,3"), Some("8,3,2,3")];
/// The dashes of the part of a line that leads to or from a partial slot.
const PARTIAL_DASHES: &str = "1,3";

/// Draws one line for each series: the median and the 90th percentile of a duration. A missing value interrupts
/// the line. What leads to a partial slot is pale and dotted. Values beyond the slots are ignored.
pub(crate) fn durations(frame: &Frame, time: &TimeAxis, unit: Unit, lines: &[NamedSeries]) -> Svg {
    let words = Words::new(frame.language);
    let slots = time.slots.len();
    let values = |named: &NamedSeries| -> Vec<Option<f64>> {
        let value = |slot| named.values.get(slot).copied().flatten().filter(|it: &f64| it.is_finite());
        (0..slots).map(value).collect()
    };
    let greatest = lines.iter().flat_map(|named| values(named)).flatten().fold(0.0, f64::max);
    let is_empty = lines.iter().all(|named| values(named).iter().all(Option::is_none));
    let scale = Scale::new(greatest, unit, frame.language);

    let (mut colors, mut drawn) = (Vec::new(), Vec::new());
    if let Some(shade) = shade(time, &scale, false, words) {
        colors.push(frame.color(RAISED));
        drawn.push(shade);
    }
    for (at, named) in lines.iter().enumerate() {
        let data: Vec<_> = values(named).into_iter().map(|value| scaled(value, &scale)).collect();
        let color = frame.color(SERIES[at % SERIES.len()]);
        let symbol = symbol(&data, slots);
        let name = for_measuring(&shorten(&named.name, 24.0));
        let full = keep(&data, |slot| !time.slots[slot].is_partial);
        colors.push(color);
        drawn.push(Series {
            symbol: Some(symbol.clone()),
            stroke_dash_array: DASHES[at % DASHES.len()].map(str::to_owned),
            ..line(&name, full)
        });
        let is_beside = |slot: usize| time.slots.get(slot).is_some_and(|slot| slot.is_partial);
        let partial = keep(&data, |slot| {
            is_beside(slot) || is_beside(slot + 1) || slot.checked_sub(1).is_some_and(is_beside)
        });
        if time.slots.iter().any(|slot| slot.is_partial) {
            colors.push(color.with_alpha(150));
            drawn.push(Series {
                symbol: Some(Symbol::None),
                stroke_dash_array: Some(PARTIAL_DASHES.to_owned()),
                ..line("", partial)
            });
        }
    }
    let columns = Columns {
        frame,
        scale: &scale,
        labels: time.labels(frame.language),
        series: drawn,
        colors,
        has_legend: lines.len() > 1,
        notes: notes(time, words),
    };
    let (mut chart, plot) = columns.build();
    if is_empty {
        write_over(&mut chart.base, frame, words.nothing);
    }
    let description = describe(frame, time, unit, lines, words);
    finish(frame, chart.svg(), Some(plot), None, &description)
}

/// Returns the values of the slots that are kept, and gaps for the others.
fn keep(data: &[Option<f32>], is_kept: impl Fn(usize) -> bool) -> Vec<Option<f32>> {
    data.iter().enumerate().map(|(slot, value)| value.filter(|_| is_kept(slot))).collect()
}

/// Returns the mark of each point. A point without neighbours would be invisible without one.
fn symbol(data: &[Option<f32>], slots: usize) -> Symbol {
    let has = |slot: Option<usize>| slot.and_then(|slot| data.get(slot)).is_some_and(Option::is_some);
    let has_lone_point =
        (0..data.len()).any(|at| has(Some(at)) && !has(at.checked_sub(1)) && !has(Some(at + 1)));
    match slots {
        ..=MAX_MARKED => Symbol::Circle(2.5, None),
        _ if has_lone_point => Symbol::Circle(1.5, None),
        _ => Symbol::None,
    }
}

fn describe(frame: &Frame, time: &TimeAxis, unit: Unit, lines: &[NamedSeries], words: &Words) -> String {
    let Some(days) = time.describe(frame.language) else { return words.nothing.to_owned() };
    let mut text = format!("{days}{}", words.stop);
    for named in lines {
        let last = named.values.iter().copied().enumerate().take(time.slots.len()).rev();
        let last = last.filter_map(|(slot, value)| value.filter(|it| it.is_finite()).map(|it| (slot, it))).next();
        if let Some((slot, value)) = last {
            let when = format_slot(&time.slots[slot], time.grain, frame.language);
            let value = format_value(value, unit, frame.language);
            text.push_str(&format!(
                "{}{}{value} ({when}){}",
                shorten(&named.name, 24.0),
                words.colon,
                words.stop
            ));
        }
    }
    text.trim_end().to_owned()
}
