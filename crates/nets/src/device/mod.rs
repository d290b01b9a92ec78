//! Networks on the devices that burn knows: for training, and for evaluation elsewhere than on the
//! CPU engine.

pub(crate) mod network;
pub(crate) mod parameters;
pub(crate) mod pass;
pub(crate) mod transfer;
