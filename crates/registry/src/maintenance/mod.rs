//! Upkeep: taking an operation back, deleting what superseded versions remember, clearing away what
//! was never published, and checking that everything is what it was.

mod erasures;
pub(crate) mod fsck;
pub(crate) mod gc;
mod history;
mod lists;
mod needed;
mod pack;
pub(crate) mod purge;
mod replay;
pub(crate) mod undo;
