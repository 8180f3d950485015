use std::convert::Infallible;

use super::*;

fn objective(text: &str) -> Objective {
    text.parse().unwrap()
}

#[test]
fn objectives_read_as_documented_and_read_back() {
    for (text, written, quantile, ms) in [
        ("p99 < 5s", "p99 < 5s", 0.99, 5_000),
        ("p99<5s", "p99 < 5s", 0.99, 5_000),
        (" P99.9 <= 1.5s ", "p99.9 <= 1.5s", 0.999, 1_500),
        ("p50 ≤ 20ms", "p50 <= 20ms", 0.5, 20),
        ("max < 2min", "max < 120s", 1.0, 120_000),
    ] {
        let read = objective(text);
        assert_eq!((read.to_string().as_str(), read.quantile()), (written, quantile), "{text}");
        assert_eq!(read.limit(), Duration::from_millis(ms));
        assert_eq!(objective(written), read);
        assert_eq!(serde_json::from_str::<Objective>(&serde_json::to_string(&read).unwrap()).unwrap(), read);
    }
    assert!(!objective("p99 < 5ms").met_by(5_000) && objective("p99 <= 5ms").met_by(5_000));
    assert_eq!((objective("p99 < 5s").fewest(), objective("p99.9 < 5s").fewest()), (1_000, 10_000));
}

#[test]
fn a_slip_in_an_objective_is_told_with_what_was_meant() {
    let said = |text: &str| text.parse::<Objective>().unwrap_err().to_string();
    assert_eq!(said("p98 < 5s"), "unknown quantile `p98`; did you mean `p90`?");
    assert_eq!(said("mxa < 5s"), "unknown quantile `mxa`; did you mean `max`?");
    assert!(said("latency < 5s").contains("known: p50, p75"), "{}", said("latency < 5s"));
    assert!(said("p99 < 5").contains("`5` is no duration"));
    assert!(said("p99 < fast").contains("no duration"));
    assert!(said("p99 < 0s").contains("no latency is below 0"));
    for text in ["p99 > 5s", "p99 >= 5s", "p99 == 5s", "p99 = 5s", "p99 => 5s", "p99 != 5s"] {
        assert!(said(text).contains("upper bound"), "{text}: {}", said(text));
    }
    for text in ["", "p99", "p99 5s", "< 5s", "p99 <"] {
        assert!(said(text).contains("is no objective"), "{text}: {}", said(text));
    }
}

/// A service whose latency rises slowly up to its capacity and steeply beyond, with a little noise from a fixed sequence.
struct Service {
    capacity: f64,
    noise: u32,
    calls: u32,
}

impl Service {
    fn new(capacity: f64, noise: u32) -> Self {
        Self { capacity, noise, calls: 0 }
    }

    fn measure(&mut self, rate: f64) -> Measured {
        self.calls += 1;
        // A small multiplicative generator: −4 … +4 %.
        self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = 0.96 + f64::from(self.noise >> 16) / 65_536.0 * 0.08;
        let load = rate / (self.capacity * noise);
        let p99 = if load < 1.0 { 100_000.0 * (1.0 + load) } else { 1_000_000.0 * load * load };
        let mut latency = Histogram::new();
        (0..1_000).for_each(|_| latency.record(p99 as u64));
        Measured { latency, missing: 0, throughput: rate.min(self.capacity), limited: None }
    }
}

async fn searched(service: &mut Service, bounds: &Bounds) -> Capacity {
    let measure = async |rate| Ok::<_, Infallible>(service.measure(rate));
    search(&objective("p99 < 1s"), bounds, measure).await.unwrap()
}

#[tokio::test]
async fn the_capacity_is_found_from_below_and_from_above_and_twice_the_same() {
    for capacity in [0.7, 5.0, 100.0, 1_234.0, 20_000.0] {
        let mut answers = Vec::new();
        for noise in 0..20 {
            let found = searched(&mut Service::new(capacity, noise), &Bounds::default()).await;
            let Found::Between { met, missed } = found.found else { panic!("{:?}", found.found) };
            assert!(missed / met <= 1.1, "{met} {missed}");
            assert!(met >= capacity * 0.85 && met <= capacity * 1.05, "{capacity}: {met}");
            assert!(found.points.len() <= 60);
            answers.push(met);
        }
        answers.sort_by(f64::total_cmp);
        assert!(answers[19] / answers[0] <= 1.2, "{capacity}: {answers:?}");
    }
}

#[tokio::test]
async fn one_odd_measurement_does_not_decide() {
    let mut service = Service::new(100.0, 1);
    let measure = async |rate| {
        let mut measured = service.measure(rate);
        // The second one: as if nothing had come back.
        if service.calls == 2 {
            measured.missing = 1_000_000;
        }
        Ok::<_, Infallible>(measured)
    };
    let found = search(&objective("p99 < 1s"), &Bounds::default(), measure).await.unwrap();
    assert!(found.found.rate().is_some_and(|rate| rate > 80.0), "{:?}", found.found);
    let at_first: Vec<bool> = found.points.iter().filter(|p| p.rate == 8.0).map(|p| p.met).collect();
    assert_eq!(at_first, [true, false, true]);
    assert_eq!(found.points[1].quantile_us, None);
}

#[tokio::test]
async fn bounds_are_kept_and_said() {
    let bounds = |lowest, highest| Bounds { lowest, highest, ..Bounds::default() };
    let found = searched(&mut Service::new(100.0, 1), &bounds(1.0, 50.0)).await;
    assert_eq!(found.found, Found::AtLeast { met: 50.0 });
    let found = searched(&mut Service::new(0.01, 1), &bounds(1.0, 50.0)).await;
    assert_eq!(found.found, Found::Nowhere { missed: 1.0 });
    assert_eq!(found.found.rate(), None);
    let few = Bounds { most: 7, ..Bounds::default() };
    let found = searched(&mut Service::new(1_000.0, 1), &few).await;
    assert!(matches!(&found.found, Found::Open { met: Some(32.0), missed: None, .. }), "{:?}", found.found);
    assert_eq!(found.points.len(), 7);
}

#[tokio::test]
async fn a_saturated_generator_and_too_small_a_sample_are_no_capacity() {
    let mut service = Service::new(1_000.0, 1);
    let measure = async |rate| {
        let mut measured = service.measure(rate);
        if rate > 100.0 {
            measured.missing = 1_000;
            measured.limited = Some("late".to_owned());
        }
        Ok::<_, Infallible>(measured)
    };
    let found = search(&objective("p99 < 1s"), &Bounds::default(), measure).await.unwrap();
    assert_eq!(found.found, Found::Limited { met: Some(64.0), rate: 128.0, why: "late".to_owned() });

    let measure = async |_| {
        let mut latency = Histogram::new();
        (0..99).for_each(|_| latency.record(1));
        Ok::<_, Infallible>(Measured { latency, missing: 0, throughput: 1.0, limited: None })
    };
    let found = search(&objective("p99 < 1s"), &Bounds::default(), measure).await.unwrap();
    assert!(matches!(&found.found, Found::Open { met: None, why, .. } if why.contains("had 99, too few for p99")));
}

#[tokio::test]
async fn what_measuring_fails_with_ends_the_search() {
    let failed = search(&objective("p99 < 1s"), &Bounds::default(), async |_| Err("no database")).await;
    assert_eq!(failed, Err("no database"));
}
