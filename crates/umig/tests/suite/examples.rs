//! The examples run, and say what they should.

use crate::plan;

#[test]
fn a_request_is_planned_for_the_clinic_and_its_descendants() {
    plan::main().unwrap();
    let plan = plan::plan("fox").unwrap();
    let names = |ids: &std::collections::BTreeSet<umig::ModelId>| -> Vec<String> {
        ids.iter().map(ToString::to_string).collect()
    };
    assert_eq!(names(&plan.scope.initial), ["clinic-a@1"]);
    assert_eq!(names(&plan.scope.inherited), ["hospital@1", "server@1"]);
}
