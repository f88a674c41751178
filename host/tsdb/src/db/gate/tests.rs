//! The gate under threads.

use std::sync::atomic::{AtomicI64, Ordering};

use super::Gate;

/// Writers count up, readers count down: never on both sides of zero, and everybody gets through.
#[test]
fn kinds_never_meet_and_nobody_starves() {
    const ROUNDS: usize = 2_000;
    let (gate, inside, passed) = (Gate::default(), AtomicI64::new(0), AtomicI64::new(0));
    std::thread::scope(|scope| {
        for worker in 0..6 {
            let (gate, inside, passed) = (&gate, &inside, &passed);
            scope.spawn(move || {
                let step = if worker % 2 == 0 { 1 } else { -1 };
                for _ in 0..ROUNDS {
                    let _pass = if step > 0 { gate.write() } else { gate.read() };
                    let now = inside.fetch_add(step, Ordering::SeqCst) + step;
                    assert!(now * step > 0, "a writer and a reader are inside");
                    std::thread::yield_now();
                    inside.fetch_sub(step, Ordering::SeqCst);
                    passed.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 6 * ROUNDS as i64);
}
