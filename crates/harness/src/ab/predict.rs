//! From the distances that were measured to those that were not: what an event takes at another round trip.
//!
//! Event time = a · statements + b · WAL bytes + c · pages + k · round trips · round-trip time + m · pages · latency. The
//! coefficients are fitted to the conditions that change nothing but distance, both sides together, by least squares of
//! relative residuals without negative coefficients (a statement takes no negative time; cf. Lawson and Hanson, *Solving Least
//! Squares Problems*, 1974, chapter 23). k is below 1 where connections work side by side, m where pages are fetched at once: so
//! each side has a k and an m of its own.

use serde::{Deserialize, Serialize};

use super::conditions::{self, Condition};
use super::judge::{Results, UnderCondition};
use crate::stats::{Metric, Side};

/// Terms of the model: a, b, c, then k and m of each side.
const TERMS: usize = 7;

/// What an event's time is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Per statement, µs.
    pub statement_us: f64,
    /// Per byte of WAL, µs.
    pub wal_byte_us: f64,
    /// Per page, µs.
    pub page_us: f64,
    /// Share of the round-trip time that a round trip costs, of A and B.
    pub round_trip: [f64; 2],
    /// Share of the latency that a page costs, of A and B.
    pub latency: [f64; 2],
    /// What each side does.
    pub work: [Work; 2],
    /// Measured points.
    pub points: usize,
    /// Largest relative residual.
    pub worst: f64,
    /// Median relative residual.
    pub typical: f64,
}

/// What a side does in one event.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Statements.
    pub statements: f64,
    /// WAL, bytes.
    pub wal_bytes: f64,
    /// Pages fetched.
    pub pages: f64,
    /// Round trips.
    pub round_trips: f64,
}

impl Model {
    /// Fits the model; `None` when a count or too many conditions are missing.
    #[must_use]
    pub fn fit(results: &Results) -> Option<Self> {
        let work = [Side::A, Side::B].map(|side| work(results, side));
        let [Some(a), Some(b)] = work else { return None };
        let points: Vec<([f64; TERMS], f64)> =
            results.conditions.iter().flat_map(|c| of_condition(c, [a, b])).collect();
        // One more than there are terms, or there is no residual to speak of.
        if points.len() <= TERMS {
            return None;
        }
        let weighted: Vec<([f64; TERMS], f64)> =
            points.iter().map(|(terms, time)| (terms.map(|t| t / time), 1.0)).collect();
        let [statement_us, wal_byte_us, page_us, ka, ma, kb, mb] = non_negative(&weighted);
        let found = [statement_us, wal_byte_us, page_us, ka, ma, kb, mb];
        let mut residuals: Vec<f64> = points
            .iter()
            .map(|(terms, time)| (terms.iter().zip(found).map(|(t, c)| t * c).sum::<f64>() / time - 1.0).abs())
            .collect();
        residuals.sort_by(f64::total_cmp);
        Some(Self {
            statement_us,
            wal_byte_us,
            page_us,
            round_trip: [ka, kb],
            latency: [ma, mb],
            work: [a, b],
            points: points.len(),
            worst: *residuals.last()?,
            typical: *residuals.get(residuals.len() / 2)?,
        })
    }

    /// What an event takes a side at a distance, µs.
    #[must_use]
    pub fn time_us(&self, side: Side, rtt_us: f64, latency_us: f64) -> f64 {
        let i = usize::from(side == Side::B);
        let w = self.work[i];
        self.statement_us * w.statements
            + self.wal_byte_us * w.wal_bytes
            + self.page_us * w.pages
            + self.round_trip[i] * w.round_trips * rtt_us
            + self.latency[i] * w.pages * latency_us
    }
}

fn work(results: &Results, side: Side) -> Option<Work> {
    let of = |metric: Metric| {
        results.rows.iter().find(|r| r.metric == metric).map(|r| if side == Side::A { r.a } else { r.b })
    };
    Some(Work {
        statements: of(Metric::Statements)?,
        wal_bytes: of(Metric::Wal)?,
        pages: of(Metric::Pages)?,
        round_trips: of(Metric::RoundTrips)?,
    })
}

/// The points of a condition: terms and measured time of both sides.
fn of_condition(measured: &UnderCondition, work: [Work; 2]) -> Vec<([f64; TERMS], f64)> {
    let Some(condition) = conditions::find(&measured.name).filter(Condition::is_distance) else { return Vec::new() };
    let Some(row) = &measured.time else { return Vec::new() };
    let rtt_us = condition.database_rtt_ms as f64 * 1e3;
    let latency_us = condition.liverc_latency_ms as f64 * 1e3;
    [row.a, row.b]
        .into_iter()
        .zip(work)
        .enumerate()
        .filter(|(_, (time, _))| *time > 0.0)
        .map(|(i, (time, w))| {
            let mut terms = [w.statements, w.wal_bytes, w.pages, 0.0, 0.0, 0.0, 0.0];
            terms[3 + 2 * i] = w.round_trips * rtt_us;
            terms[4 + 2 * i] = w.pages * latency_us;
            (terms, time)
        })
        .collect()
}

/// Least squares without negative coefficients, by cyclic coordinate descent: the problem is convex, so each step that makes one
/// coefficient the best one that is not negative leads towards the one minimum.
fn non_negative<const N: usize>(rows: &[([f64; N], f64)]) -> [f64; N] {
    let mut x = [0.0; N];
    let square: [f64; N] = std::array::from_fn(|j| rows.iter().map(|(a, _)| a[j] * a[j]).sum());
    let mut residual: Vec<f64> = rows.iter().map(|(_, y)| *y).collect();
    for _ in 0..20_000 {
        let mut moved = 0.0_f64;
        for j in (0..N).filter(|&j| square[j] > 0.0) {
            let gradient: f64 = rows.iter().zip(&residual).map(|((a, _), r)| a[j] * r).sum();
            let step = (x[j] + gradient / square[j]).max(0.0) - x[j];
            x[j] += step;
            for ((a, _), r) in rows.iter().zip(&mut residual) {
                *r -= a[j] * step;
            }
            moved = moved.max(step.abs() * square[j].sqrt());
        }
        if moved < 1e-12 {
            break;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::super::judge::Row;
    use super::*;

    fn row(metric: Metric, a: f64, b: f64) -> Row {
        let comparison = crate::stats::Comparison::of_counts(&[(a, b)]);
        Row { metric, a, b, comparison, floor: None, finding: None, smallest_visible: None }
    }

    fn results(time: impl Fn(&Condition, usize) -> f64) -> Results {
        let conditions = conditions::CONDITIONS
            .iter()
            .map(|c| UnderCondition {
                name: c.name.to_owned(),
                time: Some(row(Metric::EventTime, time(c, 0), time(c, 1))),
            })
            .collect();
        let rows = vec![
            row(Metric::Statements, 3_000.0, 30.0),
            row(Metric::Wal, 2.5e6, 1.5e6),
            row(Metric::Pages, 40.0, 40.0),
            row(Metric::RoundTrips, 3_200.0, 56.0),
        ];
        Results { conditions, rows, ..Results::default() }
    }

    #[test]
    fn coefficients_that_made_the_times_are_found_again_and_predict_what_was_not_measured() {
        let truth = |side: usize, rtt_us: f64, latency_us: f64| {
            let (statements, trips, k, m) = [(3_000.0, 3_200.0, 1.0, 0.25), (30.0, 56.0, 0.8, 0.125)][side];
            100.0 * statements + 1_500.0 * 40.0 + k * trips * rtt_us + m * 40.0 * latency_us
        };
        let measured = results(|c, side| truth(side, c.database_rtt_ms as f64 * 1e3, c.liverc_latency_ms as f64 * 1e3));
        let model = Model::fit(&measured).unwrap();
        assert!(model.worst < 1e-3, "{model:?}");
        assert!((model.round_trip[1] - 0.8).abs() < 0.01 && (model.latency[0] - 0.25).abs() < 0.01, "{model:?}");
        for (i, side) in [Side::A, Side::B].into_iter().enumerate() {
            let (predicted, true_us) = (model.time_us(side, 3e3, 0.0), truth(i, 3e3, 0.0));
            assert!((predicted / true_us - 1.0).abs() < 0.01, "{predicted} {true_us}");
        }
        assert_eq!(model.points, 10, "loads are not distances");
    }

    #[test]
    fn a_world_that_the_model_does_not_describe_shows_in_the_residual() {
        let odd = results(|c, _| if c.database_rtt_ms == 1 { 9e6 } else { 1e6 });
        assert!(Model::fit(&odd).unwrap().worst > 0.2);
    }

    #[test]
    fn no_coefficient_is_negative() {
        let x = non_negative(&[([1.0, 1.0], 1.0), ([1.0, 2.0], 0.5), ([1.0, 3.0], 0.1)]);
        assert!(x.iter().all(|c| *c >= 0.0), "{x:?}");
        let exact = non_negative(&[([1.0, 0.0], 2.0), ([0.0, 2.0], 6.0), ([1.0, 1.0], 5.0)]);
        assert!((exact[0] - 2.0).abs() < 1e-9 && (exact[1] - 3.0).abs() < 1e-9, "{exact:?}");
    }

    #[test]
    fn without_counts_or_conditions_there_is_no_model() {
        let mut without = results(|_, _| 1e6);
        without.rows.retain(|r| r.metric != Metric::RoundTrips);
        assert_eq!(Model::fit(&without), None);
        let mut few = results(|_, _| 1e6);
        few.conditions.truncate(2);
        assert_eq!(Model::fit(&few), None);
    }
}
