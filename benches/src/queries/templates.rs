//! The expressions. Prometheus' own bench of range queries asks much the same; subqueries, native histograms and the
//! functions over longer windows are added.

/// The expressions. Holt-Winters is not among them: it has changed its name since the Prometheus that is compared.
pub const TEMPLATES: [&str; 50] = [
    // As they were stored.
    "a_X",
    "-a_X",
    "b_X > 0.5",
    "b_X > bool 0.5",
    "a_X offset 10m",
    "timestamp(a_X)",
    // Functions over windows, short and long.
    "rate(a_X[1m])",
    "irate(a_X[1m])",
    "increase(a_X[5m])",
    "rate(sparse_X[15m])",
    "rate(a_X[1h])",
    "resets(a_X[1h])",
    "changes(b_X[1h])",
    "delta(b_X[10m])",
    "deriv(b_X[10m])",
    "count_over_time(a_X[10m])",
    "sum_over_time(b_X[10m])",
    "avg_over_time(b_X[1h])",
    "max_over_time(b_X[1h])",
    "stddev_over_time(b_X[10m])",
    "quantile_over_time(0.9, b_X[10m])",
    "absent_over_time(a_X[1h])",
    // Functions of single values and of labels.
    "abs(b_X)",
    r#"label_replace(a_X, "l2", "$1", "l", "(.*)")"#,
    r#"label_join(a_X, "l2", "-", "l", "l")"#,
    // Between vectors.
    "a_X - b_X",
    "rate(a_X[1m]) + rate(b_X[1m])",
    r#"a_X and b_X{l=~".*[0-4]$"}"#,
    r#"a_X or b_X{l=~".*[0-4]$"}"#,
    r#"a_X unless b_X{l=~".*[0-4]$"}"#,
    r#"a_X and b_X{l="notfound"}"#,
    "a_X + on(l) group_right a_one",
    "a_X * on(g) group_left() sum by (g) (b_X)",
    // Aggregations.
    "sum(a_X)",
    "avg(b_X)",
    "sum by (g) (rate(a_X[5m]))",
    "sum without (l) (h_X_bucket)",
    "sum by (le) (h_X_bucket)",
    r#"count_values("value", floor(b_X))"#,
    "topk(1, a_X)",
    "topk(5, a_X)",
    "quantile(0.9, b_X)",
    "sum without (l) (rate(a_X[1m])) / sum without (l) (rate(b_X[1m]))",
    r#"count({__name__=~"[ab]_X", l!=""})"#,
    // Histograms, classic and native.
    "histogram_quantile(0.9, rate(h_X_bucket[5m]))",
    "histogram_quantile(0.9, sum by (le) (rate(h_X_bucket[5m])))",
    "histogram_quantile(0.9, rate(n_X[5m]))",
    "histogram_quantile(0.9, sum(rate(n_X[5m])))",
    // Subqueries. None of their steps lies on the left end of a window, which Prometheus 3 leaves out.
    "max_over_time(rate(a_X[1m])[10m5s:1m])",
    "avg_over_time(sum by (g) (rate(a_X[1m]))[30m5s:1m])",
];

/// Whose cost for each request is told, with how many steps: from what any request costs to what writing its answer does.
pub const COSTS: [(&str, usize); 16] = [
    ("1", 1),
    ("a_one", 1),
    ("sum(a_ten)", 1),
    ("a_hundred", 1),
    ("sum by (g) (rate(a_hundred[5m]))", 1),
    ("a_thousand", 1),
    ("a_one", 100),
    ("a_one", 1_000),
    ("rate(a_ten[5m])", 100),
    ("a_hundred", 100),
    ("a_ten", 1_000),
    ("a_hundred", 1_000),
    ("a_thousand", 100),
    ("rate(a_thousand[1m])", 100),
    ("sum(a_thousand)", 100),
    ("a_thousand", 1_000),
];

/// What is asked of very many series, with how many steps.
pub const MANY: [(&str, usize); 16] = [
    ("count(m_many)", 1),
    ("sum by (g) (m_many)", 1),
    ("sum by (g) (rate(m_many[2m]))", 1),
    ("topk(5, m_many)", 1),
    ("topk by (g) (3, m_many)", 1),
    ("quantile by (g) (0.9, k_many)", 1),
    ("max(m_many)", 1),
    ("m_many > 40", 1),
    ("sum by (g) (m_many * on(g, l) k_many)", 1),
    ("count(m_many and on(g, l) k_many)", 1),
    ("count(m_many unless on(g, l) k_many)", 1),
    ("sum(m_many * on(g) group_left() sum by (g) (k_many))", 1),
    (r#"sum(m_many{l=~"12.*"})"#, 1),
    (r#"m_many{l="123456"}"#, 1),
    ("raw_many", 241),
    ("sum by (g) (avg_over_time(raw_many[5m]))", 60),
];

/// How many series an expression may be about, with the word that the data's names have for it.
pub const SIZES: [(usize, &str); 4] = [(1, "one"), (10, "ten"), (100, "hundred"), (1_000, "thousand")];

/// An expression about series of one size.
pub fn fill_in(template: &str, size: &str) -> String {
    template.replace("_X", &format!("_{size}"))
}
