//! Who may what: roles, rights, and the right that each endpoint asks for.

use std::fmt;
use std::str::FromStr;

/// What somebody may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads requests and models.
    Viewer,
    /// Files requests.
    Requester,
    /// Plans, runs, verifies, certifies, purges, closes.
    Operator,
    /// Approves and rejects.
    Approver,
    /// Reads the log, scopes, verdicts, certificates and bundles.
    Auditor,
    /// May everything.
    Admin,
}

/// What an endpoint asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Nothing: it tells nothing.
    Public,
    /// Reading requests and models.
    Read,
    /// Filing a request.
    File,
    /// Saying something about a request.
    Comment,
    /// Carrying a request out.
    Operate,
    /// Approving or rejecting a request.
    Approve,
    /// Reading the log and what proves something.
    Audit,
    /// Giving out tokens, saying who else is told of what happens, and changing the registry's settings.
    Administer,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 6] = [
        Self::Viewer,
        Self::Requester,
        Self::Operator,
        Self::Approver,
        Self::Auditor,
        Self::Admin,
    ];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Requester => "requester",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    /// Whether it has a right.
    pub fn may(self, right: Right) -> bool {
        match right {
            Right::Public | Right::Read => true,
            Right::File => matches!(self, Self::Requester | Self::Admin),
            Right::Comment => !matches!(self, Self::Viewer | Self::Auditor),
            Right::Operate => matches!(self, Self::Operator | Self::Admin),
            Right::Approve => matches!(self, Self::Approver | Self::Admin),
            Right::Audit => matches!(self, Self::Auditor | Self::Admin),
            Right::Administer => self == Self::Admin,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|role| role.name() == text);
        known.ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|role| role.name()).collect();
            format!("`{text}` is no role: {}", names.join(", "))
        })
    }
}

/// An endpoint: its method, its path, and the right that it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// The method.
    pub method: &'static str,
    /// The path, with names in braces.
    pub path: &'static str,
    /// The right.
    pub right: Right,
}

const fn get(path: &'static str, right: Right) -> Endpoint {
    let method = "GET";
    Endpoint {
        method,
        path,
        right,
    }
}

const fn post(path: &'static str, right: Right) -> Endpoint {
    let method = "POST";
    Endpoint {
        method,
        path,
        right,
    }
}

/// All endpoints. What is not here is denied.
pub const ENDPOINTS: &[Endpoint] = &[
    get("/healthz", Right::Public),
    get("/readyz", Right::Public),
    get("/metrics", Right::Read),
    get("/api/v1/openapi.json", Right::Public),
    get("/api/v1/requests", Right::Read),
    post("/api/v1/requests", Right::File),
    post("/api/v1/preview", Right::File),
    get("/api/v1/requests/{id}", Right::Read),
    get("/api/v1/requests/{id}/jobs", Right::Read),
    get("/api/v1/requests/{id}/events", Right::Read),
    get("/api/v1/events", Right::Read),
    get("/api/v1/requests/{id}/scope", Right::Read),
    get("/api/v1/requests/{id}/history", Right::Audit),
    get("/api/v1/requests/{id}/verdicts", Right::Audit),
    get("/api/v1/requests/{id}/certificate", Right::Audit),
    get("/api/v1/requests/{id}/bundle", Right::Audit),
    post("/api/v1/requests/{id}/comment", Right::Comment),
    post("/api/v1/requests/{id}/plan", Right::Operate),
    post("/api/v1/requests/{id}/approve", Right::Approve),
    post("/api/v1/requests/{id}/reject", Right::Approve),
    post("/api/v1/requests/{id}/extend", Right::Operate),
    post("/api/v1/requests/{id}/run", Right::Operate),
    post("/api/v1/requests/{id}/cancel", Right::Operate),
    post("/api/v1/requests/{id}/verify", Right::Operate),
    post("/api/v1/requests/{id}/certify", Right::Operate),
    post("/api/v1/requests/{id}/purge", Right::Operate),
    post("/api/v1/requests/{id}/close", Right::Operate),
    get("/api/v1/models", Right::Read),
    get("/api/v1/log", Right::Audit),
    get("/api/v1/webhooks", Right::Administer),
    post("/api/v1/webhooks", Right::Administer),
    get("/api/v1/webhooks/{id}/messages", Right::Administer),
    post("/api/v1/webhooks/{id}/test", Right::Administer),
    post("/api/v1/webhooks/{id}/pause", Right::Administer),
    post("/api/v1/webhooks/{id}/resume", Right::Administer),
    post("/api/v1/webhooks/{id}/remove", Right::Administer),
    get("/", Right::Read),
    get("/new", Right::File),
    post("/new", Right::File),
    get("/requests/{id}", Right::Read),
    post("/requests/{id}/comment", Right::Comment),
    post("/requests/{id}/plan", Right::Operate),
    post("/requests/{id}/approve", Right::Approve),
    post("/requests/{id}/reject", Right::Approve),
    post("/requests/{id}/extend", Right::Operate),
    post("/requests/{id}/run", Right::Operate),
    post("/requests/{id}/cancel", Right::Operate),
    post("/requests/{id}/verify", Right::Operate),
    post("/requests/{id}/certify", Right::Operate),
    post("/requests/{id}/purge", Right::Operate),
    post("/requests/{id}/close", Right::Operate),
    get("/requests/{id}/report", Right::Audit),
    get("/models", Right::Read),
    get("/models/{id}", Right::Read),
    get("/log", Right::Audit),
    get("/api", Right::Read),
    get("/settings", Right::Administer),
    post("/settings/tokens", Right::Administer),
    post("/settings/tokens/{id}/revoke", Right::Administer),
    post("/settings/webhooks", Right::Administer),
    post("/settings/webhooks/{id}/test", Right::Administer),
    post("/settings/webhooks/{id}/pause", Right::Administer),
    post("/settings/webhooks/{id}/resume", Right::Administer),
    post("/settings/webhooks/{id}/remove", Right::Administer),
    post("/settings/four-eyes", Right::Administer),
    post("/settings/retention", Right::Administer),
    get("/sign-in", Right::Public),
    post("/sign-in", Right::Public),
    get("/sign-in/issuer", Right::Public),
    get("/sign-in/callback", Right::Public),
    post("/sign-out", Right::Public),
    get("/style.css", Right::Public),
];

/// The right that a call asks for; nothing where it is denied to everybody.
pub(crate) fn right_of(method: &str, path: &str) -> Option<Right> {
    // What may be read may be asked for without its body.
    let method = if method == "HEAD" { "GET" } else { method };
    let found = ENDPOINTS
        .iter()
        .find(|endpoint| endpoint.method == method && endpoint.path == path);
    found.map(|endpoint| endpoint.right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duties_are_apart() {
        let may = |right| Role::ALL.into_iter().filter(move |role| role.may(right));
        let who = |right| may(right).map(Role::name).collect::<Vec<_>>();
        assert_eq!(who(Right::File), ["requester", "admin"]);
        assert_eq!(who(Right::Operate), ["operator", "admin"]);
        assert_eq!(who(Right::Approve), ["approver", "admin"]);
        assert_eq!(who(Right::Audit), ["auditor", "admin"]);
        assert_eq!(who(Right::Administer), ["admin"]);
        assert_eq!(right_of("DELETE", "/api/v1/requests/{id}"), None);
        assert_eq!(right_of("HEAD", "/"), Some(Right::Read));
    }

    #[test]
    fn every_role_is_read_as_it_is_written() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
