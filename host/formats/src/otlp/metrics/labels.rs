//! The labels of series: what comes from the resource and the scope, and what from each point.

use std::borrow::Cow;

use model::{Exemplar, Labels, LabelsBuilder, METRIC_NAME, Sample, Timestamp};

use super::TranslateOptions;
use super::names::{LabelStyle, label_name};
use crate::TimeSeries;
use crate::otlp::{attributes, proto};

/// The series that carries a resource's attributes.
pub(super) const TARGET_INFO: &str = "target_info";

const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_INSTANCE: &str = "service.instance.id";

/// Where points come from, as labels that all of them share.
pub(super) struct Source {
    /// `job` and `instance`, which win over a point's own attributes.
    identity: Vec<(&'static str, String)>,
    /// Promoted attributes of the resource, which do not.
    promoted: Vec<(String, String)>,
    /// Promoted facts of the scope, which win as well.
    scope: Vec<(String, String)>,
    style: LabelStyle,
}

/// What a label is called; `None` where nothing of `key` can stay.
fn named(key: &str, style: LabelStyle) -> Option<String> {
    if style.escapes { label_name(key, style) } else { Some(key.to_owned()).filter(|key| !key.is_empty()) }
}

impl Source {
    pub(super) fn new(resource: &[proto::KeyValue], options: &TranslateOptions) -> Self {
        let style = LabelStyle::of(options);
        let find = |key: &str| {
            resource
                .iter()
                .find(|a| a.key == key)
                .and_then(|a| a.value.as_ref())
                .map(|v| text(v).into_owned())
        };
        let mut identity = Vec::new();
        if let Some(service) = find(SERVICE_NAME) {
            let job = match find(SERVICE_NAMESPACE) {
                Some(namespace) => format!("{namespace}/{service}"),
                None => service,
            };
            identity.push(("job", job));
        }
        if let Some(instance) = find(SERVICE_INSTANCE) {
            identity.push(("instance", instance));
        }
        let promote: Vec<&String> = match options.promote_all_resource_attributes {
            true => {
                let ignored = |key: &&String| options.ignore_resource_attributes.contains(key);
                resource.iter().map(|attribute| &attribute.key).filter(|key| !ignored(key)).collect()
            }
            false => options.promote_resource_attributes.iter().collect(),
        };
        let promoted = promote.into_iter().filter_map(|key| Some((named(key, style)?, find(key)?))).collect();
        Self { identity, promoted, scope: Vec::new(), style }
    }

    /// Says which scope the next points come from; `None` where scopes are not promoted.
    pub(super) fn set_scope(&mut self, from: Option<&proto::ScopeMetrics>) {
        self.scope.clear();
        let Some(from) = from else { return };
        let nameless = proto::InstrumentationScope::default();
        let scope = from.scope.as_ref().unwrap_or(&nameless);
        for attribute in &scope.attributes {
            if let Some(name) = named(&format!("otel_scope_{}", attribute.key), self.style) {
                let value = attribute.value.as_ref().map(text).unwrap_or_default();
                self.scope.push((name, value.into_owned()));
            }
        }
        // After the attributes, so that none of them can stand in for these.
        for (name, value) in [
            ("otel_scope_name", &scope.name),
            ("otel_scope_version", &scope.version),
            ("otel_scope_schema_url", &from.schema_url),
        ] {
            self.scope.push((name.to_owned(), value.clone()));
        }
    }

    /// The labels of a point, without a metric name.
    ///
    /// # Errors
    /// Names the attribute whose name cannot be a label's.
    pub(super) fn labels(&self, attributes: &[proto::KeyValue]) -> Result<LabelsBuilder, String> {
        let mut labels = own_labels(attributes.iter(), self.style)?;
        for (name, value) in &self.promoted {
            if labels.get(name).is_none() {
                labels.set(name, value);
            }
        }
        for (name, value) in &self.scope {
            labels.set(name, value);
        }
        for (name, value) in &self.identity {
            labels.set(name, value);
        }
        Ok(labels)
    }

    /// The series with the attributes that are no identity; `None` where there are none, or nothing to join
    /// them by.
    pub(super) fn target_info(
        &self,
        resource: &[proto::KeyValue],
        nanos: u64,
        options: &TranslateOptions,
    ) -> Option<TimeSeries> {
        let identifying: &[&str] = match options.keep_identifying_resource_attributes {
            true => &[],
            false => &[SERVICE_NAME, SERVICE_NAMESPACE, SERVICE_INSTANCE],
        };
        let others = || {
            let usable = |a: &&proto::KeyValue| {
                !identifying.contains(&a.key.as_str()) && named(&a.key, self.style).is_some()
            };
            resource.iter().filter(usable)
        };
        if self.identity.is_empty() || others().next().is_none() {
            return None;
        }
        let mut labels = own_labels(others(), self.style).ok()?;
        for (name, value) in &self.identity {
            labels.set(name, value);
        }
        labels.set(METRIC_NAME, TARGET_INFO);
        let samples = vec![Sample { timestamp: timestamp(nanos), value: 1.0 }];
        Some(TimeSeries { labels: labels.build(), samples, ..TimeSeries::default() })
    }
}

/// Attributes as labels. Those whose names become the same are joined, in the order of their keys.
fn own_labels<'a>(
    attributes: impl Iterator<Item = &'a proto::KeyValue>,
    style: LabelStyle,
) -> Result<LabelsBuilder, String> {
    let mut sorted: Vec<&proto::KeyValue> = attributes.collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    let mut labels = LabelsBuilder::new();
    for attribute in sorted {
        let name = named(&attribute.key, style).ok_or_else(|| {
            format!("no character of the attribute name {:?} can stand in a label name", attribute.key)
        })?;
        let value = attribute.value.as_ref().map(text).unwrap_or_default();
        let joined = labels.get(&name).map(|before| format!("{before};{value}"));
        labels.set(&name, joined.as_deref().unwrap_or(&value));
    }
    Ok(labels)
}

/// A value as a label holds it.
pub(super) fn text(value: &proto::AnyValue) -> Cow<'_, str> {
    match &value.string_value {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(attributes::value_from_proto(value.clone()).to_text()),
    }
}

pub(super) fn timestamp(nanos: u64) -> Timestamp {
    // 2^64 nanoseconds are far fewer than 2^63 milliseconds.
    Timestamp::from_millis((nanos / 1_000_000) as i64)
}

/// An exemplar, with the ids of its trace as labels, and its attributes as long as they fit.
pub(super) fn exemplar(from: &proto::Exemplar) -> Option<Exemplar> {
    let value = from.as_double.or(from.as_int.map(|v| v as f64))?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut ids = LabelsBuilder::new();
    for (name, id) in [("trace_id", &from.trace_id), ("span_id", &from.span_id)] {
        if id.iter().any(|byte| *byte != 0) {
            ids.set(name, &hex(id));
        }
    }
    let with = |labels: Labels| Exemplar { labels, value, timestamp: timestamp(from.time_unix_nano) };
    let mut all = ids.clone();
    for attribute in &from.filtered_attributes {
        if all.get(&attribute.key).is_none() {
            all.set(&attribute.key, &attribute.value.as_ref().map(text).unwrap_or_default());
        }
    }
    let full = with(all.build());
    Some(if full.fits() { full } else { with(ids.build()) })
}
