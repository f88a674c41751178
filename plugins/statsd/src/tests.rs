//! Lines in, what a collection tells out.

use stormglass_sdk::testing;

use super::*;

fn chunk(data: &str) -> Chunk {
    Chunk { data: data.as_bytes().to_vec(), datagram_ends: vec![], content_type: String::new(), last: true }
}

fn feed(plugin: &mut StatsD, data: &str) -> Consumed {
    testing::Host::new().run(|| plugin.decode(&chunk(data), &mut Samples::new())).unwrap()
}

fn collected(plugin: &mut StatsD) -> String {
    let mut out = Metrics::new();
    plugin.collect(&mut out).unwrap();
    testing::render(&out)
}

fn check(config: &str, data: &str, expected: &str) {
    let mut plugin: StatsD = testing::init(config).unwrap();
    let consumed = feed(&mut plugin, data);
    assert_eq!((consumed.bytes, consumed.rejected, consumed.reason), (data.len(), 0, None));
    assert_eq!(collected(&mut plugin), expected);
}

#[test]
fn counters_add_up_and_count_what_was_not_sent() {
    check("{}", "hits:1|c\nhits:2|c\n", "hits_total 3\n");
    check(
        "{}",
        "page.hits:1|c|@0.1|#code:200,method:GET\n",
        "page_hits_total{code=\"200\",method=\"GET\"} 10\n",
    );
    check(r#"{"prefix": "app_"}"#, "a:1:2:3|c", "app_a_total 6\n");
}

#[test]
fn gauges_are_set_or_changed() {
    check("{}", "g:10|g\ng:+5|g\ng:-2|g\n", "g 13\n");
}

#[test]
fn sets_count_different_values_since_the_last_collection() {
    let mut plugin: StatsD = testing::init("{}").unwrap();
    feed(&mut plugin, "users:a|s\nusers:b|s\nusers:a|s\n");
    assert_eq!(collected(&mut plugin), "users 2\n");
    assert_eq!(collected(&mut plugin), "users 0\n");
}

#[test]
fn timers_become_histograms_of_seconds() {
    check(
        r#"{"buckets": [0.1, 1]}"#,
        "t:50|ms|#a:b\nt:100|ms|@0.5|#a:b\nt:2000|ms|#a:b\n",
        "t_bucket{a=\"b\",le=\"0.1\"} 3\nt_bucket{a=\"b\",le=\"1\"} 3\nt_bucket{a=\"b\",le=\"+Inf\"} 4\n\
         t_sum{a=\"b\"} 2.25\nt_count{a=\"b\"} 4\n",
    );
}

#[test]
fn what_makes_no_sense_is_left_out() {
    fn check(data: &str, reason: &str) {
        let mut plugin: StatsD = testing::init(r#"{"series": 1}"#).unwrap();
        let consumed = feed(&mut plugin, &format!("first:1|c\n{data}\n"));
        assert_eq!((consumed.rejected, consumed.reason.as_deref()), (1, Some(reason)));
        assert_eq!(collected(&mut plugin), "first_total 1\n");
    }
    check("x", "there is no value: \"x\"");
    check("x:1", "there is no type: \"x:1\"");
    check("x:1|q", "there is no such type: \"x:1|q\"");
    check("first:x|c", "its value is no number: \"first:x|c\"");
    check("first:-1|c", "a counter cannot fall: \"first:-1|c\"");
    check("first:1|c|@0", "its sample rate is not above 0 and at most 1: \"first:1|c|@0\"");
    check("second:1|c", "too many series: \"second:1|c\"");
    check("first_total:1|g", "it was of another type before: \"first_total:1|g\"");
}

#[test]
fn buckets_must_rise() {
    assert!(testing::init::<StatsD>(r#"{"buckets": [1, 1]}"#).is_err());
}
