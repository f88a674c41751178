//! The comparison of queries without servers: the data keeps what it promises, and every expression finds some of it.

use std::collections::BTreeMap;
use std::time::Duration;

use formats::remote_write;
use model::{Append as _, Timestamp};
use promql::{Engine, EngineOptions, QueryControl, QueryValue};

use super::*;
use crate::{Database, FIRST_TIME_MS, Product, STEP_MS};

const LIMITS: remote_write::Limits =
    remote_write::Limits { decompressed_bytes_max: 1 << 30, items_max: 1 << 30 };

/// What the data is as storage, small.
fn stored(steps: usize) -> (Database, i64) {
    let database = Database::create().unwrap();
    let end_ms = FIRST_TIME_MS + steps as i64 * STEP_MS;
    let data = Data::of_templates(10, steps, end_ms);
    data.push(|part, body| {
        let (request, rejected) = remote_write::decode(body, &LIMITS).unwrap();
        assert_eq!(rejected, formats::Rejected::default());
        let mut appender = database.tsdb().appender();
        let mut samples = 0;
        for series in request.series {
            let mut known = None;
            for sample in series.samples {
                known = Some(appender.append(known, &series.labels, sample).unwrap());
                samples += 1;
            }
            for (at, histogram) in series.histograms {
                known = Some(appender.append_histogram(known, &series.labels, at, &histogram).unwrap());
                samples += 1;
            }
        }
        appender.commit().unwrap();
        assert_eq!(samples, part.samples);
        Ok(())
    })
    .unwrap();
    (database, end_ms)
}

#[test]
fn every_template_finds_something() {
    let (database, end_ms) = stored(300);
    let engine = Engine::new(EngineOptions::prometheus_defaults());
    for template in TEMPLATES {
        let text = fill_in(template, "ten");
        let (start, end) = (Timestamp::from_millis(end_ms - 9 * 15_000), Timestamp::from_millis(end_ms));
        let result =
            engine.range(database.storage(), &text, start, end, 15_000, &QueryControl::default()).unwrap();
        let QueryValue::Matrix(series) = result.value else { panic!("{text}") };
        // Two ask on purpose for what is not there.
        let empty = text.contains("absent") || text.contains("notfound");
        assert_eq!(series.is_empty(), empty, "{text}");
        assert!(series.iter().all(|s| s.floats.len() + s.histograms.len() <= 10), "{text}");
    }
}

#[test]
fn the_table_shows_losses_like_wins() {
    let cell = |text: &str, steps, ours: u64, theirs: u64| Cell {
        text: text.to_owned(),
        series: 10,
        steps,
        medians: BTreeMap::from([
            (Product::Stormglass, Duration::from_micros(ours)),
            (Product::Prometheus, Duration::from_micros(theirs)),
        ]),
    };
    let mut table = Table::default();
    table.add(cell("a", 1, 100, 1_000));
    table.add(cell("a", 100, 200_000, 100_000));
    table.add(cell("a or b | c", 1, 100, 400));
    expect_test::expect![[r#"
        | expression | series | instant | 100 steps |
        |---|---|---|---|
        | `a` | 10 | 0.10 / 1.00 ×10.0 | 200 / 100 **×0.5** |
        | `a or b \| c` | 10 | 0.10 / 0.40 ×4.0 |  |
    "#]]
    .assert_eq(&table.to_string());
    assert_eq!(
        table.summary(Product::Prometheus).unwrap(),
        "Prometheus: 3 questions, it takes 4.0 times as long as we do in the median (0.50 to 10); it is faster in 1"
    );
    assert_eq!(table.summary(Product::VictoriaMetrics), None);
}
