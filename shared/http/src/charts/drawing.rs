//! What all charts have in common: the set-up of the charts crate.

use charts_rs::{
    Align, BarChart, Box as Edges, ChartBase, Color, FontConfig, GridConfig, LegendCategory, Series,
    SeriesCategory, Symbol, TextConfig, XAxisConfig, YAxisConfig,
};

use super::finish::Plot;
use super::palette::{AXIS, GRID, MUTED, SURFACE, TEXT, Token};
use super::scale::{MAX_VALUE, Scale};
use super::text::{is_wide, shorten, width_em};
use super::{
    Frame, Language, MAX_WIDTH, MIN_WIDTH, Placement, Theme, Unit, format_count, format_dollars, format_hours,
};

/// The size of labels, in pixels.
pub(super) const LABEL_SIZE: f32 = 12.0;
/// The size of a title, in pixels.
pub(super) const TITLE_SIZE: f32 = 15.0;
/// The height of the axis of buckets, in pixels.
pub(super) const X_AXIS_HEIGHT: f32 = 24.0;
/// The height of the title of a chart that stands alone, in pixels.
pub(super) const HEADER_HEIGHT: f32 = 10.0 + TITLE_SIZE;
const LEGEND_ROW_HEIGHT: f32 = 22.0;
/// The height of a note below a chart that stands alone, in pixels.
pub(super) const NOTE_HEIGHT: f32 = 18.0;

impl Frame {
    pub(super) fn is_dark(&self) -> bool {
        self.placement == Placement::Standalone(Theme::Dark)
    }

    pub(super) fn is_standalone(&self) -> bool {
        matches!(self.placement, Placement::Standalone(_))
    }

    /// Returns the width in pixels, within its bounds.
    pub(super) fn width_px(&self) -> f32 {
        self.width.clamp(MIN_WIDTH, MAX_WIDTH) as f32
    }

    pub(super) fn height_px(&self) -> f32 {
        self.height.clamp(100, 1200) as f32
    }

    pub(super) fn color(&self, token: Token) -> Color {
        token.value(self.is_dark()).into()
    }

    pub(super) fn font(&self, token: Token, size: f32) -> FontConfig {
        FontConfig { size, color: self.color(token), weight: None }
    }

    fn font_family(&self) -> &'static str {
        match (self.placement, self.language) {
            (Placement::Inline, _) => "inherit",
            (_, Language::English) => {
                "system-ui,-apple-system,Segoe UI,Roboto,Helvetica Neue,Arial,sans-serif"
            }
            (_, Language::Japanese) => {
                "-apple-system,Segoe UI,Roboto,Hiragino Sans,Noto Sans JP,Noto Sans CJK JP,Meiryo,sans-serif"
            }
        }
    }
}

/// What a chart of columns needs: over time, or over bins.
pub(super) struct Columns<'a> {
    pub(super) frame: &'a Frame,
    pub(super) scale: &'a Scale,
    pub(super) labels: Vec<String>,
    pub(super) series: Vec<Series>,
    /// The colour of each series.
    pub(super) colors: Vec<Color>,
    pub(super) legend: Legend,
    /// Notes below the chart, if it stands alone.
    pub(super) notes: Vec<String>,
}

/// The legend of a chart that stands alone.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Legend {
    /// One series needs none.
    None,
    /// Spots, for bars and areas.
    Spots,
    /// Lines with their marks.
    Lines,
}

impl Columns<'_> {
    /// Returns the chart, and where its plot is.
    pub(super) fn build(self) -> (BarChart, Plot) {
        let Columns { frame, scale, labels, series, colors, legend, notes } = self;
        let slots = labels.len();
        let mut chart = BarChart::new_with_theme(series, labels, charts_rs::THEME_LIGHT);
        set_up(&mut chart.base, frame, legend, &notes);
        chart.series.colors = colors;
        chart.x_axis = XAxisConfig {
            data: std::mem::take(&mut chart.x_axis.data),
            height: X_AXIS_HEIGHT,
            stroke_color: frame.color(AXIS),
            font: frame.font(MUTED, LABEL_SIZE),
            name_gap: 4.0,
            ..XAxisConfig::default()
        };
        let y_width = (width_em(&scale.longest_label()) as f32 * LABEL_SIZE + 10.0).max(24.0);
        chart.y_axis_configs = vec![YAxisConfig {
            font: frame.font(MUTED, LABEL_SIZE),
            width: Some(y_width),
            split_number: scale.intervals,
            name_gap: 8.0,
            formatter: Some(for_measuring(&scale.formatter())),
            min: Some(0.0),
            max: Some(scale.max as f32),
            ..YAxisConfig::default()
        }];
        let margin = chart.margin;
        let plot = Plot {
            left: margin.left + y_width,
            top: margin.top,
            width: frame.width_px() - margin.left - margin.right - y_width,
            height: frame.height_px() - margin.top - margin.bottom - X_AXIS_HEIGHT,
            slots,
        };
        (chart, plot)
    }
}

/// Sets what all charts share. A chart that stands alone gets its background, its title, its legend and its notes,
/// and is higher by them.
pub(super) fn set_up(base: &mut ChartBase, frame: &Frame, legend: Legend, notes: &[String]) {
    base.width = frame.width_px();
    base.height = frame.height_px();
    base.font_family = frame.font_family().to_owned();
    // Else the crate leaves the spots of a legend hollow.
    base.is_light = false;
    base.title.text = String::new();
    base.sub_title.text = String::new();
    base.legend.show = Some(false);
    base.texts = Vec::new();
    base.grid = GridConfig { stroke_color: frame.color(GRID), stroke_width: 1.0, ..GridConfig::default() };
    base.series.stroke_width = 2.0;
    base.series.symbol = Some(Symbol::None);
    if !frame.is_standalone() {
        base.background_color = Color::transparent();
        base.margin = Edges { left: 0.0, top: 8.0, right: 8.0, bottom: 0.0 };
        return;
    }
    base.background_color = frame.color(SURFACE);
    base.margin = Edges { left: 12.0, top: 10.0, right: 16.0, bottom: 8.0 };
    let inner_width = f64::from(base.width - base.margin.left - base.margin.right);
    base.texts.push(TextConfig {
        text: shorten(&frame.title, inner_width / f64::from(TITLE_SIZE)),
        left: Some(base.margin.left),
        top: Some(base.margin.top),
        font: FontConfig { weight: Some("600".to_owned()), ..frame.font(TEXT, TITLE_SIZE) },
        reserve: true,
        ..TextConfig::default()
    });
    base.height += HEADER_HEIGHT;
    if legend != Legend::None {
        base.legend.show = Some(true);
        base.legend.font = frame.font(MUTED, LABEL_SIZE);
        base.legend.align = Align::Left;
        base.legend.category =
            if legend == Legend::Lines { LegendCategory::Normal } else { LegendCategory::Circle };
        base.legend.margin = Some(Edges { top: 0.0, bottom: 6.0, ..Edges::default() });
        let names = base.series_list.iter().filter(|series| !series.name.is_empty());
        let width: f64 = names.map(|series| width_em(&series.name) * f64::from(LABEL_SIZE) + 40.0).sum();
        base.height += (width / inner_width).ceil().max(1.0) as f32 * LEGEND_ROW_HEIGHT;
    }
    for (row, note) in notes.iter().rev().enumerate() {
        base.texts.push(TextConfig {
            text: shorten(note, inner_width / f64::from(LABEL_SIZE)),
            left: Some(base.margin.left),
            bottom: Some(8.0 + row as f32 * NOTE_HEIGHT),
            font: frame.font(MUTED, LABEL_SIZE),
            reserve: true,
            ..TextConfig::default()
        });
    }
    if !notes.is_empty() {
        base.height += notes.len() as f32 * NOTE_HEIGHT + 2.0;
    }
}

/// Shortens a name for a legend or an axis, and makes the charts crate measure it right.
pub(super) fn drawn_name(name: &str, max_em: f64) -> String {
    format!("{}  ", for_measuring(&shorten(name, max_em)))
}

/// Adds trailing spaces to a text with East Asian characters. The charts crate measures them half as wide as they
/// are, and viewers do not draw trailing spaces.
fn for_measuring(text: &str) -> String {
    let wide = text.chars().filter(|c| is_wide(*c)).count();
    format!("{text}{}", " ".repeat(wide * 9 / 4))
}

/// Writes a text over the middle of a chart.
pub(super) fn write_over(base: &mut ChartBase, frame: &Frame, text: &str) {
    base.texts.push(TextConfig {
        text: text.to_owned(),
        top: Some(base.height / 2.0 - 6.0),
        font: frame.font(MUTED, 13.0),
        ..TextConfig::default()
    });
}

/// Makes a line of a series.
pub(super) fn line(name: &str, data: Vec<Option<f32>>) -> Series {
    Series { category: Some(SeriesCategory::Line), ..Series::new_nullable(name.to_owned(), data) }
}

/// Returns a value in the unit of the axis. `None` if it is no finite number; negative values become 0.
pub(super) fn scaled(value: Option<f64>, scale: &Scale) -> Option<f32> {
    value.filter(|value| value.is_finite()).map(|value| (value.clamp(0.0, MAX_VALUE) / scale.factor) as f32)
}

/// Formats a value with its unit.
pub(super) fn format_value(value: f64, unit: Unit, language: Language) -> String {
    match unit {
        Unit::Count => format_count(value),
        Unit::Hours => format_hours(value, language),
        Unit::Dollars => format_dollars(value),
    }
}

/// The most intervals of a value axis.
pub(super) const MAX_INTERVALS: usize = 5;

/// Returns how many intervals of the value axis have room for their labels.
pub(super) fn max_intervals(frame: &Frame) -> usize {
    ((frame.height_px() / 40.0) as usize).clamp(2, MAX_INTERVALS)
}
