//! Lists, page by page.

use disinherit::model::now;
use disinherit::registry::{ErasureId, ErasureOrder, ErasurePage, ErasureState};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::problem::Problem;

/// How many entries a page has where nothing is said.
const USUAL: u32 = 50;

/// The most entries of a page.
pub(crate) const MOST: u32 = 1000;

/// The most days that a deadline may be away: a hundred years.
const LONGEST: u64 = 36_500;

/// Which requests.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct RequestQuery {
    /// States with commas between them, or `all`; the open ones when not given.
    pub(crate) state: String,
    /// Only open requests whose deadline is over.
    pub(crate) overdue: bool,
    /// Only open requests that are due within so many days: 0 to 36500.
    #[param(maximum = 36500)]
    pub(crate) due_within: Option<u64>,
    /// By number, the newest first; by deadline when not given.
    pub(crate) newest: bool,
    /// The request after which the page starts.
    pub(crate) after: Option<i64>,
    /// How many at most: 1 to 1000.
    pub(crate) limit: Option<u32>,
}

impl RequestQuery {
    pub(crate) fn page(&self) -> Result<ErasurePage, Problem> {
        let states = match self.state.as_str() {
            "" => ErasureState::open(),
            "all" => Vec::new(),
            names => {
                let states = names.split(',').map(str::parse);
                states
                    .collect::<Result<Vec<ErasureState>, _>>()
                    .map_err(Problem::bad)?
            }
        };
        if self.due_within.is_some_and(|days| days > LONGEST) {
            return Err(Problem::bad(format!("`due_within` must be 0 to {LONGEST}")));
        }
        let days = |days: u64| days.saturating_mul(crate::when::DAY);
        let due_before = match self.overdue {
            true => Some(now()),
            false => self
                .due_within
                .map(|within| now().saturating_add(days(within))),
        };
        Ok(ErasurePage {
            after: self.after.map(ErasureId::new),
            limit: limit(self.limit)?,
            states,
            due_before,
            order: match self.newest {
                true => ErasureOrder::Newest,
                false => ErasureOrder::Deadline,
            },
        })
    }
}

/// The length of a page.
pub(crate) fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    let limit = asked.unwrap_or(USUAL);
    match (1..=MOST).contains(&limit) {
        true => Ok(limit),
        false => Err(Problem::bad(format!("`limit` must be 1 to {MOST}"))),
    }
}
