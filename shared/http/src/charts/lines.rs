//! Durations over time, as lines.

use charts_rs::{Color, Series, Symbol};

use super::bars::{notes, shade};
use super::drawing::{Columns, Legend, drawn_name, format_value, line, max_intervals, scaled, write_over};
use super::finish::{Shapes, Svg, finish};
use super::palette::{RAISED, SERIES, SURFACE};
use super::scale::Scale;
use super::text::shorten;
use super::time::{TimeAxis, format_slot};
use super::words::Words;
use super::{Frame, NamedSeries, Unit};

/// With more slots than this, points are not marked.
const MAX_MARKED: usize = 60;
/// The dashes of each line, so that lines differ without colour. The first is solid.
const DASHES: [Option<&str>; 4] = [None, Some("6,3"), Some("2,3"), Some("8,3,2,3")];
/// The dashes of the part of a line that leads to or from a partial slot.
const PARTIAL_DASHES: &str = "1,3";

/// Draws one line for each series: the median and the 90th percentile of a duration. A missing value interrupts
/// the line. What leads to a partial slot is dotted. Values beyond the slots are ignored.
pub(crate) fn durations(frame: &Frame, time: &TimeAxis, unit: Unit, lines: &[NamedSeries]) -> Svg {
    let words = Words::new(frame.language);
    let slots = time.slots.len();
    let values = |named: &NamedSeries| -> Vec<Option<f64>> {
        let value = |slot| named.values.get(slot).copied().flatten().filter(|it: &f64| it.is_finite());
        (0..slots).map(value).collect()
    };
    let greatest = lines.iter().flat_map(&values).flatten().fold(0.0, f64::max);
    let is_empty = lines.iter().all(|named| values(named).iter().all(Option::is_none));
    let scale = Scale::new(greatest, unit, max_intervals(frame), frame.language);

    let (mut colors, mut drawn) = (Vec::new(), Vec::new());
    if let Some(shade) = shade(time, &scale, false) {
        colors.push(frame.color(RAISED));
        drawn.push(shade);
    }
    for (at, named) in lines.iter().enumerate() {
        let data: Vec<_> = values(named).into_iter().map(|value| scaled(value, &scale)).collect();
        let color = frame.color(SERIES[at % SERIES.len()]);
        for part in parts(&data, time, &named.name, DASHES[at % DASHES.len()], color, frame) {
            colors.push(color);
            drawn.push(part);
        }
    }
    let columns = Columns {
        frame,
        scale: &scale,
        labels: time.labels(frame.language),
        series: drawn,
        colors,
        legend: if lines.len() > 1 { Legend::Lines } else { Legend::None },
        notes: notes(frame, time, Some(words.dotted), words),
    };
    let (mut chart, plot) = columns.build();
    if is_empty {
        write_over(&mut chart.base, frame, words.nothing);
    }
    let description = describe(frame, time, unit, lines, words);
    let shapes = Shapes { columns: Some(plot), fill: 1.0, gap: None };
    finish(frame, chart.svg(), shapes, Some(plot), &description)
}

/// Returns the parts of a line: what is over, what leads to partial slots, and the points without neighbours, which
/// would be invisible without a mark.
fn parts(
    data: &[Option<f32>],
    time: &TimeAxis,
    name: &str,
    dashes: Option<&str>,
    color: Color,
    frame: &Frame,
) -> Vec<Series> {
    let is_partial =
        |slot: Option<usize>| slot.and_then(|slot| time.slots.get(slot)).is_some_and(|it| it.is_partial);
    let has = |slot: Option<usize>| slot.and_then(|slot| data.get(slot)).is_some_and(Option::is_some);
    let keep = |is_kept: &dyn Fn(usize) -> bool| -> Vec<Option<f32>> {
        data.iter().enumerate().map(|(slot, value)| value.filter(|_| is_kept(slot))).collect()
    };
    let is_marked = data.len() <= MAX_MARKED;
    let mark = |fill| Symbol::Circle(if is_marked { 2.5 } else { 1.5 }, Some(fill));
    let mut parts = vec![Series {
        symbol: Some(if is_marked { mark(color) } else { Symbol::None }),
        stroke_dash_array: dashes.map(str::to_owned),
        ..line(&drawn_name(name, 24.0), keep(&|slot| !is_partial(Some(slot))))
    }];
    let leads_to_partial = keep(&|slot| {
        let is_beside = is_partial(slot.checked_sub(1)) || is_partial(Some(slot + 1));
        is_partial(Some(slot)) || is_beside
    });
    if time.slots.iter().any(|slot| slot.is_partial) {
        parts.push(Series {
            stroke_dash_array: Some(PARTIAL_DASHES.to_owned()),
            ..line("", leads_to_partial)
        });
        // Hollow marks.
        parts.push(Series {
            symbol: Some(mark(frame.color(SURFACE))),
            stroke_dash_array: Some("0,9".to_owned()),
            ..line("", keep(&|slot| is_partial(Some(slot))))
        });
    }
    let is_lone = |slot: usize| !has(slot.checked_sub(1)) && !has(Some(slot + 1));
    if !is_marked && (0..data.len()).any(is_lone) {
        parts.push(Series { symbol: Some(mark(color)), ..line("", keep(&is_lone)) });
    }
    parts
}

fn describe(frame: &Frame, time: &TimeAxis, unit: Unit, lines: &[NamedSeries], words: &Words) -> String {
    let Some(days) = time.describe(frame.language) else { return words.nothing.to_owned() };
    let mut text = format!("{days}{}", words.stop);
    for named in lines {
        let last = (0..time.slots.len()).rev().find_map(|slot| {
            let value = named.values.get(slot).copied().flatten().filter(|it| it.is_finite())?;
            Some((slot, value))
        });
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
