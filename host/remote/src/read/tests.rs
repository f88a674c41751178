//! Whether a server is asked, what for, and how answers are merged.

use model::Sample;

use super::*;

fn server(yaml: &str) -> Server {
    let registry = Registry::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _inside = runtime.enter();
    let config: RemoteReadConfig = serde_saphyr::from_str(&format!("{{url: http://far, {yaml}}}")).unwrap();
    Server {
        client: HttpClient::new(&config.http, true).unwrap(),
        config,
        external_labels: Labels::from_pairs([("region", "north")]),
        metrics: RemoteRead::new(&registry).unwrap().metrics,
    }
}

fn ms(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[test]
fn servers_are_asked_for_what_they_may_know() {
    let check = |yaml: &str, matchers: &[Matcher], range: (i64, i64), expected: Option<(i64, i64, usize)>| {
        let select = Select { matchers, start: ms(range.0), end: ms(range.1), step_ms: None };
        let query = server(yaml).query(&select, Some(ms(1000)));
        let asked = query.map(|query| (query.start.millis(), query.end.millis(), query.matchers.len()));
        assert_eq!(asked, expected, "{yaml} {range:?}");
    };
    let up = [Matcher::equal("__name__", "up")];
    // What is recent is here; what is older is asked for, with the external labels.
    check("", &up, (1500, 2000), None);
    check("", &up, (500, 2000), Some((500, 1000, 2)));
    check("read_recent: true", &up, (1500, 2000), Some((1500, 2000, 2)));
    check(
        "{read_recent: true, filter_external_labels: false}".trim_matches(['{', '}']),
        &up,
        (1500, 2000),
        Some((1500, 2000, 1)),
    );
    let named = [Matcher::equal("__name__", "up"), Matcher::equal("region", "south")];
    check("read_recent: true", &named, (1500, 2000), Some((1500, 2000, 2)));
    check("required_matchers: {team: a}", &up, (0, 1), None);
    let required = [Matcher::equal("__name__", "up"), Matcher::equal("team", "a")];
    check("required_matchers: {team: a}", &required, (0, 1), Some((0, 1, 3)));
    let other = [Matcher::new(MatchOp::Regex, "team", "a").unwrap()];
    check("required_matchers: {team: a}", &other, (0, 1), None);
}

#[test]
fn answers_are_merged_by_time_and_what_is_here_counts() {
    struct Local(Labels);
    impl SeriesReader for Local {
        fn labels(&self) -> &Labels {
            &self.0
        }
        fn read(&self, _: Timestamp, _: Timestamp, columns: &mut Columns) -> Result<(), ReadError> {
            columns.push(ms(20), 2.0);
            columns.push(ms(40), 4.0);
            Ok(())
        }
    }
    let labels = Labels::from_pairs([("__name__", "up")]);
    let remote = |samples: &[(i64, f64)]| ReadSeries {
        labels: labels.clone(),
        samples: samples.iter().map(|(time, value)| Sample::new(*time, *value)).collect(),
        histograms: Vec::new(),
    };
    let merged = Merged {
        labels: labels.clone(),
        local: Some(Box::new(Local(labels.clone()))),
        remote: vec![remote(&[(10, 1.0), (20, -1.0), (99, 9.0)]), remote(&[(10, -1.0), (30, 3.0)])],
    };
    let mut columns = Columns::default();
    merged.read(ms(0), ms(50), &mut columns).unwrap();
    assert_eq!(columns.timestamps, [ms(10), ms(20), ms(30), ms(40)]);
    assert_eq!(columns.values, [1.0, 2.0, 3.0, 4.0]);
}
