//! Steps come and go in their order, and do not flicker.

use super::*;

#[test]
fn series_are_shed_first_and_then_queries() {
    let mut shortage = Shortage::None;
    let mut check = |used: u64, expected: Shortage| {
        shortage = next(shortage, used, 1000);
        assert_eq!(shortage, expected, "{used}");
    };
    check(0, Shortage::None);
    check(849, Shortage::None);
    check(850, Shortage::ShedsSeries);
    check(800, Shortage::ShedsSeries);
    check(799, Shortage::None);
    check(949, Shortage::ShedsSeries);
    check(950, Shortage::ShedsQueries);
    check(900, Shortage::ShedsQueries);
    check(899, Shortage::ShedsSeries);
    check(2000, Shortage::ShedsQueries);
    check(100, Shortage::None);
    check(1000, Shortage::ShedsQueries);
}

#[test]
fn queries_give_back_what_is_too_much() {
    let check = |used, held, expected| assert_eq!(queries_max(used, held, 1000), expected, "{used} {held}");
    check(960, 300, 240);
    check(960, 20, 0);
    check(900, 300, 300);
}
