//! Jobs: done by a thread of the server, by a program that it starts, or by a worker on a process of its own.

pub(crate) mod keeper;
pub(crate) mod program;
pub(crate) mod work;
