//! The feed: what all streams hear, and how many there may be.

use std::collections::BTreeSet;
use std::sync::Arc;

use disinherit::registry::{ErasureEvent, Job};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

/// How many pieces of news a stream may be behind. One that is further behind reads the catalog itself.
const BEHIND: usize = 1024;

/// The most steps that are read at a time.
pub(super) const STEPS: u32 = 500;

/// A piece of news.
#[derive(Debug, Clone)]
pub(super) enum News {
    /// A step of a request was taken.
    Step(Arc<ErasureEvent>),
    /// A job was filed, goes on, or has ended.
    Job(Arc<Job>),
    /// The tokens that hold.
    Tokens(Arc<BTreeSet<i64>>),
}

/// Tells all streams.
pub(crate) struct Feed {
    news: broadcast::Sender<News>,
    places: Arc<Semaphore>,
    most: usize,
}

impl Feed {
    /// A feed for so many streams at most.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self {
            news: broadcast::Sender::new(BEHIND),
            places: Arc::new(Semaphore::new(most)),
            most,
        }
    }

    /// How many streams are open.
    pub(crate) fn open(&self) -> usize {
        self.most - self.places.available_permits()
    }

    /// A place for one more stream, if there is one.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// All news from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    /// Tells all that listen.
    pub(super) fn tell(&self, news: impl IntoIterator<Item = News>) {
        for news in news {
            // Without listeners, it is no news.
            let _ = self.news.send(news);
        }
    }
}
