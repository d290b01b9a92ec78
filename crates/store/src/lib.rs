//! The registry: tensors by content, immutable model versions, FIM cards, a catalog.
