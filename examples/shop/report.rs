//! What a run looks like: a line while it lasts, a table after it, and JSON for programs.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use buttress::circuit_breaker::TripReason;
use clap::ValueEnum;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::figures::{Entries, Figures, Left, Reads, Repeats, Rush, Tally};
use crate::judge::Verdict;
use crate::layers::{Layer, Without};
use crate::orders::{BURST, RATE};
use crate::record::{Crash, Log, Switch};
use crate::script::{Act, Phase, Script};
use crate::store::Records;

/// A line on the terminal that says what is happening, until it is dropped.
pub(crate) struct Progress(JoinHandle<()>);

impl Progress {
    pub(crate) fn show(log: Log, acts: &'static [Act]) -> Self {
        let in_place = io::stderr().is_terminal();
        let every = if in_place { Duration::from_millis(100) } else { Duration::from_secs(1) };
        Self(tokio::spawn(async move {
            loop {
                sleep(every).await;
                let line = line(&log, acts);
                if in_place {
                    eprint!("\r\x1b[2K{line}");
                    // Without the line the run is the same.
                    let _ = io::stderr().flush();
                } else {
                    eprintln!("{line}");
                }
            }
        }))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.abort();
        if io::stderr().is_terminal() {
            eprint!("\r\x1b[2K");
        }
    }
}

fn line(log: &Log, acts: &[Act]) -> String {
    let time = log.now().as_secs_f64();
    let orders = log.orders();
    let act = orders.last().map_or(0, |order| order.act);
    let Tally { paid, pay_later, limited, failed, .. } = Tally::of(orders.iter().filter(|order| order.act == act));
    let waiting = orders.iter().filter(|order| order.answers().last().flatten().is_none()).count();
    format!(
        "{time:5.1} s  {:<8}  paid {paid:>5}  pay-later {pay_later:>5}  limited {limited:>5}  failed {failed:>5}  \
         waiting {waiting:>4}",
        acts[act].phase.name(),
    )
}

/// Prints what became of the orders of each phase and what was shown of products, then what the breaker did and who crashed, and
/// then what became of the promises.
pub(crate) fn print(verdict: &Verdict) {
    print_orders(verdict);
    print_repeats(&verdict.phases);
    print_reads(&verdict.phases);
    print_switches(&verdict.phases);
    if verdict.crashes.is_none() {
        print_rushes(&verdict.phases);
    }
    print_crashes(verdict);
    println!("\npromises, and which layer keeps each:");
    for promise in &verdict.promises {
        let held = if promise.held { "held" } else { "BROKEN" };
        println!("{held:<8}{:<36}{}  ({})", promise.name, promise.figure, promise.layer);
    }
    if let Some(reason) = &verdict.void {
        println!("VOID    the machine was too busy: {reason}");
    }
}

fn print_orders(verdict: &Verdict) {
    // Who crashes does not tell what it did.
    let knows_calls = verdict.crashes.is_none();
    print!(
        "{:<9}{:>9}{:>9}{:>7}{:>11}{:>9}{:>9}{:>8}{:>10}{:>10}",
        "phase", "offered", "answered", "paid", "pay-later", "limited", "hung-up", "failed", "p50 ms", "p99 ms",
    );
    if knows_calls {
        print!("  {:>7}{:>7}{:>9}", "calls", "503", "no-conn");
    }
    println!();
    for figures in &verdict.phases {
        let Figures { played, orders, calls, .. } = figures;
        print!(
            "{:<9}{:>9}{:>9}{:>7}{:>11}{:>9}{:>9}{:>8}{:>10}{:>10}",
            played.act.phase.name(),
            orders.offered,
            orders.answered(),
            orders.paid,
            orders.pay_later,
            orders.limited,
            orders.hung_up,
            orders.failed,
            in_a_column(figures.p50),
            in_a_column(figures.p99),
        );
        if knows_calls {
            print!("  {:>7}{:>7}{:>9}", calls.made, calls.unavailable, calls.refused);
        }
        println!();
    }
    if knows_calls {
        println!(
            "calls: tries that set out for the provider; 503 and no-conn: those it failed, and that found nobody there"
        );
    }
}

fn print_repeats(phases: &[Figures]) {
    println!(
        "\n{:<9}{:>9}{:>11}{:>7}{:>14}{:>7}{:>9}  {:>7}{:>10}{:>9}{:>10}",
        "again",
        "sent",
        "in-flight",
        "later",
        "after hang-up",
        "told",
        "cut-off",
        "409",
        "replayed",
        "limited",
        "answered"
    );
    for Figures { played, repeats, .. } in phases {
        let Repeats { sent, in_flight, later, hung_up, told, cut_off, running, replayed, limited, answered } = repeats;
        println!(
            "{:<9}{sent:>9}{in_flight:>11}{later:>7}{hung_up:>14}{told:>7}{cut_off:>9}  {running:>7}{replayed:>10}\
             {limited:>9}{answered:>10}",
            played.act.phase.name(),
        );
    }
    println!(
        "again: orders of that phase that were sent once more, and why (told: to come back, by a 409 or the limit; \
         cut-off: nobody was there, or not any more);"
    );
    println!(
        "then what they were told: 409 (it is being run), the answer once more, the limit, or an answer of their own"
    );
}

fn print_reads(phases: &[Figures]) {
    println!(
        "\n{:<9}{:>9}{:>9}{:>9}{:>11}{:>9}{:>11}",
        "products", "read", "fresh", "stale", "mismarked", "failed", "oldest ms"
    );
    for Figures { played, reads, .. } in phases {
        let Reads { sent, fresh, stale, mismarked, oldest } = reads;
        println!(
            "{:<9}{sent:>9}{fresh:>9}{stale:>9}{mismarked:>11}{:>9}{:>11}",
            played.act.phase.name(),
            reads.failed(),
            in_a_column(*oldest),
        );
    }
    println!(
        "products: as the catalogue says (fresh), or from memory and marked so (stale); and how old the oldest was"
    );
}

fn print_switches(phases: &[Figures]) {
    let mut switches =
        phases.iter().flat_map(|phase| phase.switches.iter().map(|switch| (phase.played.act.phase, switch))).peekable();
    if switches.peek().is_some() {
        println!();
    }
    for (phase, Switch { at, from, to, reason }) in switches {
        let why = reason.map(|reason| format!(" after {reason}")).unwrap_or_default();
        println!("{:<9}{:>7.2} s  breaker {from} -> {to}{why}", phase.name(), at.as_secs_f64());
    }
}

fn print_rushes(phases: &[Figures]) {
    for Figures { rush, .. } in phases.iter().filter(|phase| phase.played.act.phase == Phase::Burst) {
        let Rush { offered, admitted, time, idle } = rush;
        println!(
            "\nburst    limit {RATE}/s, burst {BURST}: {offered} offered, {admitted} admitted, {} refused; rate x time = {} \
             in {:.1} ms, of which {:.1} idle",
            rush.refused(),
            rush.rate_by_time(),
            millis(*time),
            millis(*idle),
        );
    }
}

fn print_crashes(verdict: &Verdict) {
    if verdict.crashes.is_none() && verdict.left == Left::default() {
        return;
    }
    println!();
    for Crash { phase, at, open_again } in verdict.crashes.iter().flatten() {
        let gone = millis(open_again.saturating_sub(*at));
        println!(
            "{:<9}{:>7.2} s  the order service is killed, and open again after {gone:.1} ms",
            phase.name(),
            at.as_secs_f64()
        );
    }
    let Left { taken_over, entered, late, lost } = verdict.left;
    println!(
        "{taken_over} orders were taken over from runs of which nobody knew how far they came: {entered} were entered already, \
         {late} would have been entered late, {lost} never were"
    );
    if verdict.crashes.is_some() {
        println!(
            "how soon orders are answered, how many are paid, and what is shown is not judged: a service that is gone is gone"
        );
    }
}

fn in_a_column(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".into(), |time| format!("{:.1}", millis(time)))
}

/// The verdict as one object.
pub(crate) fn json(script: Script, store: &Records, without: &Without, verdict: &Verdict) -> Value {
    let names = |layers: &[Layer]| layers.iter().map(ToString::to_string).collect::<Vec<_>>();
    let layers: Vec<_> = Layer::value_variants()
        .iter()
        .map(|layer| json!({ "name": layer.to_string(), "hidden_by": names(layer.hidden_by()) }))
        .collect();
    let promises: Vec<_> = verdict
        .promises
        .iter()
        .map(|promise| {
            json!({
                "name": promise.name,
                "layer": promise.layer.to_string(),
                "held": promise.held,
                "figure": promise.figure,
            })
        })
        .collect();
    json!({
        "script": script.name(),
        "store": store.engine(),
        "layers": layers,
        "without": names(without.layers()),
        "void": verdict.void.is_some(),
        "void_because": verdict.void,
        "latest_wake_ms": millis(verdict.latest_wake),
        "crashes": verdict.crashes.iter().flatten().map(crash).collect::<Vec<_>>(),
        "left": {
            "taken_over": verdict.left.taken_over,
            "entered": verdict.left.entered,
            "late": verdict.left.late,
            "lost": verdict.left.lost,
        },
        "book": entries(&verdict.book),
        "ledger": entries(&verdict.ledger),
        "phases": verdict.phases.iter().map(phase).collect::<Vec<_>>(),
        "promises": promises,
    })
}

fn phase(figures: &Figures) -> Value {
    let Figures { played, orders, judged, repeats, reads, rush, p50, p99, calls, switches } = figures;
    let mut phase = json!({
        "name": played.act.phase.name(),
        "ms": millis(played.until - played.from),
        "missed": played.missed,
        "overslept": played.overslept.len(),
        "p50_ms": p50.map(millis),
        "p99_ms": p99.map(millis),
        "judged": tally(judged),
        "again": again(repeats),
        "reads": {
            "sent": reads.sent,
            "fresh": reads.fresh,
            "stale": reads.stale,
            "mismarked": reads.mismarked,
            "failed": reads.failed(),
            "oldest_ms": reads.oldest.map(millis),
        },
        "limit": {
            "offered": rush.offered,
            "admitted": rush.admitted,
            "refused": rush.refused(),
            "ms": millis(rush.time),
            "idle_ms": millis(rush.idle),
            "rate_by_time": u64::try_from(rush.rate_by_time()).unwrap_or(u64::MAX),
        },
        "provider_calls": {
            "made": calls.made,
            "answered": calls.answered,
            "unavailable": calls.unavailable,
            "refused": calls.refused,
            "broken": calls.broken,
            "given_up": calls.given_up,
        },
        "breaker": switches.iter().map(switch).collect::<Vec<_>>(),
    });
    if let (Value::Object(phase), Value::Object(orders)) = (&mut phase, tally(orders)) {
        phase.extend(orders);
    }
    phase
}

fn crash(crash: &Crash) -> Value {
    json!({
        "phase": crash.phase.name(),
        "at_ms": millis(crash.at),
        "open_again_ms": millis(crash.open_again),
    })
}

fn entries(entries: &Entries) -> Value {
    json!({
        "numbers": entries.numbers,
        "twice": entries.twice,
        "missing": entries.missing,
    })
}

fn switch(switch: &Switch) -> Value {
    json!({
        "at_ms": millis(switch.at),
        "from": switch.from.as_str(),
        "to": switch.to.as_str(),
        "reason": switch.reason.map(TripReason::as_str),
    })
}

fn tally(orders: &Tally) -> Value {
    json!({
        "offered": orders.offered,
        "answered": orders.answered(),
        "paid": orders.paid,
        "pay_later": orders.pay_later,
        "limited": orders.limited,
        "hung_up": orders.hung_up,
        "failed": orders.failed,
    })
}

fn again(repeats: &Repeats) -> Value {
    json!({
        "sent": repeats.sent,
        "in_flight": repeats.in_flight,
        "later": repeats.later,
        "after_hanging_up": repeats.hung_up,
        "told": repeats.told,
        "cut_off": repeats.cut_off,
        "running": repeats.running,
        "replayed": repeats.replayed,
        "limited": repeats.limited,
        "answered": repeats.answered,
    })
}

/// In milliseconds, to a tenth.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}
