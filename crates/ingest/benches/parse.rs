//! How many race pages a core reads and checks in a second: the whole way from text to [`ingest::model::Race`].
//!
//! The sample is the real page of 160 KB where `../shared` is there, else one of the same size and shape. The bar is
//! 1,500 pages a second.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ingest::liverc::{parse_race, race_page, racer_laps};
use ingest::model::ListedRace;
use nix::sys::time::TimeValLike as _;
use nix::time::{ClockId, clock_gettime};

/// Time on the processor, not by the clock on the wall: the bar is per core, and other programs share ours.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = i64;
    type Value = i64;

    fn start(&self) -> i64 {
        clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(0, |t| t.num_nanoseconds())
    }

    fn end(&self, start: i64) -> i64 {
        self.start() - start
    }

    fn add(&self, a: &i64, b: &i64) -> i64 {
        a + b
    }

    fn zero(&self) -> i64 {
        0
    }

    fn to_f64(&self, value: &i64) -> f64 {
        *value as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn real() -> Option<String> {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|up| up.join("shared/liverc/pages"));
    pages.filter(|p| p.is_dir()).find_map(|p| std::fs::read_to_string(p.join("race-6304829.html")).ok())
}

/// A page of twelve drivers and 444 laps, indented as LiveRC indents.
fn synthetic() -> String {
    let (outer, inner) = ("\t".repeat(34), "\t".repeat(50));
    let (mut script, mut rows) = (String::new(), String::new());
    for driver in 1..=12 {
        let name = format!("DRIVER O\\'NUMBER {driver}");
        let _ =
            writeln!(script, "racerLaps[{driver}] = {{\n{outer}'driverName' : '{name}',\n{outer}'fastLap' : '38.170',");
        let _ = writeln!(script, "{outer}'laps' : [\n{inner}{{ 'lapNum' : '0', 'pos' : '{driver}', 'time' : '0' }},");
        for lap in 1..=37 {
            let _ = writeln!(
                script,
                "{inner}{{\n{inner}'lapNum' : '{lap}',\n{inner}'pos' : '{driver}',\n{inner}'time' : '38.17',\n\
                 {inner}'pace' : '48/30:32.160',\n{inner}'segments' : [\n{inner}]\n{inner}}},"
            );
        }
        let _ = writeln!(script, "{outer}]\n}};\nconsole.log(racerLaps[{driver}]);");
        let _ = writeln!(
            rows,
            "<tr><td>{driver}</td><td><span class=\"car_num\">{driver}</span><span class=\"driver_name\">\
             DRIVER O&#039;NUMBER {driver}</span><br /><a href=\"#\" data-driver-id=\"{driver}\" class=\"driver_laps\">View \
             Laps</a></td><td>{driver}</td><td>37/23:32.290</td><td>1 Lap</td><td>38.170<sup>10</sup></td>{}\
             <td><div class=\"hidden\">111.828</div>1:51.828</td><td>2.80</td><td>92.82%</td></tr>",
            "<td><div class=\"hidden\">38.983</div>38.983</td>".repeat(4)
        );
    }
    format!(
        "<!DOCTYPE html><html><body><div>{}</div><script>var racerLaps = {{}};\n{script}</script>\
         <table class=\"table race_result\"><thead><tr><th>Pos</th></tr></thead><tbody>{rows}</tbody></table></body></html>",
        "<p class=\"x\">navigation</p>".repeat(200)
    )
}

fn parse(c: &mut Criterion<CpuTime>) {
    let (page, name) = real().map_or_else(|| (synthetic(), "synthetic page"), |page| (page, "real page"));
    let listed = ListedRace {
        id: 1,
        round: String::new(),
        number: None,
        class: String::new(),
        label: String::new(),
        completed_at: None,
    };
    let race = parse_race(&page, listed.clone()).expect("the sample is whole");
    assert_eq!((race.results.len(), race.lap_count()), (12, 444));

    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Elements(1));
    group.bench_function(format!("{name}, {} KB, text to race", page.len() / 1000), |b| {
        b.iter(|| parse_race(black_box(&page), listed.clone()));
    });
    group.bench_function("of that: read, not checked", |b| b.iter(|| race_page::parse(black_box(&page))));
    group.bench_function("of that: scripts only", |b| b.iter(|| racer_laps::in_page(black_box(&page))));
    // What the slicing saves, and a yardstick for how quick the machine is at the moment.
    group.bench_function("for comparison: HTML parser over the whole page", |b| {
        b.iter(|| scraper::Html::parse_document(black_box(&page)));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = parse
}
criterion_main!(benches);
