//! Trying again while the database is away: restarted, failed over, cut off for a moment.

use std::future::Future;
use std::io::ErrorKind;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use crate::error::RegistryError;

/// How long a database may be away in the middle of work.
const AWAY: Duration = Duration::from_secs(120);

/// How long it may be away when it is first asked: a wrong address is told sooner.
const AWAY_AT_FIRST: Duration = Duration::from_secs(15);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// The first answer of a database that may not be there at all.
    #[cfg_attr(
        not(feature = "postgres"),
        allow(dead_code, reason = "a file is there or not")
    )]
    First,
    /// An answer of one that was there.
    Again,
}

/// Does something again, after pauses that grow, as long as the database is away. What is done must not matter
/// when it is done twice.
///
/// # Errors
/// What the last attempt said.
pub(super) async fn patiently<T, A>(
    asked: Asked,
    attempt: impl FnMut() -> A,
) -> Result<T, RegistryError>
where
    A: Future<Output = Result<T, RegistryError>>,
{
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times()
        .with_total_delay(Some(match asked {
            Asked::First => AWAY_AT_FIRST,
            Asked::Again => AWAY,
        }));
    attempt
        .retry(pauses)
        .when(|error| is_away(error, asked))
        .notify(|error, pause| {
            tracing::warn!(%error, ?pause, "the database is away, and will be asked again");
        })
        .await
}

/// Whether an error says that the database is away for now.
fn is_away(error: &RegistryError, asked: Asked) -> bool {
    let RegistryError::Catalog(error) = error else {
        return false;
    };
    match error {
        sqlx::Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof => true,
            // Where there was a server, any other reason goes by, too: its socket is gone while it starts.
            _ => asked == Asked::Again,
        },
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_passing(&code)),
        // What stands before a server that is away may break off where an answer is due.
        sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// Whether a server says by this code that it stops, starts, has too many connections, or chose this transaction
/// to break a deadlock (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn is_passing(code: &str) -> bool {
    code.starts_with("08")
        || matches!(
            code,
            "57P01" | "57P02" | "57P03" | "53300" | "40001" | "40P01"
        )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::cell::Cell;

    use super::*;

    fn lost(kind: ErrorKind) -> RegistryError {
        sqlx::Error::Io(kind.into()).into()
    }

    fn tried(asked: Asked, error: fn() -> RegistryError) -> (u32, Result<u32, RegistryError>) {
        let count = Cell::new(0);
        let attempt = || async {
            count.set(count.get() + 1);
            if count.get() < 3 {
                return Err(error());
            }
            Ok(count.get())
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let answer = runtime.block_on(patiently(asked, attempt));
        (count.get(), answer)
    }

    #[test]
    fn a_lost_connection_is_made_again() {
        for asked in [Asked::First, Asked::Again] {
            let (count, answer) = tried(asked, || lost(ErrorKind::ConnectionReset));
            assert_eq!((count, answer.unwrap()), (3, 3));
        }
    }

    #[test]
    fn an_address_that_leads_nowhere_is_told_at_once() {
        let nowhere = || lost(ErrorKind::NotFound);
        assert_eq!(tried(Asked::First, nowhere).0, 1);
        assert_eq!(tried(Asked::Again, nowhere).0, 3);
    }

    #[test]
    fn what_was_refused_is_not_asked_again() {
        let (count, answer) = tried(Asked::Again, || RegistryError::Conflict("gone".into()));
        assert_eq!(count, 1);
        assert!(matches!(answer, Err(RegistryError::Conflict(_))));
    }

    #[test]
    fn servers_that_stop_or_start_are_waited_for() {
        assert!(
            ["57P01", "57P03", "08006", "40P01"]
                .iter()
                .all(|code| is_passing(code))
        );
        assert!(
            !["23505", "42P01", "28P01"]
                .iter()
                .any(|code| is_passing(code))
        );
    }
}
