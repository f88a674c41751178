//! The section `otlp`: how metrics that come over OTLP are named and labelled, with Prometheus' keys.

use formats::otlp::metrics::{Strategy, TranslateOptions};
use serde::{Deserialize, Deserializer, de};

/// The section `otlp`.
#[derive(Debug, Clone, Deserialize)]
#[serde(remote = "Self", default, deny_unknown_fields)]
pub(crate) struct OtlpConfig {
    promote_resource_attributes: Vec<String>,
    promote_all_resource_attributes: bool,
    ignore_resource_attributes: Vec<String>,
    translation_strategy: TranslationStrategy,
    keep_identifying_resource_attributes: bool,
    convert_histograms_to_nhcb: bool,
    promote_scope_metadata: bool,
    label_name_underscore_sanitization: bool,
    label_name_preserve_multiple_underscores: bool,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            promote_resource_attributes: Vec::new(),
            promote_all_resource_attributes: false,
            ignore_resource_attributes: Vec::new(),
            translation_strategy: TranslationStrategy::default(),
            keep_identifying_resource_attributes: false,
            convert_histograms_to_nhcb: false,
            promote_scope_metadata: false,
            label_name_underscore_sanitization: true,
            label_name_preserve_multiple_underscores: true,
        }
    }
}

/// Prometheus' words for [`Strategy`].
#[derive(Debug, Clone, Copy, Default, Deserialize)]
enum TranslationStrategy {
    #[default]
    UnderscoreEscapingWithSuffixes,
    UnderscoreEscapingWithoutSuffixes,
    #[serde(rename = "NoUTF8EscapingWithSuffixes")]
    NoUtf8EscapingWithSuffixes,
    NoTranslation,
}

impl OtlpConfig {
    /// As the translation takes it.
    pub(crate) fn resolve(&self) -> TranslateOptions {
        TranslateOptions {
            promote_resource_attributes: self.promote_resource_attributes.clone(),
            promote_all_resource_attributes: self.promote_all_resource_attributes,
            ignore_resource_attributes: self.ignore_resource_attributes.clone(),
            keep_identifying_resource_attributes: self.keep_identifying_resource_attributes,
            convert_histograms_to_nhcb: self.convert_histograms_to_nhcb,
            promote_scope_metadata: self.promote_scope_metadata,
            bare_underscore: !self.label_name_underscore_sanitization,
            merge_underscores: !self.label_name_preserve_multiple_underscores,
            strategy: match self.translation_strategy {
                TranslationStrategy::UnderscoreEscapingWithSuffixes => {
                    Strategy::UnderscoreEscapingWithSuffixes
                }
                TranslationStrategy::UnderscoreEscapingWithoutSuffixes => {
                    Strategy::UnderscoreEscapingWithoutSuffixes
                }
                TranslationStrategy::NoUtf8EscapingWithSuffixes => Strategy::NoUtf8EscapingWithSuffixes,
                TranslationStrategy::NoTranslation => Strategy::NoTranslation,
            },
        }
    }
}

impl<'de> Deserialize<'de> for OtlpConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let config = Self::deserialize(deserializer)?;
        let (all, ignored) = (config.promote_all_resource_attributes, &config.ignore_resource_attributes);
        let text = if all && !config.promote_resource_attributes.is_empty() {
            "'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured simultaneously"
        } else if !all && !ignored.is_empty() {
            "'ignore_resource_attributes' cannot be configured unless 'promote_all_resource_attributes' is true"
        } else {
            return Ok(config);
        };
        Err(de::Error::custom(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_prometheus() {
        let read = |text: &str| {
            serde_saphyr::from_str::<OtlpConfig>(text).map(|c| c.resolve()).map_err(|e| e.to_string())
        };
        assert_eq!(read("{}"), Ok(TranslateOptions::prometheus()));
        let options = read(
            "{promote_all_resource_attributes: true, ignore_resource_attributes: [host.id], translation_strategy: \
             NoUTF8EscapingWithSuffixes, convert_histograms_to_nhcb: true, keep_identifying_resource_attributes: true}",
        )
        .unwrap();
        assert_eq!(options.strategy, Strategy::NoUtf8EscapingWithSuffixes);
        assert!(options.promote_all_resource_attributes && options.convert_histograms_to_nhcb);
        assert_eq!(options.ignore_resource_attributes, ["host.id"]);
        let options = read("{label_name_underscore_sanitization: false}").unwrap();
        assert!(options.bare_underscore && !options.merge_underscores);
        for wrong in [
            "{ignore_resource_attributes: [a]}",
            "{promote_all_resource_attributes: true, promote_resource_attributes: [a]}",
            "{translation_strategy: Mine}",
            "{unknown: 1}",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
