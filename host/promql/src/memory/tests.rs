//! Who gets memory, who waits for it, who fails.

use std::sync::mpsc::channel;
use std::time::Duration;

use super::{CHUNK_BYTES, MemoryPool};
use crate::error::QueryError;

const LONG: Duration = Duration::from_secs(60);

fn go_on() -> Result<(), QueryError> {
    Ok(())
}

#[test]
fn memory_goes_back_when_a_query_ends() {
    let pool = MemoryPool::new(10 * CHUNK_BYTES, LONG);
    let lease = pool.lease();
    lease.cover(1, &go_on).unwrap();
    // Drawn in chunks: the next bytes cost nothing.
    assert_eq!(pool.usage().used_bytes, CHUNK_BYTES);
    lease.cover(CHUNK_BYTES, &go_on).unwrap();
    assert_eq!(pool.usage().used_bytes, CHUNK_BYTES);
    lease.cover(10 * CHUNK_BYTES, &go_on).unwrap();
    let usage = pool.usage();
    assert_eq!((usage.used_bytes, usage.queries, usage.waiting), (10 * CHUNK_BYTES, 1, 0));
    drop(lease);
    assert_eq!((pool.usage().used_bytes, pool.usage().queries), (0, 0));
}

#[test]
fn what_can_never_fit_fails_at_once_and_names_the_limit() {
    let pool = MemoryPool::new(1000, LONG);
    let other = pool.lease();
    other.cover(10, &go_on).unwrap();
    let error = pool.lease().cover(1001, &go_on).unwrap_err();
    assert!(matches!(error, QueryError::PoolExhausted { limit_bytes: 1000 }), "{error}");
    assert!(error.to_string().contains("1000 bytes"), "{error}");
}

#[test]
fn where_all_wait_the_last_one_fails() {
    let pool = MemoryPool::new(2 * CHUNK_BYTES, LONG);
    let (first, second) = (pool.lease(), pool.lease());
    first.cover(CHUNK_BYTES, &go_on).unwrap();
    second.cover(CHUNK_BYTES, &go_on).unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| first.cover(2 * CHUNK_BYTES, &go_on));
        while pool.usage().waiting == 0 {
            std::thread::yield_now();
        }
        // Neither could go on: one must give way.
        let error = second.cover(2 * CHUNK_BYTES, &go_on).unwrap_err();
        assert!(matches!(error, QueryError::PoolExhausted { .. }), "{error}");
        drop(second);
        waits.join().unwrap().unwrap();
    });
}

#[test]
fn those_who_wait_are_served_in_turn() {
    let pool = MemoryPool::new(CHUNK_BYTES, LONG);
    let holder = pool.lease();
    holder.cover(CHUNK_BYTES, &go_on).unwrap();
    let (send, served) = channel();
    std::thread::scope(|scope| {
        for number in 0..3 {
            let (pool, send) = (&pool, send.clone());
            scope.spawn(move || {
                let lease = pool.lease();
                lease.cover(CHUNK_BYTES, &go_on).unwrap();
                send.send(number).unwrap();
            });
            while pool.usage().waiting <= number {
                std::thread::yield_now();
            }
        }
        drop(holder);
    });
    assert_eq!(served.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn waiting_ends_with_the_query() {
    let pool = MemoryPool::new(CHUNK_BYTES, LONG);
    let holder = pool.lease();
    holder.cover(CHUNK_BYTES, &go_on).unwrap();
    let error = pool.lease().cover(1, &|| Err(QueryError::Canceled)).unwrap_err();
    assert!(matches!(error, QueryError::Canceled), "{error}");
    assert_eq!(pool.usage().waiting, 0);
    let impatient = MemoryPool::new(CHUNK_BYTES, Duration::ZERO);
    let holder = impatient.lease();
    holder.cover(CHUNK_BYTES, &go_on).unwrap();
    let error = impatient.lease().cover(1, &go_on).unwrap_err();
    assert!(matches!(error, QueryError::PoolExhausted { .. }), "{error}");
}

#[test]
fn lowering_the_limit_stops_those_that_hold_most() {
    let pool = MemoryPool::new(10 * CHUNK_BYTES, LONG);
    let (small, large) = (pool.lease(), pool.lease());
    small.cover(2 * CHUNK_BYTES, &go_on).unwrap();
    large.cover(7 * CHUNK_BYTES, &go_on).unwrap();
    pool.set_limit(5 * CHUNK_BYTES);
    assert!(small.check().is_ok());
    assert!(matches!(large.check(), Err(QueryError::Shed { .. })));
    // It gives its memory back: nobody else has to.
    pool.set_limit(4 * CHUNK_BYTES);
    assert!(small.check().is_ok());
    drop(large);
    small.cover(3 * CHUNK_BYTES, &go_on).unwrap();
    assert_eq!(pool.usage().stopped, 1);
}
