use proptest::prelude::*;

use super::*;

const SEC: Duration = Duration::from_secs(1);
const T0: Moment = Moment::from_nanos(3_600_000_000_000);
const LEASE: Duration = Duration::from_secs(30);
const RETENTION: Duration = Duration::from_secs(86_400);

/// A store of one request.
#[derive(Default)]
struct One {
    record: Option<Record>,
    fence: u64,
}

fn claim(owner: u8, request: u8) -> Claim {
    Claim {
        fingerprint: Fingerprint::from_bytes([request; 32]),
        owner: Owner::from_bytes([owner; 16]),
        lease: LEASE,
        retention: RETENTION,
    }
}

fn owner(owner: u8) -> Owner {
    Owner::from_bytes([owner; 16])
}

fn answer(of: u8) -> Bytes {
    Bytes::copy_from_slice(&[of])
}

impl One {
    fn begin_as(&mut self, claim: &Claim, now: Moment) -> Begin {
        Record::begin(&mut self.record, claim, now, || {
            self.fence += 1;
            self.fence
        })
    }

    fn begin(&mut self, owner: u8, now: Moment) -> Begin {
        self.begin_as(&claim(owner, 0), now)
    }

    fn complete(&mut self, owner: u8, now: Moment) -> Commit {
        Record::complete(&mut self.record, &claim(owner, 0), answer(owner), now)
    }

    fn renew(&mut self, of: u8, now: Moment) -> bool {
        Record::renew(&mut self.record, owner(of), LEASE, now)
    }

    fn release(&mut self, of: u8, now: Moment) -> bool {
        Record::release(&mut self.record, owner(of), now)
    }

    fn park(&mut self, of: u8, now: Moment) -> bool {
        Record::park(&mut self.record, &claim(of, 0), "why", now)
    }

    fn resolve(&mut self, answer: Option<Bytes>, now: Moment) -> bool {
        Record::resolve(&mut self.record, answer, now)
    }

    fn look(&self, request: u8, now: Moment) -> Option<Begin> {
        Record::look(self.record.as_ref(), Fingerprint::from_bytes([request; 32]), now)
    }
}

fn acquired(fence: u64, attempt: u32) -> Begin {
    Begin::Acquired(Acquired { fence, attempt })
}

#[test]
fn one_runs_it_and_the_others_hear_how_long_until_they_may() {
    let mut one = One::default();
    assert_eq!(one.begin(1, T0), acquired(1, 1));
    assert_eq!(one.begin(2, T0 + 10 * SEC), Begin::Running { left: 20 * SEC });
    assert_eq!(one.complete(1, T0 + 11 * SEC), Commit::Stored);
    assert_eq!(one.begin(2, T0 + 12 * SEC), Begin::Done(answer(1)));
}

#[test]
fn an_owner_that_asks_again_is_told_the_same_and_has_its_lease_anew() {
    let mut one = One::default();
    one.begin(1, T0);
    assert_eq!(one.begin(1, T0 + 29 * SEC), acquired(1, 1));
    assert_eq!(one.begin(2, T0 + 58 * SEC), Begin::Running { left: SEC });
}

#[test]
fn who_lets_the_lease_end_is_taken_over_from_by_a_larger_fence() {
    let mut one = One::default();
    one.begin(1, T0);
    assert_eq!(one.begin(2, T0 + LEASE), acquired(2, 2));
    assert_eq!(one.begin(3, T0 + 2 * LEASE), acquired(3, 3));
}

#[test]
fn who_was_taken_over_from_changes_nothing_any_more() {
    let mut one = One::default();
    one.begin(1, T0);
    one.begin(2, T0 + LEASE);
    let before = one.record.clone();
    let now = T0 + LEASE + SEC;
    assert!(!one.renew(1, now) && !one.release(1, now) && !one.park(1, now));
    assert_eq!(one.complete(1, now), Commit::Lost);
    assert_eq!(one.record, before);
    assert_eq!(one.complete(2, now), Commit::Stored);
    assert_eq!(one.complete(1, now), Commit::Lost);
    assert_eq!(one.begin(3, now), Begin::Done(answer(2)));
}

#[test]
fn who_outlives_its_lease_while_nobody_takes_over_still_has_it() {
    let mut one = One::default();
    one.begin(1, T0);
    assert!(one.renew(1, T0 + 2 * LEASE));
    assert_eq!(one.begin(2, T0 + (3 * LEASE - SEC)), Begin::Running { left: SEC });
    assert_eq!(one.complete(1, T0 + 9 * LEASE), Commit::Stored);
}

#[test]
fn what_was_released_is_new_but_for_its_fence_and_the_one_before_cannot_come_back() {
    let mut one = One::default();
    one.begin(1, T0);
    assert!(one.release(1, T0));
    assert_eq!(one.begin(2, T0), acquired(2, 1));
    assert!(!one.release(1, T0) && !one.renew(1, T0) && !one.park(1, T0));
    assert_eq!(one.complete(1, T0), Commit::Lost);
}

#[test]
fn a_run_that_comes_to_nothing_does_not_make_the_one_before_it_forgotten() {
    let mut one = One::default();
    one.begin(1, T0);
    assert_eq!(one.begin(2, T0 + LEASE), acquired(2, 2));
    assert!(one.release(2, T0 + LEASE));
    assert!(one.release(2, T0 + LEASE), "it is nobody's already");
    assert!(!one.renew(2, T0 + LEASE));
    assert_eq!(one.begin_as(&claim(3, 7), T0 + LEASE), Begin::Mismatch);
    assert_eq!(one.begin(3, T0 + LEASE), acquired(3, 2), "the first may have had its effect");
}

#[test]
fn what_happened_is_recorded_although_it_was_forgotten_that_it_was_begun() {
    let mut one = One::default();
    one.begin(1, T0);
    one.begin(2, T0 + LEASE);
    assert!(one.release(2, T0 + LEASE));
    assert_eq!(one.complete(1, T0 + LEASE), Commit::Recreated);
    assert_eq!(one.begin(3, T0 + LEASE), Begin::Done(answer(1)));
}

#[test]
fn to_complete_again_is_to_have_completed() {
    let mut one = One::default();
    one.begin(1, T0);
    assert_eq!((one.complete(1, T0), one.complete(1, T0)), (Commit::Stored, Commit::Stored));
    assert!(!one.release(1, T0), "what came of it is not taken back");
}

#[test]
fn another_request_under_the_key_is_told_so_whatever_the_state() {
    let mut one = One::default();
    one.begin(1, T0);
    assert_eq!(one.begin_as(&claim(2, 7), T0), Begin::Mismatch);
    assert_eq!(one.begin_as(&claim(2, 7), T0 + 2 * LEASE), Begin::Mismatch, "nor does it take over");
    one.complete(1, T0);
    assert_eq!(one.begin_as(&claim(2, 7), T0), Begin::Mismatch);
    assert_eq!(one.begin(2, T0), Begin::Done(answer(1)));
}

#[test]
fn what_is_parked_stays_so_until_it_is_forgotten() {
    let mut one = One::default();
    one.begin(1, T0);
    assert!(one.park(1, T0 + SEC));
    assert_eq!(one.begin(2, T0 + 2 * LEASE), Begin::Parked("why".into()));
    assert!(one.park(1, T0 + SEC), "said again, after an answer that was lost");
    assert!(!one.renew(1, T0) && !one.release(1, T0) && !one.park(2, T0));
    assert_eq!(one.complete(1, T0), Commit::Lost);
    assert_eq!(one.begin(2, T0 + RETENTION), Begin::Parked("why".into()), "since when it was parked");
    assert_eq!(one.begin(2, T0 + SEC + RETENTION), acquired(2, 1));
}

#[test]
fn that_nobody_knows_is_recorded_although_it_was_forgotten_that_it_was_begun() {
    let mut one = One::default();
    assert!(one.park(1, T0));
    assert_eq!(one.begin(2, T0), Begin::Parked("why".into()));
    let mut one = One::default();
    one.begin(1, T0);
    one.begin(2, T0 + LEASE);
    assert!(one.release(2, T0 + LEASE));
    assert!(one.park(1, T0 + LEASE));
    assert_eq!(one.begin(3, T0 + LEASE), Begin::Parked("why".into()));
}

#[test]
fn what_was_done_is_not_parked() {
    let mut one = One::default();
    one.begin(1, T0);
    one.complete(1, T0);
    assert!(!one.park(1, T0));
    assert_eq!(one.begin(2, T0), Begin::Done(answer(1)));
}

#[test]
fn whoever_finds_out_says_what_came_of_what_is_parked_and_of_nothing_else() {
    let parked = || {
        let mut one = One::default();
        one.begin(1, T0);
        assert!(!one.resolve(None, T0), "it runs");
        assert!(one.park(1, T0));
        one
    };
    let mut one = parked();
    assert!(one.resolve(Some(answer(9)), T0));
    assert_eq!(one.begin(2, T0), Begin::Done(answer(9)));
    assert!(!one.resolve(None, T0), "it is done");
    let mut one = parked();
    assert!(one.resolve(None, T0));
    assert_eq!(one.begin(2, T0), acquired(2, 1));
    assert!(!parked().resolve(None, T0 + RETENTION), "it is forgotten");
}

#[test]
fn who_looks_is_told_what_a_claim_would_be_and_changes_nothing() {
    let mut one = One::default();
    assert_eq!(one.look(0, T0), None);
    one.begin(1, T0);
    assert_eq!(one.look(0, T0 + SEC), Some(Begin::Running { left: LEASE - SEC }));
    assert_eq!(one.look(7, T0 + SEC), Some(Begin::Mismatch));
    assert_eq!(one.look(0, T0 + LEASE), None, "it could be taken over");
    one.complete(1, T0 + LEASE);
    assert_eq!(one.look(0, T0 + LEASE), Some(Begin::Done(answer(1))));
    assert_eq!(one.look(7, T0 + LEASE), Some(Begin::Mismatch));
    assert_eq!(one.look(0, T0 + LEASE + RETENTION), None, "it is forgotten");
    let mut one = One::default();
    one.park(1, T0);
    assert_eq!(one.look(0, T0), Some(Begin::Parked("why".into())));
}

#[test]
fn what_came_of_it_is_remembered_from_when_it_came() {
    let mut one = One::default();
    one.begin(1, T0);
    one.complete(1, T0 + 20 * SEC);
    let over = T0 + 20 * SEC + RETENTION;
    assert_eq!(one.begin(2, Moment::from_nanos(over.to_nanos() - 1)), Begin::Done(answer(1)));
    assert_eq!(one.begin(2, over), acquired(2, 1));
}

#[test]
fn what_runs_is_remembered_for_as_long_as_its_lease() {
    let mut one = One::default();
    one.begin(1, T0);
    assert!(one.renew(1, T0 + (RETENTION - SEC)));
    assert_eq!(one.begin(2, T0 + RETENTION), Begin::Running { left: LEASE - SEC });
    assert_eq!(one.begin(2, T0 + RETENTION + LEASE), acquired(2, 1));
}

#[derive(Clone, Debug)]
enum Step {
    Begin(u8, u8),
    Complete(u8),
    Renew(u8),
    Release(u8),
    Park(u8),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let owner = 0..4_u8;
    let step = prop_oneof![
        4 => (owner.clone(), 0..2_u8).prop_map(|(owner, request)| Step::Begin(owner, request)),
        2 => owner.clone().prop_map(Step::Complete),
        2 => owner.clone().prop_map(Step::Renew),
        1 => owner.clone().prop_map(Step::Release),
        1 => owner.prop_map(Step::Park),
        3 => (0..20_u64).prop_map(Step::Pass),
        1 => Just(Step::Pass(86_400)),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    /// The reference keeps a list of all that was said, and looks for the answer in it.
    #[test]
    fn whatever_is_asked_and_when_there_is_one_owner_and_one_answer(steps in steps()) {
        let (mut one, mut now) = (One::default(), T0);
        // Who has it, until when; what came of it and when; and until when anything is known.
        let (mut holder, mut done): (Option<(u8, Moment)>, Option<Bytes>) = (None, None);
        let (mut known, mut parked) = (None::<(u8, Moment)>, false);
        let (mut largest, mut attempt) = (0, 0);
        for step in steps {
            if let Some((_, over)) = known
                && over <= now
                && holder.is_none_or(|(_, until)| until <= now)
            {
                (holder, done, known, parked) = (None, None, None, false);
            }
            match step {
                Step::Pass(seconds) => now = now + Duration::from_secs(seconds),
                Step::Begin(who, request) => {
                    let (seen, before) = (one.look(request, now), one.record.clone());
                    let said = one.begin_as(&claim(who, request), now);
                    match (&seen, &said) {
                        (None, Begin::Acquired(_)) => {}
                        (Some(Begin::Running { .. }), Begin::Acquired(_)) => {
                            prop_assert!(before.is_some_and(|record| record.owner == Some(owner(who))));
                        }
                        _ => prop_assert_eq!(seen.as_ref(), Some(&said)),
                    }
                    match (known, &done, holder) {
                        (Some((recorded, _)), _, _) if recorded != request => prop_assert_eq!(said, Begin::Mismatch),
                        (_, Some(answer), _) => prop_assert_eq!(said, Begin::Done(answer.clone())),
                        (Some(_), None, _) if parked => prop_assert_eq!(said, Begin::Parked("why".into())),
                        (_, None, Some((other, until))) if other != who && until > now => {
                            prop_assert_eq!(said, Begin::Running { left: until.since(now) });
                        }
                        (_, None, before) => {
                            let Begin::Acquired(acquired) = said else {
                                return Err(TestCaseError::fail(format!("not acquired: {said:?}")));
                            };
                            if before.is_some_and(|(other, _)| other == who) {
                                prop_assert_eq!(acquired.fence, largest);
                                prop_assert_eq!(acquired.attempt, attempt);
                            } else {
                                prop_assert!(acquired.fence > largest);
                                attempt = if known.is_some() { attempt + 1 } else { 1 };
                                prop_assert_eq!(acquired.attempt, attempt);
                                known = Some((request, now + RETENTION));
                                largest = acquired.fence;
                            }
                            holder = Some((who, now + LEASE));
                        }
                    }
                }
                Step::Complete(who) => {
                    let said = one.complete(who, now);
                    let is_own = holder.is_some_and(|(holder, _)| holder == who) && !parked;
                    let is_nobodys = holder.is_none() && !parked && done.is_none();
                    let expected = match (known, is_own) {
                        (Some(_), true) => Commit::Stored,
                        (None, _) => Commit::Recreated,
                        (Some(_), false) if is_nobodys => Commit::Recreated,
                        (Some(_), false) => Commit::Lost,
                    };
                    prop_assert_eq!(said, expected);
                    if said != Commit::Lost && done.is_none() {
                        done = Some(answer(who));
                        known = Some((0, now + RETENTION));
                        holder = Some((who, now));
                    }
                }
                Step::Renew(who) | Step::Release(who) | Step::Park(who) => {
                    let is_own = holder.is_some_and(|(holder, _)| holder == who) && done.is_none() && !parked;
                    let is_nobodys = holder.is_none();
                    let before = one.record.clone();
                    let said = match step {
                        Step::Renew(_) => one.renew(who, now),
                        Step::Release(_) => one.release(who, now),
                        _ => one.park(who, now),
                    };
                    let is_known = match step {
                        Step::Renew(_) => is_own,
                        Step::Release(_) => is_own || is_nobodys,
                        _ => is_own || is_nobodys || parked && holder.is_some_and(|(holder, _)| holder == who),
                    };
                    prop_assert_eq!(said, is_known);
                    match step {
                        Step::Park(_) if said => {
                            attempt = attempt.max(1);
                            (parked, holder, known) = (true, Some((who, now)), Some((0, now + RETENTION)));
                        }
                        _ if !is_own => {
                            let is_over = before.as_ref().is_some_and(|record| record.is_over(now));
                            prop_assert!(is_over || one.record == before);
                        }
                        Step::Renew(_) => holder = Some((who, now + LEASE)),
                        Step::Release(_) if attempt > 1 => (holder, attempt) = (None, attempt - 1),
                        _ => (holder, known) = (None, None),
                    }
                }
            }
        }
    }
}
