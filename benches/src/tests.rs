//! The data is the same in every run, and storage gives back what was put in.

use super::*;

#[test]
fn the_fleet_is_the_same_everywhere() {
    let fleet = Fleet { series_per_target: 100 };
    let mut all = Fingerprint::default();
    for number in 0..200 {
        all.bytes(fleet.labels(number).as_encoded());
        let mut values = fleet.values(number);
        (0..50).for_each(|_| all.float(values.next_value()));
    }
    assert_eq!(all.value(), EXPECTED, "{:#x}", all.value());
    let labels: std::collections::BTreeSet<_> = (0..200).map(|number| fleet.labels(number)).collect();
    assert_eq!(labels.len(), 200);
}

/// Changes only when the data does, which makes all published numbers incomparable.
const EXPECTED: u64 = 0x35d7_faf0_2b5b_db68;

#[test]
fn storage_gives_back_what_was_put_in() {
    let fleet = Fleet { series_per_target: 20 };
    let database = Database::create().unwrap();
    database.fill(&fleet, 20, 10).unwrap();
    let database = database.reopen().unwrap();
    let mut read = Vec::new();
    database.scan(&[], |values| read.extend(values.iter().map(|value| value.to_bits()))).unwrap();
    let mut put = Vec::new();
    for number in 0..20 {
        let mut values = fleet.values(number);
        put.extend((0..10).map(|_| values.next_value().to_bits()));
    }
    read.sort_unstable();
    put.sort_unstable();
    assert_eq!(read, put);
}
