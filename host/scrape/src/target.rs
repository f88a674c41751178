//! Targets: from the labels that discovery found to the labels that samples get.
//!
//! Labels that begin with `__` steer the scrape and never reach a sample: `__address__`, `__scheme__`,
//! `__metrics_path__`, `__param_<name>`, `__scrape_interval__`, `__scrape_timeout__`, `__unix_socket__`, and which
//! histograms are stored: `__scrape_native_histograms__`, `__always_scrape_classic_histograms__`,
//! `__convert_classic_histograms_to_nhcb__`. Relabelling may change each of them; those that begin with `__meta_` are there for it alone. An address is used as it is: no port
//! is added to it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::time::Duration;

use model::{Labels, format_duration, parse_duration};
use url::Url;

use crate::Error;
use crate::config::ScrapeConfig;
use crate::relabel;

/// Where to scrape.
pub const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const SCRAPE_INTERVAL: &str = "__scrape_interval__";
const SCRAPE_TIMEOUT: &str = "__scrape_timeout__";
const UNIX_SOCKET: &str = "__unix_socket__";
const NATIVE: &str = "__scrape_native_histograms__";
const CLASSIC: &str = "__always_scrape_classic_histograms__";
const CONVERT: &str = "__convert_classic_histograms_to_nhcb__";
const PARAM_PREFIX: &str = "__param_";
/// Labels that begin so are not for samples.
const RESERVED_PREFIX: &str = "__";

/// Targets that were found together.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TargetGroup {
    /// Names the group among its discoverer's; a group replaces the earlier one of its source.
    pub source: String,
    /// The labels of each target, `__address__` among them.
    pub targets: Vec<Labels>,
    /// Labels of every target; a target's own win.
    pub labels: Labels,
}

/// Something that is scraped.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// As found, before relabelling.
    pub discovered: Labels,
    /// What its samples get.
    pub labels: Labels,
    /// What is asked for.
    pub url: String,
    /// How often.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// A socket of this machine to ask through, rather than the URL's host.
    pub unix_socket: Option<PathBuf>,
    /// Which histograms are stored.
    pub histograms: HistogramChoice,
}

/// Which histograms are stored of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HistogramChoice {
    /// Native ones as such.
    pub native: bool,
    /// The classic buckets of those that are stored as native ones.
    pub classic: bool,
    /// Classic ones as native ones with the same bounds.
    pub convert: bool,
}

/// What became of one discovered label set.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolved {
    /// It is scraped.
    Active(Target),
    /// Relabelling dropped it; these are its labels before that.
    Dropped(Labels),
}

/// What tells one target of a job from another: two that are equal here are scraped once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TargetKey {
    labels: Labels,
    url: String,
}

impl Target {
    /// Makes a target of one label set of `group`. `job` has its interval and timeout filled in.
    ///
    /// # Errors
    /// [`Error::Target`] where the labels that relabelling leaves describe nothing that can be scraped.
    pub fn resolve(job: &ScrapeConfig, group: &TargetGroup, own: &Labels) -> Result<Resolved, Error> {
        let mut builder = group.labels.to_builder();
        for (name, value) in own {
            builder.set(name, value);
        }
        let interval = job.scrape_interval.unwrap_or_default().0;
        let timeout = job.scrape_timeout.unwrap_or_default().0;
        for (name, value) in [
            ("job", job.job_name.clone()),
            (SCRAPE_INTERVAL, format_duration(interval)),
            (SCRAPE_TIMEOUT, format_duration(timeout)),
            (METRICS_PATH, job.metrics_path.clone()),
            (SCHEME, job.scheme.to_string()),
        ] {
            if builder.get(name).is_none() {
                builder.set(name, &value);
            }
        }
        for (name, values) in &job.params {
            let label = format!("{PARAM_PREFIX}{name}");
            if let (Some(first), None) = (values.first(), builder.get(&label)) {
                builder.set(&label, first);
            }
        }
        let discovered = builder.build();
        if !relabel::process(&mut builder, &job.relabel_configs) {
            return Ok(Resolved::Dropped(discovered));
        }
        let address = match builder.get(ADDRESS) {
            None => return Err(Error::Target("no address".to_owned())),
            Some(address) if address.contains('/') => {
                return Err(Error::Target(format!("{address:?} is not a valid hostname")));
            }
            Some(address) => address.to_owned(),
        };
        let duration = |label: &str, what: &str| -> Result<Duration, Error> {
            let parsed = parse_duration(builder.get(label).unwrap_or_default())
                .map_err(|e| Error::Target(format!("error parsing {what}: {e}")))?;
            if parsed.is_zero() {
                return Err(Error::Target(format!("{what} cannot be 0")));
            }
            Ok(parsed)
        };
        let interval = duration(SCRAPE_INTERVAL, "scrape interval")?;
        let timeout = duration(SCRAPE_TIMEOUT, "scrape timeout")?;
        if timeout > interval {
            return Err(Error::Target(format!(
                "scrape timeout cannot be greater than scrape interval ({:?} > {:?})",
                format_duration(timeout),
                format_duration(interval)
            )));
        }
        let choice = |label: &str, otherwise: Option<bool>| match builder.get(label) {
            None | Some("") => Ok(otherwise.unwrap_or_default()),
            Some(text) => text.parse().map_err(|_| {
                let what = label.trim_matches('_');
                Error::Target(format!("error parsing {what}: {text:?} is neither true nor false"))
            }),
        };
        let histograms = HistogramChoice {
            native: choice(NATIVE, job.scrape_native_histograms)?,
            classic: choice(CLASSIC, job.always_scrape_classic_histograms)?,
            convert: choice(CONVERT, job.convert_classic_histograms_to_nhcb)?,
        };
        let unix_socket = builder.get(UNIX_SOCKET).filter(|path| !path.is_empty()).map(PathBuf::from);
        let mut params = job.params.clone();
        for (name, value) in builder.iter() {
            if let Some(param) = name.strip_prefix(PARAM_PREFIX) {
                let values = params.entry(param.to_owned()).or_default();
                match values.first_mut() {
                    Some(first) => value.clone_into(first),
                    None => values.push(value.to_owned()),
                }
            }
        }
        let scheme = builder.get(SCHEME).unwrap_or_default();
        let path = builder.get(METRICS_PATH).unwrap_or_default();
        let url = url_of(scheme, &address, path, &params)?;
        if builder.get("instance").is_none() {
            builder.set("instance", &address);
        }
        let labels = builder.build().without(|name| name.starts_with(RESERVED_PREFIX));
        Ok(Resolved::Active(Self { discovered, labels, url, interval, timeout, unix_socket, histograms }))
    }

    pub(crate) fn key(&self) -> TargetKey {
        TargetKey { labels: self.labels.clone(), url: self.url.clone() }
    }

    /// A number that is the same for the same target in every process, and differs between servers of
    /// different `seed`. It spreads scrapes over the interval.
    pub(crate) fn hash(&self, seed: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        self.labels.as_encoded().hash(&mut hasher);
        self.url.hash(&mut hasher);
        hasher.finish()
    }
}

fn url_of(
    scheme: &str,
    address: &str,
    path: &str,
    params: &BTreeMap<String, Vec<String>>,
) -> Result<String, Error> {
    if !matches!(scheme, "http" | "https") {
        return Err(Error::Target(format!("scheme {scheme:?} is neither http nor https")));
    }
    let base = format!("{scheme}://{address}");
    let mut url = Url::parse(&base).map_err(|e| Error::Target(format!("{base:?} is no URL: {e}")))?;
    url.set_path(path);
    for (name, values) in params {
        for value in values {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    Ok(url.into())
}

#[cfg(test)]
mod tests;
