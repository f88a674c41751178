//! A job's targets without scraping them, for whoever checks a configuration.

use model::Labels;

use crate::client::HttpClient;
use crate::config::{GlobalConfig, ScrapeConfig};
use crate::discovery::Discover as _;
use crate::discovery::file;
use crate::discovery::http::HttpDiscovery;
use crate::manager::static_groups;
use crate::target::{Resolved, Target, TargetGroup};

/// One discovered label set, and what relabelling makes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Before relabelling.
    pub discovered: Labels,
    /// Of the samples; none where relabelling drops the target, or where it makes none.
    pub labels: Option<Labels>,
    /// Why it makes no target.
    pub error: Option<String>,
}

/// Looks once where a job says that its targets are, but for plugins.
///
/// # Errors
/// The first that fails, as a text for people.
pub async fn look_once(job: &ScrapeConfig) -> Result<Vec<TargetGroup>, String> {
    HttpClient::new(&job.http, job.enable_compression).map_err(|error| error.to_string())?;
    let mut groups = static_groups(job);
    for sd in &job.file_sd_configs {
        groups.extend(file::read_now(sd)?);
    }
    for sd in &job.http_sd_configs {
        let discovery = HttpDiscovery::new(sd).map_err(|error| error.to_string())?;
        groups.extend(discovery.poll().await?.groups);
    }
    Ok(groups)
}

/// What relabelling makes of each target.
pub fn resolve_all(global: &GlobalConfig, job: &ScrapeConfig, groups: &[TargetGroup]) -> Vec<Found> {
    let job = job.resolved(global);
    let all = groups.iter().flat_map(|group| group.targets.iter().map(move |own| (group, own)));
    all.map(|(group, own)| match Target::resolve(&job, group, own) {
        Ok(Resolved::Active(target)) => {
            Found { discovered: target.discovered, labels: Some(target.labels), error: None }
        }
        Ok(Resolved::Dropped(discovered)) => Found { discovered, labels: None, error: None },
        Err(error) => Found { discovered: own.clone(), labels: None, error: Some(error.to_string()) },
    })
    .collect()
}
