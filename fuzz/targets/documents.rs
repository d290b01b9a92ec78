//! The registry's documents, the graph, ids, digests, places.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = serde_json::from_slice::<disinherit_registry::Manifest>(bytes).map(|manifest| {
        let sizes = manifest
            .tensors
            .values()
            .filter_map(|tensor| tensor.bytes());
        (manifest.parameters(), sizes.max())
    });
    let _ = serde_json::from_slice::<disinherit_registry::Made>(bytes);
    let _ = serde_json::from_slice::<umig::Model>(bytes);
    if let Ok(graph) = serde_json::from_slice::<umig::Umig>(bytes) {
        // What was believed is a graph without cycles.
        assert_eq!(graph.ordered().len(), graph.len());
        let _ = graph.depths();
    }
    if let Ok(request) = serde_json::from_slice::<umig::Request>(bytes) {
        let _ = umig::Umig::new().plan(&request);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(id) = text.parse::<umig::ModelId>() {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        let _ = text.parse::<disinherit_registry::Digest>();
        let _ = disinherit_registry::Location::parse(text);
    }
});
