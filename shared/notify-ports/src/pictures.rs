//! Pictures of digests: charts as PNG. Nothing of the system is read: the font is part of the program.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use gam_notify::{ChartSource, NotifyError, PictureRequest, PictureSource};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

/// ASCII, and the characters of charts. `fonts/README.md` says where it is from.
static FONT: &[u8] = include_bytes!("../fonts/NotoSansCJKjp-Regular-subset.otf");
/// The name of the font.
const FONT_FAMILY: &str = "Noto Sans CJK JP";
/// Pixels of the picture for a pixel of the chart, for dense screens.
const SCALE: f32 = 2.0;

static OPTIONS: LazyLock<Options<'static>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(FONT.to_vec());
    // Charts name fonts of systems, and end with this family.
    fonts.set_sans_serif_family(FONT_FAMILY);
    Options { font_family: FONT_FAMILY.to_owned(), fontdb: Arc::new(fonts), ..Options::default() }
});

/// Makes pictures of charts.
pub struct PngPictures {
    charts: Arc<dyn ChartSource>,
}

impl PngPictures {
    /// Takes what draws the charts.
    pub fn new(charts: Arc<dyn ChartSource>) -> Self {
        PngPictures { charts }
    }
}

#[async_trait]
impl PictureSource for PngPictures {
    async fn png(&self, request: &PictureRequest) -> Result<Vec<u8>, NotifyError> {
        let svg = self.charts.svg(request).await?;
        let drawing = tokio::task::spawn_blocking(move || render(&svg)).await;
        let png = drawing.unwrap_or_else(|error| Err(error.to_string()));
        png.map_err(|why| NotifyError::Facts { what: format!("cannot draw a chart as a picture: {why}") })
    }
}

/// Draws a chart.
fn render(svg: &str) -> Result<Vec<u8>, String> {
    let tree = Tree::from_str(svg, &OPTIONS).map_err(|error| error.to_string())?;
    let size = tree.size().to_int_size().scale_by(SCALE).ok_or("the chart has no size")?;
    let mut pixels = Pixmap::new(size.width(), size.height()).ok_or("the chart has no size")?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn svg(content: &str) -> String {
        format!(
            "<svg width=\"80\" height=\"40\" viewBox=\"0 0 80 40\" xmlns=\"http://www.w3.org/2000/svg\" \
             font-family=\"system-ui,Roboto,sans-serif\"><path d=\"M0 0h80v40H0z\" fill=\"#FFF\"/>{content}</svg>"
        )
    }

    fn pixels(content: &str) -> Pixmap {
        Pixmap::decode_png(&render(&svg(content)).unwrap()).unwrap()
    }

    /// Returns the number of pixels that are not white.
    fn ink(pixels: &Pixmap) -> usize {
        pixels.pixels().iter().filter(|pixel| pixel.red() < 128).count()
    }

    #[test]
    fn a_picture_has_the_shapes_and_the_texts_of_its_chart() {
        let empty = pixels("");
        assert_eq!((empty.width(), empty.height(), ink(&empty)), (160, 80, 0));
        assert_eq!(ink(&pixels("<path d=\"M0 0h10v10H0z\" fill=\"#2F66D0\"/>")), 400);
        for text in ["120", "コミット", "2026年10月5日"] {
            let drawn = ink(&pixels(&format!("<text x=\"2\" y=\"20\" font-size=\"12\">{text}</text>")));
            assert!(drawn > 50, "{text}: {drawn}");
        }
        assert!(render("<svg").is_err());
    }
}
