//! Messages as servers write them, and as those do who mean harm.

use proptest::prelude::*;

use super::*;

/// An answer to `db.example` with these records, each type, ttl and data; names in data are pointers to the question's.
fn message(question: &Question, flags: u16, records: &[(u16, u32, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let count = u16::try_from(records.len()).unwrap();
    for number in [question.id, flags, 1, count, 0, 0] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(&question.name);
    bytes.extend_from_slice(&question.code.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    for (code, ttl, data) in records {
        bytes.extend_from_slice(&[0xc0, 12]);
        bytes.extend_from_slice(&code.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        bytes.extend_from_slice(&ttl.to_be_bytes());
        bytes.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(data);
    }
    bytes
}

fn check(record_type: RecordType, records: &[(u16, u32, &[u8])], expected: &[(u32, Data)]) {
    let question = Question::new(7, "db.example", record_type).unwrap();
    let answer = question.answer(&message(&question, FLAG_ANSWER, records)).unwrap();
    let found: Vec<String> =
        answer.entries.iter().map(|e| format!("{} {} {:?}", e.name, e.ttl_seconds, e.data)).collect();
    let expected: Vec<String> =
        expected.iter().map(|(ttl, data)| format!("db.example. {ttl} {data:?}")).collect();
    assert_eq!(found, expected);
}

#[test]
fn records_of_every_type_are_read() {
    let alias: (u16, u32, &[u8]) = (5, 1, &[0xc0, 12]);
    check(RecordType::A, &[alias, (1, 60, &[192, 0, 2, 1])], &[(60, Data::Address("192.0.2.1".to_owned()))]);
    let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    check(RecordType::Aaaa, &[(28, 5, &v6)], &[(5, Data::Address("2001:db8::1".to_owned()))]);
    check(RecordType::Ns, &[(2, 5, b"\x02ns\xc0\x0f")], &[(5, Data::Name("ns.example.".to_owned()))]);
    let srv = Service { priority: 1, weight: 2, port: 9100, target: "a.db.example.".to_owned() };
    check(RecordType::Srv, &[(33, 9, b"\0\x01\0\x02\x23\x8c\x01a\xc0\x0c")], &[(9, Data::Srv(srv))]);
    let mx = Exchange { preference: 10, host: ".".to_owned() };
    check(RecordType::Mx, &[(15, 9, b"\0\x0a\0")], &[(9, Data::Mx(mx))]);
    check(RecordType::Txt, &[(16, 0, b"\x02ab\x01c")], &[(0, Data::Txt("abc".to_owned()))]);
    check(RecordType::Ptr, &[(12, 0, b"\x03a.b\x01\xff\0")], &[(0, Data::Name("a\\.b.\\255.".to_owned()))]);
    check(RecordType::A, &[], &[]);
}

#[test]
fn only_the_answer_to_the_question_counts() {
    let question = Question::new(7, "db.example.", RecordType::A).unwrap();
    let good = message(&question, FLAG_ANSWER, &[]);
    assert!(question.answer(&good).is_some());
    let other = |name: &str, id, kind| Question::new(id, name, kind).unwrap();
    assert!(other("DB.Example", 7, RecordType::A).answer(&good).is_some(), "case does not count");
    assert!(other("db.example", 8, RecordType::A).answer(&good).is_none());
    assert!(other("de.example", 7, RecordType::A).answer(&good).is_none());
    assert!(other("db.example", 7, RecordType::Aaaa).answer(&good).is_none());
    assert!(question.answer(&message(&question, 0, &[])).is_none(), "a question is no answer");
    assert!(question.answer(&question.encode(512)).is_none());
    let truncated = question.answer(&message(&question, FLAG_ANSWER | FLAG_TRUNCATED, &[(1, 1, b"x")]));
    assert!(truncated.unwrap().truncated);
    assert_eq!(question.answer(&message(&question, FLAG_ANSWER | 3, &[])).unwrap().code, 3);
}

#[test]
fn names_that_are_none_are_refused() {
    let long = "a".repeat(64);
    let many = "abcdefg.".repeat(40);
    for name in ["a..b", ".a", long.as_str(), many.as_str()] {
        assert!(Question::new(1, name, RecordType::A).is_none(), "{name}");
    }
    // A pointer to itself, and two that point to one another.
    let question = Question::new(7, "db.example", RecordType::Ns).unwrap();
    let length = message(&question, FLAG_ANSWER, &[]).len() as u8;
    for data in [vec![0xc0, length + 12], vec![0xc0, length + 14, 0xc0, length + 12]] {
        assert!(question.answer(&message(&question, FLAG_ANSWER, &[(2, 1, &data)])).is_none());
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(
        records in proptest::collection::vec((prop_oneof![Just(1_u16), Just(2), Just(15), Just(16), Just(33)],
            proptest::collection::vec(any::<u8>(), 0..20)), 0..4),
        cut in 0_usize..80,
        noise in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        for kind in [RecordType::A, RecordType::Ns, RecordType::Mx, RecordType::Txt, RecordType::Srv] {
            let question = Question::new(7, "db.example", kind).unwrap();
            let records: Vec<_> = records.iter().map(|(code, data)| (*code, 1, data.as_slice())).collect();
            let mut bytes = message(&question, FLAG_ANSWER, &records);
            bytes.truncate(bytes.len().saturating_sub(cut));
            bytes.extend_from_slice(&noise);
            let _ = question.answer(&bytes);
            let _ = question.answer(&noise);
        }
    }
}
