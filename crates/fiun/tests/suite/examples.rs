//! The examples run, and show what they should.

use crate::dampen_a_head;

#[test]
fn a_class_is_forgotten_and_the_others_are_kept() {
    dampen_a_head::main().unwrap();
    let (choice, accuracies) = dampen_a_head::forget().unwrap();
    assert_eq!(accuracies.before, (1.0, 1.0));
    assert!(choice.reached);
    assert_eq!(accuracies.after.0, 0.0);
    assert!(accuracies.after.1 >= 0.99, "{}", accuracies.after.1);
}
