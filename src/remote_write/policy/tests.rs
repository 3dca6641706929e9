use super::*;
use crate::remote_write::Refusal;

const NOW: Moment = Moment::from_millis(10_000_000);

fn moments() -> Moments {
    Moments {
        now: NOW,
        others_succeeded: None,
        fraction: 0.5,
    }
}

fn response(status: u16, body: &str) -> Answer<'_> {
    written(status, body, None)
}

fn written(status: u16, body: &str, written: Option<u64>) -> Answer<'_> {
    Answer::Response {
        status,
        retry_after: None,
        written,
        body,
    }
}

/// A request of 100 samples.
fn request(choice: ProtocolChoice) -> RequestState {
    RequestState::new(choice, choice.first(), 100, false, false)
}

const fn halve(reason: SampleReason) -> Action {
    Action::Halve(Refusal::Bad(reason))
}

const fn counted(reason: SampleReason, samples: u64) -> Action {
    Action::Count { reason, samples }
}

const fn again(seconds: u64, attempt: u32, is_throttled: bool) -> Action {
    Action::Retry(Retry {
        after: Duration::from_secs(seconds),
        attempt,
        is_throttled,
    })
}

const fn held(hold: Hold) -> Action {
    Action::Hold {
        hold,
        after: Duration::from_secs(60),
    }
}

#[test]
fn each_answer_has_an_action() {
    use ProtocolChoice::{Auto, V1, V2};
    let order = SampleReason::Time(TimeReason::OutOfOrder);
    let time = |reason| SampleReason::Time(reason);
    let bad = SampleReason::Rejected;
    for (choice, answer, expected) in [
        // Done.
        (V1, response(200, ""), Action::Done),
        (V1, response(204, ""), Action::Done),
        (V2, written(204, "", Some(100)), Action::Done),
        (Auto, written(204, "", Some(0)), Action::Done),
        // Dropped by an HA tracker.
        (V1, response(202, ""), counted(SampleReason::NotStored, 100)),
        (
            V2,
            written(202, "", Some(100)),
            counted(SampleReason::NotStored, 100),
        ),
        (
            Auto,
            response(202, ""),
            counted(SampleReason::NotStored, 100),
        ),
        // Time, in 1.0.
        (V1, response(400, "out of order sample"), halve(order)),
        (V1, response(409, "out of order sample"), halve(order)),
        (
            V1,
            response(422, "duplicate sample"),
            halve(time(TimeReason::Duplicate)),
        ),
        (
            V1,
            response(400, "too old sample"),
            halve(time(TimeReason::TooOld)),
        ),
        (
            V1,
            response(400, "out of bounds"),
            halve(time(TimeReason::OutOfBounds)),
        ),
        (
            V1,
            response(500, "too old sample"),
            halve(time(TimeReason::TooOld)),
        ),
        (
            V1,
            response(500, "label set is not unique"),
            halve(time(TimeReason::Duplicate)),
        ),
        // Time, in 2.0: what was written is not counted.
        (
            V2,
            written(400, "out of order", Some(99)),
            counted(order, 1),
        ),
        (V2, response(400, "out of order"), counted(order, 100)),
        (
            V2,
            written(400, "out of order", Some(500)),
            counted(order, 100),
        ),
        (
            V2,
            written(400, "out of order", Some(100)),
            counted(order, 100),
        ),
        (
            Auto,
            written(409, "too old", Some(0)),
            counted(time(TimeReason::TooOld), 100),
        ),
        // Anything else about samples.
        (V1, response(400, "invalid label"), halve(bad)),
        (V1, response(409, "conflict"), halve(bad)),
        (V1, response(422, ""), halve(bad)),
        (
            V2,
            written(400, "invalid label", Some(90)),
            counted(bad, 10),
        ),
        (
            Auto,
            written(422, "invalid label", Some(90)),
            counted(bad, 10),
        ),
        (
            V2,
            written(400, "invalid label", Some(100)),
            counted(bad, 100),
        ),
        // The size.
        (V1, response(413, ""), Action::Halve(Refusal::TooLarge)),
        (V2, response(413, ""), Action::Halve(Refusal::TooLarge)),
        // The version of the protocol.
        (Auto, response(415, ""), Action::FallBack),
        (
            Auto,
            response(400, "unsupported media type"),
            Action::FallBack,
        ),
        (Auto, response(204, ""), Action::FallBack),
        (V2, response(415, ""), held(Hold::Protocol)),
        (
            V2,
            response(400, "unsupported media type"),
            held(Hold::Protocol),
        ),
        (V2, response(204, ""), held(Hold::Protocol)),
        (V1, response(415, ""), held(Hold::Protocol)),
        // Later.
        (V1, response(429, ""), again(1, 1, true)),
        (V2, response(429, ""), again(1, 1, true)),
        (V1, response(529, ""), again(1, 1, true)),
        (V1, response(500, ""), again(1, 1, false)),
        (V1, response(502, ""), again(1, 1, false)),
        (V2, response(503, ""), again(1, 1, false)),
        (V1, response(504, ""), again(1, 1, false)),
        (V1, Answer::Unreachable, again(1, 1, false)),
        (V1, Answer::Ambiguous, again(1, 1, false)),
        // A person must act.
        (V1, response(401, ""), held(Hold::Unauthorized)),
        (V1, response(403, ""), held(Hold::Forbidden)),
        (V1, response(404, ""), held(Hold::NoReceiver)),
        (V1, response(405, ""), held(Hold::NoReceiver)),
        (V1, response(501, ""), held(Hold::NoReceiver)),
        (V1, response(302, ""), held(Hold::Redirect)),
        (V2, response(307, ""), held(Hold::Redirect)),
        (Auto, response(404, ""), held(Hold::NoReceiver)),
    ] {
        let mut state = request(choice);
        let action = state.decide(&answer, &TimeStreak::default(), &moments());
        assert_eq!(action, expected, "{choice:?} {answer:?}");
    }
}

#[test]
fn after_a_fall_back_the_same_samples_are_sent_as_1_0() {
    let mut state = request(ProtocolChoice::Auto);
    let streak = TimeStreak::default();
    assert_eq!(state.protocol(), Protocol::V2);
    state.decide(&response(204, ""), &streak, &moments());
    assert_eq!(state.protocol(), Protocol::V1);
    assert_eq!(state.attempt(), 0);
    let action = state.decide(&response(204, ""), &streak, &moments());
    assert_eq!(action, Action::Done);
    // The success was not one of the receiver.
    for answer in [response(415, ""), response(400, "unsupported content type")] {
        state.fall_back();
        let action = state.decide(&answer, &streak, &moments());
        assert_eq!(action, held(Hold::NoVersion));
        assert_eq!(state.protocol(), Protocol::V2);
    }
    // Another request of the process fell back.
    for (choice, expected) in [
        (ProtocolChoice::Auto, Protocol::V1),
        (ProtocolChoice::V2, Protocol::V2),
    ] {
        let mut other = request(choice);
        other.fall_back();
        assert_eq!(other.protocol(), expected);
    }
}

#[test]
fn waits_grow_and_retry_after_counts() {
    let mut state = request(ProtocolChoice::V1);
    let streak = TimeStreak::default();
    let moments = Moments {
        fraction: 0.999_999,
        ..moments()
    };
    for attempt in 1..=9 {
        let action = state.decide(&response(503, ""), &streak, &moments);
        let Action::Retry(retry) = action else {
            panic!("{action:?}");
        };
        assert_eq!(retry.attempt, attempt);
        let longest = Duration::from_secs(1 << (attempt - 1)).min(Duration::from_secs(60));
        assert!(retry.after <= longest && retry.after.as_secs_f64() > longest.as_secs_f64() * 0.99);
    }
    for (after, expected) in [(0, 1), (7, 7), (600, 600), (1_000_000, 600)] {
        let answer = Answer::Response {
            status: 429,
            retry_after: Some(Duration::from_secs(after)),
            written: None,
            body: "",
        };
        let attempt = state.attempt() + 1;
        let action = state.decide(&answer, &streak, &moments);
        assert_eq!(action, again(expected, attempt, true), "{after}");
    }
}

#[test]
fn refusals_of_time_may_mean_that_samples_are_stored() {
    let order = SampleReason::Time(TimeReason::OutOfOrder);
    let stored = SampleReason::AlreadyStored;
    let bad = SampleReason::Rejected;
    // Pair, sent by an earlier process, the first answer, the reason of a refusal of time after it, and of another refusal.
    for (is_pair, may_be_repeated, first, expected) in [
        (false, false, None, order),
        (true, false, None, stored),
        (false, true, None, stored),
        (false, false, Some(Answer::Ambiguous), stored),
        (false, false, Some(response(502, "")), stored),
        (false, false, Some(response(504, "")), stored),
        (false, false, Some(response(408, "")), stored),
        (false, false, Some(Answer::Unreachable), order),
        (false, false, Some(response(429, "")), order),
        (false, false, Some(response(503, "")), order),
        (false, false, Some(response(401, "")), order),
    ] {
        for protocol in [ProtocolChoice::V1, ProtocolChoice::V2] {
            let streak = TimeStreak::default();
            let mut state =
                RequestState::new(protocol, protocol.first(), 100, is_pair, may_be_repeated);
            if let Some(first) = &first {
                state.decide(first, &streak, &moments());
            }
            let action = |reason| match protocol {
                ProtocolChoice::V1 => halve(reason),
                _ => counted(reason, 100),
            };
            let shown = format!("{protocol:?} {is_pair} {may_be_repeated} {first:?}");
            // Parts of the request are as ambiguous.
            let mut part = state.part(100);
            for state in [&mut state, &mut part] {
                let found = state.decide(&response(400, "out of order"), &streak, &moments());
                assert_eq!(found, action(expected), "{shown}");
                let found = state.decide(&response(400, "bad label"), &streak, &moments());
                assert_eq!(found, action(bad), "{shown}");
            }
        }
    }
}

#[test]
fn a_single_sample_is_decided() {
    let streak = TimeStreak::default();
    let mut state = request(ProtocolChoice::V1).part(1);
    let action = state.decide(&response(413, ""), &streak, &moments());
    assert_eq!(action, held(Hold::TooLarge));
    // The search learns that it is bad.
    let action = state.decide(&response(400, "bad label"), &streak, &moments());
    assert_eq!(action, halve(SampleReason::Rejected));
}

#[test]
fn three_refusals_in_a_row_for_one_reason_of_time_end_the_halving() {
    let order = "out of order";
    let old = "too old";
    // Status and body of each answer, and whether requests are halved after them.
    for (answers, is_halving) in [
        (&[][..], true),
        (&[(400, order), (400, order)], true),
        (&[(400, order), (400, order), (400, order)], false),
        (&[(400, order), (409, order), (422, order)], false),
        (&[(400, order), (400, old), (400, order)], true),
        (&[(400, order), (204, ""), (400, order), (400, order)], true),
        (
            &[(400, order), (400, "bad"), (400, order), (400, order)],
            true,
        ),
        (
            &[(400, order), (503, ""), (400, order), (400, order)],
            false,
        ),
        (
            &[(400, order), (401, ""), (400, order), (400, order)],
            false,
        ),
        (
            &[(400, order), (400, order), (400, order), (204, "")],
            false,
        ),
    ] {
        let mut streak = TimeStreak::default();
        for (status, body) in answers {
            let class = classify(&response(*status, body), Protocol::V1);
            streak.record(&class, NOW);
        }
        assert_eq!(streak.is_halving(NOW), is_halving, "{answers:?}");
        assert!(streak.is_halving(NOW.after(NO_HALVING)));
        let mut state = request(ProtocolChoice::V1);
        let reason = SampleReason::Time(TimeReason::OutOfOrder);
        let expected = match is_halving {
            true => halve(reason),
            false => counted(reason, 100),
        };
        let action = state.decide(&response(400, order), &streak, &moments());
        assert_eq!(action, expected, "{answers:?}");
        // Other refusals are halved in any case.
        let action = state.decide(&response(400, "bad"), &streak, &moments());
        assert_eq!(action, halve(SampleReason::Rejected));
    }
}

#[test]
fn a_request_that_alone_fails_for_an_hour_is_halved() {
    let streak = TimeStreak::default();
    let at = |minutes: u64| NOW.after(Duration::from_secs(minutes * 60));
    let failed = response(500, "panic");
    // The minutes of the answers, which one of them is not a failure, whether others succeeded at the end, and whether it is halved.
    for (minutes, other, is_fine, is_halved) in [
        (&[0, 59][..], None, true, false),
        (&[0, 60], None, true, true),
        (&[0, 60], None, false, false),
        (&[0, 30, 90], Some(30), true, false),
        (&[0, 30, 40, 99], Some(30), true, false),
        (&[0, 30, 40, 100], Some(30), true, true),
    ] {
        let mut state = request(ProtocolChoice::V1);
        let mut last = Action::Done;
        for minute in minutes {
            let moments = Moments {
                now: at(*minute),
                others_succeeded: is_fine.then(|| at(*minute)),
                fraction: 0.0,
            };
            let answer = match other == Some(*minute) {
                true => Answer::Unreachable,
                false => failed,
            };
            last = state.decide(&answer, &streak, &moments);
        }
        let expected = halve(SampleReason::Rejected);
        assert_eq!(last == expected, is_halved, "{minutes:?}: {last:?}");
        if !is_halved {
            continue;
        }
        // A part is judged at once, unless nothing else succeeds either.
        let end = at(*minutes.last().unwrap());
        let mut part = state.part(1);
        for (others_succeeded, expected) in [
            (Some(end), halve(SampleReason::Rejected)),
            (None, again(1, 1, false)),
        ] {
            let moments = Moments {
                now: end,
                others_succeeded,
                fraction: 0.0,
            };
            assert_eq!(part.decide(&failed, &streak, &moments), expected);
        }
    }
}
