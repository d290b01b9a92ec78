//! How long files, functions and signatures are.

use crate::finding::{Finding, Rule};
use crate::source::Source;

/// The most lines of a file, tests not counted.
const FILE: usize = 500;
/// The most lines of a function, from its signature to its closing brace.
const FUNCTION: usize = 60;
/// The most parameters, `self` not counted.
const PARAMETERS: usize = 6;

/// What is too long; in `bindings` another language dictates the signatures.
pub(super) fn check(source: &Source, bindings: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in &source.files {
        let mut finding = |line, message, help: &str| {
            found.push(Finding {
                rule: Rule::Size,
                file: file.path.clone(),
                line,
                message,
                help: help.to_owned(),
            });
        };
        if file.lines > FILE {
            let message = format!("{} lines, at most {FILE}", file.lines);
            finding(1, message, "a file has one subject: take the others out");
        }
        for function in &file.functions {
            let (name, line) = (&function.name, function.line);
            if function.lines > FUNCTION {
                let lines = function.lines;
                finding(
                    line,
                    format!("`{name}` has {lines} lines, at most {FUNCTION}"),
                    "name its steps and make them functions",
                );
            }
            if function.parameters > PARAMETERS && !bindings {
                let parameters = function.parameters;
                finding(
                    line,
                    format!("`{name}` has {parameters} parameters, at most {PARAMETERS}"),
                    "make those that belong together a struct",
                );
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::imports::made_up;

    #[test]
    fn long_functions_and_signatures_are_told() {
        let body = "    step();\n".repeat(59);
        let text = format!(
            "fn long() {{\n{body}}}\n\
             fn short() {{\n    step();\n}}\n\
             impl X {{\n    fn wide(&self, a: A, b: B, c: C, d: D, e: E, f: F, g: G) {{}}\n\
             fn fine(&self, a: A, b: B, c: C, d: D, e: E, f: F) {{}}\n}}\n\
             #[cfg(test)]\nmod tests {{\n    fn long() {{\n{body}{body}    }}\n}}\n"
        );
        let source = made_up(&[("lib.rs", &text)]);
        let told: Vec<(usize, String)> = check(&source, false)
            .into_iter()
            .map(|finding| (finding.line, finding.message))
            .collect();
        let known = [
            (1, "`long` has 61 lines, at most 60".to_owned()),
            (66, "`wide` has 7 parameters, at most 6".to_owned()),
        ];
        assert_eq!(told, known);
        assert_eq!(check(&source, true).len(), 1);
    }

    #[test]
    fn tests_do_not_make_a_file_long() {
        let code = "fn f() {}\n".repeat(500);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{code}}}\n");
        let source = made_up(&[("lib.rs", &format!("{code}{tests}"))]);
        assert_eq!(check(&source, false), []);
        let source = made_up(&[("lib.rs", &format!("{code}fn g() {{}}\n{tests}"))]);
        assert_eq!(check(&source, false).len(), 1);
    }
}
