//! Adding many series to an index at once.
//!
//! A sender's series come one behind the other and share most labels with the one before: job and instance all of them,
//! the metric's name those that lie next to each other. For each place within the labels it is remembered which series
//! have had the same label there without a gap; only when that ends is the label looked up, and all of them go into its
//! posting as one run.

use model::Labels;

use super::MemoryIndex;

/// A label in one place, and the series in a row that have it there.
#[derive(Debug, Default)]
struct Run {
    name: Vec<u8>,
    value: Vec<u8>,
    /// The first series with the name.
    named_from: u32,
    /// The first with the value, too.
    valued_from: u32,
    /// The one after the last; zero where there is no run.
    end: u32,
}

/// The runs that go on. What they hold is in the index when [`Runs::finish`] was called.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    runs: Vec<Run>,
    /// All series since the last gap.
    first: u32,
    end: u32,
}

impl Runs {
    /// Adds a series. Best in the order of ids.
    pub(crate) fn add(&mut self, index: &mut MemoryIndex, id: u32, labels: &Labels) {
        let goes_on = |end: u32| end == id && id != 0;
        if !goes_on(self.end) {
            self.flush_ids(index);
            self.first = id;
        }
        self.end = id + 1;
        for (at, (name, value)) in labels.as_bytes().enumerate() {
            if at == self.runs.len() {
                self.runs.push(Run::default());
            }
            let run = &mut self.runs[at];
            if !goes_on(run.end) || run.name != name {
                run.flush(index);
                name.clone_into(&mut run.name);
                value.clone_into(&mut run.value);
                (run.named_from, run.valued_from) = (id, id);
            } else if run.value != value {
                run.flush_value(index);
                value.clone_into(&mut run.value);
                run.valued_from = id;
            }
            run.end = id + 1;
        }
    }

    /// Ends all runs.
    pub(crate) fn finish(&mut self, index: &mut MemoryIndex) {
        self.flush_ids(index);
        self.runs.iter_mut().for_each(|run| run.flush(index));
    }

    fn flush_ids(&mut self, index: &mut MemoryIndex) {
        if self.first < self.end {
            index.insert_ids(self.first..=self.end - 1);
            self.first = self.end;
        }
    }
}

impl Run {
    fn flush(&mut self, index: &mut MemoryIndex) {
        if self.end != 0 {
            self.flush_value(index);
            // Labels are text.
            if let Ok(name) = std::str::from_utf8(&self.name) {
                index.insert_name(name, self.named_from..=self.end - 1);
            }
            self.end = 0;
        }
    }

    fn flush_value(&self, index: &mut MemoryIndex) {
        if let (Ok(name), Ok(value)) = (std::str::from_utf8(&self.name), std::str::from_utf8(&self.value)) {
            index.insert_value(name, value, self.valued_from..=self.end - 1);
        }
    }
}
