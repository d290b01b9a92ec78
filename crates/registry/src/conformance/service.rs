//! What a server keeps: tokens, jobs, answers.

use crate::erasures::step::ErasureRun;
use crate::ids::ErasureId;
use crate::registry::Registry;
use crate::service::answer::KeptAnswer;
use crate::service::job::{Job, JobKind, JobState};
use crate::service::token::AccessToken;
use crate::time::now;

/// Tokens hold until they expire or are revoked.
pub(super) fn tokens(registry: &Registry) {
    let token = |hash: &str, expires| AccessToken {
        id: 0,
        hash: hash.into(),
        name: "ann".into(),
        role: "viewer".into(),
        created_by: "root".into(),
        created: now(),
        expires,
        revoked: None,
        used: None,
    };
    let later = now() + 60_000;
    assert_eq!(registry.add_token(&token("aa", later)).unwrap(), 1);
    assert_eq!(registry.add_token(&token("bb", 1)).unwrap(), 2);
    registry.add_token(&token("aa", later)).unwrap_err();
    assert_eq!(registry.token("aa").unwrap().unwrap().name, "ann");
    assert!(registry.tokens().unwrap()[0].used.is_some());
    assert_eq!(registry.token("bb").unwrap(), None);
    assert_eq!(registry.token("cc").unwrap(), None);
    assert!(registry.revoke_token(1).unwrap());
    assert!(!registry.revoke_token(1).unwrap());
    assert_eq!(registry.token("aa").unwrap(), None);
    assert_eq!(registry.tokens().unwrap().len(), 2);
}

/// Of many workers, each job goes to one.
pub(super) fn jobs(registry: &Registry) {
    let job = |erasure| Job {
        id: 0,
        erasure: ErasureId::new(erasure),
        kind: JobKind::Run,
        actor: "ann".into(),
        state: JobState::Waiting,
        filed: now(),
        ended: None,
        said: String::new(),
    };
    let filed = (1..=4).map(|n| registry.file_job(&job(n)).unwrap());
    assert_eq!(
        filed.collect::<Vec<_>>(),
        [Some(1), Some(2), Some(3), Some(4)]
    );
    assert_eq!(registry.file_job(&job(3)).unwrap(), None, "one at a time");
    let mut taken: Vec<i64> = std::thread::scope(|scope| {
        let take = |worker: usize| {
            let take = || registry.take_job(&worker.to_string()).unwrap();
            std::iter::from_fn(take)
                .map(|job| job.id)
                .collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..3).map(|n| scope.spawn(move || take(n))).collect();
        let done = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        done.collect()
    });
    taken.sort_unstable();
    assert_eq!(taken, [1, 2, 3, 4]);
    // Another's is neither held nor ended.
    assert!(!registry.hold_job(1, "another", "").unwrap());
    assert!(
        !registry
            .leave_job(1, "another", JobState::Done, "")
            .unwrap()
    );
    assert!(registry.jobs(ErasureId::new(1)).unwrap()[0].state == JobState::Taken);
    // One whose worker is silent goes to the next.
    let catalog = registry.catalog();
    let later = now() + 120_000;
    let again = registry.wait(catalog.take_job("next", later, later + 1));
    assert_eq!(again.unwrap().unwrap().id, 1);
    assert!(
        registry
            .leave_job(1, "next", JobState::Done, "all well")
            .unwrap()
    );
    let ended = registry.jobs(ErasureId::new(1)).unwrap().remove(0);
    assert_eq!(
        (ended.state, ended.said.as_str()),
        (JobState::Done, "all well")
    );
    assert!(ended.ended.is_some());
    assert_eq!(registry.file_job(&job(1)).unwrap(), Some(5));
}

/// Has the worker of the oldest open job count as silent for long, so that the next worker gets it at once.
///
/// # Panics
/// Where the registry cannot be read.
pub fn silence(registry: &Registry) {
    let catalog = registry.catalog();
    let later = now() + 3_600_000;
    let Some(job) = registry.wait(catalog.take_job("silent", later, 1)).unwrap() else {
        return;
    };
    if let Some(run) = registry.erasure(job.erasure).unwrap().run {
        let (request, started) = (job.erasure, run.operation);
        let run = ErasureRun { request, started };
        registry.hold_run(run, std::time::Duration::ZERO).unwrap();
    }
}

/// A key is claimed once.
pub(super) fn answers(registry: &Registry) {
    let asked = || "digest".to_owned();
    let claim = || registry.claim_answer("key", "digest").unwrap();
    assert_eq!(claim(), KeptAnswer::New);
    assert_eq!(claim(), KeptAnswer::Open { asked: asked() });
    registry.keep_answer("key", 201, "{}").unwrap();
    let given = KeptAnswer::Given {
        asked: asked(),
        status: 201,
        body: "{}".into(),
    };
    assert_eq!(claim(), given);
    registry.release_answer("key").unwrap();
    assert_eq!(claim(), KeptAnswer::New, "one that failed is made again");
}
