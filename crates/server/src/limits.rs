//! Limits of the system that a server needs to be higher than a shell's.

/// Lets this process open as many files as the system allows it to: every stream of events is one.
#[cfg(unix)]
pub(crate) fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where the system refuses, the limit is as it was, and calls beyond it wait.
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays");
    }
}

#[cfg(not(unix))]
pub(crate) fn raise_open_files() {}
