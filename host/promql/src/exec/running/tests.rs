//! What is kept from step to step answers what a scan of every range answers.

use model::{Timestamp, Value};
use proptest::prelude::*;

use super::Running;
use crate::exec::window::{Scope, Sliding};
use crate::exec::{Context, Grid};
use crate::functions::over_time;
use crate::parser::Span;
use crate::plan::{Shift, WindowFunction};
use crate::read::Columns;
use crate::script::MemoryStorage;
use crate::{EngineOptions, QueryControl};

const FUNCTIONS: [WindowFunction; 16] = [
    WindowFunction::Changes,
    WindowFunction::Stddev,
    WindowFunction::Stdvar,
    WindowFunction::Deriv,
    WindowFunction::PredictLinear,
    WindowFunction::Quantile,
    WindowFunction::Mad,
    WindowFunction::Max,
    WindowFunction::Min,
    WindowFunction::TimeOfMax,
    WindowFunction::TimeOfMin,
    WindowFunction::Sum,
    WindowFunction::Avg,
    WindowFunction::Rate,
    WindowFunction::Increase,
    WindowFunction::Resets,
];

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        400 => (0..20_i32).prop_map(f64::from),
        400 => -1e6..1e6,
        20 => prop_oneof![Just(0.0), Just(-0.0), Just(1e100), Just(-1e100), Just(1e-300)],
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(f64::NAN), Just(1e308)],
    ]
}

fn columns() -> impl Strategy<Value = Columns> {
    let sample = (1..40_i64, value(), prop_oneof![4 => Just(0), 1 => 1..60_i64]);
    proptest::collection::vec(sample, 1..400).prop_map(|samples| {
        let (mut columns, mut time) = (Columns::default(), 1000);
        for (gap, value, age) in samples {
            time += gap;
            let start = if age == 0 { Timestamp::EPOCH } else { Timestamp::from_millis(time - age) };
            columns.push_started(Timestamp::from_millis(time), value, start);
        }
        columns
    })
}

proptest! {
    #[test]
    fn running_is_scanning(columns in columns(), start in 900..3000_i64, step in 1..50_i64, range_ms in 300..2000_i64) {
        let (storage, control) = (MemoryStorage::default(), QueryControl::default());
        let lease = crate::memory::MemoryPool::unlimited().lease();
        let cx = Context::new(&storage, &control, &EngineOptions::prometheus_defaults(), lease, false, None);
        let scope = Scope { cx: &cx, span: Span::default(), arg_span: Span::default(), metric_name: "x" };
        let grid = Grid::at(start, step, 100);
        // A sum is as exact as its largest term allows.
        let largest = columns.values.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
        for function in FUNCTIONS {
            let mut running = Running::new(function, &columns, range_ms, step);
            let mut sliding = Sliding::new(&columns, range_ms, Shift::default());
            for at in 0..grid.count {
                let window = sliding.at(grid, at);
                if window.is_empty() {
                    continue;
                }
                let Some(running) = &mut running else { continue };
                let found = over_time::advance(function, &window, range_ms, &[0.9], running, &scope);
                let wanted = over_time::evaluate(function, &window, range_ms, &[0.9], &scope);
                match (found, wanted) {
                    (Some(Value::Float(a)), Some(Value::Float(b))) => {
                        let summed = matches!(function, WindowFunction::Sum | WindowFunction::Avg);
                        let close = summed && (a - b).abs() <= largest * 1e-25 + b.abs() * 1e-15;
                        // Squares take twice the digits, and a scan loses more to lines through samples that are close together.
                        let spread = matches!(function, WindowFunction::Stdvar | WindowFunction::Stddev);
                        let line = matches!(function, WindowFunction::Deriv | WindowFunction::PredictLinear);
                        let close = close
                            || spread && (a - b).abs() <= b.abs() * 1e-9 + largest * 1e-12
                            || spread && (a - b).abs() <= largest * largest * 1e-12
                            || line && (a - b).abs() <= (b.abs() + largest) * 1e-6;
                        let same = a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                        prop_assert!(same || close, "{function:?}: {a} for {b}");
                    }
                    (found, wanted) => prop_assert_eq!(found, wanted),
                }
            }
        }
    }
}
