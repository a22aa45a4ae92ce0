use super::*;
use crate::judge::crashes::{ENOUGH_LEFT, ENOUGH_SOLD};
use crate::orders::TakenOver;
use crate::record::Crash;

/// A good run, but the order service was killed in the middle of each phase that has a time for it.
fn good_run_with_crashes() -> Run {
    let mut run = Run { decisions: vec![], calls: vec![], ..good_run() };
    let crash = |played: &Played| {
        let (phase, at) = (played.act.phase, played.from + played.act.phase.crash_after()?);
        Some(Crash { phase, at, open_again: at + 10 * MS })
    };
    run.crashes = Some(run.played.iter().filter_map(crash).collect());
    let taken_over = |no: usize| TakenOver { order_no: no.to_string(), fence: 2, was_entered: false, was_late: false };
    run.taken_over = (0..ENOUGH_LEFT).map(taken_over).collect();
    run
}

#[test]
fn a_crash_comes_while_its_phase_is_on_and_leaves_time_to_take_over() {
    for script in [Script::Full, Script::Fast] {
        let acts = || script.acts().iter().filter_map(|act| act.phase.crash_after().map(|after| (act, after)));
        assert!(acts().count() >= 3);
        assert!(acts().all(|(act, after)| after < act.lasts && !act.until_decided), "{}", script.name());
    }
}

#[test]
fn of_a_service_that_crashes_it_is_not_promised_how_soon_it_answers_how_many_are_paid_and_what_is_shown() {
    let mut run = good_run_with_crashes();
    run.reads.clear();
    run.orders.iter_mut().filter(|order| order.again.is_empty()).for_each(|order| {
        order.answer = Some(answer(Said::PayLater, 5000 * MS));
    });
    let verdict = judge(&run);
    let names: Vec<_> = verdict.promises.iter().map(|promise| promise.name).collect();
    assert_eq!(names, [ORDERS, CHARGES, SAME, LEFT, SOLD, SERVED]);
    assert!(verdict.all_held() && verdict.void.is_none());
}

#[test]
fn a_service_that_was_to_crash_and_did_not_is_judged_as_one_that_crashes() {
    let run = Run { crashes: Some(vec![]), ..good_run_with_crashes() };
    assert_eq!(broken(&run), [SOLD]);
    assert_eq!(figure(&run, SOLD), "[] orders after 4 crashes, at least 50 each");
    assert_eq!(broken(&Run { crashes: Some(vec![]), ..nothing() }), [ORDERS, CHARGES, SAME, LEFT, SOLD, SERVED]);
}

/// Of the crashes, counted from none.
fn crash(run: &Run, number: usize) -> Crash {
    run.crashes.as_ref().expect("it was to crash")[number]
}

#[test]
fn a_service_that_only_fails_after_a_crash_keeps_neither_of_two_promises() {
    let mut run = good_run_with_crashes();
    let back = crash(&run, 1).open_again;
    let after = |order: &Order| order.sent >= back;
    let gone: Vec<_> =
        run.orders.iter().enumerate().filter(|(_, order)| after(order)).map(|it| it.0.to_string()).collect();
    run.book.retain(|number| !gone.contains(number));
    run.charged.retain(|number| !gone.contains(number));
    // Those who send their orders again are told so again, and then the other promises hold.
    for order in run.orders.iter_mut().filter(|order| after(order)) {
        let heard_again = order.again.iter_mut().filter_map(|again| again.answer.as_mut());
        let heard = order.answer.iter_mut().chain(heard_again);
        heard.filter(|answer| !matches!(answer.said, Said::Running | Said::Unheard)).for_each(|heard| {
            *heard = Answer { is_replay: heard.is_replay, ..answer(Said::Failed, heard.after) };
        });
    }
    assert_eq!(broken(&run), [SOLD, SERVED]);
}

#[test]
fn after_each_crash_at_least_some_orders_are_sold_before_the_next() {
    for crashed in 0..4 {
        for (sold, breaks) in [(ENOUGH_SOLD, vec![]), (ENOUGH_SOLD - 1, vec![SOLD])] {
            let mut run = good_run_with_crashes();
            let from = crash(&run, crashed).open_again;
            let until = run.crashes.iter().flatten().nth(crashed + 1).map_or(Duration::MAX, |next| next.at);
            let between = |order: &Order| order.again.is_empty() && (from..until).contains(&order.sent);
            for order in run.orders.iter_mut().filter(|order| !order.again.is_empty()) {
                let earlier = order.sent - MS;
                order.sent -= earlier;
                order.again.iter_mut().for_each(|again| again.sent -= earlier);
            }
            let unsold: Vec<_> =
                (0..run.orders.len()).filter(|order| between(&run.orders[*order])).skip(sold).collect();
            unsold.iter().for_each(|order| say(&mut run.orders[*order], LIMITED));
            run.book.retain(|number| !unsold.contains(&number.parse().expect("a number")));
            assert_eq!(broken(&run), breaks, "{sold} after crash {crashed}");
        }
    }
}

#[test]
fn all_but_one_in_a_hundred_are_served_in_the_end() {
    for last in [None, Some(Said::Failed), Some(Said::Unavailable), Some(Said::Running), Some(Said::Unheard)] {
        for (more, breaks) in [(0, vec![]), (1, vec![SERVED])] {
            let mut run = good_run_with_crashes();
            let allowed = run.orders.len() / 100;
            let once = run.orders.iter_mut().filter(|order| order.again.is_empty());
            once.take(allowed + more).for_each(|order| order.answer = last.map(|said| answer(said, MS)));
            assert_eq!(broken(&run), breaks, "{last:?}");
            assert_eq!(judge(&run).void.is_some(), more > 0 && last == Some(Said::Unavailable), "{last:?}");
            let sent = run.orders.len();
            assert_eq!(figure(&run, SERVED), format!("{} of {sent}", sent - allowed - more));
        }
    }
}

#[test]
fn what_is_taken_over_is_in_the_book_in_the_end_and_nobody_else_was_to_enter_it() {
    let mut run = good_run_with_crashes();
    say(&mut run.orders[3], LIMITED);
    run.book.retain(|number| number != "3");
    assert_eq!(broken(&run), [LEFT], "whoever began it was told nothing of it");
    assert_eq!(figure(&run, LEFT), "10 orders, 0 of them entered already, 0 late, 1 lost");

    let mut run = good_run_with_crashes();
    run.taken_over[0].was_late = true;
    assert_eq!(broken(&run), [LEFT]);
    assert_eq!(figure(&run, LEFT), "10 orders, 0 of them entered already, 1 late, 0 lost");
}

#[test]
fn a_crash_that_comes_when_its_phase_is_over_makes_a_run_void() {
    for (late, is_void) in [(Duration::ZERO, true), (MS, false)] {
        let mut run = good_run_with_crashes();
        let over = run.played[0].until;
        let first = &mut run.crashes.as_mut().expect("it was to crash")[0];
        (first.at, first.open_again) = (over - late, over - late + 10 * MS);
        let void = judge(&run).void;
        assert_eq!(void.is_some(), is_void, "{void:?}");
        assert!(
            void.is_none_or(|why| why == "the crash of the calm phase came 807 ms into the run, when that was over")
        );
    }
}

#[test]
fn a_crash_excuses_neither_a_second_order_nor_a_second_charge_nor_another_answer_nor_none() {
    let mut run = good_run_with_crashes();
    run.book.push("4000".into());
    assert_eq!(broken(&run), [ORDERS]);

    let mut run = good_run_with_crashes();
    run.charged.push("4000".into());
    assert_eq!(broken(&run), [CHARGES]);

    let mut run = good_run_with_crashes();
    heard_again(&mut run).find(|answer| answer.is_replay).expect("a replay").digest += 1;
    assert_eq!(broken(&run), [SAME]);

    let mut run = good_run_with_crashes();
    run.orders[0].answer = None;
    run.orders[0].again.push(Again { cause: Cause::CutOff, sent: MS, answer: None });
    assert_eq!(broken(&run), [SAME], "who is cut off comes back, and is to be answered then");
}

#[test]
fn crashes_that_leave_few_orders_to_take_over_show_nothing() {
    for (left, breaks) in [(ENOUGH_LEFT, vec![]), (ENOUGH_LEFT - 1, vec![LEFT])] {
        let mut run = good_run_with_crashes();
        run.taken_over.truncate(left);
        run.taken_over[0].was_entered = true;
        assert_eq!(broken(&run), breaks);
        assert_eq!(figure(&run, LEFT), format!("{left} orders, 1 of them entered already, 0 late, 0 lost"));
    }
}

#[test]
fn a_run_with_crashes_on_a_busy_machine_is_void() {
    let run = Run { latest_wake: 151 * MS, ..good_run_with_crashes() };
    assert_eq!(judge(&run).void.as_deref(), Some("a ticker woke 151 ms late"));
}

#[test]
fn customers_who_are_left_waiting_for_a_store_that_has_no_time_make_a_run_with_crashes_void() {
    for (unavailable, waiting, is_void) in [(true, true, true), (true, false, false), (false, true, false)] {
        let mut run = good_run_with_crashes();
        if unavailable {
            say(&mut run.orders[0], Said::Unavailable);
        }
        if waiting {
            run.orders[1].again.push(Again { cause: Cause::CutOff, sent: MS, answer: None });
        }
        assert_eq!(broken(&run), if waiting { vec![SAME] } else { vec![] }, "void or not, it is not held");
        assert_eq!(judge(&run).void.is_some(), is_void);
    }
}

#[test]
fn who_is_not_served_by_a_store_that_has_no_time_makes_a_run_with_crashes_void_and_nobody_else_does() {
    for (failed_too_many, is_late, is_void) in [(0, false, true), (1, false, false), (0, true, false)] {
        let mut run = good_run_with_crashes();
        let (sent, failed) = (run.orders.len(), run.orders.len() / 100 + failed_too_many);
        let mut once = run.orders.iter_mut().filter(|order| order.again.is_empty());
        once.by_ref().take(failed).for_each(|order| say(order, Said::Failed));
        once.take(3).for_each(|order| say(order, Said::Unavailable));
        run.taken_over[0].was_late = is_late;
        assert_eq!(
            broken(&run),
            if is_late { vec![LEFT, SERVED] } else { vec![SERVED] },
            "void or not, it is not held"
        );
        let why = is_void.then(|| format!("3 of {sent} customers were told in the end that nobody can tell"));
        assert_eq!(judge(&run).void, why);
    }
}
