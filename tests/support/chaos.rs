//! Histories in real time: over an engine that is disturbed, by several instances of an app that crash and start again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use buttress::Error;
use buttress::Rejection;
use buttress::idempotency::{Idempotency, RefusalReason, Store};
use futures::future::join_all;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service};

use super::careless::{Bug, Careless};
use super::far::Far;
use super::history::{CALLS, History, Tally, config};
use super::orders::{Failure, Order, layer};

/// A lease is of 750 ms.
const UNIT: Duration = Duration::from_micros(250);

/// Longer than all that may still go on takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

const INSTANCES: u32 = 2;

/// Three histories at once, whose orders have nothing to do with each other but the engine; `disturb` does something to that
/// now and then, and leaves it as it was. Whoever connects waits until the engine is there.
pub(crate) async fn are_sound<S, C>(connect: impl Fn() -> C, disturb: impl AsyncFnMut(&History))
where
    S: Store + Clone,
    C: Future<Output = S> + Send + 'static,
{
    let Tally { replays, takeovers } = histories([0, 1, 2], CALLS, connect, disturb).await.expect("sound histories");
    // How many there are depends on how long an engine takes to come back.
    assert!(replays > 20 && takeovers > 2, "the control: {replays} replays and {takeovers} takeovers");
}

/// Of a store that is wrong.
pub(crate) async fn are_found_out<S, C>(connect: impl Fn() -> C, mut disturb: impl AsyncFnMut(&History))
where
    S: Store + Clone,
    C: Future<Output = S> + Send + 'static,
{
    let mut places = (3..).step_by(3).map(|first| [first, first + 1, first + 2]);
    for (bug, complaint) in [(Bug::NoLock, ": order "), (Bug::FenceFromOne, "by a fence that was no larger")] {
        let fences = Arc::new(AtomicU64::new(1));
        let careless = || {
            let (store, fences) = (connect(), fences.clone());
            async move { Careless::new(store.await, bug, &fences) }
        };
        // In a short history it may go well.
        let wrong = loop {
            let places = places.next().filter(|places| places[0] < 30).expect("in one of so many it is found out");
            if let Err(wrong) = histories(places, CALLS / 3, careless, &mut disturb).await {
                break wrong;
            }
        };
        assert!(wrong.contains(complaint), "{bug:?}: {wrong}");
    }
}

/// What was wrong, and the seed with it.
async fn histories<S, C>(
    places: [u32; 3],
    calls: u32,
    connect: impl Fn() -> C,
    mut disturb: impl AsyncFnMut(&History),
) -> Result<Tally, String>
where
    S: Store + Clone,
    C: Future<Output = S> + Send + 'static,
{
    // What is drawn repeats, and how long everything takes does not.
    let seed = fastrand::u64(..1 << 32);
    let histories = places.map(|place| History::new(seed + u64::from(place), place, UNIT));
    let are_over = AtomicBool::new(false);
    let played = async {
        let connect = &connect;
        let played = join_all(histories.iter().map(|history| play(history, calls, connect))).await;
        are_over.store(true, Ordering::SeqCst);
        played
    };
    let disturbed = async {
        while !are_over.load(Ordering::SeqCst) {
            histories[0].pause(1..6000).await;
            disturb(&histories[0]).await;
        }
    };
    let (played, ()) = tokio::join!(played, disturbed);
    let settled = histories.iter().zip(played).map(|(history, instances)| settle(history, instances));
    let mut tally = Tally::default();
    for one in join_all(settled).await {
        let one = one.map_err(|wrong| format!("seed {seed}: {wrong}"))?;
        tally.replays += one.replays;
        tally.takeovers += one.takeovers;
    }
    Ok(tally)
}

/// An instance of an app. Its runtime ends with it, and whatever was in the midst of anything there.
struct Instance<S> {
    runtime: Option<Runtime>,
    service: BoxCloneSyncService<Order, u32, Failure>,
    far: Far<S>,
    idempotency: Idempotency,
}

impl<S: Store + Clone> Instance<S> {
    async fn start<C: Future<Output = S> + Send + 'static>(history: &History, connect: &impl Fn() -> C) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let far = Far::to(runtime.spawn(connect()).await.expect("it connects"));
        let layer = layer(far.clone(), config(UNIT));
        let idempotency = layer.idempotency();
        let service = BoxCloneSyncService::new(layer.layer(history.service()));
        Self { runtime: Some(runtime), service, far, idempotency }
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is there until it is dropped")
    }

    async fn order(&self, order: Order) -> Result<u32, Failure> {
        let call = self.service.clone().call(order);
        self.runtime().spawn(call).await.unwrap_or(Err(Error::Inner("it panicked")))
    }
}

impl<S> Drop for Instance<S> {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

async fn play<S, C>(history: &History, calls: u32, connect: &impl Fn() -> C) -> Vec<Instance<S>>
where
    S: Store + Clone,
    C: Future<Output = S> + Send + 'static,
{
    let mut instances = join_all((0..INSTANCES).map(|_| Instance::start(history, connect))).await;
    let (mut clients, mut cuts) = (Vec::new(), Vec::new());
    for call in 0..calls {
        let instance = &mut instances[history.roll(0..INSTANCES) as usize];
        let order = history.order(call);
        let call = instance.service.call(order.clone());
        clients.push(instance.runtime().spawn(history.client(&order, call, || ())));
        if history.one_in(20) {
            cuts.push(tokio::spawn(history.cut_off(&instance.far)));
        }
        if history.one_in(20) && instance.idempotency.running() > 0 {
            *instance = Instance::start(history, connect).await;
        }
        history.pause(0..400).await;
    }
    // One whose instance crashed has no answer, nor has one that panicked.
    drop(join_all(clients).await);
    drop(join_all(cuts).await);
    instances
}

/// When all that was left has come to its end, everybody is told what came of it.
async fn settle<S: Store + Clone>(history: &History, instances: Vec<Instance<S>>) -> Result<Tally, String> {
    let all_ended = async {
        while instances.iter().any(|instance| instance.idempotency.running() > 0) {
            sleep(100 * UNIT).await;
        }
    };
    timeout(PATIENCE, all_ended).await.map_err(|_| "something is left running".to_owned())?;
    let one = &instances[0];
    let settled = history.is_settled(async |order| {
        loop {
            match one.order(order.clone()).await {
                Ok(answer) => return Some(answer),
                Err(refused) if may_be_told_later(&refused) => sleep(100 * UNIT).await,
                Err(_) => return None,
            }
        }
    });
    timeout(PATIENCE, settled).await.map_err(|_| "nobody is ever told what came of an order".to_owned())??;
    history.judge()
}

/// A lease of an instance that crashed is not over, or the engine is slow.
fn may_be_told_later(refused: &Failure) -> bool {
    let Error::Rejected(Rejection::Idempotency(refused)) = refused else {
        return false;
    };
    matches!(refused.reason(), RefusalReason::Running | RefusalReason::StoreUnavailable | RefusalReason::Interrupted)
}
