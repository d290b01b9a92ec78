//! Heads whose label sets differ, matched by label name.

use std::collections::HashMap;

use crate::error::FisherError;

/// Which row of a source head stands for each row of a target head: rows are matched by label
/// name, never by position alone. What cannot be matched is reported, not guessed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowMatch {
    rows: Vec<Option<usize>>,
    source_rows: usize,
    /// Labels that only the target has; their rows stay untouched.
    pub only_in_target: Vec<String>,
    /// Labels that only the source has; their Fisher rows go unused.
    pub only_in_source: Vec<String>,
}

impl RowMatch {
    /// Matches `source` labels to `target` labels. When both lists are empty (no names recorded),
    /// rows are matched by position, which needs equal counts.
    ///
    /// # Errors
    /// [`FisherError::Shape`] when a list is neither empty nor as long as its head has rows, or
    /// names are missing on one side only while the row counts differ.
    pub fn new(
        target: &[String],
        target_rows: usize,
        source: &[String],
        source_rows: usize,
    ) -> Result<Self, FisherError> {
        for (labels, rows) in [(target, target_rows), (source, source_rows)] {
            if !labels.is_empty() && labels.len() != rows {
                return Err(FisherError::Shape {
                    what: "the label list",
                    found: format!("{} names", labels.len()),
                    expected: format!("one for each of the head's {rows} rows"),
                });
            }
        }
        if target.is_empty() || source.is_empty() {
            if target_rows != source_rows {
                return Err(FisherError::Shape {
                    what: "the forget FIM",
                    found: format!("{source_rows} rows"),
                    expected: format!(
                        "{target_rows} (record the label names, then rows are matched by name)"
                    ),
                });
            }
            return Ok(Self {
                rows: (0..target_rows).map(Some).collect(),
                source_rows,
                only_in_target: Vec::new(),
                only_in_source: Vec::new(),
            });
        }
        let place: HashMap<&String, usize> = source.iter().zip(0..).collect();
        let rows: Vec<Option<usize>> = target.iter().map(|l| place.get(l).copied()).collect();
        let missing = |labels: &[String], others: &[String]| {
            labels
                .iter()
                .filter(|l| !others.contains(l))
                .cloned()
                .collect()
        };
        Ok(Self {
            rows,
            source_rows,
            only_in_target: missing(target, source),
            only_in_source: missing(source, target),
        })
    }

    /// For every target row the source row of the same label.
    pub fn rows(&self) -> &[Option<usize>] {
        &self.rows
    }

    /// The number of rows of the source head.
    pub fn source_rows(&self) -> usize {
        self.source_rows
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rows_follow_their_names() {
        let matched = RowMatch::new(
            &names(&["dog", "fox", "cat"]),
            3,
            &names(&["cat", "dog", "owl"]),
            3,
        )
        .unwrap();
        assert_eq!(matched.rows(), [Some(1), None, Some(0)]);
        assert_eq!(matched.only_in_target, ["fox"]);
        assert_eq!(matched.only_in_source, ["owl"]);
    }

    #[test]
    fn without_names_only_equal_heads_match() {
        assert!(RowMatch::new(&[], 3, &[], 3).is_ok());
        let refused = RowMatch::new(&[], 3, &names(&["a", "b"]), 2).unwrap_err();
        assert!(
            refused.to_string().contains("record the label names"),
            "{refused}"
        );
        assert!(RowMatch::new(&names(&["a"]), 3, &[], 3).is_err());
    }
}
