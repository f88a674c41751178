//! Up to where everything has been dealt with, while batches are acknowledged in any order.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tsdb::LogPosition;

/// Frames of the log whose items are under way, in order.
pub(crate) struct Ledger(Mutex<State>);

struct State {
    frames: VecDeque<Frame>,
    /// The number of the first of them.
    first: u64,
    /// Before this, everything has been dealt with.
    done: LogPosition,
}

struct Frame {
    end: LogPosition,
    items: usize,
}

impl Ledger {
    /// Everything before `done` has been dealt with.
    pub(crate) fn new(done: LogPosition) -> Self {
        Self(Mutex::new(State { frames: VecDeque::new(), first: 0, done }))
    }

    /// Notes a frame with so many items under way, and gives its number.
    pub(crate) fn begin(&self, end: LogPosition, items: usize) -> u64 {
        let mut state = self.0.lock();
        let number = state.first + state.frames.len() as u64;
        state.frames.push_back(Frame { end, items });
        state.settle();
        number
    }

    /// Notes that items of a frame have been dealt with.
    pub(crate) fn finish(&self, frame: u64, items: usize) {
        let mut state = self.0.lock();
        let index = usize::try_from(frame.saturating_sub(state.first)).unwrap_or(usize::MAX);
        if let Some(frame) = state.frames.get_mut(index) {
            frame.items = frame.items.saturating_sub(items);
        }
        state.settle();
    }

    /// The place up to which everything has been dealt with.
    pub(crate) fn done(&self) -> LogPosition {
        self.0.lock().done
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.lock().frames.is_empty()
    }
}

impl State {
    fn settle(&mut self) {
        while let Some(frame) = self.frames.pop_front_if(|frame| frame.items == 0) {
            self.first += 1;
            self.done = frame.end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> LogPosition {
        LogPosition { segment: 1, offset }
    }

    #[test]
    fn the_place_moves_when_all_before_it_is_done() {
        let ledger = Ledger::new(at(0));
        let (first, second, third) =
            (ledger.begin(at(10), 2), ledger.begin(at(20), 1), ledger.begin(at(30), 0));
        ledger.finish(second, 1);
        ledger.finish(first, 1);
        assert_eq!((ledger.done(), ledger.is_idle()), (at(0), false));
        ledger.finish(first, 1);
        assert_eq!((ledger.done(), ledger.is_idle()), (at(30), true));
        // Nothing that comes again moves anything.
        ledger.finish(third, 5);
        let fourth = ledger.begin(at(40), 1);
        assert_eq!((ledger.done(), ledger.is_idle()), (at(30), false));
        ledger.finish(fourth, 1);
        assert_eq!(ledger.done(), at(40));
    }
}
