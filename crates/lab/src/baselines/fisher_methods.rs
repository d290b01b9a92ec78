//! The methods that work with Fisher information: FIUn itself, and SSD.

use disinherit::{Alpha, Fiun, FiunOptions, Scale};

use super::describe::{Description, How};
use super::kind::MethodKind;

/// FIUn: what it is, and where it comes from.
pub(super) const FIUN: Description = Description {
    kind: MethodKind::Fiun,
    name: "fiun",
    purpose: "Fisher inheritance unlearning: dampen what the forget data's Fisher information on the \
              initial model points at",
    source: "Liu et al., arXiv:2408.08493",
    classes_only: false,
    how: How::Fisher,
};

/// SSD: what it is, and where it comes from.
pub(super) const SSD: Description = Description {
    kind: MethodKind::Ssd,
    name: "ssd",
    purpose: "selective synaptic dampening in each model with its own forget data",
    source: "Foster et al., arXiv:2308.07707",
    classes_only: false,
    how: How::Fisher,
};

/// SSD's threshold where none is given.
const SSD_ALPHA: f64 = 10.0;

/// FIUn.
pub(super) fn fiun(options: &FiunOptions) -> Fiun {
    Fiun::new(options.clone())
}

/// SSD: raw FIMs, each model judged by its own forget data, and nothing but dampening.
pub(super) fn ssd(options: &FiunOptions) -> Fiun {
    Fiun::new(FiunOptions {
        alpha: match options.alpha {
            Alpha::Auto | Alpha::Rule => Alpha::Value(SSD_ALPHA),
            given => given,
        },
        scale: Scale::Raw,
        own_forget: true,
        suppress: false,
        ..options.clone()
    })
}
