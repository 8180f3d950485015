//! Scales with their ticks, and the frame that they span.

use super::canvas::{Anchor, Canvas, Px};
use super::palette::Role;

/// One axis: a mapping of values to the unit interval, and its ticks.
#[derive(Debug, Clone)]
pub struct Axis {
    kind: Kind,
    from: f64,
    to: f64,
    /// (value, label).
    pub ticks: Vec<(f64, String)>,
    /// What it shows, with its unit where the ticks have none.
    pub title: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Linear,
    Log,
}

impl Axis {
    /// From 0 to at least `max`, about `wanted` ticks at 1, 2 or 5 × 10ⁿ.
    #[must_use]
    pub fn linear(max: f64, wanted: usize, title: &str, label: impl Fn(f64) -> String) -> Self {
        Self::stepped(max, wanted, 0.0, title, label)
    }

    /// As [`Axis::linear`] for whole numbers: no tick at a half.
    #[must_use]
    pub fn whole(max: f64, wanted: usize, title: &str, label: fn(f64) -> String) -> Self {
        Self::stepped(max, wanted, 1.0, title, label)
    }

    fn stepped(max: f64, wanted: usize, least: f64, title: &str, label: impl Fn(f64) -> String) -> Self {
        let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        let rough = max / wanted.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|m| m * power)
            .find(|s| *s >= rough * 0.999)
            .unwrap_or(rough)
            .max(least);
        let steps = (max / step * 0.999).ceil().max(1.0) as usize;
        let ticks = (0..=steps).map(|i| (i as f64 * step, label(i as f64 * step))).collect();
        Self { kind: Kind::Linear, from: 0.0, to: steps as f64 * step, ticks, title: title.to_string() }
    }

    /// As [`Axis::linear`], but it ends where the data end: for time, where empty room would read as idle time.
    #[must_use]
    pub fn linear_to(max: f64, wanted: usize, title: &str, label: impl Fn(f64) -> String) -> Self {
        let mut axis = Self::linear(max, wanted, title, label);
        axis.to = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        axis.ticks.retain(|(v, _)| *v <= axis.to);
        axis
    }

    /// Logarithmic, widened to the next ticks; ticks at 1, 2, 5 × 10ⁿ or whole decades, as room allows.
    #[must_use]
    pub fn log(min: f64, max: f64, wanted: usize, title: &str, label: impl Fn(f64) -> String) -> Self {
        let min = if min.is_finite() && min > 0.0 { min } else { 1.0 };
        let max = if max.is_finite() && max > min { max } else { min * 10.0 };
        let exponents = (min.log10().floor() as i32 - 1)..=(max.log10().ceil() as i32 + 1);
        let candidates = |mantissas: &[f64], every: i32| -> Vec<f64> {
            let all: Vec<f64> = exponents
                .clone()
                .filter(|e| e.rem_euclid(every) == 0)
                .flat_map(|e| mantissas.iter().map(move |m| m * 10f64.powi(e)))
                .collect();
            let first = all.iter().rposition(|v| *v <= min * 1.001).unwrap_or(0);
            let last = all.iter().position(|v| *v >= max * 0.999).unwrap_or(all.len().saturating_sub(1));
            all[first..=last.max(first)].to_vec()
        };
        let sets: [(&[f64], i32); 5] = [(&[1.0, 2.0, 5.0], 1), (&[1.0, 3.0], 1), (&[1.0], 1), (&[1.0], 2), (&[1.0], 3)];
        let values = sets
            .iter()
            .map(|(m, every)| candidates(m, *every))
            .find(|v| v.len() <= wanted + 1)
            .unwrap_or_else(|| candidates(&[1.0], 4));
        let (from, to) =
            (values.first().copied().unwrap_or(min).min(min), values.last().copied().unwrap_or(max).max(max));
        let ticks = values.into_iter().map(|v| (v, label(v))).collect();
        Self { kind: Kind::Log, from, to, ticks, title: title.to_string() }
    }

    /// Named places at 0, 1, 2 …, with half a place of room at both ends.
    #[must_use]
    pub fn places(labels: &[String], title: &str) -> Self {
        let ticks = labels.iter().enumerate().map(|(i, l)| (i as f64, l.clone())).collect();
        Self { kind: Kind::Linear, from: -0.5, to: labels.len() as f64 - 0.5, ticks, title: title.to_string() }
    }

    /// Percentiles by their nines: p0 at 0, p90 at 1, p99 at 2 … up to `nines`.
    #[must_use]
    pub fn nines(nines: f64, label: impl Fn(f64) -> String) -> Self {
        let to = nines.max(1.0);
        let ticks = [0.0, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999]
            .into_iter()
            .map(|q| (nines_of(q), label(q)))
            .filter(|(x, _)| *x <= to + 1e-9)
            .collect();
        Self { kind: Kind::Linear, from: 0.0, to, ticks, title: "percentile".to_string() }
    }

    /// Where a value lies, 0 at the axis' start and 1 at its end.
    #[must_use]
    pub fn at(&self, value: f64) -> f64 {
        let share = match self.kind {
            Kind::Linear => (value - self.from) / (self.to - self.from),
            Kind::Log => (value.max(1e-9) / self.from).ln() / (self.to / self.from).ln(),
        };
        share.clamp(0.0, 1.0)
    }
}

/// Place of a quantile on the axis of nines: −log₁₀(1 − q).
#[must_use]
pub fn nines_of(q: f64) -> f64 {
    -(1.0 - q).log10()
}

/// The rectangle that two axes span.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Left edge, px.
    pub left: i32,
    /// Right edge, px.
    pub right: i32,
    /// Top edge, px.
    pub top: i32,
    /// Bottom edge, px.
    pub bottom: i32,
}

impl Frame {
    /// Lays the axes out in a rectangle (room for labels inside it) and draws grid, ticks and titles. The vertical axis'
    /// title stands above it, level, where it can be read.
    #[must_use]
    pub fn draw(canvas: &Canvas<'_>, (x0, y0): Px, (x1, y1): Px, x: Axis, y: Axis) -> Self {
        let labels = y.ticks.iter().map(|(_, l)| canvas.text_width(l)).max().unwrap_or(0);
        let title = if y.title.is_empty() { 0 } else { 22 };
        let below = if x.title.is_empty() { 24 } else { 44 };
        let frame = Self { left: x0 + labels + 12, right: x1 - 14, top: y0 + title + 6, bottom: y1 - below, x, y };
        if !frame.y.title.is_empty() {
            let title = canvas.fit(&frame.y.title, x1 - x0 - 4);
            canvas.text(&title, (x0 + 4, y0 + 10), Anchor::Left, Role::Soft);
        }
        for (value, label) in &frame.y.ticks {
            let y = frame.py(*value);
            canvas.line(&[(frame.left, y), (frame.right, y)], Role::Line, 1);
            canvas.text(label, (frame.left - 8, y), Anchor::Right, Role::Soft);
        }
        frame.x_ticks(canvas);
        if !frame.x.title.is_empty() {
            let middle = i32::midpoint(frame.left, frame.right);
            canvas.text(&frame.x.title, (middle, y1 - 18), Anchor::Top, Role::Soft);
        }
        frame
    }

    /// Ticks of the horizontal axis; labels that would touch their neighbour are left out.
    fn x_ticks(&self, canvas: &Canvas<'_>) {
        let mut free = i32::MIN;
        for (value, label) in &self.x.ticks {
            let x = self.px(*value);
            canvas.line(&[(x, self.bottom), (x, self.bottom + 4)], Role::Soft, 1);
            let half = canvas.text_width(label) / 2;
            // Labels at the ends stay inside of the picture.
            let centre = x.min(canvas.width - half - 2).max(half + 2);
            if centre - half > free {
                canvas.text(label, (centre, self.bottom + 8), Anchor::Top, Role::Soft);
                free = centre + half + 8;
            }
        }
        canvas.line(&[(self.left, self.bottom), (self.right, self.bottom)], Role::Soft, 1);
    }

    /// Horizontal place of a value, px.
    #[must_use]
    pub fn px(&self, value: f64) -> i32 {
        self.left + (self.x.at(value) * f64::from(self.right - self.left)).round() as i32
    }

    /// Vertical place of a value, px.
    #[must_use]
    pub fn py(&self, value: f64) -> i32 {
        self.bottom - (self.y.at(value) * f64::from(self.bottom - self.top)).round() as i32
    }

    /// Both.
    #[must_use]
    pub fn point(&self, x: f64, y: f64) -> Px {
        (self.px(x), self.py(y))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_axes_start_at_zero_and_hold_their_data() {
        for max in [0.0, 0.3, 1.0, 7.0, 99.0, 10_000.0, f64::NAN] {
            let axis = Axis::linear(max, 5, "", |v| v.to_string());
            assert_eq!(axis.ticks[0].0, 0.0);
            assert!(axis.ticks.len() >= 2 && axis.ticks.len() <= 7, "{max}: {:?}", axis.ticks);
            if max.is_finite() {
                assert!(axis.to >= max);
            }
        }
    }

    #[test]
    fn whole_axes_have_whole_ticks() {
        for max in [0.0, 1.0, 2.0, 11.0] {
            let axis = Axis::whole(max, 4, "", |v| v.to_string());
            assert!(axis.ticks.iter().all(|(v, _)| v.fract() == 0.0), "{max}: {:?}", axis.ticks);
        }
    }

    #[test]
    fn log_axes_hold_their_data_with_few_ticks() {
        for (min, max) in [(1.0, 1.0), (3.0, 8.0), (120.0, 90_000.0), (1.0, 3e9), (0.0, 0.0)] {
            let axis = Axis::log(min, max, 7, "", |v| v.to_string());
            assert!(axis.ticks.len() <= 8 && !axis.ticks.is_empty(), "{min} {max}: {:?}", axis.ticks);
            assert!(axis.from <= min.max(1.0) && axis.to >= max);
            assert!((0.0..=1.0).contains(&axis.at(max)));
        }
    }

    #[test]
    fn nines() {
        assert!((nines_of(0.99) - 2.0).abs() < 1e-9);
        assert_eq!(Axis::nines(2.0, |q| q.to_string()).ticks.last().map(|t| t.0.round()), Some(2.0));
    }
}
