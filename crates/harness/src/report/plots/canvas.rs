//! A small drawing surface over plotters' SVG backend: text sizes come from an embedded font, so that a plot is laid out
//! the same on a machine without any font.

use std::cell::RefCell;
use std::sync::OnceLock;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

use super::palette::Role;

/// DejaVu Sans, cut down to Latin; licence beside the file.
static FONT: &[u8] = include_bytes!("../../../assets/DejaVuSans-latin.ttf");

/// Family that plots are set in: the browser's own sans when shown.
const FAMILY: &str = "sans-serif";

/// A plot that cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw the plot {plot}: {cause}; this is a fault of the harness")]
pub struct PlotError {
    /// Name of the plot.
    pub plot: String,
    /// What plotters said.
    pub cause: String,
}

/// Registers the embedded font once.
fn font() -> Result<(), String> {
    static DONE: OnceLock<bool> = OnceLock::new();
    if *DONE.get_or_init(|| register_font(FAMILY, FontStyle::Normal, FONT).is_ok()) {
        Ok(())
    } else {
        Err("the embedded font cannot be read".to_string())
    }
}

/// How a text hangs on its point.
#[derive(Debug, Clone, Copy)]
pub enum Anchor {
    /// Point at the left, middle height.
    Left,
    /// Point in the middle of both.
    Middle,
    /// Point at the right, middle height.
    Right,
    /// Point at the top, middle width.
    Top,
}

/// Marks that tell series apart without colour.
#[derive(Debug, Clone, Copy)]
enum Mark {
    Circle,
    Square,
    Triangle,
    Diamond,
    Down,
    Ring,
    Cross,
}

const MARKS: [Mark; 7] =
    [Mark::Circle, Mark::Square, Mark::Triangle, Mark::Diamond, Mark::Down, Mark::Ring, Mark::Cross];

/// Dash patterns of series, (on, off) px; (0, 0) is solid.
const DASHES: [(u32, u32); 7] = [(0, 0), (9, 4), (3, 3), (14, 4), (6, 6), (2, 5), (5, 2)];

/// Dash pattern of marks for faults.
const FAULT_DASH: (u32, u32) = (4, 3);

/// plotters draws a dash as a line of its own each, hundreds per curve. A line of this opacity is one line instead, whose
/// opacity is replaced by a dash pattern in the finished text.
const DASHED: f64 = 0.998;

/// Size of all text; plotters' SVG writes it as 12 px (it divides by 1.24).
const TEXT: i32 = 15;

/// A point in px.
pub type Px = (i32, i32);

/// The surface. The first error is kept and given back at the end, so that drawing code reads as drawing.
pub struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
    error: RefCell<Option<String>>,
    /// Width, px.
    pub width: i32,
    /// Height, px.
    pub height: i32,
}

/// Draws a plot of a size and gives its SVG.
pub fn draw(name: &str, (width, height): (u32, u32), paint: impl FnOnce(&Canvas<'_>)) -> Result<String, PlotError> {
    let fail = |cause: String| PlotError { plot: name.to_string(), cause };
    font().map_err(fail)?;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        let canvas = Canvas { area, error: RefCell::new(None), width: width as i32, height: height as i32 };
        paint(&canvas);
        canvas.area.present().map_err(|e| fail(e.to_string()))?;
        if let Some(cause) = canvas.error.into_inner() {
            return Err(fail(cause));
        }
    }
    Ok(with_dashes(&svg))
}

fn with_dashes(svg: &str) -> String {
    let series = DASHES.iter().enumerate().map(|(n, dash)| (Role::Series(n), *dash));
    series.chain([(Role::Bad, FAULT_DASH)]).fold(svg.to_string(), |svg, (role, (on, off))| {
        let RGBColor(r, g, b) = role.colour();
        let stroke = format!("stroke=\"#{r:02X}{g:02X}{b:02X}\"");
        let dash = if off == 0 { String::new() } else { format!("stroke-dasharray=\"{on} {off}\" ") };
        svg.replace(&format!("opacity=\"{DASHED}\" {stroke}"), &format!("{dash}{stroke}"))
    })
}

impl Canvas<'_> {
    fn put<E, T>(&self, result: Result<T, E>)
    where
        E: std::fmt::Display,
    {
        if let Err(e) = result {
            self.error.borrow_mut().get_or_insert_with(|| e.to_string());
        }
    }

    /// Whether it is drawn for a narrow screen.
    #[must_use]
    pub fn narrow(&self) -> bool {
        self.width < 500
    }

    /// Width of a text, px.
    #[must_use]
    pub fn text_width(&self, text: &str) -> i32 {
        match width(text) {
            Ok(w) => w,
            Err(e) => {
                self.put::<_, ()>(Err(e));
                0
            }
        }
    }

    /// A text, cut with an ellipsis when wider than `max` px.
    #[must_use]
    pub fn fit(&self, text: &str, max: i32) -> String {
        if self.text_width(text) <= max {
            return text.to_string();
        }
        let mut chars: Vec<char> = text.chars().collect();
        while chars.len() > 1 {
            chars.pop();
            let cut: String = chars.iter().collect::<String>().trim_end().to_string() + "…";
            if self.text_width(&cut) <= max {
                return cut;
            }
        }
        "…".to_string()
    }

    /// Text.
    pub fn text(&self, text: &str, at: Px, anchor: Anchor, role: Role) {
        let pos = match anchor {
            Anchor::Left => Pos::new(HPos::Left, VPos::Center),
            Anchor::Middle => Pos::new(HPos::Center, VPos::Center),
            Anchor::Right => Pos::new(HPos::Right, VPos::Center),
            Anchor::Top => Pos::new(HPos::Center, VPos::Top),
        };
        let colour = role.colour();
        let style = (FAMILY, TEXT).into_text_style(&self.area).color(&colour).pos(pos);
        self.put(self.area.draw(&Text::new(text.to_string(), at, style)));
    }

    /// A solid line through points.
    pub fn line(&self, points: &[Px], role: Role, width: u32) {
        if points.len() > 1 {
            self.put(self.area.draw(&PathElement::new(points.to_vec(), role.colour().stroke_width(width))));
        }
    }

    /// A line in the dash of its role.
    pub fn dashed(&self, points: &[Px], role: Role, width: u32) {
        if points.len() > 1 {
            let colour = role.colour().mix(DASHED);
            self.put(self.area.draw(&PathElement::new(points.to_vec(), colour.stroke_width(width))));
        }
    }

    /// A series' line, in its colour and dash.
    pub fn series(&self, n: usize, points: &[Px]) {
        self.dashed(points, Role::Series(n), 2);
    }

    /// A filled rectangle between two corners.
    pub fn rect(&self, a: Px, b: Px, role: Role, opacity: f64) {
        self.put(self.area.draw(&Rectangle::new([a, b], role.colour().mix(opacity).filled())));
    }

    /// A filled polygon.
    pub fn polygon(&self, points: Vec<Px>, role: Role, opacity: f64) {
        self.put(self.area.draw(&Polygon::new(points, role.colour().mix(opacity).filled())));
    }

    /// A series' mark.
    pub fn mark(&self, n: usize, (x, y): Px) {
        let colour = Role::Series(n).colour();
        let r = 5;
        match MARKS[n % MARKS.len()] {
            Mark::Circle => self.put(self.area.draw(&Circle::new((x, y), r, colour.filled()))),
            Mark::Ring => self.put(self.area.draw(&Circle::new((x, y), r, colour.stroke_width(2)))),
            Mark::Square => self.rect((x - r + 1, y - r + 1), (x + r - 1, y + r - 1), Role::Series(n), 1.0),
            Mark::Triangle => {
                self.polygon(
                    vec![(x, y - r - 1), (x + r + 1, y + r - 1), (x - r - 1, y + r - 1)],
                    Role::Series(n),
                    1.0,
                );
            }
            Mark::Down => {
                self.polygon(
                    vec![(x, y + r + 1), (x + r + 1, y - r + 1), (x - r - 1, y - r + 1)],
                    Role::Series(n),
                    1.0,
                );
            }
            Mark::Diamond => {
                let d = r + 1;
                self.polygon(vec![(x, y - d), (x + d, y), (x, y + d), (x - d, y)], Role::Series(n), 1.0);
            }
            Mark::Cross => {
                self.line(&[(x - r, y - r), (x + r, y + r)], Role::Series(n), 2);
                self.line(&[(x - r, y + r), (x + r, y - r)], Role::Series(n), 2);
            }
        }
    }

    /// A legend from the top left, wrapped at the width; `line` tells whether series are lines or bars. Gives the height it
    /// took, px.
    pub fn legend(&self, entries: &[(usize, String)], line: bool) -> i32 {
        let swatch = swatch(line);
        let entries: Vec<_> = entries.iter().map(|(n, l)| (*n, self.fit(l, self.width - swatch - 24))).collect();
        let (places, height) = legend_places(&entries, self.width, line);
        for ((n, label), (x, y)) in entries.iter().zip(places) {
            if line {
                self.series(*n, &[(x, y), (x + 24, y)]);
                self.mark(*n, (x + 12, y));
            } else {
                self.rect((x, y - 6), (x + 12, y + 6), Role::Series(*n), 1.0);
            }
            self.text(label, (x + swatch, y), Anchor::Left, Role::Ink);
        }
        height
    }
}

/// Width of a text in the plots' font, px.
fn width(text: &str) -> Result<i32, String> {
    (FAMILY, TEXT).into_font().box_size(text).map(|(w, _)| w as i32).map_err(|e| e.to_string())
}

/// Width of a legend's sample of line or colour with its gap, px.
fn swatch(line: bool) -> i32 {
    if line { 32 } else { 18 }
}

/// Where a legend's entries stand, and the height that it takes, px.
fn legend_places(entries: &[(usize, String)], width_px: i32, line: bool) -> (Vec<Px>, i32) {
    let (mut x, mut y) = (8, 14);
    let mut places = Vec::with_capacity(entries.len());
    for (_, label) in entries {
        let wide = swatch(line) + width(label).unwrap_or(0).min(width_px - swatch(line) - 24) + 26;
        if x > 8 && x + wide > width_px {
            x = 8;
            y += 22;
        }
        places.push((x, y));
        x += wide;
    }
    (places, y + 16)
}

/// Height that [`Canvas::legend`] will take at a width, px: for plots whose height depends on it.
#[must_use]
pub fn legend_height(entries: &[(usize, String)], width_px: u32, line: bool) -> u32 {
    // Without the font nothing is drawn either; `draw` reports it.
    font().map_or(0, |()| legend_places(entries, width_px as i32, line).1 as u32)
}
