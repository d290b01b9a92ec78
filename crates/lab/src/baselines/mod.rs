//! The methods that FIUn is compared with, one file each, and FIUn itself, all as methods of the
//! engine: their costs are measured in the same way.

mod bad_teacher;
mod boundary_shrink;
mod catalog;
mod delete;
mod describe;
mod distill;
mod fine_tune;
mod fisher_methods;
mod gradient_ascent;
mod kind;
mod lfssd;
mod mask;
mod matching;
mod neg_grad_plus;
mod projection;
mod random_labels;
mod retrain;
mod sal_un;
mod scaled_space;
mod scrub;
mod sets;
mod settings;
mod trained;
mod tuning;
mod unsir;

pub use self::catalog::Setup;
pub use self::kind::MethodKind;
pub use self::settings::{Settings, SettingsPatch};
