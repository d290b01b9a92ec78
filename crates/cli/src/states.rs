//! What has become of versions, in a word: the log tells retired ones from those that were replaced.

use std::collections::BTreeMap;

use disinherit::registry::{ModelRow, Registry, RegistryError, RequestId, State};
use disinherit::umig::ModelId;

/// What has become of versions.
pub(crate) struct States {
    retired: BTreeMap<ModelId, RequestId>,
}

impl States {
    /// Of some versions.
    pub(crate) fn of_rows<'a>(
        registry: &Registry,
        rows: impl IntoIterator<Item = &'a ModelRow>,
    ) -> Result<Self, RegistryError> {
        let retired = registry.retired(rows)?;
        Ok(Self { retired })
    }

    /// The request that retired a version, if one did.
    pub(crate) fn retired_by(&self, id: &ModelId) -> Option<&RequestId> {
        self.retired.get(id)
    }

    /// The state of a version.
    pub(crate) fn name(&self, row: &ModelRow) -> &'static str {
        match row.state() {
            State::Superseded if self.retired.contains_key(&row.vertex.id) => "retired",
            state => state.name(),
        }
    }
}
