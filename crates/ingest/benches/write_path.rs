//! How near the engine's writing comes to the fastest way into PostgreSQL: one transaction of one `COPY BINARY` of the
//! same laps into the same table with its keys and constraints, whose parents are there and whose rows have been encoded
//! beforehand.
//!
//! What is measured is what the product calls: the event's record with its checkpoints, drivers, and [`store::write_unit`]
//! with fence, races, results, laps, hashes, counts, checkpoints and COMMIT; the computing of hashes and encoding of rows is in the time.
//! Rounds are interleaved, every other one in reverse order, each case from a checkpointed database; a ratio is the
//! median of the ratios within the rounds. After each case every row of `laps` is compared, and at the end `verify`
//! must find nothing.
//!
//!     cargo bench -p ingest --bench write_path                          # 10,000 and 100,000 laps
//!     WRITE_PATH_LAPS=1000000 cargo bench -p ingest --bench write_path  # so many
//!     WRITE_PATH_ROUNDS=5 …                                             # fewer rounds
//!
//! Criterion's own figures (10,000 laps) stand ahead of the ratios, for its comparison with the run before.

#![allow(clippy::unwrap_used, reason = "a bench panics where it fails")]

#[path = "write_path/case.rs"]
mod case;
#[path = "write_path/report.rs"]
mod report;
#[path = "write_path/world.rs"]
mod world;

use std::time::Duration;

use criterion::{Criterion, SamplingMode};

use case::Case;
use report::Samples;
use world::World;

fn setting(name: &str) -> Option<u32> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value}: must be a whole number")))
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let _entered = runtime.enter(); // connections that are dropped go back to their pool by a task
    if std::env::args().any(|arg| arg == "--test") {
        // `cargo test --benches`: that everything runs, not how fast.
        let mut world = runtime.block_on(World::new(10_000));
        for case in Case::ALL {
            runtime.block_on(world.measure(case));
        }
        return;
    }
    let sizes = setting("WRITE_PATH_LAPS").map_or_else(|| vec![10_000, 100_000], |laps| vec![laps]);
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    if sizes.contains(&10_000) {
        let mut world = runtime.block_on(World::new(10_000));
        let mut group = criterion.benchmark_group("write_path/10000");
        group.warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_secs(1));
        group.sampling_mode(SamplingMode::Flat);
        for case in Case::ALL {
            group.bench_function(case.name(), |bencher| {
                bencher.iter_custom(|n| (0..n).map(|_| runtime.block_on(world.measure(case)).took).sum());
            });
        }
        group.finish();
    }
    for laps in sizes {
        let mut world = runtime.block_on(World::new(laps));
        let rounds = setting("WRITE_PATH_ROUNDS").unwrap_or(match laps {
            ..50_000 => 15,
            50_000..500_000 => 9,
            _ => 3,
        });
        let mut samples = Samples::new(laps);
        // The first round warms up.
        for round in 0..=rounds {
            let mut cases = Case::ALL;
            if round % 2 == 1 {
                cases.reverse();
            }
            for case in cases {
                let sample = runtime.block_on(world.measure(case));
                if round > 0 {
                    samples.push(case, sample);
                }
            }
        }
        runtime.block_on(world.verify());
        print!("{samples}");
    }
}
