//! Answers, as they are written.

use axum::body::to_bytes;
use expect_test::{Expect, expect};
use futures::StreamExt as _;
use promql::script::{MemoryStorage, parse_series};
use promql::{Engine, EngineOptions, QueryControl, Times};
use serde_json::Value as Json;

use super::*;

fn storage(series: &[(&str, &str)]) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for (metric, values) in series {
        let (labels, values) = parse_series(metric, values).unwrap();
        for (step, value) in values.into_iter().enumerate() {
            if let Some(value) = value {
                storage.put(&labels, Timestamp::from_millis(1500 * step as i64), value);
            }
        }
    }
    storage
}

fn ask(storage: &MemoryStorage, query: &str, times: Times) -> Answer {
    let engine = Engine::new(EngineOptions::prometheus_defaults());
    engine.run(storage, query, times, &QueryControl::default()).unwrap()
}

/// Nobody waits that long here.
const LONG: Duration = Duration::from_secs(3600);

const INSTANT: Times = Times::Instant(Timestamp::from_millis(1500));
const RANGE: Times =
    Times::Range { start: Timestamp::EPOCH, end: Timestamp::from_millis(3000), step_ms: 1500 };

async fn body(response: Response) -> String {
    String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap()
}

async fn check(query: &str, times: Times, wanted: Wanted, expected: &Expect) {
    let storage = storage(&[
        ("a{x=\"1\"}", "1 2.5 -1e-7"),
        ("a{x=\"\\n\\\"\"}", "_ 0x2"),
        ("h", "{{schema:0 count:3 sum:4 z_bucket:1 z_bucket_w:0.5 buckets:[2]}}x2"),
    ]);
    expected.assert_eq(&body(respond(ask(&storage, query, times), wanted, LONG)).await);
}

#[tokio::test]
async fn values_of_every_type() {
    let all = Wanted::default();
    check(
        "1 / 0",
        INSTANT,
        all,
        &expect![[r#"{"status":"success","data":{"resultType":"scalar","result":[1.500,"+Inf"]}}"#]],
    )
    .await;
    check(
        "\"a\\nb\"",
        INSTANT,
        all,
        &expect![[r#"{"status":"success","data":{"resultType":"string","result":[1.500,"a\nb"]}}"#]],
    )
    .await;
    check("a", INSTANT, all, &expect![[r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"a","x":"\n\""},"value":[1.500,"0"]},{"metric":{"__name__":"a","x":"1"},"value":[1.500,"2.5"]}]}}"#]]).await;
    check(
        "nothing",
        INSTANT,
        all,
        &expect![[r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#]],
    )
    .await;
    check("h", INSTANT, all, &expect![[r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"h"},"histogram":[1.5,{"count":"3","sum":"4","buckets":[[3,"-0.5","0.5","1"],[0,"0.5","1","2"]]}]}]}}"#]]).await;
    check("a", RANGE, all, &expect![[r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"a","x":"\n\""},"values":[[1.500,"0"],[3,"0"]]},{"metric":{"__name__":"a","x":"1"},"values":[[0,"1"],[1.500,"2.5"],[3,"-1e-07"]]}]}}"#]]).await;
    check("h", RANGE, all, &expect![[r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"h"},"histograms":[[0,{"count":"3","sum":"4","buckets":[[3,"-0.5","0.5","1"],[0,"0.5","1","2"]]}],[1.5,{"count":"3","sum":"4","buckets":[[3,"-0.5","0.5","1"],[0,"0.5","1","2"]]}],[3,{"count":"3","sum":"4","buckets":[[3,"-0.5","0.5","1"],[0,"0.5","1","2"]]}]]}]}}"#]]).await;
    check("a[3s]", INSTANT, all, &expect![[r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"a","x":"\n\""},"values":[[1.500,"0"]]},{"metric":{"__name__":"a","x":"1"},"values":[[0,"1"],[1.500,"2.5"]]}]}}"#]]).await;
    check("quantile(7, a)", INSTANT, all, &expect![[r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1.500,"+Inf"]}]},"warnings":["PromQL warning: quantile value should be between 0 and 1, got 7 (1:10)"]}"#]]).await;
}

#[tokio::test]
async fn a_limit_cuts_and_says_so() {
    let limit = |limit| Wanted { limit: Some(limit), stats: false };
    check("a", RANGE, limit(1), &expect![[r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"a","x":"\n\""},"values":[[1.500,"0"],[3,"0"]]}]},"warnings":["results truncated due to limit"]}"#]]).await;
    check("count(a)", INSTANT, limit(1), &expect![[r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1.500,"2"]}]}}"#]]).await;
}

#[tokio::test]
async fn stats_come_with_the_data() {
    let storage = storage(&[("a", "1x10")]);
    let wanted = Wanted { limit: None, stats: true };
    let json: Json =
        serde_json::from_str(&body(respond(ask(&storage, "a", RANGE), wanted, LONG)).await).unwrap();
    assert_eq!(json["data"]["stats"]["samples"]["totalQueryableSamples"], 3);
    assert!(json["data"]["stats"]["timings"]["evalTotalTime"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn large_answers_come_in_pieces_that_make_the_same_whole() {
    let names: Vec<String> = (0..300).map(|n| format!("m{{series=\"{n:03}\"}}")).collect();
    let series: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "0.125+0.25x99")).collect();
    let mut storage = storage(&series);
    // One series alone is larger than a piece.
    let (labels, values) = parse_series("m{series=\"long\"}", "1.5+1x9999").unwrap();
    for (step, value) in values.into_iter().flatten().enumerate() {
        storage.put(&labels, Timestamp::from_millis(step as i64), value);
    }
    let times = Times::Instant(Timestamp::from_millis(1_000_000));
    let response = respond(ask(&storage, "m[1h]", times), Wanted::default(), LONG);
    let pieces: Vec<Bytes> = response.into_body().into_data_stream().map(Result::unwrap).collect().await;
    assert!(pieces.len() > 10, "{} pieces", pieces.len());
    assert!(pieces.iter().all(|piece| piece.len() < PIECE_BYTES + 4096));
    let json: Json = serde_json::from_slice(&pieces.concat()).unwrap();
    let result = json["data"]["result"].as_array().unwrap();
    assert_eq!(result.len(), 301);
    for (n, series) in result.iter().take(300).enumerate() {
        assert_eq!(series["metric"]["series"], format!("{n:03}"));
        let values = series["values"].as_array().unwrap();
        assert_eq!(values.len(), 100);
        assert_eq!(values[99], serde_json::json!([148.5, "24.875"]));
    }
    assert_eq!(result[300]["values"].as_array().unwrap().len(), 10_000);
}

/// Answers large enough to be written ahead, cut or not, with histograms between or not.
#[tokio::test]
async fn what_is_written_ahead_is_the_same() {
    let names: Vec<String> = (0..400).map(|n| format!("m{{series=\"{n:03}\"}}")).collect();
    let values = |n: usize| match n {
        0 | 7 | 399 => "{{schema:0 count:3 sum:4 buckets:[3]}}x99",
        _ if n.is_multiple_of(3) => "0.125+0.25x50 _x10 1+7x20",
        _ => "1e-7+0.5x99",
    };
    let series: Vec<(&str, &str)> =
        names.iter().enumerate().map(|(n, name)| (name.as_str(), values(n))).collect();
    let storage = storage(&series);
    let end = Timestamp::from_millis(1500 * 99);
    let times = Times::Range { start: Timestamp::EPOCH, end, step_ms: 1500 };
    for limit in [None, Some(1), Some(390)] {
        let wanted = Wanted { limit, stats: false };
        let body = body(respond(ask(&storage, "m", times), wanted, LONG)).await;
        let mut expected = Vec::new();
        let count = limit.unwrap_or(usize::MAX);
        for (index, series) in ask(&storage, "m", times).into_series().take(count).enumerate() {
            if index > 0 {
                expected.push(b',');
            }
            metric(&mut expected, &series);
            for (at, sample) in series.floats().enumerate() {
                expected.extend_from_slice(if at == 0 { b",\"values\":[" } else { b"," });
                point(&mut expected, sample.timestamp, sample.value);
            }
            for (at, (time, histogram)) in series.histograms().enumerate() {
                expected.extend_from_slice(if at == 0 { b",\"histograms\":[" } else { b"," });
                value(&mut expected, &JsonHistogramPoint(time, histogram));
            }
            expected.extend_from_slice(b"]}");
        }
        let data =
            format!("{{\"resultType\":\"matrix\",\"result\":[{}]}}", String::from_utf8(expected).unwrap());
        let notes = if limit.is_some() { format!(",\"warnings\":[{TRUNCATED:?}]") } else { String::new() };
        assert_eq!(body, format!("{{\"status\":\"success\",\"data\":{data}{notes}}}"));
    }
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up() {
    let mut storage = storage(&[]);
    let (labels, _) = parse_series("m", "").unwrap();
    for step in 0..20_000 {
        storage.put(&labels, Timestamp::from_millis(step), Value::Float(0.5));
    }
    let engine = Engine::new(EngineOptions::prometheus_defaults());
    let times = Times::Instant(Timestamp::from_millis(1_000_000));
    let answer = engine.run(&storage, "m[1h]", times, &QueryControl::default()).unwrap();
    assert!(engine.pool().usage().used_bytes > 0);
    let mut body =
        respond(answer, Wanted::default(), Duration::from_millis(1)).into_body().into_data_stream();
    while engine.pool().usage().used_bytes > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The piece that was written already is whole; what follows is an error, so that nobody takes it for the end.
    assert!(body.next().await.unwrap().is_ok());
    assert!(body.next().await.unwrap().is_err());
}
