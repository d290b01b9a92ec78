//! PyTorch state dicts, read and written.

pub(crate) mod pickle;
pub(crate) mod state_dict;
