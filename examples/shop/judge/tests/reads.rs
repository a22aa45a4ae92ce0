use super::*;
use crate::judge::reads::{FRESH_WITHIN, IN_A_ROW, fresh_again};
use crate::products::STALE;
use crate::record::Shown;
use crate::script::READS;

/// The reads of the outage by which it is judged what is shown.
fn reads_in_the_outage(run: &mut Run) -> Vec<&mut Read> {
    let played = outage(run);
    let judged = played.from + 500 * MS..played.until;
    run.reads.iter_mut().filter(|read| judged.contains(&read.sent)).collect()
}

fn outage(run: &Run) -> Played {
    run.played[run.act(Phase::Outage).expect("it is in the script")].clone()
}

fn recovered(run: &Run) -> Duration {
    run.played[run.act(Phase::Recovery).expect("it is in the script")].from
}

fn reads_since(run: &mut Run, from: Duration) -> impl Iterator<Item = &mut Read> {
    run.reads.iter_mut().filter(move |read| read.sent >= from)
}

#[test]
fn ninety_nine_in_a_hundred_products_are_shown_in_the_outage() {
    for (others, breaks) in [(1, vec![]), (2, vec![SHOWN])] {
        let mut run = good_run();
        reads_in_the_outage(&mut run).into_iter().take(others).for_each(|read| read.shown = None);
        assert_eq!(broken(&run), breaks, "{others} of 130");
        assert_eq!(figure(&run, SHOWN), format!("{} of 130", 130 - others));
    }
}

#[test]
fn where_nothing_is_shown_in_the_outage_nothing_is_marked() {
    let mut run = good_run();
    reads_in_the_outage(&mut run).into_iter().for_each(|read| read.shown = None);
    assert_eq!(broken(&run), [SHOWN, MARKED]);
    assert_eq!(figure(&run, MARKED), "none was shown");
}

#[test]
fn all_that_is_shown_in_the_outage_is_from_memory_and_marked_so() {
    for (is_from_memory, is_marked, breaks) in
        [(true, true, vec![]), (true, false, vec![MARKED]), (false, true, vec![MARKED]), (false, false, vec![MARKED])]
    {
        let mut run = good_run();
        let read = reads_in_the_outage(&mut run).swap_remove(0);
        *read = if is_from_memory { told_from_memory(read.sent) } else { told_by_the_catalogue(read.sent) };
        read.shown.as_mut().expect("it is shown").is_marked = is_marked;
        assert_eq!(broken(&run), breaks, "from memory: {is_from_memory}, marked: {is_marked}");
    }
}

#[test]
fn nothing_that_is_shown_in_the_outage_is_older_than_the_limit() {
    for (more, breaks) in [(Duration::ZERO, vec![]), (MS, vec![MARKED])] {
        let mut run = good_run();
        let shown = reads_in_the_outage(&mut run).swap_remove(7).shown.as_mut().expect("it is shown");
        shown.at = shown.as_of + STALE + more;
        assert_eq!(broken(&run), breaks, "{more:?} more");
        let oldest = 30_000 + more.as_millis();
        assert_eq!(figure(&run, MARKED), format!("130 of 130, oldest {oldest} ms, allowed 30000"));
    }
}

#[test]
fn what_is_shown_while_the_shop_finds_out_is_not_judged() {
    let mut run = good_run();
    let Played { from, .. } = outage(&run);
    let finding_out = reads_since(&mut run, from).filter(|read| read.sent < from + 500 * MS);
    finding_out.for_each(|read| read.shown = None);
    assert!(broken(&run).is_empty());
}

#[test]
fn what_the_catalogue_answers_when_it_is_back_says_nothing_of_the_outage() {
    for (early, breaks) in [(Duration::ZERO, vec![]), (Duration::from_nanos(1), vec![MARKED])] {
        let mut run = good_run();
        let Played { until, .. } = outage(&run);
        let last = reads_in_the_outage(&mut run).swap_remove(129);
        last.shown = Some(Shown { as_of: until - early, at: until + MS, is_marked: false });
        assert_eq!(broken(&run), breaks, "{early:?} before it was back");
        assert_eq!(figure(&run, SHOWN), if early.is_zero() { "129 of 129" } else { "130 of 130" });
    }
}

#[test]
fn four_reads_in_five_must_have_been_sent_in_the_outage() {
    for (sent, breaks) in [(104, vec![]), (103, vec![SHOWN, MARKED])] {
        let mut run = good_run();
        let gone: Vec<_> = reads_in_the_outage(&mut run).iter().skip(sent).map(|read| read.sent).collect();
        run.reads.retain(|read| !gone.contains(&read.sent));
        assert_eq!(broken(&run), breaks, "{sent} of 130");
        assert_eq!(judge(&run).void, None, "nobody knows why");
        if !breaks.is_empty() {
            assert_eq!(figure(&run, SHOWN), "too few reads: 103 of 130");
            assert_eq!(figure(&run, MARKED), "too few reads: 103 of 130");
            run.reads_overslept = gone;
            assert_eq!(judge(&run).void.as_deref(), Some("the storm overslept 27 of 130 reads"));
        }
    }
}

#[test]
fn products_are_fresh_within_two_seconds_of_the_recovery() {
    for (after, breaks) in [(10, vec![]), (11, vec![FRESH])] {
        let mut run = good_run();
        let recovered = recovered(&run);
        for read in reads_since(&mut run, recovered) {
            if read.sent < recovered + 1990 * MS {
                *read = told_from_memory(read.sent);
            } else {
                read.shown.as_mut().expect("it is shown").at = read.sent + after * MS;
            }
        }
        assert_eq!(broken(&run), breaks, "after {after} ms more");
        let after = 1990 + after;
        assert_eq!(figure(&run, FRESH), format!("after {after} ms, allowed 2000; since then 221 of 221"));
    }
}

#[test]
fn products_that_are_fresh_again_stay_so() {
    for (others, breaks) in [(4, vec![]), (5, vec![FRESH])] {
        let mut run = good_run();
        let row = Duration::from_secs(1) * u32::try_from(IN_A_ROW).expect("a short row") / READS;
        let later = recovered(&run) + row;
        reads_since(&mut run, later).take(others).for_each(|read| *read = told_from_memory(read.sent));
        assert_eq!(broken(&run), breaks, "{others} of 420");
    }
}

#[test]
fn products_that_are_never_fresh_again_are_not_fresh() {
    let mut run = good_run();
    let recovered = recovered(&run);
    reads_since(&mut run, recovered).step_by(IN_A_ROW).for_each(|read| read.shown = None);
    assert_eq!(broken(&run), [FRESH]);
    assert_eq!(figure(&run, FRESH), "never 25 in a row");
}

#[test]
fn twenty_five_in_a_row_are_fresh_again_and_the_first_of_them_counts() {
    let fresh: Vec<_> = (0..100).map(|number| told_by_the_catalogue(1000 * MS + number * MS)).collect();
    let again = |reads: &[Read], recovered| fresh_again(reads, recovered).map(|read| read.sent);
    assert_eq!(again(&fresh[..25], 1000 * MS), Some(1000 * MS));
    assert_eq!(again(&fresh[..24], 1000 * MS), None, "24 are no proof");
    assert_eq!(again(&fresh[..25], 1001 * MS), None, "the first was sent before");

    let sent = fresh[24].sent;
    let marked = fresh[24].shown.map(|shown| Shown { is_marked: true, ..shown });
    for other in [told_from_memory(sent), Read { sent, shown: marked }, Read { sent, shown: None }] {
        let mut reads = fresh.clone();
        reads[24] = other;
        assert_eq!(again(&reads, 1000 * MS), Some(1025 * MS), "{other:?} breaks the row");
    }
}

#[test]
fn a_recovery_lasts_until_it_is_decided_whether_products_are_fresh() {
    for script in [Script::Full, Script::Fast] {
        let recovery = script.acts().iter().find(|act| act.phase == Phase::Recovery).expect("it is in the script");
        let row = Duration::from_secs(1) * u32::try_from(IN_A_ROW).expect("a short row") / READS;
        assert!(recovery.lasts >= FRESH_WITHIN + row, "{}", script.name());
    }
}

#[test]
fn a_phase_counts_what_was_read_in_it() {
    let mut run = good_run();
    let sent: Vec<_> = judge(&run).phases.iter().map(|phase| phase.reads.sent).collect();
    assert_eq!(sent, [80, 145, 90, 180, 300, 120]);
    let Played { from, .. } = outage(&run);
    reads_since(&mut run, from).take(3).for_each(|read| read.shown = None);
    let reads = judge(&run).phases[3].reads;
    assert_eq!((reads.fresh, reads.stale, reads.failed()), (0, 177, 3));
}
