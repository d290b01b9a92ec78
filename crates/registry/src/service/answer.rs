//! Answers that were given under a key, so that a call which is made again does nothing again.

/// What is known of a call under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptAnswer {
    /// It is the first one: the caller does the work, and keeps the answer.
    New,
    /// The first one has no answer yet, or never got one.
    Open {
        /// The digest of what was asked.
        asked: String,
    },
    /// It was answered.
    Given {
        /// The digest of what was asked.
        asked: String,
        /// The status.
        status: u16,
        /// The rest of it, as its keeper wrote it down.
        body: String,
    },
}
