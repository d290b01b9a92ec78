//! The examples run, and show what they should.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../examples/forget_a_class.rs"]
mod forget_a_class;

#[test]
fn a_class_is_forgotten_and_the_others_are_kept() {
    forget_a_class::main().unwrap();
    let (choice, accuracies) = forget_a_class::forget().unwrap();
    assert_eq!(accuracies.before, (1.0, 1.0));
    assert!(choice.reached);
    assert_eq!(accuracies.after.0, 0.0);
    assert!(accuracies.after.1 >= 0.99, "{}", accuracies.after.1);
}
