//! Jobs: taken from the catalog, one at a time. One that was cut off is taken up by the next worker.

pub(crate) mod gone;
pub(crate) mod one;
mod stages;
pub(crate) mod worker;
pub(crate) mod workplace;
