//! Adapters as PEFT writes them.

use std::path::Path;

use serde::Deserialize;

use crate::error::FormatError;
use crate::hub::cards::HubCard;

/// What PEFT writes beside an adapter's weights.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";

#[derive(Deserialize)]
struct AdapterConfig {
    #[serde(default)]
    base_model_name_or_path: Option<String>,
}

impl HubCard {
    /// What `adapter_config.json`, as PEFT writes it, says of the model that an adapter belongs to.
    ///
    /// # Errors
    /// [`FormatError::File`] when it is no JSON.
    pub fn from_adapter(path: &Path, text: &[u8]) -> Result<Self, FormatError> {
        let config: AdapterConfig = serde_json::from_slice(text).map_err(|error| {
            FormatError::file(
                path,
                format!("it is no configuration of an adapter: {error}"),
            )
        })?;
        Ok(Self {
            base_models: config.base_model_name_or_path.into_iter().collect(),
            relation: Some("adapter".into()),
        })
    }
}
