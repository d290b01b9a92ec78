//! Where the penultimate layer is in a network's program.

use crate::ops::operation::{LayerPart, Op, Part};

/// How the output of a branch becomes part of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Join {
    /// It is the stream.
    Alone,
    /// Added to what the shortcut makes of the block's input.
    Sum,
    /// Put behind the block's input, channel after channel.
    Behind,
}

/// A program cut at its penultimate layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut<'a> {
    /// From the input to the block with the layer in it.
    pub(crate) below: &'a [Op],
    /// In the block, before the layer.
    pub(crate) inner: &'a [Op],
    /// The layer.
    pub(crate) layer: &'a [Op],
    /// What the layer is.
    pub(crate) part: LayerPart<'a>,
    /// The batch norm behind it, or nothing.
    pub(crate) after: &'a [Op],
    /// The name of that batch norm.
    pub(crate) norm: Option<&'a str>,
    /// The layer and the batch norm behind it.
    pub(crate) end: &'a [Op],
    /// Around the branch.
    pub(crate) shortcut: &'a [Op],
    pub(crate) join: Join,
    /// From the stream to the features.
    pub(crate) above: &'a [Op],
    /// Whether of a sequence only the first position leads to the features.
    pub(crate) first: bool,
}

/// Cuts a program (without its head) at its penultimate layer; nothing where the last weights are no
/// matrix.
pub(crate) fn find(ops: &[Op]) -> Option<Cut<'_>> {
    let mut first = false;
    for (at, op) in ops.iter().enumerate().rev() {
        let (below, above) = (&ops[..at], &ops[at + 1..]);
        let (branch, shortcut, join): (&[Op], &[Op], Join) = match op.operation().part() {
            Part::Step | Part::Norm(_) => continue,
            Part::First => {
                first = true;
                continue;
            }
            Part::Other => return None,
            Part::Layer(_) => {
                let norm = ops.get(at + 1).map(|op| op.operation().part());
                let end = at + 1 + usize::from(matches!(norm, Some(Part::Norm(_))));
                let cut = branch_end(&ops[at..end])?;
                let above = &ops[end..];
                return Some(Cut {
                    below,
                    above,
                    first,
                    ..cut
                });
            }
            Part::Sum([main, shortcut]) => (main, shortcut, Join::Sum),
            Part::Concatenation(branch) => (branch, &[], Join::Behind),
        };
        return Some(Cut {
            below,
            shortcut,
            join,
            above,
            first,
            ..branch_end(branch)?
        });
    }
    None
}

/// Cuts a branch that ends in a layer, or in a layer and a batch norm.
fn branch_end(branch: &[Op]) -> Option<Cut<'_>> {
    let (last, before) = branch.split_last()?;
    let (norm, at) = match last.operation().part() {
        Part::Norm(name) => (Some(name), before.len().checked_sub(1)?),
        _ => (None, before.len()),
    };
    let Part::Layer(part) = branch[at].operation().part() else {
        return None;
    };
    Some(Cut {
        below: &[],
        inner: &branch[..at],
        layer: &branch[at..=at],
        part,
        after: &branch[at + 1..],
        end: &branch[at..],
        norm,
        shortcut: &[],
        join: Join::Alone,
        above: &[],
        first: false,
    })
}
