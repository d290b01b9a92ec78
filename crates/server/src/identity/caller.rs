//! A caller: who it is, and what it may.

use std::fmt;
use std::sync::Arc;

use crate::problem::Problem;
use crate::rights::{Right, Role};

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The number of the token, where it is one of the registry.
    pub(crate) token: Option<i64>,
    /// What tells callers apart: the token, or the subject of an issuer.
    pub(crate) identity: Arc<str>,
    /// The actor.
    pub(crate) name: String,
    pub(crate) role: Roles,
}

/// How a token came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// In the header `Authorization`.
    Header,
    /// From the page: in its cookie, or its form.
    Page,
}

/// Why a token is refused.
#[derive(Debug)]
pub(crate) enum Unknown {
    /// It was never given out, or does not hold any more: who sends many such is locked out.
    Forged(String),
    /// It was given out, and its time is over or has not come.
    Lapsed(String),
    /// It cannot be looked at.
    Failed(Problem),
}

/// What one caller may be, each once: the role of a token of the registry, or several of an issuer's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roles(Vec<Role>);

impl From<Role> for Roles {
    fn from(role: Role) -> Self {
        Self(vec![role])
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        let mut roles: Vec<Role> = roles.into_iter().collect();
        roles.sort_unstable();
        roles.dedup();
        Self(roles)
    }
}

impl Roles {
    /// Whether one of them has a right.
    pub(crate) fn may(&self, right: Right) -> bool {
        self.0.iter().any(|role| role.may(right))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|role| role.name()).collect();
        f.write_str(&names.join(", "))
    }
}
