//! The state machine, against whatever order of steps.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::digest::Digest;
use crate::erasures::asked::Asked;
use crate::erasures::concern::Concern;
use crate::erasures::refusal::ErasureRefusal;
use crate::erasures::request::{ErasureRequest, Stamp};
use crate::erasures::state::{ErasureState, StepKind};
use crate::erasures::step::{ErasurePlan, ErasureStep, ErasureVerdict, Filing};
use crate::ids::{ErasureId, OperationId};
use crate::log::loss::LossBound;
use crate::log::method_name::MethodName;

fn stamp(by: &str, operation: i64) -> Stamp {
    Stamp {
        by: by.into(),
        time: operation.unsigned_abs(),
        operation: OperationId::new(operation),
    }
}

fn filing() -> Filing {
    Filing {
        asked: Asked::Classes(["cat".to_owned()].into()),
        from: Vec::new(),
        requester: Some("subject-7".into()),
        basis: None,
        received: 10,
        deadline: 1000,
    }
}

fn request() -> ErasureRequest {
    ErasureRequest::new(ErasureId::new(1), &filing(), stamp("ann", 1)).unwrap()
}

fn digest() -> Digest {
    Digest::from_content(b"an object")
}

/// A step of a kind that is legal wherever its kind is, if the request has been run.
fn step(kind: StepKind, deadline: u64) -> Option<ErasureStep> {
    let verdict = |passed| ErasureVerdict {
        passed,
        verdicts: Some(digest()),
        judged: 3,
        recognised: usize::from(!passed),
        judgement: Some("outputs".into()),
        required: None,
        not_judged: None,
    };
    let reason = "for a reason".to_owned();
    Some(match kind {
        StepKind::New => ErasureStep::New(filing()),
        StepKind::Comment => ErasureStep::Comment { text: reason },
        StepKind::Plan => ErasureStep::Plan(ErasurePlan {
            scope: digest(),
            initial: 1,
            inherited: 2,
            retired: 0,
            method: MethodName::default(),
            loss_bound: LossBound::new(0.01),
        }),
        StepKind::Approve => ErasureStep::Approve { four_eyes: true },
        StepKind::Reject => ErasureStep::Reject { reason },
        StepKind::Extend => ErasureStep::Extend { deadline, reason },
        StepKind::Run => ErasureStep::Run { taken_over: false },
        StepKind::Fail => ErasureStep::Fail { reason },
        StepKind::Verify => ErasureStep::Verify(verdict(true)),
        StepKind::Miss => ErasureStep::Verify(verdict(false)),
        StepKind::Certify => ErasureStep::Certify {
            certificate: digest(),
            key: "0011".into(),
            public_key: None,
        },
        StepKind::Purge => ErasureStep::Purge,
        StepKind::Close => ErasureStep::Close,
        StepKind::Cancel | StepKind::Withdraw => ErasureStep::Cancel {
            run: kind == StepKind::Cancel,
            job: Some(1),
            reason: Some(reason),
        },
        StepKind::Unlearn | StepKind::Undo => return None,
    })
}

/// Takes a step of a kind, as well-behaved front ends do.
fn take(
    request: &mut ErasureRequest,
    kind: StepKind,
    operation: i64,
) -> Result<(), ErasureRefusal> {
    let own = step(kind, request.deadline + 1);
    let concern = match (kind, &own) {
        (StepKind::Unlearn, _) => Concern::Unlearned {
            started: request
                .run
                .as_ref()
                .map(|run| run.operation)
                .unwrap_or_default(),
        },
        (StepKind::Undo, _) => {
            Concern::Undone(request.published.last().copied().unwrap_or_default())
        }
        (_, Some(step)) => Concern::Step(step),
        (_, None) => unreachable!("every other kind is a step of its own"),
    };
    request.apply(concern, stamp("bob", operation))
}

#[test]
fn a_request_goes_its_way() {
    let mut request = request();
    let way = [
        (StepKind::Plan, ErasureState::Planned),
        (StepKind::Approve, ErasureState::Approved),
        (StepKind::Run, ErasureState::Running),
        (StepKind::Unlearn, ErasureState::Running),
        (StepKind::Verify, ErasureState::Verified),
        (StepKind::Certify, ErasureState::Certified),
        (StepKind::Purge, ErasureState::Purged),
        (StepKind::Close, ErasureState::Closed),
    ];
    for (number, (kind, state)) in way.into_iter().enumerate() {
        take(&mut request, kind, number as i64 + 2).unwrap();
        assert_eq!(request.state, state);
    }
    assert_eq!(request.published, [OperationId::new(5)]);
    assert_eq!(request.approved.unwrap().by, "bob");
    assert_eq!(request.certificate, Some(digest()));
    assert_eq!(request.last.operation, OperationId::new(9));
}

#[test]
fn what_was_published_is_verified_and_not_run_again() {
    let mut request = request();
    for (number, kind) in [StepKind::Plan, StepKind::Approve, StepKind::Run]
        .into_iter()
        .enumerate()
    {
        take(&mut request, kind, number as i64 + 2).unwrap();
    }
    let refused = take(&mut request, StepKind::Verify, 5).unwrap_err();
    assert_eq!(refused, ErasureRefusal::NotRun);
    // A run that was taken over publishes nothing.
    take(&mut request, StepKind::Run, 5).unwrap();
    let late = Concern::Unlearned {
        started: OperationId::new(4),
    };
    let refused = request.apply(late, stamp("bob", 6)).unwrap_err();
    assert_eq!(refused, ErasureRefusal::TakenOver);
    take(&mut request, StepKind::Unlearn, 6).unwrap();
    let operation = OperationId::new(6);
    for kind in [StepKind::Run, StepKind::Unlearn] {
        let refused = take(&mut request, kind, 7).unwrap_err();
        assert_eq!(refused, ErasureRefusal::Published { operation });
    }
    take(&mut request, StepKind::Miss, 7).unwrap();
    assert_eq!(request.state, ErasureState::Failed);
    let reason = request.reason.clone().unwrap();
    assert_eq!(reason, "1 of 3 models still recognise the forget data");
    // It may be run once more, and what both runs replaced is on record.
    take(&mut request, StepKind::Run, 8).unwrap();
    take(&mut request, StepKind::Unlearn, 9).unwrap();
    assert_eq!(request.published, [operation, OperationId::new(9)]);
    take(&mut request, StepKind::Undo, 10).unwrap();
    assert_eq!(request.published, [operation]);
    assert_eq!(request.reason.as_deref(), Some("operation 9 was undone"));
}

#[test]
fn a_run_that_is_cancelled_publishes_nothing_and_can_be_run_again() {
    let mut request = request();
    for (number, kind) in [StepKind::Plan, StepKind::Approve].into_iter().enumerate() {
        take(&mut request, kind, number as i64 + 2).unwrap();
    }
    // A job that waited leaves the request as it was.
    take(&mut request, StepKind::Withdraw, 4).unwrap();
    assert_eq!(request.state, ErasureState::Approved);
    take(&mut request, StepKind::Run, 5).unwrap();
    assert!(request.is_being_run());
    take(&mut request, StepKind::Cancel, 6).unwrap();
    assert_eq!(request.state, ErasureState::Cancelled);
    let reason = request.reason.as_deref();
    assert_eq!(reason, Some("cancelled by bob: for a reason"));
    let late = take(&mut request, StepKind::Unlearn, 7).unwrap_err();
    assert!(matches!(late, ErasureRefusal::State { .. }), "{late}");
    take(&mut request, StepKind::Run, 7).unwrap();
    assert_eq!(
        (request.state, &request.reason),
        (ErasureState::Running, &None)
    );
    take(&mut request, StepKind::Unlearn, 8).unwrap();
    // What is published is not cancelled.
    let published = take(&mut request, StepKind::Cancel, 9).unwrap_err();
    let operation = OperationId::new(8);
    assert_eq!(published, ErasureRefusal::Published { operation });
}

#[test]
fn four_eyes_are_two_people() {
    let mut request = request();
    take(&mut request, StepKind::Plan, 2).unwrap();
    let approve = |four_eyes| ErasureStep::Approve { four_eyes };
    let refused = request.apply(Concern::Step(&approve(true)), stamp("ann", 3));
    let filed_by = "ann".to_owned();
    assert_eq!(refused, Err(ErasureRefusal::FourEyes { filed_by }));
    assert_eq!(request.state, ErasureState::Planned);
    request
        .apply(Concern::Step(&approve(false)), stamp("ann", 3))
        .unwrap();
}

#[test]
fn texts_and_deadlines_are_looked_at() {
    for text in ["", "  ", "\u{1b}[2J", "a\u{0}b", &"x".repeat(4001)] {
        let step = ErasureStep::Comment { text: text.into() };
        let refused = request().apply(Concern::Step(&step), stamp("bob", 2));
        assert!(
            matches!(refused, Err(ErasureRefusal::Text { .. })),
            "{text:?}"
        );
    }
    let early = ErasureStep::Extend {
        deadline: 1000,
        reason: "complex".into(),
    };
    let refused = request().apply(Concern::Step(&early), stamp("bob", 2));
    assert_eq!(refused, Err(ErasureRefusal::Deadline));
    let late = Filing {
        deadline: 10,
        ..filing()
    };
    let refused = ErasureRequest::new(ErasureId::new(1), &late, stamp("ann", 1));
    assert_eq!(refused, Err(ErasureRefusal::Deadline));
    let text = "it is received; it must be planned";
    let state = ErasureState::Received;
    let refused = ErasureRefusal::State {
        state,
        step: StepKind::Approve,
    };
    assert_eq!(refused.to_string(), text);
}

#[test]
fn every_state_is_read_as_it_is_written() {
    for state in ErasureState::ALL {
        assert_eq!(state.name().parse(), Ok(state));
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(text, format!("\"{state}\""));
    }
    assert!(
        "done"
            .parse::<ErasureState>()
            .unwrap_err()
            .contains("received, planned")
    );
}

/// The arrows of `docs/requests.md`, written out: what the table of the code is compared with.
fn arrows() -> BTreeSet<(ErasureState, ErasureState)> {
    use ErasureState::{
        Approved, Cancelled, Certified, Closed, Failed, Planned, Purged, Received, Rejected,
        Running, Verified,
    };
    let forwards = [
        Received, Planned, Approved, Running, Verified, Certified, Purged, Closed,
    ];
    let mut arrows: BTreeSet<_> = forwards.windows(2).map(|pair| (pair[0], pair[1])).collect();
    arrows.extend([
        // Planned anew.
        (Planned, Planned),
        (Approved, Planned),
        (Failed, Planned),
        // Turned down.
        (Received, Rejected),
        (Planned, Rejected),
        (Approved, Rejected),
        (Failed, Rejected),
        // Failed, and gone on.
        (Running, Failed),
        (Verified, Failed),
        (Certified, Failed),
        (Failed, Running),
        (Failed, Verified),
        // Cancelled, and gone on.
        (Running, Cancelled),
        (Cancelled, Planned),
        (Cancelled, Rejected),
        (Cancelled, Running),
        (Cancelled, Verified),
        // What an earlier run published is judged once more, or undone.
        (Cancelled, Failed),
    ]);
    arrows
}

proptest! {
    /// Whatever steps are tried in whatever order: a state is left by its arrows only, a refused step
    /// changes nothing, and what a request is can be told from the steps that were taken.
    #[test]
    fn only_legal_transitions(kinds in prop::collection::vec(0..StepKind::ALL.len(), 0..60)) {
        let arrows = arrows();
        let mut live = request();
        let mut again = request();
        let mut reached_end = false;
        for (number, index) in kinds.into_iter().enumerate() {
            let (kind, operation) = (StepKind::ALL[index], number as i64 + 2);
            let before = live.clone();
            match take(&mut live, kind, operation) {
                Ok(()) => {
                    let arrow = (before.state, live.state);
                    prop_assert!(arrow.0 == arrow.1 || arrows.contains(&arrow), "{arrow:?} by {kind:?}");
                    prop_assert!(kind.legal_from().contains(&before.state));
                    prop_assert!(!reached_end || kind == StepKind::Comment);
                    take(&mut again, kind, operation).unwrap();
                    prop_assert_eq!(live.last.operation, OperationId::new(operation));
                }
                Err(_) => prop_assert_eq!(&live, &before),
            }
            reached_end |= matches!(live.state, ErasureState::Closed | ErasureState::Rejected);
            // Nothing is certified that was not verified, or verified that was not published.
            let published = !live.published.is_empty();
            match live.state {
                ErasureState::Verified => prop_assert!(published && live.verdict.is_some()),
                ErasureState::Certified | ErasureState::Purged | ErasureState::Closed => {
                    prop_assert!(published && live.certificate.is_some());
                }
                ErasureState::Running => {
                    prop_assert!(live.approved.is_some() && live.plan.is_some());
                }
                ErasureState::Rejected | ErasureState::Failed | ErasureState::Cancelled => {
                    prop_assert!(live.reason.is_some());
                }
                _ => {}
            }
        }
        prop_assert_eq!(&live, &again);
        let text = serde_json::to_string(&live).unwrap();
        let read: ErasureRequest = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(read, live);
    }

    /// A text that is kept is shown on a terminal as it is.
    #[test]
    fn no_control_characters_are_kept(text in any::<String>()) {
        let step = ErasureStep::Comment { text: text.clone() };
        if request().apply(Concern::Step(&step), stamp("bob", 2)).is_ok() {
            prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
        }
    }
}
