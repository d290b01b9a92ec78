//! How a command ends. Scripts depend on these codes; the help of the top command lists them.

use std::process::ExitCode;

/// Wrong usage; clap uses the same code.
pub(crate) const USAGE: u8 = 2;

/// The command failed.
pub(crate) const FAILED: u8 = 3;

/// What a command that ran to its end says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is done, and nothing is wrong.
    Done,
    /// It found what it looks for: a model that has not forgotten, damage, a certificate that does
    /// not hold.
    Found,
}

impl Outcome {
    /// Done where all is well, and found otherwise.
    pub(crate) fn from_sound(sound: bool) -> Self {
        if sound { Self::Done } else { Self::Found }
    }

    /// The exit code.
    pub(crate) fn code(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::Found => ExitCode::from(1),
        }
    }
}
