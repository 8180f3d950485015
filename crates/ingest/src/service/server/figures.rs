//! What the server counts beside the engine's own metrics.

use std::time::Duration;

use axum::http::Method;
use prometheus::{HistogramVec, IntCounterVec, IntGauge, Registry, TextEncoder};

use crate::service::queue::Gauges;

/// The figures of a server.
pub struct Figures {
    registry: Registry,
    requests: Option<IntCounterVec>,
    seconds: Option<HistogramVec>,
    gauges: Vec<IntGauge>,
}

const GAUGES: [(&str, &str); 6] = [
    ("ingest_jobs_queued", "Jobs that wait, those that wait for their next attempt included."),
    ("ingest_jobs_due", "Jobs that wait for nothing but a worker."),
    ("ingest_jobs_running", "Jobs that a worker is at, anywhere."),
    ("ingest_jobs_abandoned", "Running jobs whose lease has ended: their worker died or fell silent."),
    ("ingest_jobs_oldest_due_seconds", "How long the job that has been due for longest has waited."),
    ("ingest_http_in_flight", "Requests that are being answered."),
];

impl Figures {
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        let requests = prometheus::opts!("ingest_http_requests_total", "Requests answered, by route and status.");
        let requests = IntCounterVec::new(requests, &["method", "route", "status"]).ok();
        let buckets = vec![0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0];
        let seconds = prometheus::histogram_opts!("ingest_http_request_seconds", "Time to answer a request.", buckets);
        let seconds = HistogramVec::new(seconds, &["route"]).ok();
        let gauges = GAUGES.iter().filter_map(|(name, help)| IntGauge::new(*name, *help).ok()).collect::<Vec<_>>();
        let figures = Self { registry, requests, seconds, gauges };
        figures.register();
        figures
    }

    fn register(&self) {
        let mut all: Vec<Box<dyn prometheus::core::Collector>> = Vec::new();
        all.extend(self.requests.iter().map(|c| Box::new(c.clone()) as _));
        all.extend(self.seconds.iter().map(|h| Box::new(h.clone()) as _));
        all.extend(self.gauges.iter().map(|g| Box::new(g.clone()) as _));
        for collector in all {
            if let Err(error) = self.registry.register(collector) {
                tracing::error!(%error, "a metric is not shown");
            }
        }
    }

    pub(super) fn answered(&self, method: &Method, route: &str, status: u16, took: Duration) {
        // A method is the client's own word: one that is not known must not become a label.
        let method = if route == "none" { "any" } else { method.as_str() };
        if let Some(requests) = &self.requests {
            requests.with_label_values(&[method, route, &status.to_string()]).inc();
        }
        if let Some(seconds) = &self.seconds {
            seconds.with_label_values(&[route]).observe(took.as_secs_f64());
        }
    }

    /// The figures as Prometheus text; those of the queue where they could be had.
    pub(super) fn render(&self, queue: Option<Gauges>, in_flight: usize) -> String {
        #[expect(clippy::cast_possible_truncation, reason = "seconds of a wait")]
        let oldest = |q: &Gauges| q.oldest_due_s as i64;
        let queue = queue.map(|q| {
            [q.queued, q.due, q.running, q.abandoned]
                .map(u64::cast_signed)
                .into_iter()
                .chain([oldest(&q)])
                .collect::<Vec<_>>()
        });
        let missing = queue.is_none();
        let values =
            queue.unwrap_or_else(|| vec![-1; 5]).into_iter().chain([i64::try_from(in_flight).unwrap_or(i64::MAX)]);
        self.gauges.iter().zip(values).for_each(|(gauge, value)| gauge.set(value));
        let mut families = self.registry.gather();
        // A figure that is not known is left out: a zero would be a lie.
        families.retain(|f| !(missing && f.name().starts_with("ingest_jobs_")));
        TextEncoder::new().encode_to_string(&families).unwrap_or_default()
    }
}
