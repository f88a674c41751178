//! The gate between those who make batches visible and those who look: any number of either at once, never both.
//!
//! A reader thereby sees all of a batch or nothing of it, while batches become visible side by side, on all cores.
//! Who waits is let in together, and first: neither kind can keep the other out for longer than it takes those that
//! are inside.

use parking_lot::{Condvar, Mutex, MutexGuard};

/// Who wants to get in.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Writer,
    Reader,
}

/// One kind, counted.
#[derive(Debug, Default, Clone, Copy)]
struct Crowd {
    inside: usize,
    /// Let in, and about to wake up.
    admitted: usize,
    waiting: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Gate {
    crowds: Mutex<[Crowd; 2]>,
    changed: Condvar,
}

/// Leave to be inside, until it is dropped.
#[derive(Debug)]
#[must_use = "the gate is left at once"]
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    kind: Kind,
}

impl Kind {
    const fn of(self, crowds: &mut [Crowd; 2]) -> (&mut Crowd, &mut Crowd) {
        let [writers, readers] = crowds;
        match self {
            Self::Writer => (writers, readers),
            Self::Reader => (readers, writers),
        }
    }
}

impl Gate {
    /// For those who change what is visible.
    pub(super) fn write(&self) -> Pass<'_> {
        self.enter(Kind::Writer)
    }

    /// For those who look.
    pub(super) fn read(&self) -> Pass<'_> {
        self.enter(Kind::Reader)
    }

    fn enter(&self, kind: Kind) -> Pass<'_> {
        let mut crowds = self.crowds.lock();
        let (own, others) = kind.of(&mut crowds);
        if others.inside + others.admitted + others.waiting == 0 {
            own.inside += 1;
        } else {
            own.waiting += 1;
            self.wait(kind, &mut crowds);
        }
        Pass { gate: self, kind }
    }

    fn wait(&self, kind: Kind, crowds: &mut MutexGuard<'_, [Crowd; 2]>) {
        // The last of the others to leave counts those that wait over to the admitted.
        while kind.of(crowds).0.admitted == 0 {
            self.changed.wait(crowds);
        }
        let (own, _) = kind.of(crowds);
        own.admitted -= 1;
        own.inside += 1;
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut crowds = self.gate.crowds.lock();
        let (own, others) = self.kind.of(&mut crowds);
        own.inside -= 1;
        if own.inside + own.admitted == 0 && others.waiting > 0 {
            others.admitted = std::mem::take(&mut others.waiting);
            self.gate.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests;
