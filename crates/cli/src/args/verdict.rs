//! What models are judged by, and what they must reach.

use clap::{Args, ValueEnum};
use disinherit::FORGOTTEN;
use disinherit::evaluation::{Depth, Judgement};
use disinherit_desk::Bar;

/// The flags of commands that judge models.
#[derive(Debug, Clone, Args)]
pub(crate) struct VerdictArgs {
    /// The largest accuracy on forgotten held-out data that passes, 0 to 1.
    #[arg(long, default_value_t = FORGOTTEN, value_name = "X")]
    pub(crate) at_most: f64,
    /// Look inside the models too: probe, relearning and membership, beside an untouched root. This
    /// trains a little.
    #[arg(long)]
    pub(crate) deep: bool,
    /// What every model must reach; exits with 1 where one falls short. The last two look inside.
    #[arg(long, value_enum, value_name = "WORD")]
    require: Option<Required>,
}

/// The words of the judgement that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Required {
    /// The outputs no longer name it.
    Outputs,
    /// The features hold no more of it than those of a model that never knew it.
    Features,
    /// Nor can its training samples be told from others.
    Indistinguishable,
}

impl Required {
    fn judgement(self) -> Judgement {
        match self {
            Self::Outputs => Judgement::Outputs,
            Self::Features => Judgement::Features,
            Self::Indistinguishable => Judgement::Indistinguishable,
        }
    }
}

impl VerdictArgs {
    /// The verdicts that are needed.
    pub(crate) fn depth(&self) -> Depth {
        let inside = matches!(
            self.require,
            Some(Required::Features | Required::Indistinguishable)
        );
        if self.deep || inside {
            Depth::FULL
        } else {
            Depth::OUTPUTS
        }
    }

    /// What every model must reach, where something was asked for.
    pub(crate) fn required(&self) -> Option<Judgement> {
        self.require.map(Required::judgement)
    }

    /// What the new versions of a request must reach.
    pub(crate) fn bar(&self) -> Bar {
        Bar {
            depth: self.depth(),
            required: self.required(),
            at_most: self.at_most,
        }
    }

    /// Whether a judgement is enough.
    pub(crate) fn accepts(&self, judgement: Judgement) -> bool {
        self.required()
            .is_none_or(|required| judgement.reaches(required))
    }
}
