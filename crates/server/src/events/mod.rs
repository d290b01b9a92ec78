//! What happens, as it happens: one look at the catalog for all who listen.

pub(crate) mod feed;
pub(crate) mod look;
pub(crate) mod stream;
