//! Every order in which threads can meet at a budget, of which calls that succeed pay in without a lock.

#[path = "../../src/retry/handle/purse.rs"]
mod purse;

use std::sync::atomic::{AtomicUsize, Ordering};

use loom::sync::Arc;
use loom::thread;
use purse::Purse;

#[test]
fn nothing_that_is_paid_in_or_out_is_lost_and_no_more_is_paid_than_there_is() {
    loom::model(|| {
        let purse = Arc::new(Purse::holding(3));
        let depositor = {
            let purse = purse.clone();
            thread::spawn(move || purse.deposit(2, 10))
        };
        let other = {
            let purse = purse.clone();
            thread::spawn(move || purse.withdraw(0, 3, 10).is_paid)
        };
        let here = purse.withdraw(1, 2, 10).is_paid;
        depositor.join().expect("no panic");
        let other = other.join().expect("no panic");
        assert_eq!(purse.parts(), 3 + 2 + 1 - 3 * u64::from(other) - 2 * u64::from(here));
        assert!(here || other);
    });
}

/// In how many orders more was held than fits, with a full purse that is filled from two sides.
fn overflows(capacity: u64) -> usize {
    let overflows = std::sync::Arc::new(AtomicUsize::new(0));
    let count = overflows.clone();
    loom::model(move || {
        let purse = Arc::new(Purse::holding(9));
        let depositor = {
            let purse = purse.clone();
            thread::spawn(move || purse.deposit(5, capacity))
        };
        purse.withdraw(5, 1, capacity);
        depositor.join().expect("no panic");
        count.fetch_add(usize::from(purse.parts() > 10), Ordering::SeqCst);
    });
    overflows.load(Ordering::SeqCst)
}

#[test]
fn there_is_never_more_than_fits() {
    assert_eq!(overflows(10), 0);
    assert!(overflows(20) > 0, "more than ten would be seen");
}
