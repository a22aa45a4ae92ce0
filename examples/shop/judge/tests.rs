mod crashes;
mod reads;

use buttress::circuit_breaker::{State, TripReason};
use clap::ValueEnum;

use super::*;
use crate::figures::due;
use crate::record::{Again, Call, Cause, Decision, Ending, Played, Read, Shown, Switch};
use crate::script::{READS, Script};

const MS: Duration = Duration::from_millis(1);

fn nothing() -> Run {
    let open_for = Script::Fast.open_for();
    Run {
        played: vec![],
        orders: vec![],
        book: vec![],
        charged: vec![],
        decisions: vec![],
        calls: vec![],
        switches: vec![],
        reads: vec![],
        reads_overslept: vec![],
        crashes: None,
        taken_over: vec![],
        open_for,
        latest_wake: Duration::ZERO,
    }
}

/// Whatever is said, all who are told the same are told it in the same words.
fn answer(said: Said, after: Duration) -> Answer {
    let digest = match said {
        Said::Paid => 201,
        Said::PayLater => 202,
        Said::Limited { .. } => 429,
        Said::Running => 409,
        Said::Unavailable => 503,
        Said::Unheard => 0,
        Said::Failed => 500,
    };
    Answer { said, after, is_replay: false, digest }
}

const LIMITED: Said = Said::Limited { told_when: true };

/// The fast script, in full and on time, with everything as it should be.
fn good_run() -> Run {
    let mut run = nothing();
    run.latest_wake = 5 * MS;
    let mut from = 7 * MS;
    for (number, &act) in Script::Fast.acts().iter().enumerate() {
        let until = from + act.lasts;
        run.played.push(Played { act, from, until, missed: 0, overslept: vec![] });
        for order in 0..due(act.rate, act.lasts) {
            let order = u32::try_from(order).expect("a short script");
            let sent = from + Duration::from_secs(1) * order / act.rate;
            let (said, after, ending) = match act.phase {
                Phase::Calm | Phase::Shaky | Phase::Recovery => (Said::Paid, 6 * MS, Some(Ending::Answered)),
                Phase::Slow => (Said::PayLater, 250 * MS, Some(Ending::GivenUp)),
                // A probe in half a second, and two of the four are judged.
                Phase::Outage => (Said::PayLater, MS, (order % 300 == 50).then_some(Ending::Refused)),
                Phase::Burst if order % 3 == 0 => (Said::Paid, 6 * MS, Some(Ending::Answered)),
                Phase::Burst => (LIMITED, MS, None),
            };
            run.orders.push(Order { act: number, sent, answer: Some(answer(said, after)), again: vec![] });
            run.decisions.push(Decision { began: sent, ended: sent, admitted: said != LIMITED });
            run.calls.extend(ending.map(|ending| Call { began: sent, ending }));
        }
        run.reads.extend(
            (0..).map(|read| from + Duration::from_secs(1) * read / READS).take_while(|sent| *sent < until).map(
                |sent| match act.phase {
                    Phase::Outage => told_from_memory(sent),
                    Phase::Calm | Phase::Shaky | Phase::Slow | Phase::Recovery | Phase::Burst => {
                        told_by_the_catalogue(sent)
                    }
                },
            ),
        );
        from = until;
    }
    run.book = (0..run.orders.len()).map(|number| number.to_string()).collect();
    run.charged = run.book.clone();
    clicked_again(&mut run).into_iter().enumerate().for_each(|(number, order)| send_again(order, number));
    run
}

fn told_by_the_catalogue(sent: Duration) -> Read {
    Read { sent, shown: Some(Shown { as_of: sent + 5 * MS, at: sent + 6 * MS, is_marked: false }) }
}

fn told_from_memory(sent: Duration) -> Read {
    Read { sent, shown: Some(Shown { as_of: sent - 900 * MS, at: sent + MS, is_marked: true }) }
}

/// Orders that get in in the burst, where nobody counts how many fare how.
fn clicked_again(run: &mut Run) -> Vec<&mut Order> {
    let act = run.act(Phase::Burst).expect("it is in the script");
    let admitted = |order: &&mut Order| order.act == act && order.answer.is_some_and(|answer| answer.said != LIMITED);
    run.orders.iter_mut().filter(admitted).step_by(10).collect()
}

/// In turns: a second click while the first is running, a later one, and a client that hangs up.
fn send_again(order: &mut Order, number: usize) {
    let Some(Answer { said, after, .. }) = order.answer else { return };
    let ended = order.sent + after;
    let mut again = |cause, sent, answer| order.again.push(Again { cause, sent, answer: Some(answer) });
    let replay = Answer { is_replay: true, ..answer(said, MS) };
    match number % 3 {
        0 => {
            again(Cause::Click, ended - MS, answer(Said::Running, MS));
            again(Cause::Told, ended + 1000 * MS, replay);
        }
        1 => again(Cause::Click, ended + MS, replay),
        _ => {
            again(Cause::HungUp, ended - MS, answer(Said::Running, MS));
            again(Cause::Told, ended + 1000 * MS, replay);
            order.answer = Some(answer(Said::Unheard, after - MS));
        }
    }
}

/// The orders of a phase by which shares are judged.
fn judged_orders(run: &mut Run, phase: Phase) -> Vec<&mut Order> {
    let act = run.act(phase).expect("it is in the script");
    let played = &run.played[act];
    let judged = played.from + phase.settling()..played.until - phase.run_out();
    run.orders.iter_mut().filter(|order| order.act == act && judged.contains(&order.sent)).collect()
}

/// The limit's decisions in the burst, in their order.
fn decisions(run: &mut Run) -> Vec<&mut Decision> {
    let act = run.act(Phase::Burst).expect("it is in the script");
    let during = run.during(act);
    run.decisions.iter_mut().filter(|decision| during.contains(&decision.began)).collect()
}

/// The calls of the part of the outage that is judged, instead of what there was.
fn call_in_the_outage(run: &mut Run, endings: impl IntoIterator<Item = Ending>) {
    let sent: Vec<_> = judged_orders(run, Phase::Outage).iter().map(|order| order.sent).collect();
    run.calls.retain(|call| !sent.contains(&call.began));
    run.calls.extend(sent.into_iter().cycle().zip(endings).map(|(began, ending)| Call { began, ending }));
}

fn say(order: &mut Order, said: Said) {
    order.answer = Some(answer(said, MS));
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
const SHAKY: &str = "paid while the provider is shaky";
const OUTAGE: &str = "pay later in the outage";
const ALONE: &str = "provider left alone in the outage";
const STORM: &str = "no storm of retries in the outage";
const AGAIN: &str = "paid again after recovery";
const LIMIT: &str = "held to the limit in the burst";
const WHEN: &str = "refused with when to come back";
const SHOWN: &str = "products shown in the outage";
const MARKED: &str = "marked stale in the outage";
const FRESH: &str = "products fresh after recovery";
const ORDERS: &str = "one order for each number";
const CHARGES: &str = "one charge for each number";
const SAME: &str = "the first answer to each click";
const LEFT: &str = "taken over where a crash left it";
const SOLD: &str = "orders sold after each crash";
const SERVED: &str = "served in the end";

#[test]
fn a_good_run_keeps_every_promise() {
    let verdict = judge(&good_run());
    assert!(verdict.all_held() && verdict.void.is_none());
    assert_eq!(verdict.promises.len(), 15);
}

#[test]
fn a_run_of_nothing_keeps_none() {
    assert_eq!(
        broken(&nothing()),
        [IN_TIME, CALM, SHAKY, OUTAGE, ALONE, STORM, AGAIN, LIMIT, WHEN, SHOWN, MARKED, FRESH, ORDERS, CHARGES, SAME]
    );
}

#[test]
fn a_storm_that_sent_nothing_keeps_none() {
    let run = Run { orders: vec![], decisions: vec![], reads: vec![], ..good_run() };
    assert_eq!(broken(&run), broken(&nothing()));
}

#[test]
fn the_slowest_order_of_all_is_within_timeout_and_slack() {
    let mut run = good_run();
    let answer = |after| Some(answer(Said::Paid, after));
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
    assert_eq!(figure(&run, IN_TIME), format!("1 of {} never", run.orders.iter().flat_map(Order::answers).count()));
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
fn ninety_seven_in_a_hundred_are_paid_while_the_provider_is_shaky() {
    for other in [Said::PayLater, Said::Failed] {
        for (others, held) in [(17, true), (18, false)] {
            let mut run = good_run();
            let orders = judged_orders(&mut run, Phase::Shaky);
            assert_eq!(orders.len(), 570);
            orders.into_iter().take(others).for_each(|order| say(order, other));
            assert_eq!(broken(&run), if held { vec![] } else { vec![SHAKY] }, "{others} of 570 {other:?}");
            assert_eq!(figure(&run, SHAKY), format!("{} of 570", 570 - others));
        }
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
    for phase in [Phase::Calm, Phase::Shaky, Phase::Outage] {
        let act = run.act(phase).expect("it is in the script");
        let played = run.played[act].clone();
        let settling = |order: &&mut Order| order.act == act && order.sent < played.from + phase.settling();
        run.orders.iter_mut().filter(settling).for_each(|order| say(order, Said::Failed));
        let run_out = |order: &&mut Order| order.act == act && order.sent >= played.until - phase.run_out();
        run.orders.iter_mut().filter(run_out).for_each(|order| say(order, Said::Failed));
        let around = [played.from + phase.settling() - MS, played.until - phase.run_out()];
        run.calls.extend(around.into_iter().cycle().take(50).map(|began| Call { began, ending: Ending::Answered }));
    }
    assert!(broken(&run).is_empty());
}

#[test]
fn an_outage_that_calls_do_not_meet_is_none() {
    use Ending::{Answered, Broken, GivenUp, Refused, Unavailable};

    for probes in [[Unavailable, Unavailable], [Refused, Unavailable], [Refused, Broken]] {
        let mut run = good_run();
        call_in_the_outage(&mut run, probes);
        assert!(broken(&run).is_empty(), "{probes:?}");
    }
    for probes in [[Refused, Answered], [Refused, GivenUp], [Broken, Broken]] {
        let mut run = good_run();
        call_in_the_outage(&mut run, probes);
        assert_eq!(broken(&run), [OUTAGE], "{probes:?}");
    }
    let mut run = good_run();
    call_in_the_outage(&mut run, []);
    assert_eq!(broken(&run), [OUTAGE]);
    assert_eq!(figure(&run, OUTAGE), "no such outage: of 0 calls 0 got a 503 and 0 were refused");
}

#[test]
fn one_in_ten_calls_may_be_given_up_in_an_outage_and_none_answered() {
    for (ending, others, breaks) in [
        (Ending::GivenUp, 54, vec![ALONE]),
        (Ending::GivenUp, 55, vec![OUTAGE, ALONE]),
        (Ending::Answered, 1, vec![OUTAGE, ALONE]),
    ] {
        let mut run = good_run();
        let out = [Ending::Unavailable, Ending::Refused].into_iter().cycle();
        call_in_the_outage(&mut run, std::iter::repeat_n(ending, others).chain(out).take(540));
        assert_eq!(broken(&run), breaks, "{others} of 540 {ending:?}");
    }
}

#[test]
fn many_calls_meet_both_ways_of_an_outage() {
    for (most, rare) in [(Ending::Unavailable, Ending::Refused), (Ending::Refused, Ending::Unavailable)] {
        for (rarely, calls, breaks) in [
            (0, 99, vec![ALONE]),
            (0, 100, vec![OUTAGE, ALONE]),
            (9, 100, vec![OUTAGE, ALONE]),
            (10, 100, vec![ALONE]),
            (53, 540, vec![OUTAGE, ALONE]),
            (54, 540, vec![ALONE]),
        ] {
            let mut run = good_run();
            let mostly = std::iter::repeat_n(most, calls - rarely);
            call_in_the_outage(&mut run, mostly.chain(std::iter::repeat_n(rare, rarely)));
            assert_eq!(broken(&run), breaks, "{rarely} of {calls} {rare:?}");
        }
    }
}

#[test]
fn one_order_in_a_hundred_may_touch_the_provider_in_the_outage() {
    for (calls, held) in [(5, true), (6, false)] {
        let mut run = good_run();
        call_in_the_outage(&mut run, std::iter::repeat_n(Ending::Refused, calls));
        assert_eq!(broken(&run).is_empty(), held, "{calls} for 540");
        assert_eq!(figure(&run, ALONE), format!("{calls} calls for 540 orders"));
    }
}

#[test]
fn in_the_outage_there_is_a_call_for_each_order_and_what_the_budget_pays_for() {
    let both_ways = [Ending::Unavailable, Ending::Refused].into_iter().cycle();
    for (calls, breaks) in [(649, vec![ALONE]), (650, vec![ALONE, STORM])] {
        let mut run = good_run();
        call_in_the_outage(&mut run, both_ways.clone().take(calls));
        assert_eq!(broken(&run), breaks, "a hundred that it held, and nine for nine tenths of a second");
        assert_eq!(figure(&run, STORM), format!("{calls} calls for 540 orders, allowed 649"));
    }
}

#[test]
fn what_only_the_budget_bears_shows_without_the_breaker() {
    for layer in Layer::value_variants() {
        assert!(!layer.hidden_by().contains(layer));
        assert!(layer.hidden_by().iter().all(|hiding| hiding.hidden_by().is_empty()), "all of them are listed");
        assert!(
            judge(&good_run()).promises.iter().any(|promise| promise.layer == *layer),
            "{layer} promises something"
        );
    }
    assert_eq!(Layer::Budget.hidden_by(), [Layer::Breaker]);
}

#[test]
fn four_orders_in_five_must_have_been_sent() {
    for (phase, due, promise) in [
        (Phase::Calm, 240, CALM),
        (Phase::Shaky, 570, SHAKY),
        (Phase::Outage, 540, OUTAGE),
        (Phase::Outage, 540, ALONE),
        (Phase::Outage, 540, STORM),
    ] {
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
    let burst = run.act(Phase::Burst).expect("it is in the script");
    let steady = run.orders.iter().filter(|order| order.act != burst).count();
    run.orders.drain(..steady - (steady * 4 / 5 - 1));
    assert!(broken(&run).contains(&IN_TIME), "however many the burst has");
    assert_eq!(figure(&run, IN_TIME), format!("too few orders: {} of {steady}", steady * 4 / 5 - 1));
}

fn recovery_of(answers: impl IntoIterator<Item = (u32, Option<Said>)>) -> Vec<Order> {
    let order = |(sent, said): (u32, Option<Said>)| Order {
        act: 3,
        sent: 1000 * MS + sent * MS,
        answer: said.map(|said| answer(said, 5 * MS)),
        again: vec![],
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
    let hung_up = recovery_of((0..=100).map(|order| (order, if order == 50 { Some(Said::Unheard) } else { paid })));
    assert_eq!(again(&hung_up), Some(5 * MS), "nobody knows");
    let limited = |at| recovery_of((0..=at).map(|order| (order, if order == 50 { Some(LIMITED) } else { paid })));
    assert_eq!(again(&limited(100)), Some(5 * MS), "it was not admitted, and breaks no row");
    assert_eq!(again(&limited(99)), None, "nor does it count in one");
}

#[test]
fn orders_are_paid_again_within_two_seconds_and_the_open_time() {
    for (after, held) in [(5, true), (6, false)] {
        let mut run = good_run();
        let act = run.act(Phase::Recovery).expect("it is in the script");
        let first_paid = run.played[act].from + run.open_for + 1995 * MS;
        for order in run.orders.iter_mut().filter(|order| order.act == act) {
            let said = if order.sent < first_paid { Said::PayLater } else { Said::Paid };
            order.answer = Some(answer(said, after * MS));
        }
        assert_eq!(broken(&run).is_empty(), held, "after {after} ms more");
        assert_eq!(figure(&run, AGAIN), format!("after {} ms, allowed 2500", 2495 + after));
    }
    let mut run = good_run();
    let act = run.act(Phase::Recovery).expect("it is in the script");
    run.orders.iter_mut().filter(|order| order.act == act).for_each(|order| say(order, Said::PayLater));
    assert_eq!(broken(&run), [AGAIN]);
    assert_eq!(figure(&run, AGAIN), "never 100 in a row");
}

#[test]
fn a_recovery_lasts_until_its_promise_is_decided() {
    for script in [Script::Full, Script::Fast] {
        let recovery = script.acts().iter().find(|act| act.phase == Phase::Recovery).expect("it is in the script");
        let row = Duration::from_secs(1) * u32::try_from(IN_A_ROW).expect("a short row") / recovery.rate;
        assert!(recovery.lasts >= script.open_for() + PAID_AGAIN_WITHIN + row, "{}", script.name());
    }
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
    let due: Vec<_> = judged_orders(&mut run, Phase::Shaky).iter().take(115).map(|order| order.sent).collect();
    run.orders.retain(|order| !due.contains(&order.sent));
    run.played[1].overslept = due;
    assert_eq!(broken(&run), [SHAKY]);
    assert_eq!(judge(&run).void.as_deref(), Some("the storm overslept 115 of 570 orders"));

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

#[test]
fn the_breaker_switches_in_the_act_that_is_on() {
    let mut run = good_run();
    let outage = run.act(Phase::Outage).expect("it is in the script");
    let (from, until) = (run.played[outage].from, run.played[outage].until);
    let reason = Some(TripReason::ConsecutiveFailures);
    for at in [from, until - MS, until] {
        run.switches.push(Switch { at, from: State::Closed, to: State::Open, reason });
    }
    let switches: Vec<_> = judge(&run).phases.iter().map(|phase| phase.switches.len()).collect();
    assert_eq!(switches, [0, 0, 0, 2, 1, 0]);
}

#[test]
fn in_the_burst_no_more_get_in_than_rate_and_bucket_allow_and_not_much_less_than_the_rate() {
    for (admitted, held) in [(1163, false), (1164, true), (1299, true), (1300, false)] {
        let mut run = good_run();
        let all = decisions(&mut run);
        assert_eq!((all.len(), all[3599].ended - all[0].began), (3600, Duration::from_nanos(1_199_666_666)));
        for (number, decision) in all.into_iter().enumerate() {
            decision.admitted = number < admitted;
        }
        assert_eq!(broken(&run), if held { vec![] } else { vec![LIMIT] }, "{admitted}");
        assert_eq!(figure(&run, LIMIT), format!("{admitted} of 3600 let in, allowed 1164 to 1299"));
        assert_eq!(judge(&run).void, None);
    }
}

#[test]
fn the_time_of_the_burst_runs_to_the_end_of_the_latest_decision() {
    let mut run = good_run();
    decisions(&mut run)[3000].ended += 1000 * MS;
    assert_eq!(figure(&run, LIMIT), "1200 of 3600 let in, allowed 1940 to 2100");
    assert_eq!(broken(&run), [LIMIT], "in which more were to be let in");
}

#[test]
fn while_nobody_comes_the_bucket_fills_and_then_there_is_no_overload() {
    let mut run = good_run();
    let times: Vec<_> = decisions(&mut run).iter().map(|decision| decision.began).collect();
    run.decisions.retain(|decision| !times[1500..2400].contains(&decision.began));
    assert_eq!(figure(&run, LIMIT), "900 of 2700 let in, allowed 969 to 1299", "the bucket bridges 100 ms of 300");
    assert_eq!(broken(&run), [LIMIT]);
    decisions(&mut run).into_iter().filter(|decision| !decision.admitted).take(100).for_each(|it| it.admitted = true);
    assert!(broken(&run).is_empty());
}

#[test]
fn a_burst_that_refuses_nobody_shows_no_limit() {
    let mut run = good_run();
    decisions(&mut run).into_iter().for_each(|decision| decision.admitted = true);
    run.orders.iter_mut().filter(|order| order.answer.is_some_and(|answer| answer.said == LIMITED)).for_each(|order| {
        say(order, Said::Paid);
    });
    assert_eq!(broken(&run), [LIMIT, WHEN]);
    assert_eq!(figure(&run, LIMIT), "nobody of 3600 was refused, allowed 1164 to 1299");
    assert_eq!(figure(&run, WHEN), "nobody was refused");
    assert_eq!(judge(&run).void, None);
}

#[test]
fn everybody_who_is_refused_is_told_when_to_come_back() {
    let mut run = good_run();
    say(run.orders.last_mut().expect("an order"), Said::Limited { told_when: false });
    assert_eq!(broken(&run), [WHEN]);
    assert_eq!(figure(&run, WHEN), "2399 of 2400");
}

#[test]
fn a_burst_of_less_than_twice_the_limit_is_void() {
    // Every third is gone, which leaves 2400 in a time in which the limit lets 1199.7 in.
    let mut run = good_run();
    let times: Vec<_> = decisions(&mut run).iter().skip(1).step_by(3).map(|decision| decision.began).collect();
    run.decisions.retain(|decision| !times.contains(&decision.began));
    assert!(judge(&run).void.is_none() && broken(&run).is_empty());

    let gone = decisions(&mut run)[1].began;
    run.decisions.retain(|decision| decision.began != gone);
    let void = judge(&run).void;
    assert_eq!(void.as_deref(), Some("2399 requests in 1199 ms are less than twice the limit of 1000/s"));

    run.decisions.clear();
    assert!(judge(&run).void.is_some());
}

/// What the customers heard when they sent their orders once more.
fn heard_again(run: &mut Run) -> impl Iterator<Item = &mut Answer> {
    run.orders.iter_mut().flat_map(|order| &mut order.again).filter_map(|again| again.answer.as_mut())
}

#[test]
fn one_order_that_is_entered_twice_is_one_too_many() {
    let mut run = good_run();
    run.book.push("4000".into());
    assert_eq!(broken(&run), [ORDERS]);
    assert_eq!(figure(&run, ORDERS), format!("1 of {} more than once", run.orders.len()));
}

#[test]
fn one_order_that_is_charged_twice_is_one_too_many() {
    let mut run = good_run();
    run.charged.insert(0, "4000".into());
    assert_eq!(broken(&run), [CHARGES]);
    assert_eq!(figure(&run, CHARGES), format!("1 of {} more than once", run.orders.len()));
}

#[test]
fn what_a_customer_was_told_is_in_the_book_and_what_is_paid_in_the_ledger() {
    for (said, breaks) in [(Said::Paid, vec![ORDERS, CHARGES]), (Said::PayLater, vec![ORDERS]), (LIMITED, vec![])] {
        let mut run = good_run();
        let number = run.orders.len() - 2;
        say(&mut run.orders[number], said);
        run.book.retain(|entry| *entry != number.to_string());
        run.charged.retain(|entry| *entry != number.to_string());
        assert_eq!(broken(&run), breaks, "{said:?}");
        if !breaks.is_empty() {
            assert_eq!(figure(&run, ORDERS), format!("0 of {} more than once, 1 missing", run.orders.len() - 1));
        }
    }
}

#[test]
fn a_run_in_which_few_send_their_orders_again_shows_nothing() {
    for (way, most) in [(0, 40), (1, 40), (2, 40)] {
        for (left, held) in [(once::ENOUGH, true), (once::ENOUGH - 1, false)] {
            let mut run = good_run();
            let sent_again = clicked_again(&mut run).into_iter().skip(way).step_by(3);
            assert_eq!(sent_again.size_hint().0, most);
            sent_again_no_more(sent_again.skip(left));
            let breaks = if held { vec![] } else { vec![ORDERS, CHARGES] };
            assert_eq!(broken(&run), breaks, "{left} of way {way}");
        }
    }
    let mut run = good_run();
    sent_again_no_more(&mut run.orders);
    assert_eq!(broken(&run), [ORDERS, CHARGES, SAME]);
    assert_eq!(figure(&run, ORDERS), "too few sent again: 0 in flight, 0 later, 0 after hanging up");
    assert_eq!(figure(&run, SAME), "too few: 0 told that it runs, 0 replayed");
}

fn sent_again_no_more<'a>(orders: impl IntoIterator<Item = &'a mut Order>) {
    orders.into_iter().for_each(|order| order.again.clear());
}

#[test]
fn a_second_click_is_in_flight_while_the_first_has_no_answer() {
    let mut run = good_run();
    for order in clicked_again(&mut run).into_iter().step_by(3) {
        order.again[0].sent += MS;
    }
    assert_eq!(broken(&run), [ORDERS, CHARGES], "the first was answered in that moment");
    assert_eq!(figure(&run, ORDERS), "too few sent again: 0 in flight, 80 later, 40 after hanging up");
}

#[test]
fn every_replay_is_the_first_answer() {
    let mut run = good_run();
    heard_again(&mut run).find(|answer| answer.is_replay).expect("a replay").digest += 1;
    assert_eq!(broken(&run), [SAME]);
    assert_eq!(figure(&run, SAME), "120 replayed, 1 of them another; 0 left without");
}

#[test]
fn where_nobody_heard_the_first_answer_all_replays_are_the_same() {
    for (digest, breaks) in [(201, vec![]), (202, vec![SAME])] {
        let mut run = good_run();
        let mut orders = clicked_again(&mut run);
        let of_one_that_hung_up = &mut orders[2].again;
        let told = of_one_that_hung_up[1];
        let answer = told.answer.map(|answer| Answer { digest, ..answer });
        of_one_that_hung_up.push(Again { answer, ..told });
        assert_eq!(broken(&run), breaks, "{digest}");
    }
}

#[test]
fn that_nobody_can_tell_now_is_no_answer() {
    for (said, breaks) in [(Said::Unavailable, vec![]), (Said::Failed, vec![SAME])] {
        let mut run = good_run();
        let order = clicked_again(&mut run).swap_remove(2);
        order.answer = Some(answer(said, MS));
        assert_eq!(broken(&run), breaks, "{said:?}, and then another answer");
    }
}

#[test]
fn few_who_hear_that_it_runs_or_what_came_of_it_show_nothing() {
    for said in [Said::Running, Said::Paid] {
        for (left, held) in [(once::ENOUGH, true), (once::ENOUGH - 1, false)] {
            let mut run = good_run();
            heard_again(&mut run)
                .filter(|answer| answer.said == said)
                .skip(left)
                .for_each(|heard| *heard = answer(Said::Paid, MS));
            assert_eq!(broken(&run), if held { vec![] } else { vec![SAME] }, "{left} {said:?}");
        }
    }
}

#[test]
fn who_asks_again_gets_an_answer_in_the_end() {
    for last in [Some(answer(Said::Running, MS)), None] {
        let mut run = good_run();
        clicked_again(&mut run)[0].again[1].answer = last;
        assert_eq!(broken(&run), if last.is_none() { vec![IN_TIME, SAME] } else { vec![SAME] }, "{last:?}");
        assert!(figure(&run, SAME).ends_with("1 left without"));
    }
    let mut run = good_run();
    clicked_again(&mut run)[0].again[1].answer = Some(answer(LIMITED, MS));
    assert!(broken(&run).is_empty(), "the limit has turned them away, and they leave it at that");
}

#[test]
fn what_is_sent_again_is_to_be_answered_in_time_as_well() {
    let mut run = good_run();
    heard_again(&mut run).next().expect("an answer").after = 1501 * MS;
    assert_eq!(broken(&run), [IN_TIME]);
}

#[test]
fn an_order_that_its_client_did_not_wait_for_is_run_and_in_no_share() {
    let mut run = good_run();
    for phase in [Phase::Calm, Phase::Shaky, Phase::Outage] {
        judged_orders(&mut run, phase).into_iter().take(40).for_each(|order| say(order, Said::Unheard));
    }
    // They are sent again.
    let hung_up = run.orders.iter_mut().filter(|order| order.again.is_empty());
    for order in hung_up.filter(|order| order.answer.is_some_and(|answer| answer.said == Said::Unheard)) {
        let replay = Answer { is_replay: true, ..answer(Said::Paid, MS) };
        order.again.push(Again { cause: Cause::HungUp, sent: order.sent + MS, answer: Some(replay) });
    }
    assert!(broken(&run).is_empty());
    assert_eq!(figure(&run, CALM), "200 of 200");
    assert_eq!(figure(&run, OUTAGE), "500 of 500, errors: 0");
    assert_eq!(figure(&run, ALONE), "2 calls for 540 orders");
}

#[test]
fn who_comes_back_after_the_burst_is_no_part_of_it() {
    let mut run = good_run();
    let until = run.played.last().expect("an act").until;
    run.decisions.extend([until - MS, until].map(|at| Decision { began: at, ended: at, admitted: false }));
    assert!(figure(&run, LIMIT).starts_with("1200 of 3601 let in"));
}

#[test]
fn who_is_refused_by_the_limit_has_an_answer_and_is_in_no_share() {
    let mut run = good_run();
    for phase in [Phase::Calm, Phase::Shaky, Phase::Outage] {
        judged_orders(&mut run, phase).into_iter().take(40).for_each(|order| say(order, LIMITED));
    }
    assert!(broken(&run).is_empty());
    assert_eq!(figure(&run, CALM), "200 of 200");
    assert_eq!(figure(&run, SHAKY), "530 of 530");
    assert_eq!(figure(&run, OUTAGE), "500 of 500, errors: 0");

    judged_orders(&mut run, Phase::Calm).into_iter().for_each(|order| say(order, LIMITED));
    assert_eq!(broken(&run), [CALM], "a share of nothing");
    assert_eq!(figure(&run, CALM), "too few orders: 0 of 240");

    let mut run = good_run();
    let limited = run.orders.last_mut().expect("an order");
    limited.answer = Some(answer(LIMITED, 1501 * MS));
    assert_eq!(broken(&run), [IN_TIME], "a refusal is to come in time as well");
}
