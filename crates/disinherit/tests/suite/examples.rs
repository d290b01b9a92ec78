//! The example does what it says; and a head that is a convolution of one by one pixel is a head like
//! any other.

use crate::forget_a_class;

fn check(found: &[forget_a_class::Found]) {
    let names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["base@1", "base@2", "clinic@1", "clinic@2"]);
    for pair in found.chunks(2) {
        let [(_, knew, before), (name, knows, after)] = pair else {
            panic!("a version is missing");
        };
        assert!(*knew > 0.9, "{name} knew {knew}");
        assert_eq!(*knows, 0.0, "{name}");
        assert!(after >= before, "{name}: {before} > {after}");
    }
}

#[test]
fn the_example_forgets_in_both_models() {
    forget_a_class::main().unwrap();
    check(&forget_a_class::run(&[4, 4]).unwrap());
}

#[test]
fn a_convolution_of_one_pixel_is_a_head() {
    let matrix = forget_a_class::run(&[4, 4]).unwrap();
    let convolution = forget_a_class::run(&[4, 4, 1, 1]).unwrap();
    check(&convolution);
    assert_eq!(matrix, convolution);
}
