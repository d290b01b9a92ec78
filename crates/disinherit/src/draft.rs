//! Finished tasks of a request on its way: a run that was stopped takes them up.

use disinherit_registry::{Digest, Draft, Registry, RegistryError, RequestId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

use crate::error::EngineError;

/// The format of drafts: those of another one are never found, and made again.
const FORMAT: &str = "draft/3";

/// The task under which a request's drafts say which version of this program makes them.
const PROGRAM: &str = "program";

/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The drafts of one request with certain settings on certain data. Where any of these is another,
/// so are the drafts.
pub(crate) struct Drafts<'a> {
    registry: &'a Registry,
    /// The name that they are kept under.
    pub(crate) name: String,
    known: BTreeMap<String, Draft>,
}

impl<'a> Drafts<'a> {
    /// Opens them; `settings` is whatever decides what a task makes.
    pub(crate) fn open(
        registry: &'a Registry,
        request: &str,
        settings: &Value,
    ) -> Result<Self, EngineError> {
        let text = format!("{FORMAT} {settings}");
        let sum = Digest::from_content(text.as_bytes()).to_string();
        let name = format!("{request} {}", &sum[..16]);
        let mut drafts = Self {
            registry,
            known: BTreeMap::new(),
            name,
        };
        drafts.refresh()?;
        Ok(drafts)
    }

    /// Says that this version of the program works on the request, for processes that join in: two versions
    /// may compute different things.
    ///
    /// # Errors
    /// [`EngineError::OtherVersion`] when another one began it.
    pub(crate) fn claim(&mut self, request: &RequestId) -> Result<(), EngineError> {
        match self.get::<String>(PROGRAM) {
            Some(version) if version == VERSION => Ok(()),
            Some(version) => Err(EngineError::OtherVersion {
                request: request.clone(),
                begun_by: version,
                this: VERSION.to_owned(),
            }),
            None => self.keep([(PROGRAM.to_owned(), VERSION, Vec::new())]),
        }
    }

    /// Reads again what others have finished.
    pub(crate) fn refresh(&mut self) -> Result<(), EngineError> {
        let known = self.registry.drafts(&self.name)?.into_iter();
        self.known = known.map(|draft| (draft.task.clone(), draft)).collect();
        Ok(())
    }

    /// What a finished task made, if it is all there.
    pub(crate) fn get<T: DeserializeOwned>(&self, task: &str) -> Option<T> {
        let draft = self.known.get(task)?;
        let there = |digest: &Digest| self.registry.has(*digest).unwrap_or(false);
        draft.blobs.iter().all(there).then_some(())?;
        serde_json::from_str(&draft.value).ok()
    }

    /// Lets go of what others have finished, once it is taken up: a process that publishes ten thousand models need
    /// not keep it.
    pub(crate) fn let_go(&mut self) {
        self.known.clear();
    }

    /// Keeps finished tasks, each with the manifests or cards that it made.
    pub(crate) fn keep<T: Serialize>(
        &self,
        tasks: impl IntoIterator<Item = (String, T, Vec<Digest>)>,
    ) -> Result<(), EngineError> {
        self.keeper().keep(tasks)
    }

    /// What keeps finished tasks, for another thread.
    pub(crate) fn keeper(&self) -> DraftKeeper<'a> {
        DraftKeeper {
            registry: self.registry,
            name: self.name.clone(),
        }
    }
}

/// Keeps finished tasks of one request.
pub(crate) struct DraftKeeper<'a> {
    registry: &'a Registry,
    name: String,
}

impl DraftKeeper<'_> {
    /// Keeps finished tasks, each with the manifests or cards that it made.
    pub(crate) fn keep<T: Serialize>(
        &self,
        tasks: impl IntoIterator<Item = (String, T, Vec<Digest>)>,
    ) -> Result<(), EngineError> {
        let drafts = tasks
            .into_iter()
            .map(|(task, value, blobs)| {
                let value =
                    serde_json::to_string(&value).map_err(|error| RegistryError::Document {
                        what: "draft".into(),
                        reason: error.to_string(),
                    })?;
                Ok(Draft { task, value, blobs })
            })
            .collect::<Result<Vec<_>, RegistryError>>()?;
        Ok(self.registry.keep_drafts(&self.name, &drafts)?)
    }
}
