//! Steps of requests in words.

use std::fmt;

use crate::erasures::step::ErasureVerdict;

/// What a verification found, in a line.
impl fmt::Display for ErasureVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.not_judged {
            return write!(f, "nothing was judged: {why}");
        }
        let (judged, recognised) = (self.judged, self.recognised);
        match (&self.judgement, recognised) {
            (None, _) => write!(f, "no model was left to judge"),
            (Some(_), 1..) => write!(
                f,
                "{recognised} of {judged} models STILL RECOGNISE the forget data"
            ),
            (Some(least), 0) => write!(f, "{judged} models judged, each at least: {least}"),
        }
    }
}

/// What a cancellation stopped, a run that had begun or a job that waited, and why; empty where nothing is known.
pub fn stopped_in_words(run: bool, job: Option<i64>, reason: Option<&str>) -> String {
    let what = match (run, job) {
        (true, _) => "the run".to_owned(),
        (false, Some(job)) => format!("job {job}"),
        (false, None) => String::new(),
    };
    match reason {
        Some(reason) if what.is_empty() => reason.to_owned(),
        Some(reason) => format!("{what}: {reason}"),
        None => what,
    }
}
