//! Messages of webhooks, what happened to requests, and what is cancelled.

use crate::conformance::erasures::{filing, step};
use crate::erasures::refusal::ErasureRefusal;
use crate::erasures::request::ErasureRequest;
use crate::erasures::state::ErasureState;
use crate::erasures::step::ErasureStep;
use crate::error::RegistryError;
use crate::ids::{ErasureId, OperationId};
use crate::registry::Registry;
use crate::service::job::{Job, JobKind, JobState};
use crate::service::webhook::{
    DeliveryEnd, MessageFate, MessagePage, Webhook, WebhookMessage, WebhookTally,
};
use crate::time::now;
use umig::Forget;

fn webhook(states: &[ErasureState]) -> Webhook {
    Webhook {
        id: 0,
        url: "https://example.org/hook".into(),
        secret: "whsec_AAAA".into(),
        states: states.to_vec(),
        attempts: 2,
        pause: 1000,
        created_by: "ann".into(),
        created: now(),
        paused: None,
        tally: WebhookTally::default(),
    }
}

fn file(registry: &Registry) -> ErasureRequest {
    let forget = Forget::Source("a webhook".into());
    let filing = filing(registry, &forget, 2000);
    registry.file_erasure(filing).unwrap()
}

fn reject() -> ErasureStep {
    ErasureStep::Reject {
        reason: "asked twice".into(),
    }
}

/// A message is kept with the change that it tells of, goes to one server at a time, and goes when it has
/// arrived or is given up.
pub(super) fn messages(registry: &Registry) {
    let before = registry.last_erasure_event().unwrap();
    let all = registry.add_webhook(&webhook(&[])).unwrap();
    let some = [ErasureState::Rejected, ErasureState::Closed];
    let ends = registry.add_webhook(&webhook(&some)).unwrap();
    assert_eq!(registry.webhooks().unwrap()[1].states, some);
    assert_eq!(registry.take_webhook("w").unwrap(), None);
    let request = file(registry).id;
    let text = "by letter".into();
    step(registry, request, ErasureStep::Comment { text });
    let last = step(registry, request, reject()).last.operation;
    // A step that is refused tells nothing.
    registry.step_erasure(request, reject(), None).unwrap_err();
    let waiting: Vec<u64> = registry
        .webhooks()
        .unwrap()
        .iter()
        .map(|webhook| webhook.tally.waiting)
        .collect();
    assert_eq!(waiting, [2, 1]);

    told(registry, request, before);
    assert_eq!(registry.last_erasure_event().unwrap(), last);
    paused(registry, [all, ends]);

    let taken = registry.take_webhook("w").unwrap().unwrap();
    assert_eq!((taken.id, taken.secret.as_str()), (all, "whsec_AAAA"));
    let other = registry.take_webhook("v").unwrap().unwrap();
    assert_eq!(other.id, ends, "each goes to one");
    assert_eq!(registry.take_webhook("u").unwrap(), None);
    let first = registry.due_delivery(all).unwrap().unwrap();
    assert_eq!((first.before, first.state), (None, ErasureState::Received));
    assert!(
        !registry
            .end_delivery(&first, "v", &DeliveryEnd::Arrived)
            .unwrap()
    );
    assert!(
        registry
            .end_delivery(&first, "w", &DeliveryEnd::Arrived)
            .unwrap()
    );
    tried_again(registry, all, last);

    assert!(registry.remove_webhook(ends).unwrap());
    assert!(!registry.remove_webhook(ends).unwrap());
    let late = registry.due_delivery(ends).unwrap();
    assert_eq!(late, None, "what was still to be delivered goes too");
    assert!(registry.remove_webhook(all).unwrap());
    assert_eq!(listed(registry, None, None, 10), []);
}

/// What happened after an operation is told, of one request or of all.
fn told(registry: &Registry, request: ErasureId, before: OperationId) {
    let events = registry.erasure_events(before, Some(request), 10).unwrap();
    let seen: Vec<_> = events
        .iter()
        .map(|event| (event.step.as_str(), event.state))
        .collect();
    let (received, rejected) = (Some(ErasureState::Received), Some(ErasureState::Rejected));
    let told = [
        ("new", received),
        ("comment", received),
        ("reject", rejected),
    ];
    assert_eq!(seen, told);
    assert_eq!(
        registry.erasure_events(before, None, 2).unwrap(),
        events[..2]
    );
}

/// What is paused is taken by no server, and its messages wait.
fn paused(registry: &Registry, ids: [i64; 2]) {
    let marked = |id, paused| registry.pause_webhook(id, paused).unwrap();
    assert_eq!([true, true], ids.map(|id| marked(id, true)));
    assert!(!marked(ids[1] + 1, true));
    assert!(registry.webhooks().unwrap()[0].paused.is_some());
    assert_eq!(registry.take_webhook("w").unwrap(), None);
    assert_eq!(registry.due_delivery(ids[0]).unwrap(), None);
    let waiting = listed(registry, None, None, 2);
    assert_eq!(waiting.len(), 2, "no more than were asked for");
    assert_eq!(waiting[0].state, ErasureState::Rejected, "the newest first");
    let due = MessageFate::Waiting { due: 0 };
    assert_eq!((&waiting[0].fate, waiting[0].attempts), (&due, 0));
    // Of one webhook, page by page.
    let own = listed(registry, Some(ids[0]), None, 10);
    assert_eq!(own.len(), 2);
    assert!(own.iter().all(|message| message.webhook == ids[0]));
    let first = listed(registry, Some(ids[0]), None, 1);
    let rest = listed(registry, Some(ids[0]), Some(first[0].operation), 1);
    assert_eq!([first, rest].concat(), own);
    assert_eq!(
        listed(registry, Some(ids[0]), Some(own[1].operation), 10),
        []
    );
    assert_eq!(listed(registry, Some(ids[1]), None, 10).len(), 1);
    assert_eq!(listed(registry, Some(ids[1] + 1), None, 10), []);
    assert_eq!([true, true], ids.map(|id| marked(id, false)));
    assert_eq!(registry.webhooks().unwrap()[0].paused, None);
}

fn listed(
    registry: &Registry,
    webhook: Option<i64>,
    before: Option<OperationId>,
    limit: u32,
) -> Vec<WebhookMessage> {
    let page = MessagePage {
        webhook,
        before,
        limit,
    };
    registry.webhook_messages(&page).unwrap()
}

fn tried_again(registry: &Registry, id: i64, last: OperationId) {
    let second = registry.due_delivery(id).unwrap().unwrap();
    assert_eq!((second.operation, second.attempt), (last, 0));
    assert_eq!(
        second.hash,
        registry.operations().unwrap().pop().unwrap().hash
    );
    let said = "answered 500".to_owned();
    let (due, later) = (now() + 60_000, said.clone());
    let again = DeliveryEnd::Again { due, said: later };
    assert!(registry.end_delivery(&second, "w", &again).unwrap());
    assert_eq!(registry.due_delivery(id).unwrap(), None);
    registry.release_webhook(id, "w").unwrap();
    assert_eq!(registry.take_webhook("w").unwrap(), None, "nothing is due");
    let catalog = registry.catalog();
    let found = registry.wait(catalog.take_webhook("w", due, due + 1000));
    assert_eq!(found.unwrap().unwrap().id, id);
    let second = registry
        .wait(catalog.due_delivery(id, due))
        .unwrap()
        .unwrap();
    assert_eq!(second.attempt, 1);
    let given_up = DeliveryEnd::GivenUp { said };
    assert!(registry.end_delivery(&second, "w", &given_up).unwrap());
    let tally = registry.webhooks().unwrap().remove(0).tally;
    assert_eq!((tally.waiting, tally.delivered, tally.given_up), (0, 1, 1));
    assert_eq!(tally.said, "answered 500");
    assert!(tally.last.is_some());
    let own = listed(registry, Some(id), None, 10);
    let ends: Vec<_> = own.iter().map(|own| (own.attempts, &own.fate)).collect();
    assert!(
        matches!(
            ends[..],
            [(2, MessageFate::GivenUp { said, .. }), (1, MessageFate::Arrived { .. })]
                if said == "answered 500"
        ),
        "{ends:?}"
    );
}

/// What waits is cancelled with its job, in one transaction; where nothing waits, nothing is.
pub(super) fn cancelled(registry: &Registry) {
    let since = now();
    let request = file(registry).id;
    let plan = super::erasures::plan(registry);
    step(registry, request, plan);
    step(registry, request, ErasureStep::Approve { four_eyes: false });
    let idle = registry.step_erasure(request, ErasureStep::cancel(None), None);
    assert!(
        matches!(
            &idle,
            Err(RegistryError::Refused {
                reason: ErasureRefusal::Idle,
                ..
            })
        ),
        "{idle:?}"
    );
    let job = Job {
        id: 0,
        erasure: request,
        kind: JobKind::Run,
        actor: "ann".into(),
        state: JobState::Waiting,
        filed: now(),
        ended: None,
        said: String::new(),
    };
    let number = registry.file_job(&job).unwrap().unwrap();
    let job_now = || {
        let jobs = registry.recent_jobs(since).unwrap();
        jobs.into_iter().find(|job| job.id == number).unwrap()
    };
    assert_eq!(job_now().state, JobState::Waiting);
    let why = Some("too early".to_owned());
    let withdrawn = step(registry, request, ErasureStep::cancel(why));
    assert_eq!(withdrawn.state, ErasureState::Approved, "nothing had begun");
    let ended = job_now();
    assert_eq!(ended.state, JobState::Cancelled);
    assert!(ended.said.ends_with(": too early"), "{}", ended.said);
    assert!(ended.ended.is_some());

    // A run that goes on, without a job: somebody began it on the command line.
    step(registry, request, ErasureStep::Run { taken_over: false });
    let cancelled = step(registry, request, ErasureStep::cancel(None));
    assert_eq!(cancelled.state, ErasureState::Cancelled);
    assert!(cancelled.reason.unwrap().starts_with("cancelled by"));
    step(registry, request, ErasureStep::Run { taken_over: false });
    let history = registry.erasure_history(request).unwrap();
    let record = history[history.len() - 2].detail().unwrap();
    assert_eq!(record["run"], true);
    let health = registry.check(false, None, &mut |_, _| {}).unwrap();
    assert_eq!(health.damages, [], "the log says the same");
}
