//! Durations in settings files: "250ms", "1m 30s".

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|error| de::Error::custom(format_args!("`{text}` is not a duration such as \"250ms\": {error}")))
}

/// Of a setting that may be left out.
pub(crate) fn deserialize_some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    deserialize(deserializer).map(Some)
}
