//! What is done to the SVG of the charts crate: columns get their places, shapes of one colour become one path, and
//! the root element gets its title, description, colours and data.

use std::fmt;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use charts_rs::{compact_svg, svg_with_accessibility};
use sha2::{Digest, Sha256};

use super::palette::{self, RAISED, Token};
use super::text::clean;
use super::{Frame, Language, Placement, Theme};

/// A chart: one `<svg>` element. Its text is escaped, so it can be put into HTML and XML as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Svg(String);

impl Svg {
    /// Returns the element.
    pub(crate) fn into_string(self) -> String {
        self.0
    }

    /// Returns the element without giving it away.
    #[cfg(test)]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Makes a small chart that screen readers skip.
    pub(super) fn decorative(svg: &str) -> Self {
        Svg(svg.replacen("<svg", "<svg class=\"chart\" aria-hidden=\"true\"", 1))
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

/// The rectangle of the plot in the view box, in pixels, and its number of columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plot {
    pub(super) left: f32,
    pub(super) top: f32,
    pub(super) width: f32,
    pub(super) height: f32,
    pub(super) slots: usize,
}

/// How the shapes that carry data, those of bars and cells, are completed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shapes {
    /// Where columns stand. `None` leaves shapes as they are.
    pub(super) columns: Option<Plot>,
    /// The share of its slot that a column fills.
    pub(super) fill: f32,
    /// The colour of a thin line around each shape, so that neighbours stay apart.
    pub(super) gap: Option<Token>,
}

/// The widest column with gaps, in pixels.
const MAX_COLUMN_WIDTH: f32 = 56.0;

/// Completes the SVG. `plot` is for scripts.
pub(super) fn finish(
    frame: &Frame,
    svg: charts_rs::Result<String>,
    shapes: Shapes,
    plot: Option<Plot>,
    description: &str,
) -> Svg {
    let svg = svg.unwrap_or_else(|_| empty_element(frame));
    let svg = compact_svg(&merge_shapes(&svg, shapes, frame.is_dark()));
    let title = match clean(&frame.title) {
        title if title.trim().is_empty() => "–".to_owned(),
        title => title,
    };
    let mut svg = svg_with_accessibility(&svg, &title, &clean(description)).replacen('\n', "", 2);
    if frame.placement == Placement::Standalone(Theme::Auto)
        && let Some(end) = svg.find('>')
    {
        svg.insert_str(end + 1, &format!("<style>{}</style>", *AUTO_STYLE));
    }
    svg.insert_str("<svg".len(), &root_attributes(frame, plot));
    Svg(svg)
}

fn root_attributes(frame: &Frame, plot: Option<Plot>) -> String {
    let language = match frame.language {
        Language::English => "en",
        Language::Japanese => "ja",
    };
    let mut attributes = format!(" lang=\"{language}\"");
    if frame.placement == Placement::Inline {
        attributes.push_str(" class=\"chart\"");
        if let Some(Plot { left, top, width, height, slots }) = plot {
            attributes.push_str(&format!(
                " data-slots=\"{slots}\" data-left=\"{left:.1}\" data-top=\"{top:.1}\" data-width=\"{width:.1}\" \
                 data-height=\"{height:.1}\""
            ));
        }
    }
    attributes
}

/// Returns a chart without shapes, for what the charts crate cannot draw.
fn empty_element(frame: &Frame) -> String {
    let (width, height) = (frame.width_px(), frame.height_px());
    format!(
        "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         xmlns=\"http://www.w3.org/2000/svg\"></svg>"
    )
}

/// Merges the rectangles that carry data attributes into one path for each colour, and drops the attributes: they
/// repeat the values as single-precision numbers, which are wrong above 16,777,216. Also drops the
/// ticks of axes, and labels without size.
fn merge_shapes(svg: &str, shapes: Shapes, is_dark: bool) -> String {
    let mut out = String::with_capacity(svg.len());
    let mut paths: Vec<(String, String)> = Vec::new();
    let mut at_first_shape = None;
    let mut rest = svg;
    // Quotes and angle brackets in attribute values are escaped.
    while let Some((before, from_element)) = rest.split_once('<') {
        out.push_str(before);
        let (element, after) = from_element.split_once('>').unwrap_or((from_element, ""));
        rest = after;
        if let Some(shape) = Rectangle::parse(element) {
            at_first_shape.get_or_insert(out.len());
            let paint = shape.paint(shapes, is_dark);
            let d = shape.place(shapes, is_dark).path();
            match paths.iter_mut().find(|(key, _)| *key == paint) {
                Some((_, merged)) => merged.push_str(&d),
                None => paths.push((paint, d)),
            }
        } else if is_tick(element) {
            continue;
        } else if element.starts_with("text ") && element.contains(" font-size=\"0\"") {
            rest = after.split_once("</text>").map_or("", |(_, after)| after);
        } else {
            out.push('<');
            out.push_str(element);
            out.push('>');
        }
    }
    out.push_str(rest);
    if let Some(at) = at_first_shape {
        let merged: String = paths.iter().map(|(paint, d)| format!("<path d=\"{d}\"{paint}/>")).collect();
        out.insert_str(at, &merged);
    }
    out
}

/// A rectangle of the charts crate that carries data attributes.
struct Rectangle<'a> {
    x: f32,
    y: f32,
    width: f32,
    height: f32,
    element: &'a str,
}

impl<'a> Rectangle<'a> {
    fn parse(element: &'a str) -> Option<Self> {
        if !element.starts_with("rect ") || !element.contains(" data-") {
            return None;
        }
        let number = |name| attribute(element, name)?.parse::<f32>().ok().filter(|number| number.is_finite());
        Some(Rectangle {
            x: number("x")?,
            y: number("y")?,
            width: number("width")?,
            height: number("height")?,
            element,
        })
    }

    fn is_shade(&self, is_dark: bool) -> bool {
        attribute(self.element, "fill") == Some(RAISED.value(is_dark))
    }

    /// Returns the attributes of the path: the fill, and the line around it.
    fn paint(&self, shapes: Shapes, is_dark: bool) -> String {
        let mut paint = String::new();
        for name in ["fill", "fill-opacity"] {
            if let Some(value) = attribute(self.element, name) {
                paint.push_str(&format!(" {name}=\"{value}\""));
            }
        }
        if let Some(gap) = shapes.gap.filter(|_| !self.is_shade(is_dark)) {
            paint.push_str(&format!(" stroke=\"{}\"", gap.value(is_dark)));
        }
        paint
    }

    /// Moves a column to the middle of its slot. The charts crate puts columns of different stacks side by side, and
    /// leaves 10 pixels between slots, which makes narrow ones invisible.
    fn place(self, shapes: Shapes, is_dark: bool) -> Self {
        let Some(plot) = shapes.columns.filter(|plot| plot.slots > 0) else { return self };
        let slot_width = plot.width / plot.slots as f32;
        let slot = ((self.x + self.width / 2.0 - plot.left) / slot_width).floor();
        let width = if self.is_shade(is_dark) || shapes.fill >= 1.0 {
            slot_width
        } else {
            (slot_width * shapes.fill).min(MAX_COLUMN_WIDTH)
        };
        Rectangle { x: plot.left + slot * slot_width + (slot_width - width) / 2.0, width, ..self }
    }

    fn path(&self) -> String {
        let Rectangle { x, y, width, height, .. } = self;
        format!("M{x:.1} {y:.1}h{width:.1}v{height:.1}h-{width:.1}z")
    }
}

/// Returns the value of an attribute as it is written.
fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let start = element.find(&format!(" {name}=\""))? + name.len() + 3;
    element[start..].split_once('"').map(|(value, _)| value)
}

/// Returns whether an element is a tick of an axis: a line of 5 pixels.
fn is_tick(element: &str) -> bool {
    let number = |name| attribute(element, name)?.parse::<f32>().ok();
    let length = || Some((number("x2")? - number("x1")?).abs() + (number("y2")? - number("y1")?).abs());
    element.starts_with("line ") && length().is_some_and(|length| (length - 5.0).abs() < 0.05)
}
