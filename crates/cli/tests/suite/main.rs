//! The command line: what it prints, keeps and survives, by itself, as a service and on several machines.
#![allow(clippy::unwrap_used, missing_docs)]

#[cfg(all(unix, feature = "server"))]
mod access;
#[cfg(unix)]
mod backup;
mod bounds;
mod bring;
mod cli;
mod common;
#[cfg(unix)]
mod crashes;
#[cfg(unix)]
mod deploy;
mod docs;
mod elsewhere;
#[cfg(all(unix, feature = "server"))]
mod events;
mod fisher;
mod forms;
mod golden;
#[cfg(all(unix, feature = "server"))]
mod hints;
#[cfg(unix)]
mod hub;
#[cfg(all(unix, feature = "server"))]
mod jobs;
mod keeping;
mod lists;
#[cfg(unix)]
mod machines;
#[cfg(unix)]
mod packs;
#[cfg(all(unix, feature = "server"))]
mod page;
mod pipes;
mod remote;
mod reproduce;
mod requests;
mod retired;
mod samples;
#[cfg(all(unix, feature = "server"))]
mod serve;
mod standards;
#[cfg(all(unix, feature = "server"))]
mod webhooks;
