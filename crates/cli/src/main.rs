//! The command line: flags, progress, messages.
fn main() {}
