//! A model in or beside a scope.

use umig::{ModelId, Role};

/// A model in or beside a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeModel {
    /// The version.
    pub id: ModelId,
    /// Its part in the request; nothing where there is none to speak of.
    pub role: Option<Role>,
    /// Whether it is taken out of use without a successor.
    pub retired: bool,
    /// What it inherited from, with the relation's name; who is not in the scope is left out.
    pub parents: Vec<(ModelId, String)>,
}
