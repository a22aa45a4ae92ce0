//! What a handler writes in the transaction of its run is there with its answer, or not at all.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use buttress::idempotency::{
    Execution, IdempotencyConfig, IdempotencyLayer, Identify, InTransaction, InTransactions, Locked, RefusalReason,
    RunOnce, StoreError, Wait, WhenUnavailable,
};
use buttress::{AsError, Error};
use futures::FutureExt;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tower::{Layer, Service, service_fn};

use crate::support::books::{Books, Draft, Line};
use crate::support::numbers::Numbers;
use crate::world::{Failure, SEC, reason, store};

type Hand = fn(&mut Sale, InTransaction<Draft>);

/// Of so many pieces.
#[derive(Clone)]
struct Sale {
    pieces: u32,
    transaction: Option<InTransaction<Draft>>,
}

impl Sale {
    fn transaction(&self) -> &InTransaction<Draft> {
        self.transaction.as_ref().expect("it is run in one")
    }

    async fn write(&self) -> Result<u32, Failure> {
        let mut draft = self.transaction().lock().await.map_err(|_| Error::Inner("no transaction"))?;
        draft.numbers.push(self.pieces);
        Ok(self.pieces)
    }
}

fn sale(pieces: u32) -> Sale {
    Sale { pieces, transaction: None }
}

fn books() -> Books {
    Books::new(store())
}

fn layer(
    books: &Books,
    config: IdempotencyConfig,
) -> IdempotencyLayer<
    Books,
    impl Identify<Sale, Request = Sale, Future: 'static> + use<>,
    Numbers,
    AsError,
    InTransactions<Hand>,
> {
    let hand: Hand = |sale, transaction| sale.transaction = Some(transaction);
    let once =
        RunOnce::new().global_scope().key(|sale: &Sale| Some(sale.pieces)).fingerprint(|sale: &Sale| sale.pieces);
    let layer = IdempotencyLayer::new(config, books.clone()).expect("valid").identify(once).keep(Numbers);
    layer.in_transactions(hand)
}

/// Runs sales by `sell`, of which there is one for each number of pieces.
fn shop<H, F>(
    books: &Books,
    config: IdempotencyConfig,
    sell: H,
) -> impl Service<Sale, Response = u32, Error = Failure, Future: Send + 'static> + Clone + use<H, F>
where
    H: Fn(Sale) -> F + Clone + Send + 'static,
    F: Future<Output = Result<u32, Failure>> + Send + 'static,
{
    layer(books, config).layer(service_fn(sell))
}

/// A handler that writes first, and then does this in its first run and nothing in the next.
fn then<F>(
    first: impl Fn(Sale) -> F + Clone + Send + 'static,
) -> impl Fn(Sale) -> std::pin::Pin<Box<dyn Future<Output = Result<u32, Failure>> + Send>> + Clone + Send + 'static
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let runs = Arc::new(AtomicU32::new(0));
    move |sale: Sale| {
        let (run, first) = (runs.fetch_add(1, Ordering::SeqCst), first.clone());
        Box::pin(async move {
            let sold = sale.write().await?;
            if run == 0 {
                first(sale).await?;
            }
            Ok(sold)
        })
    }
}

/// Has written, and does not know that its lease is over.
async fn a_zombie(books: &Books) -> JoinHandle<Result<u32, Failure>> {
    let cut_off = books.records.clone();
    let slow = then(move |_: Sale| {
        // No lease is renewed from now on.
        cut_off.set(|link| link.is_down = true);
        sleep(40 * SEC).map(Ok)
    });
    let mut shop = shop(books, IdempotencyConfig::new().longest_run(60 * SEC), slow);
    let zombie = tokio::spawn(shop.call(sale(7)));
    sleep(35 * SEC).await;
    books.records.set(|link| link.is_down = false);
    zombie
}

#[tokio::test(start_paused = true)]
async fn what_is_written_is_there_with_the_answer_and_not_before() {
    let (books, may_end) = (books(), Arc::new(Notify::new()));
    let ends = may_end.clone();
    let mut shop = shop(&books, IdempotencyConfig::new(), move |sale: Sale| {
        let ends = ends.clone();
        async move {
            let sold = sale.write().await;
            ends.notified().await;
            sold
        }
    });
    let first = tokio::spawn(shop.call(sale(7)));
    sleep(SEC).await;
    assert_eq!(reason(shop.call(sale(7)).await), RefusalReason::Running, "the claim is there before");
    assert_eq!(books.written(), [0; 0]);
    may_end.notify_one();
    assert_eq!(first.await.expect("no panic").expect("sold"), 7);
    assert_eq!(books.written(), [7]);
    assert_eq!(shop.call(sale(7)).await.expect("told again"), 7);
    assert_eq!(books.written(), [7]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_writes_nothing_begins_no_transaction() {
    let books = books();
    let mut idle = shop(&books, IdempotencyConfig::new(), async |sale: Sale| Ok(sale.pieces));
    assert_eq!((idle.call(sale(7)).await.expect("an answer"), books.begun()), (7, 0));
    assert_eq!(idle.call(sale(7)).await.expect("told again"), 7);
    let mut busy = shop(&books, IdempotencyConfig::new(), async |sale: Sale| sale.write().await);
    assert_eq!((busy.call(sale(8)).await.expect("an answer"), books.begun()), (8, 1), "the control");
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_run_wrote_is_undone() {
    for line in [Line::Sound, Line::LosesTheQuestion] {
        let books = books();
        let mut shop = shop(&books, IdempotencyConfig::new(), then(async |_| Err(Error::Inner("sold out"))));
        books.line(line);
        let failed = shop.call(sale(7)).await;
        assert!(matches!(failed, Err(Error::Inner("sold out"))), "{failed:?}");
        assert_eq!((books.written(), books.begun(), books.open()), (vec![], 1, 0));
        books.line(Line::Sound);
        assert_eq!(shop.call(sale(7)).await.expect("run again"), 7);
        assert_eq!(books.written(), [7]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_run_wrote_that_panicked_is_undone() {
    let books = books();
    let panics = then(async |_| std::panic::resume_unwind(Box::new("on purpose")));
    let mut shop = layer(&books, IdempotencyConfig::new()).layer(service_fn(panics));
    tokio::spawn(shop.call(sale(7))).await.expect_err("it panics");
    assert_eq!((books.written(), books.begun()), (vec![], 1));
    assert_eq!(shop.call(sale(7)).await.expect("run again"), 7);
    assert_eq!(books.written(), [7]);
}

#[tokio::test(start_paused = true)]
async fn who_was_taken_over_from_by_one_that_came_to_nothing_does_not_tell_of_what_was_undone() {
    let books = books();
    let zombie = a_zombie(&books).await;
    let mut other = shop(&books, IdempotencyConfig::new(), async |_: Sale| Err(Error::Inner("sold out")));
    other.call(sale(7)).await.expect_err("it came to nothing");
    assert_eq!(reason(zombie.await.expect("no panic")), RefusalReason::Interrupted);
    assert_eq!(books.written(), [0; 0]);
    let mut third = shop(&books, IdempotencyConfig::new(), async |sale: Sale| sale.write().await);
    assert_eq!(third.call(sale(7)).await.expect("run again"), 7);
    assert_eq!(books.written(), [7]);
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_for_a_transaction_that_has_ended_does_not_keep_it_open() {
    let (books, kept) = (books(), Arc::new(std::sync::Mutex::new(None)));
    let keeps = kept.clone();
    let two = then(move |sale: Sale| {
        let keeps = keeps.clone();
        async move {
            let held = sale.transaction().lock().await.expect("it has begun");
            let waits = sale.transaction().clone();
            let mut waiting = async move { waits.lock().await.map(drop) }.boxed();
            assert!(waiting.as_mut().now_or_never().is_none(), "it stands in line");
            *keeps.lock().expect("no panic") = Some((held, waiting, sale.transaction().clone()));
            Ok(())
        }
    });
    let mut shop = shop(&books, IdempotencyConfig::new(), two);
    assert_eq!(reason(shop.call(sale(7)).await), RefusalReason::RolledBack);
    let (held, waiting, _transaction) = kept.lock().expect("no panic").take().expect("left behind");
    drop(held);
    assert_eq!(books.open(), 1, "the control: whose turn it is has it");
    drop(waiting);
    assert_eq!(books.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_run_wrote_that_was_stopped_is_undone() {
    let books = books();
    let mut shop = shop(
        &books,
        IdempotencyConfig::new().longest_run(60 * SEC),
        then(async |_| {
            std::future::pending::<()>().await;
            Ok(())
        }),
    );
    assert_eq!(reason(shop.call(sale(7)).await), RefusalReason::Interrupted);
    assert_eq!((books.written(), books.begun()), (vec![], 1));
    sleep(60 * SEC).await;
    assert_eq!(shop.call(sale(7)).await.expect("taken over"), 7);
    assert_eq!(books.written(), [7]);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_is_held_beyond_the_answer_is_undone() {
    let books = books();
    let (give_back, given_back) = oneshot::channel::<()>();
    let (given_back, left) = (Arc::new(std::sync::Mutex::new(Some(given_back))), oneshot::channel());
    let leaves = Arc::new(std::sync::Mutex::new(Some(left.0)));
    let mut shop = shop(
        &books,
        IdempotencyConfig::new(),
        then(move |sale: Sale| {
            let until = given_back.lock().expect("no panic").take().expect("the first run");
            let leave = leaves.lock().expect("no panic").take().expect("the first run");
            async move {
                let transaction = sale.transaction().clone();
                let held: Locked<Draft> = transaction.lock().await.expect("it has begun");
                _ = leave.send(tokio::spawn(async move {
                    until.await.expect("told");
                    drop(held);
                    transaction.lock().await.map(drop)
                }));
                Ok(())
            }
        }),
    );
    assert_eq!(reason(shop.call(sale(7)).await), RefusalReason::RolledBack);
    assert_eq!(shop.call(sale(7)).await.expect("run again"), 7, "and that is not kept from it by the one who holds on");
    assert_eq!(books.open(), 1, "the control: it is held on to");
    give_back.send(()).expect("it waits");
    let late = left.1.await.expect("left behind").await.expect("no panic");
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "there is nothing to write in any more: {late:?}");
    assert_eq!((books.written(), books.begun(), books.open()), (vec![7], 2, 0));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_transaction_that_ends_meanwhile_is_told_so_and_keeps_nothing_of_it() {
    let (books, held, waits) = (books(), Arc::new(std::sync::Mutex::new(None)), Arc::new(std::sync::Mutex::new(None)));
    let (holds, late) = (held.clone(), waits.clone());
    let two = then(move |sale: Sale| {
        let (holds, late) = (holds.clone(), late.clone());
        async move {
            *holds.lock().expect("no panic") = Some(sale.transaction().lock().await.expect("it has begun"));
            let transaction = sale.transaction().clone();
            *late.lock().expect("no panic") = Some(tokio::spawn(async move {
                let said = transaction.lock().await.map(drop);
                (transaction, said)
            }));
            // It stands in line now.
            tokio::task::yield_now().await;
            Ok(())
        }
    });
    let mut shop = shop(&books, IdempotencyConfig::new(), two);
    assert_eq!(reason(shop.call(sale(7)).await), RefusalReason::RolledBack);
    assert_eq!(books.open(), 1, "the control: it is held on to");
    drop(held.lock().expect("no panic").take());
    let waits = waits.lock().expect("no panic").take().expect("left behind");
    let (_transaction, said) = waits.await.expect("no panic");
    assert!(matches!(said, Err(StoreError::Unavailable(_))), "{said:?}");
    assert_eq!((books.written(), books.open()), (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_left_behind_by_a_run_cannot_begin_a_transaction() {
    let books = books();
    let (leave, left) = oneshot::channel();
    let leave = Arc::new(std::sync::Mutex::new(Some(leave)));
    let mut shop = shop(&books, IdempotencyConfig::new(), move |sale: Sale| {
        let leave = leave.lock().expect("no panic").take().expect("one run");
        async move {
            _ = leave.send(sale.transaction().clone());
            Ok(sale.pieces)
        }
    });
    assert_eq!(shop.call(sale(7)).await.expect("an answer"), 7);
    let late = left.await.expect("left behind").lock().await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    assert_eq!(books.begun(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_behind_by_a_run_that_failed_or_was_stopped_writes_nothing_any_more() {
    for is_stopped in [false, true] {
        let books = books();
        let (leave, left) = oneshot::channel();
        let leave = Arc::new(std::sync::Mutex::new(Some(leave)));
        let leaves = then(move |sale: Sale| {
            _ = leave.lock().expect("no panic").take().expect("the first run").send(sale.transaction().clone());
            async move { if is_stopped { std::future::pending().await } else { Err(Error::Inner("sold out")) } }
        });
        let mut shop = shop(&books, IdempotencyConfig::new().longest_run(60 * SEC), leaves);
        shop.call(sale(7)).await.expect_err("it failed, or was stopped");
        let late = left.await.expect("left behind").lock().await;
        assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
        assert_eq!((books.begun(), books.open()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_cannot_be_committed_is_not_told_of() {
    let books = books();
    let mut shop = shop(&books, IdempotencyConfig::new(), async |sale: Sale| sale.write().await);
    books.line(Line::Refuses);
    assert_eq!(reason(shop.call(sale(7)).await), RefusalReason::RolledBack);
    books.line(Line::Sound);
    assert_eq!(shop.call(sale(7)).await.expect("run again"), 7);
    assert_eq!((books.written(), books.begun()), (vec![7], 2));
}

/// Whatever it answers, what it wrote may be there.
#[tokio::test(start_paused = true)]
async fn nobody_knows_what_came_of_a_run_whose_transaction_has_ended_by_itself() {
    type Answer = fn() -> Result<(), Failure>;
    let answers: [Answer; 3] =
        [|| Ok(()), || Err(Error::Inner("sold out")), || std::panic::resume_unwind(Box::new("on purpose"))];
    for answer in answers {
        let books = books();
        let mut shop = shop(&books, IdempotencyConfig::new(), then(move |_| ready(answer())));
        books.line(Line::HasEnded);
        assert_eq!(reason(shop.call(sale(7)).await), RefusalReason::OutcomeUnknown);
        books.line(Line::Sound);
        assert_eq!(reason(shop.call(sale(7)).await), RefusalReason::OutcomeUnknown, "it is parked");
        assert_eq!((books.written(), books.begun(), books.open()), (vec![7], 1, 0));
        assert_eq!(shop.call(sale(8)).await.expect("the control"), 8);
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_whose_commit_nobody_hears_of_is_looked_for() {
    for (line, begun) in [(Line::LosesTheAnswer, 1), (Line::LosesTheQuestion, 2)] {
        let books = books();
        let mut shop = shop(&books, IdempotencyConfig::new(), async |sale: Sale| sale.write().await);
        books.line(line);
        let said = shop.call(sale(7)).await;
        match line {
            Line::LosesTheAnswer => assert_eq!(said.expect("it was committed"), 7),
            _ => assert_eq!(reason(said), RefusalReason::RolledBack),
        }
        books.line(Line::Sound);
        assert_eq!(shop.call(sale(7)).await.expect("told again, or run again"), 7);
        assert_eq!((books.written(), books.begun()), (vec![7], begun), "{line:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_told_whether_it_was_committed_is_told_so() {
    for (line, begun) in [(Line::LosesTheAnswer, 1), (Line::LosesTheQuestion, 2)] {
        let books = books();
        let cut_off = books.records.clone();
        let cut = then(move |_: Sale| {
            cut_off.set(|link| link.is_down = true);
            ready(Ok(()))
        });
        let mut shop = shop(&books, IdempotencyConfig::new(), cut);
        books.line(line);
        assert_eq!(reason(shop.call(sale(7)).await), RefusalReason::Interrupted, "{line:?}");
        books.line(Line::Sound);
        assert_eq!(reason(shop.call(sale(7)).await), RefusalReason::StoreUnavailable);
        books.records.set(|link| link.is_down = false);
        sleep(5 * SEC).await;
        assert_eq!(shop.call(sale(7)).await.expect("told, or run again"), 7);
        assert_eq!((books.written(), books.begun()), (vec![7], begun), "{line:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_taken_over_from_commits_nothing_and_hears_what_the_other_did() {
    let books = books();
    let zombie = a_zombie(&books).await;
    let mut other = shop(&books, IdempotencyConfig::new(), async |sale: Sale| {
        assert_eq!(Execution::current().expect("it runs once").attempt(), 2);
        sale.write().await.map(|sold| sold + 1)
    });
    assert_eq!(other.call(sale(7)).await.expect("taken over"), 8);
    assert_eq!(zombie.await.expect("no panic").expect("told what came of it"), 8);
    assert_eq!((books.written(), books.begun()), (vec![7], 2));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_hear_that_it_was_taken_over_from_finds_it_out() {
    let books = books();
    let zombie = a_zombie(&books).await;
    let mut other = shop(&books, IdempotencyConfig::new(), async |sale: Sale| sale.write().await.map(|sold| sold + 1));
    assert_eq!(other.call(sale(7)).await.expect("taken over"), 8);
    books.line(Line::LosesTheQuestion);
    assert_eq!(zombie.await.expect("no panic").expect("told what came of it"), 8);
    assert_eq!(books.written(), [7]);
}

#[tokio::test(start_paused = true)]
async fn whether_it_was_committed_is_not_asked_for_ever() {
    let books = books();
    let cut_off = books.records.clone();
    let cut = then(move |_: Sale| {
        cut_off.set(|link| link.is_down = true);
        ready(Ok(()))
    });
    let layer = layer(&books, IdempotencyConfig::new().longest_run(60 * SEC));
    let (handle, mut shop) = (layer.idempotency(), layer.layer(service_fn(cut)));
    books.line(Line::LosesTheQuestion);
    assert_eq!(reason(shop.call(sale(7)).await), RefusalReason::Interrupted);
    sleep(55 * SEC).await;
    assert_eq!(handle.running(), 1, "the control: it is asked for");
    sleep(10 * SEC).await;
    assert_eq!(handle.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_was_taken_over_from_by_one_that_still_runs_is_not_told_its_own_answer() {
    let books = books();
    let zombie = a_zombie(&books).await;
    let mut other = shop(&books, IdempotencyConfig::new(), async |sale: Sale| {
        sleep(20 * SEC).await;
        sale.write().await
    });
    let other = tokio::spawn(other.call(sale(7)));
    assert_eq!(reason(zombie.await.expect("no panic")), RefusalReason::Interrupted);
    assert_eq!(other.await.expect("no panic").expect("sold"), 7);
    assert_eq!(books.written(), [7]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_take_back_what_it_wrote_and_answer_all_the_same() {
    let books = books();
    let takes_back = then(async |sale: Sale| {
        sale.transaction().roll_back();
        sale.transaction().lock().await.map(drop).expect_err("it has ended");
        Ok(())
    });
    let mut shop = shop(&books, IdempotencyConfig::new(), takes_back);
    assert_eq!(shop.call(sale(7)).await.expect("an answer"), 7);
    assert_eq!(shop.call(sale(7)).await.expect("told again"), 7);
    assert_eq!((books.written(), books.begun()), (vec![], 1));
}

#[tokio::test(start_paused = true)]
async fn who_takes_back_what_is_being_written_takes_it_back() {
    let books = books();
    let takes_back = then(async |sale: Sale| {
        let mut held = sale.transaction().lock().await.expect("it has begun");
        sale.transaction().roll_back();
        held.numbers.push(8);
        Ok(())
    });
    let mut shop = shop(&books, IdempotencyConfig::new(), takes_back);
    assert_eq!(shop.call(sale(7)).await.expect("an answer"), 7);
    assert_eq!((books.written(), books.begun()), (vec![], 1));
}

#[tokio::test(start_paused = true)]
async fn who_takes_back_what_somebody_still_writes_may_answer_all_the_same() {
    let (books, held) = (books(), Arc::new(std::sync::Mutex::new(None)));
    let holds = held.clone();
    let takes_back = then(move |sale: Sale| {
        let holds = holds.clone();
        async move {
            *holds.lock().expect("no panic") = Some(sale.transaction().lock().await.expect("it has begun"));
            sale.transaction().roll_back();
            Ok(())
        }
    });
    let mut shop = shop(&books, IdempotencyConfig::new(), takes_back);
    assert_eq!(shop.call(sale(7)).await.expect("an answer"), 7);
    assert_eq!((books.written(), books.open()), (vec![], 1));
    drop(held.lock().expect("no panic").take());
    assert_eq!((books.written(), books.open()), (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn parts_of_a_handler_write_one_after_the_other() {
    let books = books();
    let mut shop = shop(&books, IdempotencyConfig::new(), async |sale: Sale| {
        let part = async |number: u32| {
            let mut draft = sale.transaction().lock().await.expect("it is begun");
            let before = draft.numbers.len();
            sleep(SEC).await;
            assert_eq!(draft.numbers.len(), before, "nobody else writes meanwhile");
            draft.numbers.push(number);
        };
        tokio::join!(part(1), part(2), part(3));
        Ok(sale.pieces)
    });
    assert_eq!(shop.call(sale(7)).await.expect("an answer"), 7);
    assert_eq!((books.written(), books.begun()), (vec![1, 2, 3], 1));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_the_answer_hears_it_when_it_is_committed() {
    let books = books();
    let slow = then(async |_| {
        sleep(SEC).await;
        Ok(())
    });
    let config = IdempotencyConfig::new().wait(Wait::up_to(Duration::from_secs(5)));
    let mut shop = shop(&books, config, slow);
    let calls = [shop.call(sale(7)), shop.call(sale(7))];
    let [first, second] = futures::future::join_all(calls).await.try_into().expect("two");
    assert_eq!((first.expect("sold"), second.expect("told")), (7, 7));
    assert_eq!((books.written(), books.begun()), (vec![7], 1));
}

#[tokio::test(start_paused = true)]
async fn what_would_be_run_in_a_transaction_is_not_run_without_the_store() {
    let books = books();
    books.records.set(|link| link.takes_no_claims = true);
    let config = IdempotencyConfig::new().when_unavailable(WhenUnavailable::Run);
    let handed = Arc::new(std::sync::Mutex::new(None));
    let hands = handed.clone();
    let layer = layer(&books, config).in_transactions(move |sale: &mut Sale, transaction: InTransaction<Draft>| {
        *hands.lock().expect("no panic") = Some(transaction.clone());
        sale.transaction = Some(transaction);
    });
    let mut shop = layer.layer(service_fn(async |sale: Sale| sale.write().await));
    assert_eq!(reason(shop.call(sale(7)).await), RefusalReason::StoreUnavailable);
    let transaction = handed.lock().expect("no panic").take().expect("it was handed one");
    let late = transaction.lock().await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    assert_eq!((books.written(), books.begun()), (vec![], 0));
    books.records.set(|link| link.takes_no_claims = false);
    assert_eq!(shop.call(sale(7)).await.expect("the control: with it"), 7);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_could_not_be_begun_may_be_begun_later() {
    let books = books();
    let link = books.records.clone();
    let mut shop = shop(&books, IdempotencyConfig::new(), move |sale: Sale| {
        let link = link.clone();
        async move {
            link.set(|link| link.is_down = true);
            assert!(matches!(sale.transaction().lock().await, Err(StoreError::Unavailable(_))));
            link.set(|link| link.is_down = false);
            sale.write().await
        }
    });
    assert_eq!(shop.call(sale(7)).await.expect("sold"), 7);
    assert_eq!((books.written(), books.begun()), (vec![7], 1));
}
