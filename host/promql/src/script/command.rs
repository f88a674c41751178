//! Scripts to commands.

use model::{Labels, Timestamp};
use regex::Regex;

use super::series::{self, Item, Offsets};

/// One block of a script.
#[derive(Debug)]
pub(super) enum Command {
    Clear,
    Load { step_ms: i64, series: Vec<Loaded>, with_nhcb: bool },
    Eval(Eval),
}

/// A series and its samples, step by step.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) labels: Labels,
    pub(super) items: Vec<Item>,
    /// Empty, or as many as `items`.
    pub(super) starts: Offsets,
}

/// What is evaluated, and what must come out.
#[derive(Debug)]
pub(super) struct Eval {
    pub(super) line: usize,
    pub(super) query: String,
    pub(super) times: Times,
    pub(super) ordered: bool,
    pub(super) fail: Option<Text>,
    pub(super) warnings: Notes,
    pub(super) infos: Notes,
    pub(super) value: Expected,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Times {
    Instant(Timestamp),
    Range { start: Timestamp, end: Timestamp, step_ms: i64 },
}

#[derive(Debug)]
pub(super) enum Expected {
    Series(Vec<(Labels, Vec<Item>)>),
    Scalar(f64),
    String(String),
    /// An instant query that answers a matrix.
    Matrix {
        start: Timestamp,
        step_ms: i64,
        series: Vec<(Labels, Vec<Item>)>,
    },
}

/// A text that must be met.
#[derive(Debug)]
pub(super) enum Text {
    Any,
    Exact(String),
    Regex(Regex),
}

impl Text {
    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(wanted) => text == wanted,
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) none: bool,
    pub(super) wanted: Vec<Text>,
}

/// Splits a script into its commands; a block that cannot be read is an error of its own, by its line.
pub(super) fn parse(script: &str) -> Vec<Result<Command, (usize, String)>> {
    let mut lines = script.lines().enumerate().map(|(i, line)| (i + 1, clean(line))).peekable();
    let mut commands = Vec::new();
    while let Some((number, line)) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let mut body = Vec::new();
        if line != "clear" {
            while let Some((_, line)) = lines.next_if(|(_, line)| !line.is_empty()) {
                body.push(line);
            }
        }
        commands.push(command(number, line, &body).map_err(|e| (number, e)));
    }
    commands
}

fn clean(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with('#') { "" } else { line }
}

fn command(number: usize, line: &str, body: &[&str]) -> Result<Command, String> {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match word.to_ascii_lowercase().as_str() {
        "clear" => Ok(Command::Clear),
        "load" | "load_with_nhcb" => Ok(Command::Load {
            step_ms: duration(rest.trim())?,
            series: loaded(body)?,
            with_nhcb: word.eq_ignore_ascii_case("load_with_nhcb"),
        }),
        "eval" | "eval_fail" | "eval_warn" | "eval_info" | "eval_ordered" => {
            eval(number, word, rest.trim(), body)
        }
        other => Err(format!("unknown command {other}")),
    }
}

fn loaded(body: &[&str]) -> Result<Vec<Loaded>, String> {
    let mut all = Vec::new();
    let mut lines = body.iter();
    while let Some(line) = lines.next() {
        let Some((of, starts)) = series::parse_starts(line)? else {
            let (labels, items) = series::parse(line)?;
            all.push(Loaded { labels, items, starts: Vec::new() });
            continue;
        };
        let (labels, items) = match lines.next() {
            Some(line) => series::parse(line)?,
            None => return Err(format!("no samples behind the start timestamps of {of}")),
        };
        if labels != of || items.len() != starts.len() {
            return Err(format!("start timestamps of {of} do not go with the samples of {labels}"));
        }
        all.push(Loaded { labels, items, starts });
    }
    Ok(all)
}

pub(super) fn duration(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Ok((seconds * 1000.0) as i64);
    }
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |t| (-1, t));
    let duration = model::parse_duration(text).map_err(|e| e.to_string())?;
    Ok(sign * i64::try_from(duration.as_millis()).map_err(|e| e.to_string())?)
}

fn time(text: &str) -> Result<Timestamp, String> {
    duration(text.trim()).map(Timestamp::from_millis)
}

fn eval(line: usize, word: &str, rest: &str, body: &[&str]) -> Result<Command, String> {
    let (times, query) = if let Some(rest) = rest.strip_prefix("instant") {
        let rest = rest.trim_start().strip_prefix("at").ok_or("expected at")?.trim_start();
        let (at, query) = rest.split_once(char::is_whitespace).ok_or("expected a query")?;
        (Times::Instant(time(at)?), query)
    } else {
        let rest = rest.strip_prefix("range").ok_or("expected instant or range")?.trim_start();
        let rest = rest.strip_prefix("from").ok_or("expected from")?.trim_start();
        let (start, rest) = rest.split_once(" to ").ok_or("expected to")?;
        let (end, rest) = rest.split_once(" step ").ok_or("expected step")?;
        let (step, query) = rest.trim_start().split_once(char::is_whitespace).ok_or("expected a query")?;
        (Times::Range { start: time(start)?, end: time(end)?, step_ms: duration(step)? }, query)
    };
    let mut eval = Eval {
        line,
        query: query.trim().to_owned(),
        times,
        ordered: word.ends_with("ordered"),
        fail: word.ends_with("fail").then_some(Text::Any),
        warnings: Notes::default(),
        infos: Notes::default(),
        value: Expected::Series(Vec::new()),
    };
    if word.ends_with("warn") {
        eval.warnings.wanted.push(Text::Any);
    }
    if word.ends_with("info") {
        eval.infos.wanted.push(Text::Any);
    }
    for line in body {
        expectation(&mut eval, line)?;
    }
    Ok(Command::Eval(eval))
}

fn expectation(eval: &mut Eval, line: &str) -> Result<(), String> {
    if let Some(rest) = line.strip_prefix("expect range vector from ") {
        let (start, rest) = rest.split_once(" to ").ok_or("expected to")?;
        let (_, step) = rest.split_once(" step ").ok_or("expected step")?;
        eval.value =
            Expected::Matrix { start: time(start)?, step_ms: duration(step.trim())?, series: Vec::new() };
        return Ok(());
    }
    if let Some(text) = line.strip_prefix("expect string ") {
        let text = text.trim();
        let mark = text.chars().next().ok_or("expected a string")?;
        let (content, _) = crate::lexer::unquote_prefix(text, mark)?;
        eval.value = Expected::String(String::from_utf8_lossy(&content).into_owned());
        return Ok(());
    }
    if let Some(message) = line.strip_prefix("expected_fail_message") {
        eval.fail = Some(Text::Exact(message.trim().to_owned()));
        return Ok(());
    }
    if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
        eval.fail = Some(Text::Regex(Regex::new(pattern.trim()).map_err(|e| e.to_string())?));
        return Ok(());
    }
    if let Some(rest) = line.strip_prefix("expect ") {
        let (word, rest) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
        let rest = rest.trim();
        let text = if let Some(message) = rest.strip_prefix("msg:") {
            Text::Exact(message.trim().to_owned())
        } else if let Some(pattern) = rest.strip_prefix("regex:") {
            Text::Regex(Regex::new(pattern.trim()).map_err(|e| e.to_string())?)
        } else {
            Text::Any
        };
        match word {
            "ordered" => eval.ordered = true,
            "fail" => eval.fail = Some(text),
            "warn" => eval.warnings.wanted.push(text),
            "no_warn" => eval.warnings.none = true,
            "info" => eval.infos.wanted.push(text),
            "no_info" => eval.infos.none = true,
            other => return Err(format!("unknown expectation {other}")),
        }
        return Ok(());
    }
    if let Some(value) = series::number(line) {
        eval.value = Expected::Scalar(value);
        return Ok(());
    }
    let parsed = series::parse(line)?;
    match &mut eval.value {
        Expected::Series(series) | Expected::Matrix { series, .. } => series.push(parsed),
        _ => return Err("series beside a scalar or string".to_owned()),
    }
    Ok(())
}
