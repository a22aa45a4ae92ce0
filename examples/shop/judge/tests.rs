use super::*;
use crate::figures::due;
use crate::record::{Call, Ending, Played};
use crate::script::{RUN_OUT, Script};

const MS: Duration = Duration::from_millis(1);

/// The fast script, in full and on time, with everything as it should be.
fn good_run() -> Run {
    let mut run = Run { played: vec![], orders: vec![], calls: vec![], latest_wake: 5 * MS };
    let mut from = 7 * MS;
    for (number, &act) in Script::Fast.acts().iter().enumerate() {
        let until = from + act.lasts;
        run.played.push(Played { act, from, until, missed: 0, overslept: vec![] });
        for order in 0..due(act.rate, act.lasts) {
            let order = u32::try_from(order).expect("a short script");
            let sent = from + Duration::from_secs(1) * order / act.rate;
            let (said, after, ending) = match act.phase {
                Phase::Calm | Phase::Recovery => (Said::Paid, 6 * MS, Ending::Answered),
                Phase::Slow => (Said::PayLater, 250 * MS, Ending::GivenUp),
                Phase::Outage if order % 2 == 0 => (Said::PayLater, MS, Ending::Unavailable),
                Phase::Outage => (Said::PayLater, MS, Ending::Refused),
            };
            run.orders.push(Order { act: number, sent, answer: Some(Answer { said, after }) });
            run.calls.push(Call { began: sent, ending });
        }
        from = until;
    }
    run
}

/// The orders of a phase by which shares are judged.
fn judged_orders(run: &mut Run, phase: Phase) -> Vec<&mut Order> {
    let act = run.act(phase).expect("it is in the script");
    let played = &run.played[act];
    let judged = played.from + phase.settling()..played.until - RUN_OUT;
    run.orders.iter_mut().filter(|order| order.act == act && judged.contains(&order.sent)).collect()
}

fn say(order: &mut Order, said: Said) {
    order.answer = Some(Answer { said, after: MS });
}

fn broken(run: &Run) -> Vec<&'static str> {
    let promises = judge(run).promises;
    promises.iter().filter(|promise| !promise.held).map(|promise| promise.name).collect()
}

fn figure(run: &Run, name: &str) -> String {
    let promises = judge(run).promises;
    promises.into_iter().find(|promise| promise.name == name).expect("a promise of this name").figure
}

const IN_TIME: &str = "answered within the door timeout";
const CALM: &str = "paid while calm";
const OUTAGE: &str = "pay later in the outage";
const AGAIN: &str = "paid again after recovery";

#[test]
fn a_good_run_keeps_every_promise() {
    let verdict = judge(&good_run());
    assert!(verdict.all_held() && verdict.void.is_none());
    assert_eq!(verdict.promises.len(), 4);
}

#[test]
fn a_run_of_nothing_keeps_none() {
    let run = Run { played: vec![], orders: vec![], calls: vec![], latest_wake: Duration::ZERO };
    assert_eq!(broken(&run), [IN_TIME, CALM, OUTAGE, AGAIN]);
}

#[test]
fn a_storm_that_sent_nothing_keeps_none() {
    let run = Run { orders: vec![], ..good_run() };
    assert_eq!(broken(&run), [IN_TIME, CALM, OUTAGE, AGAIN]);
}

#[test]
fn the_slowest_order_of_all_is_within_timeout_and_slack() {
    let mut run = good_run();
    let answer = |after| Some(Answer { said: Said::Paid, after });
    run.orders[0].answer = answer(1500 * MS);
    assert!(broken(&run).is_empty(), "the bound itself is within, and it counts although it is not judged");
    run.orders[0].answer = answer(1501 * MS);
    assert_eq!(broken(&run), [IN_TIME]);
    assert_eq!(figure(&run, IN_TIME), "slowest 1501 ms, allowed 1500");
}

#[test]
fn an_order_without_an_answer_is_not_answered_in_time() {
    let mut run = good_run();
    run.orders[0].answer = None;
    assert_eq!(broken(&run), [IN_TIME]);
    assert_eq!(figure(&run, IN_TIME), format!("1 of {} never", run.orders.len()));
}

#[test]
fn ninety_nine_in_a_hundred_are_paid_while_calm() {
    for (others, held) in [(2, true), (3, false)] {
        let mut run = good_run();
        let orders = judged_orders(&mut run, Phase::Calm);
        assert_eq!(orders.len(), 240);
        orders.into_iter().take(others).for_each(|order| say(order, Said::PayLater));
        assert_eq!(broken(&run).is_empty(), held, "{others} of 240");
    }
}

#[test]
fn ninety_nine_in_a_hundred_pay_later_in_the_outage() {
    for (others, held) in [(5, true), (6, false)] {
        let mut run = good_run();
        let orders = judged_orders(&mut run, Phase::Outage);
        assert_eq!(orders.len(), 540);
        orders.into_iter().take(others).for_each(|order| say(order, Said::Paid));
        assert_eq!(broken(&run).is_empty(), held, "{others} of 540");
    }
}

#[test]
fn one_error_in_the_outage_is_one_too_many() {
    let mut run = good_run();
    say(judged_orders(&mut run, Phase::Outage)[0], Said::Failed);
    assert_eq!(broken(&run), [OUTAGE]);
    assert_eq!(figure(&run, OUTAGE), "539 of 540, errors: 1");

    let mut run = good_run();
    judged_orders(&mut run, Phase::Outage)[0].answer = None;
    assert_eq!(broken(&run), [IN_TIME, OUTAGE], "no answer is an error as well");
}

#[test]
fn what_happens_while_the_shop_finds_out_is_not_judged() {
    let mut run = good_run();
    for phase in [Phase::Calm, Phase::Outage] {
        let act = run.act(phase).expect("it is in the script");
        let played = run.played[act].clone();
        let settling = |order: &&mut Order| order.act == act && order.sent < played.from + phase.settling();
        run.orders.iter_mut().filter(settling).for_each(|order| say(order, Said::Failed));
        let run_out = |order: &&mut Order| order.act == act && order.sent >= played.until - RUN_OUT;
        run.orders.iter_mut().filter(run_out).for_each(|order| say(order, Said::Failed));
    }
    assert!(broken(&run).is_empty());
}

#[test]
fn an_outage_that_the_provider_did_not_have_both_ways_is_none() {
    for (other, missing) in [(Ending::Unavailable, Ending::Refused), (Ending::Refused, Ending::Unavailable)] {
        let mut run = good_run();
        for call in run.calls.iter_mut().filter(|call| call.ending == missing) {
            call.ending = other;
        }
        assert_eq!(broken(&run), [OUTAGE], "without {missing:?}");
    }
    let run = Run { calls: vec![], ..good_run() };
    assert_eq!(broken(&run), [OUTAGE], "nobody called");
    assert!(figure(&run, OUTAGE).starts_with("no such outage"));
}

#[test]
fn four_orders_in_five_must_have_been_sent() {
    for (phase, due, promise) in [(Phase::Calm, 240, CALM), (Phase::Outage, 540, OUTAGE)] {
        for (offered, held) in [(due * 4 / 5, true), (due * 4 / 5 - 1, false)] {
            let mut run = good_run();
            let gone: Vec<_> = judged_orders(&mut run, phase).iter().skip(offered).map(|order| order.sent).collect();
            run.orders.retain(|order| !gone.contains(&order.sent));
            assert_eq!(broken(&run).is_empty(), held, "{offered} of {due}");
            if !held {
                assert_eq!(figure(&run, promise), format!("too few orders: {offered} of {due}"));
            }
        }
    }
}

#[test]
fn a_run_short_of_orders_does_not_answer_in_time() {
    let mut run = good_run();
    let due = run.orders.len();
    run.orders.truncate(due * 4 / 5 - 1);
    assert!(broken(&run).contains(&IN_TIME));
    assert_eq!(figure(&run, IN_TIME), format!("too few orders: {} of {due}", due * 4 / 5 - 1));
}

fn recovery_of(answers: impl IntoIterator<Item = (u32, Option<Said>)>) -> Vec<Order> {
    let order = |(sent, said): (u32, Option<Said>)| Order {
        act: 3,
        sent: 1000 * MS + sent * MS,
        answer: said.map(|said| Answer { said, after: 5 * MS }),
    };
    answers.into_iter().map(order).collect()
}

#[test]
fn a_hundred_in_a_row_are_paid_again_and_the_first_of_them_counts() {
    let paid = Some(Said::Paid);
    let again = |orders: &[Order]| paid_again(orders, 3, 1000 * MS);

    let at_once = recovery_of((0..100).map(|at| (at, paid)));
    assert_eq!(again(&at_once), Some(5 * MS));
    assert_eq!(again(&at_once[1..]), None, "99 are no proof");
    assert_eq!(paid_again(&at_once, 2, 1000 * MS), None, "orders of another act do not count");

    for other in [Some(Said::PayLater), Some(Said::Failed), None] {
        let broken_off = recovery_of((0..300).map(|at| (at, if at == 99 { other } else { paid })));
        assert_eq!(again(&broken_off), Some(105 * MS), "{other:?} breaks the row");
    }
}

#[test]
fn orders_are_paid_again_within_two_seconds() {
    for (after, held) in [(5, true), (6, false)] {
        let mut run = good_run();
        let act = run.act(Phase::Recovery).expect("it is in the script");
        let first_paid = run.played[act].from + 1995 * MS;
        for order in run.orders.iter_mut().filter(|order| order.act == act) {
            let said = if order.sent < first_paid { Said::PayLater } else { Said::Paid };
            order.answer = Some(Answer { said, after: after * MS });
        }
        assert_eq!(broken(&run).is_empty(), held, "after {after} ms more");
    }
    let mut run = good_run();
    let act = run.act(Phase::Recovery).expect("it is in the script");
    run.orders.iter_mut().filter(|order| order.act == act).for_each(|order| say(order, Said::PayLater));
    assert_eq!(broken(&run), [AGAIN]);
    assert_eq!(figure(&run, AGAIN), "never 100 in a row");
}

#[test]
fn a_run_on_a_busy_machine_is_void() {
    let run = Run { latest_wake: 150 * MS, ..good_run() };
    assert_eq!(judge(&run).void, None);
    let run = Run { latest_wake: 151 * MS, ..good_run() };
    assert_eq!(judge(&run).void.as_deref(), Some("a ticker woke 151 ms late"));
}

#[test]
fn a_run_whose_storm_overslept_too_many_orders_is_void() {
    let mut run = good_run();
    let due: Vec<_> = judged_orders(&mut run, Phase::Calm).iter().take(49).map(|order| order.sent).collect();
    run.orders.retain(|order| !due.contains(&order.sent));
    assert_eq!(broken(&run), [CALM]);
    assert_eq!(judge(&run).void, None, "the shop kept all clients busy");
    run.played[0].overslept = due;
    assert_eq!(judge(&run).void.as_deref(), Some("the storm overslept 49 of 240 orders"));
    assert_eq!(broken(&run), [CALM], "void or not, it is not held");

    let mut run = good_run();
    run.played[0].overslept = vec![run.played[0].from + 200 * MS; 100];
    assert_eq!(judge(&run).void, None, "enough were sent");
}

#[test]
fn what_is_called_after_the_last_act_counts_in_it() {
    let mut run = good_run();
    let last = run.played.len() - 1;
    let before = judge(&run).phases[last].calls.made;
    run.calls.push(Call { began: run.played[last].until + MS, ending: Ending::Answered });
    assert_eq!(judge(&run).phases[last].calls.made, before + 1);
}
