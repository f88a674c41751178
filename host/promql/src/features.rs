//! What Prometheus keeps behind `--enable-feature`, under the same names.

/// Parts of the language and of its evaluation that are off unless somebody asks for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one switch of the command line, and any set is legal"
)]
pub struct Features {
    /// `promql-experimental-functions`: functions and aggregations that Prometheus may still change.
    pub experimental_functions: bool,
    /// `promql-extended-range-selectors`: `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `promql-binop-fill-modifiers`: `fill`, `fill_left` and `fill_right`.
    pub binop_fill_modifiers: bool,
    /// `promql-delayed-name-removal`: names that no longer hold are dropped when the query is done rather than
    /// at once, so that `label_replace` and `by (__name__)` can still see them.
    pub delayed_name_removal: bool,
    /// `promql-per-step-stats`: statistics by step, for queries that ask for them.
    pub per_step_stats: bool,
    /// `use-start-timestamps`: start timestamps tell where counters were reset, for `rate` and its like, and
    /// `start_timestamp` may ask for them.
    pub use_start_timestamps: bool,
    /// `type-and-unit-labels`: what is a counter is told by its `__type__`, not by how its name ends.
    pub type_and_unit_labels: bool,
}

impl Features {
    /// As Prometheus starts where nothing is enabled.
    pub const NONE: Self = Self {
        experimental_functions: false,
        extended_range_selectors: false,
        binop_fill_modifiers: false,
        delayed_name_removal: false,
        per_step_stats: false,
        use_start_timestamps: false,
        type_and_unit_labels: false,
    };

    /// The whole language, with names dropped at once.
    pub const LANGUAGE: Self = Self {
        experimental_functions: true,
        extended_range_selectors: true,
        binop_fill_modifiers: true,
        use_start_timestamps: true,
        ..Self::NONE
    };

    /// The names that [`Features::enable`] knows, sorted. `promql-duration-expr` has been on for good since
    /// Prometheus 3.14 and does nothing.
    pub const NAMES: [&'static str; 8] = [
        "promql-binop-fill-modifiers",
        "promql-delayed-name-removal",
        "promql-duration-expr",
        "promql-experimental-functions",
        "promql-extended-range-selectors",
        "promql-per-step-stats",
        "type-and-unit-labels",
        "use-start-timestamps",
    ];

    /// Switches on the feature of that name. `false` where the query language has none of it.
    pub fn enable(&mut self, name: &str) -> bool {
        let switch = match name {
            "promql-experimental-functions" => &mut self.experimental_functions,
            "promql-extended-range-selectors" => &mut self.extended_range_selectors,
            "promql-binop-fill-modifiers" => &mut self.binop_fill_modifiers,
            "promql-delayed-name-removal" => &mut self.delayed_name_removal,
            "promql-per-step-stats" => &mut self.per_step_stats,
            "use-start-timestamps" => &mut self.use_start_timestamps,
            "type-and-unit-labels" => &mut self.type_and_unit_labels,
            "promql-duration-expr" => return true,
            _ => return false,
        };
        *switch = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Features;

    #[test]
    fn every_name_enables_something_of_its_own() {
        let mut all = Features::NONE;
        for name in Features::NAMES {
            let before = all;
            assert!(all.enable(name), "{name}");
            assert_eq!(all == before, name == "promql-duration-expr", "{name}");
        }
        assert!(!all.enable("promql-everything"));
        assert!(Features::NAMES.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
