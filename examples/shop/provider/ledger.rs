//! The provider's ledger: one entry for each idempotency key, and none is ever taken back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Charge {
    pub(super) order_no: String,
    pub(super) cents: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Receipt {
    /// The number of its entry in the ledger, from 1.
    pub(super) entry: usize,
    pub(super) order_no: String,
    pub(super) cents: u64,
}

/// The key came with another charge before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeyReused;

#[derive(Default)]
pub(super) struct Ledger {
    entries: Arc<Mutex<Vec<Charge>>>,
    keys: Mutex<HashMap<String, Known>>,
}

struct Known {
    charge: Charge,
    receipt: Shared<BoxFuture<'static, Receipt>>,
}

impl Ledger {
    /// Charges, which takes `delay`, unless the key is known: then waits for that charge, or replays its receipt.
    pub(super) async fn charge(&self, key: &str, charge: Charge, delay: Duration) -> Result<Receipt, KeyReused> {
        let receipt = {
            let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            let known = keys.entry(key.to_owned()).or_insert_with(|| self.begin(charge.clone(), delay));
            if known.charge != charge {
                return Err(KeyReused);
            }
            known.receipt.clone()
        };
        Ok(receipt.await)
    }

    /// The number of the order of every charge so far, in their order: one that was charged twice is in it twice.
    pub(super) fn orders(&self) -> Vec<String> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().map(|charge| charge.order_no.clone()).collect()
    }

    fn begin(&self, charge: Charge, delay: Duration) -> Known {
        let entries = self.entries.clone();
        let entry = charge.clone();
        let receipt = async move {
            tokio::time::sleep(delay).await;
            let Charge { order_no, cents } = entry.clone();
            let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
            entries.push(entry);
            Receipt { entry: entries.len(), order_no, cents }
        };
        let receipt = receipt.boxed().shared();
        // A task of its own, so that the charge is made although the client hangs up.
        tokio::spawn(receipt.clone());
        Known { charge, receipt }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);

    fn charge(cents: u64) -> Charge {
        Charge { order_no: "7".into(), cents }
    }

    fn entries(ledger: &Ledger) -> usize {
        ledger.entries.lock().expect("nobody panicked").len()
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_try_waits_for_the_first_and_gets_its_receipt() {
        let ledger = Ledger::default();
        let first = ledger.charge("k", charge(100), SEC);
        let second = async {
            tokio::time::sleep(SEC / 2).await;
            ledger.charge("k", charge(100), Duration::ZERO).await
        };
        let (first, second) = tokio::join!(first, second);
        assert_eq!(first, second);
        assert_eq!(ledger.charge("k", charge(100), SEC).await, first, "it is replayed");
        assert_eq!(entries(&ledger), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_charge_is_made_although_nobody_waits_for_it() {
        let ledger = Ledger::default();
        assert_eq!(ledger.charge("k", charge(100), SEC).now_or_never(), None);
        assert_eq!(entries(&ledger), 0);
        tokio::time::sleep(2 * SEC).await;
        assert_eq!(entries(&ledger), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_stands_for_one_charge() {
        let ledger = Ledger::default();
        ledger.charge("k", charge(100), SEC).await.expect("a new key");
        assert_eq!(ledger.charge("k", charge(200), SEC).await, Err(KeyReused));
        assert!(ledger.charge("other", charge(200), SEC).await.is_ok());
        assert_eq!(entries(&ledger), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_that_is_charged_under_two_keys_is_charged_twice() {
        let ledger = Ledger::default();
        for key in ["k", "other", "k"] {
            ledger.charge(key, charge(100), SEC).await.expect("the same charge");
        }
        assert_eq!(ledger.orders(), ["7", "7"]);
    }
}
