//! The top command.

use clap::Parser;

use crate::args::global::GlobalArgs;
use crate::commands::Command;

/// Make a model, and every model that inherited from it, forget.
///
/// A registry keeps models, their inheritance graph, and what each was trained on. When a class, a
/// source or some samples must be forgotten, `unlearn` edits every affected model in parallel, from
/// the Fisher information of the forget data on the initial models alone (FIUn, arXiv:2408.08493).
#[derive(Debug, Parser)]
#[command(
    name = "disinherit",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "\
Examples:
  disinherit demo                                     everything on embedded data, in a minute
  disinherit init                                     a registry in this folder
  disinherit import models/ --trained-on mail         models that you have
  disinherit fisher --data mail/                      FIM cards: forgetting needs no data later
  disinherit plan --forget class=spam                 what would be touched
  disinherit unlearn --forget class=spam              forget, everywhere
  disinherit verify --data mail/                      measure what is still recognised

Exit codes:
  0  done
  1  not forgotten, or found damaged (verify, fsck, log --operations)
  2  wrong usage
  3  failed"
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::CommandFactory;

    use super::Cli;

    fn visit(command: &clap::Command, path: &str, look: &mut dyn FnMut(&str, &clap::Command)) {
        for sub in command.get_subcommands().filter(|c| c.get_name() != "help") {
            let path = format!("{path} {}", sub.get_name());
            look(&path, sub);
            visit(sub, &path, look);
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_is_for_and_shows_an_example() {
        let mut seen = 0;
        visit(&Cli::command(), "disinherit", &mut |path, command| {
            seen += 1;
            let about = command.get_about().map(ToString::to_string);
            assert!(about.is_some_and(|text| text.len() > 10), "{path}");
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            assert!(help.contains("Example"), "{path}: {help}");
            assert!(
                help.contains(path),
                "{path} is not in its own example: {help}"
            );
        });
        assert!(seen >= 25, "{seen}");
    }

    #[test]
    fn every_flag_says_what_it_is_for() {
        visit(&Cli::command(), "disinherit", &mut |path, command| {
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{path}: {}",
                    argument.get_id()
                );
            }
        });
    }

    #[test]
    fn help_uses_the_terms_of_the_field() {
        let banned = "mends?|mended|heirs?|rivals?|lessons?|kinship|yardstick|stand-?in|newborn|\
                      strangers?|make good|whoever|nobody|of which|exam|examiner|tuned|lowered";
        let banned = regex::Regex::new(&format!(r"\b({banned})\b")).unwrap();
        let mut check = |path: &str, command: &clap::Command| {
            let help = command
                .clone()
                .render_long_help()
                .to_string()
                .to_lowercase();
            let found = banned.find(&help).map(|word| word.as_str());
            assert_eq!(found, None, "{path}: {help}");
        };
        check("disinherit", &Cli::command());
        visit(&Cli::command(), "disinherit", &mut check);
    }
}
