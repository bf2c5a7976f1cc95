//! Charts of bars: activity over time, distributions, bars by name.

use charts_rs::{Color, HorizontalBarChart, Series, XAxisConfig, YAxisConfig};

use super::drawing::{
    Columns, LABEL_SIZE, Legend, MAX_INTERVALS, drawn_name, format_value, line, max_intervals, scaled,
    set_up, write_over,
};
use super::finish::{Shapes, Svg, finish};
use super::palette::{MUTED, OTHER, RAISED, SERIES, SURFACE, TEXT};
use super::scale::{MAX_VALUE, Scale};
use super::text::{clean, shorten, width_em};
use super::time::{Slot, TimeAxis, format_slot};
use super::words::Words;
use super::{Frame, NamedSeries, Unit};

/// With more slots than this, bars would be thinner than the gaps between them. Areas take their place.
const MAX_BARS: usize = 92;
/// How opaque the bars of a partial slot are, of 255.
const PARTIAL_ALPHA: u8 = 110;
/// The share of its slot that a column over time fills.
const COLUMN_FILL: f32 = 0.78;
/// The most characters of a name in a legend, in ems.
const MAX_NAME_EM: f64 = 16.0;

/// Draws counts over time: bars for one series, stacked bars for several. With more than 92 slots, areas.
///
/// `other` is the name of the series that holds the rest of a stack; its colour is grey. A missing value is drawn
/// as 0. Values beyond the slots are ignored.
pub(crate) fn activity(
    frame: &Frame,
    time: &TimeAxis,
    unit: Unit,
    series: &[NamedSeries],
    other: Option<&str>,
) -> Svg {
    let words = Words::new(frame.language);
    let slots = time.slots.len();
    let totals: Vec<f64> =
        (0..slots).map(|slot| series.iter().map(|named| value_at(named, slot)).sum()).collect();
    let greatest = totals.iter().copied().fold(0.0, f64::max);
    let scale = Scale::new(greatest, unit, max_intervals(frame), frame.language);
    let is_area = slots > MAX_BARS;

    let (mut colors, mut drawn) = (Vec::new(), Vec::new());
    if let Some(shade) = shade(time, &scale, is_area) {
        colors.push(frame.color(RAISED));
        drawn.push(shade);
    }
    for (at, named) in series.iter().enumerate() {
        let token = if other == Some(named.name.as_str()) { OTHER } else { SERIES[at % SERIES.len()] };
        let color = frame.color(token);
        let data = (0..slots).map(|slot| scaled(Some(value_at(named, slot)), &scale));
        let name = drawn_name(&named.name, MAX_NAME_EM);
        drawn.push(if is_area { area(&name, data.collect()) } else { bars(&name, data, time, color) });
        colors.push(color);
    }
    let columns = Columns {
        frame,
        scale: &scale,
        labels: time.labels(frame.language),
        series: drawn,
        colors,
        legend: if series.len() > 1 { Legend::Spots } else { Legend::None },
        notes: notes(frame, time, (!is_area).then_some(words.pale), words),
    };
    let (mut chart, plot) = columns.build();
    chart.series.fill = is_area;
    chart.series.fill_opacity = Some(0.85);
    chart.series.stroke_width = if is_area { 1.0 } else { 2.0 };
    if greatest <= 0.0 {
        write_over(&mut chart.base, frame, words.nothing);
    }
    let gap = (series.len() > 1 && !is_area).then_some(SURFACE);
    let shapes = Shapes { columns: Some(plot), fill: COLUMN_FILL, gap };
    let description = describe(frame, time, unit, series, &totals, words);
    finish(frame, chart.svg(), shapes, Some(plot), &description)
}

/// Returns the value of a slot; 0 for what is missing or no number.
fn value_at(series: &NamedSeries, slot: usize) -> f64 {
    series
        .values
        .get(slot)
        .copied()
        .flatten()
        .filter(|it| it.is_finite())
        .unwrap_or_default()
        .clamp(0.0, MAX_VALUE)
}

fn bars(name: &str, data: impl Iterator<Item = Option<f32>>, time: &TimeAxis, color: Color) -> Series {
    // A bar without height is not drawn.
    let data = data.map(|value| value.filter(|value| *value > 0.0)).collect();
    let colors = time.slots.iter().map(|slot| slot.is_partial.then(|| color.with_alpha(PARTIAL_ALPHA)));
    Series {
        stack: Some("values".to_owned()),
        colors: Some(colors.collect()),
        ..Series::new_nullable(name.to_owned(), data)
    }
}

fn area(name: &str, data: Vec<Option<f32>>) -> Series {
    Series { stack: Some("values".to_owned()), ..line(name, data) }
}

/// Returns the columns behind slots without complete data, and in areas also behind partial slots. They are in the
/// colour [`RAISED`], by which [`finish`] knows them.
pub(super) fn shade(time: &TimeAxis, scale: &Scale, with_partial: bool) -> Option<Series> {
    let is_shaded = |slot: &Slot| slot.is_incomplete || (with_partial && slot.is_partial);
    let data = time.slots.iter().map(|slot| is_shaded(slot).then_some(scale.max as f32)).collect();
    time.slots.iter().any(is_shaded).then(|| Series::new_nullable(String::new(), data))
}

/// Returns the notes of a chart that stands alone: its days, what sets `partial` slots
/// apart, and what shaded slots mean. Without a text for partial slots, they are shaded too.
pub(super) fn notes(frame: &Frame, time: &TimeAxis, partial: Option<&str>, words: &Words) -> Vec<String> {
    let mut notes = Vec::from_iter(time.describe(frame.language));
    let has_partial = time.slots.iter().any(|slot| slot.is_partial);
    notes.extend(partial.filter(|_| has_partial).map(str::to_owned));
    if time.slots.iter().any(|slot| slot.is_incomplete) || (has_partial && partial.is_none()) {
        notes.push(words.not_complete.to_owned());
    }
    notes
}

fn describe(
    frame: &Frame,
    time: &TimeAxis,
    unit: Unit,
    series: &[NamedSeries],
    totals: &[f64],
    words: &Words,
) -> String {
    let Some(days) = time.describe(frame.language) else { return words.nothing.to_owned() };
    let value = |value: f64| format_value(value, unit, frame.language);
    let mut parts = vec![days];
    let greatest = totals.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
    match greatest {
        Some((slot, greatest)) if greatest > 0.0 => {
            let total = value(totals.iter().sum());
            parts.push(format!("{}{}{total}", words.total, words.colon));
            let when = format_slot(&time.slots[slot], time.grain, frame.language);
            parts.push(format!("{}{}{} ({when})", words.greatest, words.colon, value(greatest)));
        }
        _ => parts.push(words.nothing.to_owned()),
    }
    let mut text = parts.join(words.comma) + words.stop;
    if series.len() > 1 {
        let sums = series.iter().map(|named| {
            let sum = (0..totals.len()).map(|slot| value_at(named, slot)).sum();
            format!("{}{}{}", shorten(&named.name, MAX_NAME_EM), words.colon, value(sum))
        });
        text.push_str(&(sums.collect::<Vec<_>>().join(words.comma) + words.stop));
    }
    text.trim_end().to_owned()
}

/// A bin of a distribution of durations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bin {
    /// The lower bound in hours, inclusive.
    pub(crate) from_hours: f64,
    /// The upper bound in hours, exclusive. `None` for the last bin.
    pub(crate) to_hours: Option<f64>,
    /// Number of durations.
    pub(crate) count: u64,
}

/// Draws how many durations fall in each bin, as columns without gaps.
pub(crate) fn distribution(frame: &Frame, bins: &[Bin]) -> Svg {
    let words = Words::new(frame.language);
    let labels: Vec<String> = bins.iter().map(|bin| words.bin_label(bin.from_hours, bin.to_hours)).collect();
    let greatest = bins.iter().map(|bin| bin.count).max().unwrap_or_default() as f64;
    let scale = Scale::new(greatest, Unit::Count, max_intervals(frame), frame.language);
    let data = bins.iter().map(|bin| scaled(Some(bin.count as f64), &scale).filter(|it| *it > 0.0)).collect();
    let columns = Columns {
        frame,
        scale: &scale,
        labels: labels.clone(),
        series: vec![Series::new_nullable(String::new(), data)],
        colors: vec![frame.color(SERIES[0])],
        legend: Legend::None,
        notes: Vec::new(),
    };
    let (mut chart, plot) = columns.build();
    if greatest <= 0.0 {
        write_over(&mut chart.base, frame, words.nothing);
    }
    let counts = labels.iter().zip(bins).map(|(label, bin)| {
        format!("{label}{}{}", words.colon, format_value(bin.count as f64, Unit::Count, frame.language))
    });
    let description = counts.collect::<Vec<_>>().join(words.comma);
    let shapes = Shapes { columns: Some(plot), fill: 1.0, gap: Some(SURFACE) };
    finish(frame, chart.svg(), shapes, Some(plot), &description)
}

/// A name with its value: a member and its reviews.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NamedValue {
    /// The name, as GitHub writes it.
    pub(crate) name: String,
    /// The value.
    pub(crate) value: f64,
}

/// The height of a row of bars by name, in pixels.
const ROW_HEIGHT: f32 = 24.0;
/// The most rows of bars by name.
pub(crate) const MAX_ROWS: usize = 60;

/// Draws one horizontal bar for each name, in the order of the rows from top to bottom, with its value at its end.
/// At most [`MAX_ROWS`]; the caller says how many there are. The number of rows decides the height.
pub(crate) fn horizontal_bars(frame: &Frame, unit: Unit, rows: &[NamedValue]) -> Svg {
    let words = Words::new(frame.language);
    let rows = &rows[..rows.len().min(MAX_ROWS)];
    let greatest = rows.iter().map(|row| row.value).filter(|it| it.is_finite()).fold(0.0, f64::max);
    let scale = Scale::new(greatest, unit, MAX_INTERVALS, frame.language);
    let max_name_em = f64::from(frame.width_px() * 0.36 / LABEL_SIZE);
    // The crate's rows start at the bottom.
    let names = rows.iter().rev().map(|row| drawn_name(&row.name, max_name_em)).collect();
    let data = rows.iter().rev().map(|row| scaled(Some(row.value), &scale)).collect();
    let series = Series { label_show: true, ..Series::new_nullable(String::new(), data) };
    let mut chart = HorizontalBarChart::new_with_theme(vec![series], names, charts_rs::THEME_LIGHT);
    set_up(&mut chart.base, frame, Legend::None, &[]);
    chart.height = rows.len().max(2) as f32 * ROW_HEIGHT + chart.height - frame.height_px()
        + chart.margin.top
        + chart.margin.bottom;
    chart.margin.right += (width_em(&scale.longest_label()) as f32 + 1.0) * LABEL_SIZE;
    chart.series.colors = vec![frame.color(SERIES[0])];
    chart.series.label.font = frame.font(MUTED, LABEL_SIZE);
    chart.series.label.formatter = scale.formatter();
    chart.x_axis = XAxisConfig {
        data: std::mem::take(&mut chart.x_axis.data),
        stroke_color: Color::transparent(),
        font: frame.font(TEXT, LABEL_SIZE),
        name_gap: 4.0,
        hidden: true,
        ..XAxisConfig::default()
    };
    chart.y_axis_configs = vec![YAxisConfig {
        split_number: 1,
        min: Some(0.0),
        max: Some(if greatest > 0.0 { (greatest.min(MAX_VALUE) / scale.factor) as f32 } else { 1.0 }),
        ..YAxisConfig::default()
    }];
    chart.grid.stroke_color = frame.color(SURFACE);
    if rows.is_empty() {
        write_over(&mut chart.base, frame, words.nothing);
    }
    let values = rows.iter().map(|row| {
        format!("{}{}{}", clean(&row.name), words.colon, format_value(row.value, unit, frame.language))
    });
    let description = values.collect::<Vec<_>>().join(words.comma);
    finish(frame, chart.svg(), Shapes::default(), None, &description)
}
