//! What all charts have in common: the set-up of the charts crate, and what is added to its SVG.

use std::fmt;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use charts_rs::{
    Align, BarChart, Box as Edges, ChartBase, Color, FontConfig, GridConfig, LegendCategory, Position, Series,
    SeriesCategory, Symbol, TextConfig, XAxisConfig, YAxisConfig, svg_with_accessibility,
};
use sha2::{Digest, Sha256};

use super::palette::{self, AXIS, GRID, MUTED, SURFACE, TEXT, Token};
use super::scale::Scale;
use super::text::{clean, is_wide, shorten, width_em};
use super::{Frame, Language, MAX_WIDTH, MIN_WIDTH, Placement, Theme, Unit, format_count, format_hours};

/// A chart: one `<svg>` element. Its text is escaped, so it can be put into HTML and XML as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Svg(String);

impl Svg {
    /// Returns the element.
    pub(crate) fn into_string(self) -> String {
        self.0
    }

    /// Returns the element.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Svg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The style sheet of a chart that follows the viewer's system: the dark colours, if it is dark.
static AUTO_STYLE: LazyLock<String> =
    LazyLock::new(|| format!("@media(prefers-color-scheme:dark){{{}}}", palette::dark_rules()));

/// Returns the source expression that allows the style sheet of [`Theme::Auto`] in a content security policy.
pub(crate) fn auto_style_source() -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(AUTO_STYLE.as_str())))
}

/// The size of labels, in pixels.
pub(super) const LABEL_SIZE: f32 = 12.0;
/// The size of a title, in pixels.
pub(super) const TITLE_SIZE: f32 = 15.0;
/// The height of the axis of buckets, in pixels.
pub(super) const X_AXIS_HEIGHT: f32 = 24.0;
const LEGEND_ROW_HEIGHT: f32 = 22.0;

/// The rectangle of the plot in the view box, in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plot {
    pub(super) left: f32,
    pub(super) top: f32,
    pub(super) width: f32,
    pub(super) height: f32,
    pub(super) slots: usize,
}

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
            (_, Language::English) => "system-ui,-apple-system,Segoe UI,Roboto,Helvetica Neue,Arial,sans-serif",
            (_, Language::Japanese) => {
                "-apple-system,Segoe UI,Roboto,Hiragino Sans,Noto Sans JP,Noto Sans CJK JP,Meiryo,sans-serif"
            }
        }
    }
}

/// What is special to a chart over time or over bins.
pub(super) struct Columns<'a> {
    pub(super) frame: &'a Frame,
    pub(super) scale: &'a Scale,
    pub(super) labels: Vec<String>,
    pub(super) series: Vec<Series>,
    /// The colour of each series.
    pub(super) colors: Vec<Color>,
    /// The names in the legend, with the places of their series. Without any there is no legend.
    pub(super) has_legend: bool,
    /// Notes below the chart, if it stands alone.
    pub(super) notes: Vec<String>,
}

impl Columns<'_> {
    /// Returns the set-up chart, and where its plot is.
    pub(super) fn build(self) -> (BarChart, Plot) {
        let Columns { frame, scale, labels, series, colors, has_legend, notes } = self;
        let slots = labels.len();
        let mut chart = BarChart::new_with_theme(series, labels, charts_rs::THEME_LIGHT);
        let top = set_up(&mut chart.base, frame, has_legend, &notes);
        chart.series.colors = colors;
        let x_axis = std::mem::take(&mut chart.x_axis);
        chart.x_axis = XAxisConfig {
            data: x_axis.data,
            height: X_AXIS_HEIGHT,
            stroke_color: frame.color(AXIS),
            font: frame.font(MUTED, LABEL_SIZE),
            name_gap: 4.0,
            ..XAxisConfig::default()
        };
        let y_width = axis_width(&scale.longest_label());
        chart.y_axis_configs = vec![YAxisConfig {
            font: frame.font(MUTED, LABEL_SIZE),
            width: Some(y_width),
            split_number: scale.intervals,
            name_gap: 8.0,
            formatter: Some(format!("{{t}}{}", scale.suffix)),
            min: Some(0.0),
            max: Some(scale.max as f32),
            ..YAxisConfig::default()
        }];
        let margin = chart.margin;
        let plot = Plot {
            left: margin.left + y_width,
            top: margin.top + top,
            width: frame.width_px() - margin.left - margin.right - y_width,
            height: frame.height_px() - margin.top - margin.bottom - top - X_AXIS_HEIGHT,
            slots,
        };
        (chart, plot)
    }
}

/// Returns the width of the value axis.
fn axis_width(longest_label: &str) -> f32 {
    (width_em(longest_label) as f32 * LABEL_SIZE + 10.0).max(24.0)
}

/// Sets what all charts share. Returns the height of title and legend if they are known, else 0.
pub(super) fn set_up(base: &mut ChartBase, frame: &Frame, has_legend: bool, notes: &[String]) -> f32 {
    base.width = frame.width_px();
    base.height = frame.height_px();
    base.font_family = frame.font_family().to_owned();
    base.compact = true;
    base.is_light = !frame.is_dark();
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
        return 0.0;
    }
    base.background_color = frame.color(SURFACE);
    base.margin = Edges { left: 12.0, top: 10.0, right: 16.0, bottom: 8.0 };
    let max_em = f64::from((base.width - 28.0) / TITLE_SIZE);
    base.title.text = for_measuring(&shorten(&frame.title, max_em));
    base.title.font = FontConfig { weight: Some("600".to_owned()), ..frame.font(TEXT, TITLE_SIZE) };
    base.title.align = Align::Left;
    base.title.height = 28.0;
    if has_legend {
        base.legend.show = Some(true);
        base.legend.font = frame.font(MUTED, LABEL_SIZE);
        base.legend.align = Align::Left;
        base.legend.category = LegendCategory::RoundRect;
        base.legend.margin = Some(Edges { top: base.title.height, bottom: 6.0, ..Edges::default() });
    }
    for (row, note) in notes.iter().rev().enumerate() {
        base.texts.push(TextConfig {
            text: shorten(note, f64::from((base.width - 28.0) / LABEL_SIZE)),
            left: Some(base.margin.left),
            bottom: Some(6.0 + row as f32 * 18.0),
            font: frame.font(MUTED, LABEL_SIZE),
            reserve: true,
            ..TextConfig::default()
        });
    }
    0.0
}

/// Adds trailing spaces to a text with East Asian characters. The charts crate measures them half as wide as they
/// are, and viewers do not draw trailing spaces.
pub(super) fn for_measuring(text: &str) -> String {
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
    value.filter(|value| value.is_finite()).map(|value| (value.max(0.0) / scale.factor) as f32)
}

/// Completes the SVG: title, description, colours of [`Theme::Auto`], attributes for scripts; one path for all
/// shapes of one colour.
pub(super) fn finish(
    frame: &Frame,
    svg: charts_rs::Result<String>,
    plot: Option<Plot>,
    gap: Option<Token>,
    description: &str,
) -> Svg {
    let svg = svg.unwrap_or_else(|_| empty_element(frame));
    let svg = merge_shapes(&svg, gap.map(|token| token.value(frame.is_dark())));
    let svg = remove_ticks(&svg);
    let title = match clean(&frame.title) {
        title if title.trim().is_empty() => "–".to_owned(),
        title => title,
    };
    let mut svg = svg_with_accessibility(&svg, &title, &clean(description)).replacen('\n', "", 2);
    let mut attributes = format!(" lang=\"{}\"", language_code(frame.language));
    if frame.placement == Placement::Inline {
        attributes.push_str(" class=\"chart\"");
        if let Some(plot) = plot {
            let Plot { left, top, width, height, slots } = plot;
            attributes.push_str(&format!(
                " data-slots=\"{slots}\" data-left=\"{left:.1}\" data-top=\"{top:.1}\" data-width=\"{width:.1}\" \
                 data-height=\"{height:.1}\""
            ));
        }
    }
    svg.insert_str("<svg".len(), &attributes);
    if frame.placement == Placement::Standalone(Theme::Auto)
        && let Some(end) = svg.find('>')
    {
        svg.insert_str(end + 1, &format!("<style>{}</style>", *AUTO_STYLE));
    }
    Svg(svg)
}

fn language_code(language: Language) -> &'static str {
    match language {
        Language::English => "en",
        Language::Japanese => "ja",
    }
}

/// Returns a chart without shapes, for numbers that the charts crate cannot draw.
fn empty_element(frame: &Frame) -> String {
    let (width, height) = (frame.width_px(), frame.height_px());
    format!(
        "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         xmlns=\"http://www.w3.org/2000/svg\"></svg>"
    )
}

/// Merges the shapes that carry data attributes, those of bars and cells, into one path for each colour, and drops
/// the attributes: they repeat the values as single-precision numbers, which are wrong above 16,777,216. `gap` is
/// the colour of a thin line around each shape, so that neighbours stay apart.
fn merge_shapes(svg: &str, gap: Option<&str>) -> String {
    const START: &str = "<path d=\"";
    let mut out = String::with_capacity(svg.len());
    let mut paths: Vec<(String, String)> = Vec::new();
    let mut at_first_shape = None;
    let mut rest = svg;
    while let Some(start) = rest.find(START) {
        let (before, shape) = rest.split_at(start);
        out.push_str(before);
        // Quotes and angle brackets in attribute values are escaped.
        let Some((element, after)) = shape.split_once("/>") else { break };
        let data = element.find(" data-").filter(|_| !element.contains("><"));
        rest = match data {
            Some(data) => {
                let (d, attributes) = element[START.len()..data].split_once('"').unwrap_or_default();
                match paths.iter_mut().find(|(key, _)| key == attributes) {
                    Some((_, merged)) => merged.push_str(d),
                    None => paths.push((attributes.to_owned(), d.to_owned())),
                }
                at_first_shape.get_or_insert(out.len());
                after
            }
            None => {
                out.push_str(element);
                out.push_str("/>");
                after
            }
        };
    }
    out.push_str(rest);
    if let Some(at) = at_first_shape {
        let stroke = gap.map(|gap| format!(" stroke=\"{gap}\"")).unwrap_or_default();
        let merged: String = paths
            .iter()
            .map(|(attributes, d)| format!("<path d=\"{d}\"{}{stroke}/>", without_stroke(attributes, gap)))
            .collect();
        out.insert_str(at, &merged);
    }
    out
}

/// Removes the stroke that cells have, if they get another one.
fn without_stroke(attributes: &str, gap: Option<&str>) -> String {
    match (gap, attributes.find(" stroke=\"")) {
        (Some(_), Some(start)) => {
            let value = start + " stroke=\"".len();
            let end = attributes[value..].find('"').map_or(attributes.len(), |end| value + end + 1);
            format!("{}{}", &attributes[..start], &attributes[end..])
        }
        _ => attributes.to_owned(),
    }
}

/// Removes the ticks of an axis: the subpaths that are 5 pixels long.
fn remove_ticks(svg: &str) -> String {
    let mut out = String::with_capacity(svg.len());
    for (at, part) in svg.split('M').enumerate() {
        let tick = ["v5", "h-5", "h5"].iter().find_map(|tick| {
            let (point, rest) = part.split_once(tick)?;
            let is_point = point.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b' ' | b'-'));
            let ends = rest.is_empty() || rest.starts_with('"');
            (at > 0 && is_point && ends).then_some(rest)
        });
        match tick {
            Some(rest) => out.push_str(rest),
            None => {
                if at > 0 {
                    out.push('M');
                }
                out.push_str(part);
            }
        }
    }
    out
}

/// Formats a value with its unit.
pub(super) fn format_value(value: f64, unit: Unit, language: Language) -> String {
    match unit {
        Unit::Count => format_count(value),
        Unit::Hours => format_hours(value, language),
    }
}

impl Svg {
    /// Makes a small chart that screen readers skip.
    pub(super) fn decorative(svg: &str) -> Self {
        Svg(svg.replacen("<svg", "<svg class=\"chart\" aria-hidden=\"true\"", 1))
    }
}
