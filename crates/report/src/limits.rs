//! What an edit does not promise.

use disinherit::Layers;

/// What editing the last layer does and does not do, in one sentence.
const HEAD_ONLY: &str = "Only the last layer was edited: even where the outputs no longer name the \
forgotten class, the inner features still tell its samples apart, so anyone who trains a new last \
layer on such samples can bring it back.";

/// The limits of an edit of these layers, in a sentence for the user.
pub fn honest(layers: &Layers) -> String {
    match layers {
        Layers::Head => HEAD_ONLY.to_owned(),
        other => format!(
            "The layers `{other}` were edited. Whether the inner features still tell the forgotten \
             class's samples apart has not been measured here; only a comparison with the \
             retrained baseline would say."
        ),
    }
}
