//! Where a registry is: a folder, or shared storage.

pub(crate) mod apart;
pub(crate) mod leases;
pub(crate) mod location;
pub(crate) mod lock;
pub(crate) mod marker;
pub(crate) mod storage;
