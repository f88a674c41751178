//! Answers are read as they are written, and told apart where they differ.

use super::*;

fn read(body: &str) -> Answer {
    Answer::read(&Reply { status: 200, body: body.as_bytes().to_vec() }).unwrap()
}

fn vector(series: &str) -> Answer {
    read(&format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{series}]}}}}"#))
}

const A: &str = r#"{"metric":{"l":"a"},"value":[1.5,"1"]}"#;
const B: &str = r#"{"metric":{"l":"b"},"value":[1.5,"+Inf"]}"#;
const H: &str = r#"{"metric":{},"histogram":[2,{"count":"3","sum":"4","buckets":[[0,"1","2","3"]]}]}"#;

#[test]
fn every_kind_is_read() {
    let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"NaN"]}}"#;
    assert!(matches!(read(scalar), Answer::Scalar(value) if value.is_nan()));
    let text = r#"{"status":"success","data":{"resultType":"string","result":[1,"t"]}}"#;
    assert_eq!(read(text), Answer::Text("t".to_owned()));
    let failed = r#"{"status":"error","errorType":"execution","error":"why"}"#;
    assert_eq!(read(failed), Answer::Failed { kind: "execution".to_owned(), text: "why".to_owned() });
    let matrix =
        r#"{"data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"],[2.001,"2"]]}]}}"#;
    let Answer::Matrix(series) = read(matrix) else { panic!("{matrix}") };
    let points = [(1000, Point::Float(1.0)), (2001, Point::Float(2.0))];
    assert_eq!(series[0].points, points.into());
    let Answer::Vector(series) = vector(H) else { panic!("{H}") };
    let histogram = Point::Histogram { count: 3.0, sum: 4.0, buckets: vec![(0, 1.0, 2.0, 3.0)] };
    assert_eq!(series[0].points, [(2000, histogram)].into());
}

#[test]
fn what_differs_is_told() {
    let differ = |a: &str, b: &str| vector(a).difference(&vector(b), false);
    assert_eq!(differ(&format!("{A},{B}"), &format!("{B},{A}")), None);
    let ordered = vector(&format!("{A},{B}")).difference(&vector(&format!("{B},{A}")), true);
    assert!(ordered.is_some_and(|text| text.starts_with("order")));
    assert_eq!(differ(A, &A.replace("\"1\"", "\"1.0000001\"")), None);
    for (a, b) in [
        (A, A.replace("\"1\"", "\"1.00001\"")),
        (A, A.replace("\"1\"", "\"NaN\"")),
        (A, A.replace("1.5", "2.5")),
        (A, A.replace("\"l\"", "\"m\"")),
        (A, B.to_owned()),
        (A, format!("{A},{B}")),
        (A, format!("{A},{A}")),
        (H, H.replace("[0,\"1\"", "[1,\"1\"")),
        (H, H.replace("\"2\",\"3\"", "\"2\",\"2\"")),
        (H, H.replace("\"sum\":\"4\"", "\"sum\":\"0\"")),
    ] {
        assert!(differ(a, &b).is_some(), "{a} {b}");
        assert!(differ(&b, a).is_some(), "{b} {a}");
    }
    assert!(vector("").difference(&Answer::Matrix(Vec::new()), false).is_some());
}
