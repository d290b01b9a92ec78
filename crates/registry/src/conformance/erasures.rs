//! Erasure requests: steps, refusals, lists, claims, and that the log decides.

use std::collections::BTreeSet;
use std::time::Duration;

use umig::{Forget, Request};

use crate::catalog::publication::Publication;
use crate::conformance::samples::{id, new_model, publication};
use crate::erasures::asked::Asked;
use crate::erasures::page::{ErasureOrder, ErasurePage};
use crate::erasures::refusal::ErasureRefusal;
use crate::erasures::request::ErasureRequest;
use crate::erasures::state::ErasureState;
use crate::erasures::step::{ErasurePlan, ErasureRun, ErasureStep, ErasureVerdict, Filing};
use crate::error::{Hint, RegistryError};
use crate::ids::{ErasureId, OperationId, RequestId};
use crate::log::loss::LossBound;
use crate::log::method_name::MethodName;
use crate::log::record::{OperationRecord, UnlearnRecord};
use crate::maintenance::purge::Purge;
use crate::registry::Registry;

/// What is filed by default.
pub(super) fn filing(registry: &Registry, forget: &Forget, deadline: u64) -> Filing {
    Filing {
        asked: registry.asked(forget).unwrap(),
        from: Vec::new(),
        requester: Some("subject-7".into()),
        basis: Some("GDPR Art. 17(1)(b)".into()),
        received: 1,
        deadline,
    }
}

pub(super) fn plan(registry: &Registry) -> ErasureStep {
    ErasureStep::Plan(ErasurePlan {
        scope: registry.put_document(b"a scope".to_vec()).unwrap(),
        initial: 1,
        inherited: 0,
        retired: 0,
        method: MethodName::default(),
        loss_bound: LossBound::new(0.01),
    })
}

/// Takes a step.
pub(super) fn step(registry: &Registry, request: ErasureId, step: ErasureStep) -> ErasureRequest {
    registry.step_erasure(request, step, None).unwrap()
}

/// Takes a step that must be refused, and must change nothing.
fn refused(registry: &Registry, request: ErasureId, step: ErasureStep) -> ErasureRefusal {
    let before = (
        registry.erasure(request).unwrap(),
        registry.operations().unwrap(),
    );
    let refusal = match registry.step_erasure(request, step, None) {
        Err(RegistryError::Refused { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    let after = (
        registry.erasure(request).unwrap(),
        registry.operations().unwrap(),
    );
    assert_eq!(before, after);
    refusal
}

/// Publishes a new version of a model for a run.
fn unlearn(registry: &Registry, run: ErasureRun) -> Result<OperationId, RegistryError> {
    let version = registry.models().unwrap().len();
    let after = new_model(
        registry,
        &format!("child@{}", version + 1),
        9.0,
        &["child@1"],
    );
    let record = UnlearnRecord {
        id: RequestId::new("request-0a1b"),
        request: Request::new(Forget::classes(["cat"])),
        method: MethodName::default(),
        models: Vec::new(),
        retired: Vec::new(),
        loss_bound: None,
        warnings: Vec::new(),
        erasure: Some(run),
    };
    let record = OperationRecord::Unlearn(Box::new(record));
    registry.publish(&Publication {
        operation: crate::log::entry::Operation::new(7, record),
        ..publication(vec![after], &["child@1"], "unlearn")
    })
}

/// From its arrival to its end, with what is refused on the way.
pub(super) fn life(registry: &Registry) {
    let forget = Forget::classes(["cat"]);
    let filed = registry
        .file_erasure(filing(registry, &forget, 1000))
        .unwrap();
    let (request, state) = (filed.id, filed.state);
    assert_eq!(
        (request, state),
        (ErasureId::new(1), ErasureState::Received)
    );
    assert_eq!(registry.forget_of(&filed.asked).unwrap(), forget);
    let approve = ErasureStep::Approve { four_eyes: false };
    let early = refused(registry, request, approve.clone());
    assert!(matches!(
        early,
        ErasureRefusal::State {
            state: ErasureState::Received,
            ..
        }
    ));
    step(
        registry,
        request,
        ErasureStep::Comment {
            text: "by letter".into(),
        },
    );
    let planned = step(registry, request, plan(registry));
    assert_eq!(planned.state, ErasureState::Planned);

    // The registry says whether four eyes are asked for, not who approves.
    registry.set_four_eyes(true).unwrap();
    let alone = refused(registry, request, approve.clone());
    assert_eq!(
        alone,
        ErasureRefusal::FourEyes {
            filed_by: String::new()
        }
    );
    registry.set_four_eyes(false).unwrap();
    let stale = registry.step_erasure(request, approve.clone(), Some(filed.last.operation));
    let by = planned.last.operation;
    assert!(
        matches!(&stale, Err(RegistryError::Refused { reason: ErasureRefusal::Changed { by: found }, .. }) if *found == by),
        "{stale:?}"
    );
    let approved = registry.step_erasure(request, approve, Some(by)).unwrap();
    assert_eq!(approved.approved.unwrap().by, "");

    let run = claims(registry, request);
    let operation = unlearn(registry, run).unwrap();
    let published = registry.erasure(request).unwrap();
    assert_eq!(
        (published.state, &published.published[..]),
        (ErasureState::Running, &[operation][..])
    );
    finish(registry, request, operation);
}

/// One run at a time: no other, until its lease is over or it is taken over.
fn claims(registry: &Registry, request: ErasureId) -> ErasureRun {
    let begin = |taken_over| ErasureStep::Run { taken_over };
    let run_of = |erasure: ErasureRequest| ErasureRun {
        request,
        started: erasure.last.operation,
    };
    let first = run_of(step(registry, request, begin(false)));
    assert!(matches!(
        refused(registry, request, begin(false)),
        ErasureRefusal::Claimed { .. }
    ));
    // What is not heard of any more goes to the next.
    assert!(registry.hold_run(first, Duration::ZERO).unwrap());
    let second = run_of(step(registry, request, begin(false)));
    assert!(!registry.hold_run(first, Duration::from_secs(60)).unwrap());
    assert!(registry.hold_run(second, Duration::from_secs(60)).unwrap());
    assert!(matches!(
        refused(registry, request, begin(false)),
        ErasureRefusal::Claimed { .. }
    ));
    let third = run_of(step(registry, request, begin(true)));
    // What was taken over publishes nothing.
    let models = registry.models().unwrap();
    let late = unlearn(registry, second);
    assert!(
        matches!(
            late,
            Err(RegistryError::Refused {
                reason: ErasureRefusal::TakenOver,
                ..
            })
        ),
        "{late:?}"
    );
    assert_eq!(registry.models().unwrap(), models);
    // One that ended with a reason can begin again.
    step(
        registry,
        request,
        ErasureStep::Fail {
            reason: "the disk is full".into(),
        },
    );
    assert!(!registry.hold_run(third, Duration::from_secs(60)).unwrap());
    run_of(step(registry, request, begin(false)))
}

fn passed(registry: &Registry) -> ErasureVerdict {
    ErasureVerdict {
        passed: true,
        verdicts: Some(registry.put_document(b"verdicts".to_vec()).unwrap()),
        judged: 1,
        recognised: 0,
        judgement: Some("outputs".into()),
        required: None,
        not_judged: None,
    }
}

fn finish(registry: &Registry, request: ErasureId, operation: OperationId) {
    // Somebody takes the new version back: nothing is left to judge, and the request may be run again.
    registry.undo(operation).unwrap();
    let undone = registry.erasure(request).unwrap();
    assert_eq!(
        (undone.state, undone.published.len()),
        (ErasureState::Failed, 0)
    );
    let verify = ErasureStep::Verify(passed(registry));
    assert_eq!(
        refused(registry, request, verify.clone()),
        ErasureRefusal::NotRun
    );
    let begun = step(registry, request, ErasureStep::Run { taken_over: false });
    let run = ErasureRun {
        request,
        started: begun.last.operation,
    };
    let operation = unlearn(registry, run).unwrap();
    step(registry, request, verify);
    let certificate = registry.put_document(b"a certificate".to_vec()).unwrap();
    let (key, public_key) = ("0011223344556677".into(), None);
    step(
        registry,
        request,
        ErasureStep::Certify {
            certificate,
            key,
            public_key,
        },
    );
    let purged = registry.purge(&Purge {
        models: vec![id("child@1")],
        reason: "request 1".into(),
        erasure: Some(request),
        dry_run: false,
    });
    purged.unwrap();
    assert_eq!(
        registry.erasure(request).unwrap().state,
        ErasureState::Purged
    );
    let closed = step(registry, request, ErasureStep::Close);
    assert_eq!(closed.published, [operation]);
    history(registry, &closed);
}

/// What a request speaks of is no garbage, and its history is all that happened for it.
fn history(registry: &Registry, closed: &ErasureRequest) {
    registry.collect_garbage(false, false).unwrap();
    let documents = closed
        .objects
        .iter()
        .map(|digest| registry.document(*digest).unwrap());
    assert_eq!(documents.count(), 3);
    let history = registry.erasure_history(closed.id).unwrap();
    let commands: Vec<&str> = history.iter().map(|row| row.command.as_str()).collect();
    assert_eq!(
        commands,
        [
            "request new",
            "request comment",
            "request plan",
            "request approve",
            "request run",
            "request run",
            "request run",
            "request fail",
            "request run",
            "unlearn",
            "undo",
            "request run",
            "unlearn",
            "request verify",
            "request certify",
            "purge",
            "request close",
        ]
    );
    let undo = registry.undo(history[2].id).unwrap_err();
    assert!(undo.to_string().contains("cannot be undone"), "{undo}");
}

/// Lists of samples as objects, numbers without gaps, pages in each order.
pub(super) fn lists(registry: &Registry) {
    let ids: BTreeSet<String> = (0..2000).map(|n| format!("person-{n:04}")).collect();
    let forget = Forget::Samples(ids.clone());
    registry.set_hashes_sample_ids(true).unwrap();
    let filed = registry
        .file_erasure(filing(registry, &forget, 500))
        .unwrap();
    registry.set_hashes_sample_ids(false).unwrap();
    assert!(matches!(&filed.asked, Asked::Samples(list) if list.count() == 2000));
    assert_eq!(registry.forget_of(&filed.asked).unwrap(), forget);
    assert_eq!(registry.collect_garbage(false, false).unwrap().objects, 0);
    assert_eq!(registry.forget_of(&filed.asked).unwrap(), forget);
    for deadline in [900, 300, 300, 700] {
        let filing = filing(registry, &Forget::Source("clinic".into()), deadline);
        registry.file_erasure(filing).unwrap();
    }
    let reject = ErasureStep::Reject {
        reason: "asked twice".into(),
    };
    step(registry, ErasureId::new(4), reject);

    pages(registry);
    let counts = registry.erasure_counts().unwrap();
    assert_eq!(counts[&ErasureState::Received], 4);
    assert_eq!(counts.values().sum::<u64>(), 6);
    let overdue = [300, 301, 701, 901].map(|time| registry.overdue_erasures(time).unwrap());
    assert_eq!(overdue, [0, 1, 3, 4], "neither closed nor rejected ones");
    let unknown = registry.erasure(ErasureId::new(7)).unwrap_err();
    assert_eq!(unknown.hint(), Some(Hint::ListErasures));
    let health = registry.check(false, None, &mut |_, _| {}).unwrap();
    assert_eq!(
        (health.damages, health.erasures, health.garbage),
        (Vec::new(), 6, 0)
    );
}

/// Requests page by page, two at a time.
fn pages(registry: &Registry) {
    let all = |page: ErasurePage| -> Vec<i64> {
        let mut page = ErasurePage { limit: 2, ..page };
        let mut numbers = Vec::new();
        loop {
            let found = registry.erasures(&page).unwrap();
            numbers.extend(found.iter().map(|erasure| erasure.id.get()));
            match found.last() {
                Some(last) => page.after = Some(last.id),
                None => return numbers,
            }
        }
    };
    let open = ErasureState::open;
    assert_eq!(all(ErasurePage::default()), [4, 5, 2, 6, 3, 1]);
    assert_eq!(
        all(ErasurePage {
            states: open(),
            ..ErasurePage::default()
        }),
        [5, 2, 6, 3]
    );
    assert_eq!(
        all(ErasurePage {
            due_before: Some(701),
            ..ErasurePage::default()
        }),
        [5, 2, 6]
    );
    let rejected = vec![ErasureState::Rejected, ErasureState::Closed];
    let newest = ErasurePage {
        states: rejected,
        order: ErasureOrder::Newest,
        ..ErasurePage::default()
    };
    assert_eq!(all(newest), [4, 1]);
}

/// Many at a time get numbers of their own.
pub(super) fn crowds(registry: &Registry) {
    let asked = filing(registry, &Forget::Source("clinic".into()), 2000);
    let filed: BTreeSet<ErasureId> = std::thread::scope(|scope| {
        let file = || {
            let numbers = (0..4).map(|_| registry.file_erasure(asked.clone()).unwrap().id);
            numbers.collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(file)).collect();
        let done = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        done.collect()
    });
    let expected: BTreeSet<ErasureId> = (7..19).map(ErasureId::new).collect();
    assert_eq!(filed, expected);
    let plan = plan(registry);
    step(registry, ErasureId::new(7), plan);
    step(
        registry,
        ErasureId::new(7),
        ErasureStep::Approve { four_eyes: false },
    );
    // Of many that want to run one request, one does.
    let begun = std::thread::scope(|scope| {
        let begin = || {
            let begin = ErasureStep::Run { taken_over: false };
            registry
                .step_erasure(ErasureId::new(7), begin, None)
                .is_ok()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(begin)).collect();
        let done = threads.into_iter().map(|thread| thread.join().unwrap());
        done.filter(|begun| *begun).count()
    });
    assert_eq!(begun, 1);
    let health = registry.check(false, None, &mut |_, _| {}).unwrap();
    assert_eq!(health.damages, []);
}
