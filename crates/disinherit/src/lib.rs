//! The engine: from an erasure request to verified, published, unlearned models.
