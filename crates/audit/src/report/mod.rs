//! The auditor's report, and the parts of it that pages of a request show too.

pub(crate) mod history;
pub(crate) mod page;
pub(crate) mod scope;
pub(crate) mod words;
