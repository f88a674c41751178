//! From matchers to series: which matcher first, and how each is answered.

use std::cmp::Reverse;

use model::{MatchOp, Matcher};
use roaring::RoaringBitmap;

use super::pattern::Form;
use super::{LabelIndex, NameIndex, Pattern, Union};
use crate::error::Result;

/// What looking a value up costs, in nanoseconds, roughly.
const LOOK_UP_NS: u64 = 300;
/// What adding the posting of one more value to a union costs, in nanoseconds, roughly.
const POSTING_NS: u64 = 15;
/// Building an automaton pays from this many tests.
const AUTOMATON_FROM: u64 = 256;

/// Matchers, made ready once for the head and all blocks.
pub(crate) struct Query<'a> {
    conditions: Vec<Condition<'a>>,
}

struct Condition<'a> {
    matcher: &'a Matcher,
    /// Where the matcher is a regular expression.
    pattern: Option<Pattern>,
    /// Whether the positive form of the matcher, `=` or `=~`, passes the empty value.
    passes_empty: bool,
    /// Whether series without the label fail.
    selects: bool,
}

/// A condition and what one index knows of its label.
struct Step<'a> {
    condition: &'a Condition<'a>,
    name: Box<dyn NameIndex + 'a>,
    cost_ns: u64,
}

impl<'a> Query<'a> {
    pub(crate) fn new(matchers: &'a [Matcher]) -> Self {
        let condition = |matcher: &'a Matcher| {
            let (positive, is_regex) = match matcher.op() {
                MatchOp::Equal => (true, false),
                MatchOp::NotEqual => (false, false),
                MatchOp::Regex => (true, true),
                MatchOp::NotRegex => (false, true),
            };
            let matches_empty = matcher.matches_empty();
            Condition {
                matcher,
                pattern: is_regex.then(|| Pattern::new(matcher)),
                passes_empty: matches_empty == positive,
                selects: !matches_empty,
            }
        };
        Self { conditions: matchers.iter().map(condition).collect() }
    }

    /// The series that pass all matchers; all series without any.
    pub(crate) fn resolve(&self, index: &dyn LabelIndex) -> Result<RoaringBitmap> {
        let mut steps = Vec::with_capacity(self.conditions.len());
        for condition in &self.conditions {
            match index.name(condition.matcher.name())? {
                Some(name) => steps.push(Step { condition, cost_ns: condition.cost_ns(&*name), name }),
                None if condition.selects => return Ok(RoaringBitmap::new()),
                None => {}
            }
        }
        steps.sort_by_key(|step| (Reverse(step.condition.selects), step.cost_ns));
        let mut selected: Option<RoaringBitmap> = None;
        for step in &steps {
            if !step.condition.selects && selected.is_none() {
                selected = Some(index.all()?);
            }
            selected = Some(step.narrow(index, selected)?);
            if selected.as_ref().is_some_and(RoaringBitmap::is_empty) {
                break;
            }
        }
        selected.map_or_else(|| index.all(), Ok)
    }
}

impl Condition<'_> {
    /// What finding the values costs that pass the matcher's positive form.
    fn cost_ns(&self, name: &dyn NameIndex) -> u64 {
        match self.pattern.as_ref() {
            None => LOOK_UP_NS,
            Some(pattern) => match pattern.form() {
                Form::Anything | Form::Something => LOOK_UP_NS,
                Form::Values(values) => LOOK_UP_NS * values.len() as u64,
                _ => name.passing_ns(pattern),
            },
        }
    }

    /// Whether a value passes the matcher.
    fn passes(&self, value: &str) -> bool {
        self.matcher.matches(value)
    }
}

impl Step<'_> {
    /// Those of the series that pass; `None` stands for all.
    fn narrow(&self, index: &dyn LabelIndex, selected: Option<RoaringBitmap>) -> Result<RoaringBitmap> {
        let Some(selected) = selected else { return self.target(None) };
        let test_ns = selected.len().saturating_mul(index.value_of_ns());
        if test_ns < self.cost_ns {
            return self.test(index, &selected);
        }
        if let Some(passing) = self.scan()? {
            // Found quickly, but carried by more series than are left.
            let unite_ns = self.unite_count(&passing).saturating_mul(POSTING_NS);
            if test_ns < unite_ns {
                return self.test(index, &selected);
            }
        }
        let target = self.target(Some(&selected))?;
        Ok(if self.condition.selects { target } else { selected - target })
    }

    /// Tests the label of each series itself.
    fn test(&self, index: &dyn LabelIndex, selected: &RoaringBitmap) -> Result<RoaringBitmap> {
        let condition = self.condition;
        let automaton = condition.pattern.as_ref().filter(|_| selected.len() >= AUTOMATON_FROM);
        let positive = condition.passes_empty != condition.selects;
        let mut kept = Vec::new();
        for id in selected {
            let mut passes = false;
            index.value_of(id, condition.matcher.name(), &mut |value| {
                passes = match automaton {
                    Some(pattern) => {
                        (pattern.test(value.as_bytes()) == super::pattern::Verdict::Passes) == positive
                    }
                    None => condition.passes(value),
                };
            })?;
            if passes {
                kept.push(id);
            }
        }
        Ok(kept.into_iter().collect())
    }

    /// The numbers of the values that pass the positive form, where they must be searched for.
    fn scan(&self) -> Result<Option<std::sync::Arc<RoaringBitmap>>> {
        match self.condition.pattern.as_ref() {
            Some(pattern) if pattern.needs_search() => self.name.passing(pattern).map(Some),
            _ => Ok(None),
        }
    }

    /// How many postings it takes to tell who carries those values.
    fn unite_count(&self, passing: &RoaringBitmap) -> u64 {
        passing.len().min(u64::from(self.name.value_count()).saturating_sub(passing.len()))
    }

    /// The series that have the label and whose value passes the positive form, or fails it where the empty value
    /// passes; of `among` only, where that is given.
    fn target(&self, among: Option<&RoaringBitmap>) -> Result<RoaringBitmap> {
        let invert = self.condition.passes_empty;
        let having = || self.name.having(among);
        let inverted = |passing: RoaringBitmap| Ok(if invert { having()? - passing } else { passing });
        match self.condition.pattern.as_ref() {
            None => match self.condition.matcher.compared() {
                Some("") => having(),
                Some(value) => match self.name.find(value)? {
                    Some(number) => inverted(self.name.posting(number, among)?),
                    None => inverted(RoaringBitmap::new()),
                },
                None => inverted(RoaringBitmap::new()),
            },
            Some(pattern) => match pattern.form() {
                Form::Anything => Ok(RoaringBitmap::new()),
                Form::Something => having(),
                Form::Values(values) => {
                    let mut numbers = Vec::with_capacity(values.len());
                    for value in values {
                        numbers.extend(self.name.find(value)?);
                    }
                    inverted(self.carriers(&numbers, among)?)
                }
                _ => {
                    let passing = self.name.passing(pattern)?;
                    let count = self.name.value_count();
                    if passing.len() * 2 <= u64::from(count) {
                        return inverted(self.carriers(&passing.iter().collect::<Vec<_>>(), among)?);
                    }
                    // Fewer fail than pass.
                    let mut failing = RoaringBitmap::new();
                    failing.insert_range(0..count);
                    failing -= &*passing;
                    let failing = self.carriers(&failing.iter().collect::<Vec<_>>(), among)?;
                    Ok(if invert { failing } else { having()? - failing })
                }
            },
        }
    }

    /// The series that carry any of those values.
    fn carriers(&self, numbers: &[u32], among: Option<&RoaringBitmap>) -> Result<RoaringBitmap> {
        if let [only] = numbers {
            return self.name.posting(*only, among);
        }
        let mut union = Union::default();
        self.name.unite(&mut numbers.iter().copied(), &mut union)?;
        let union = union.into_bitmap();
        Ok(match among {
            Some(among) => union & among,
            None => union,
        })
    }
}
