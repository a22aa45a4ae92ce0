use crate::clock::Moment;

/// The places of a half-open circuit, and who has them.
#[derive(Debug, Default)]
pub(super) struct Probes {
    in_flight: Vec<Probe>,
    next_ticket: u32,
    pub(super) successes: u32,
    pub(super) failures: u32,
}

#[derive(Debug)]
struct Probe {
    ticket: u32,
    /// Whether the service is being waited for, so that silence says something about it. A place that is merely reserved
    /// says nothing, and neither does a probe from before the settings changed.
    is_asking: bool,
    lease_ends: Moment,
}

impl Probes {
    pub(super) fn with_places(places: usize) -> Self {
        Self { in_flight: Vec::with_capacity(places), ..Self::default() }
    }

    pub(super) fn start_over(&mut self) {
        self.in_flight.clear();
        (self.successes, self.failures) = (0, 0);
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Takes a place, if one of so many is free.
    pub(super) fn take_place(&mut self, places: usize, lease_ends: Moment) -> Option<u32> {
        if self.in_flight.len() >= places {
            return None;
        }
        let ticket = self.next_ticket;
        self.next_ticket = ticket.wrapping_add(1);
        self.in_flight.push(Probe { ticket, is_asking: true, lease_ends });
        Some(ticket)
    }

    pub(super) fn holds(&self, ticket: u32) -> bool {
        self.in_flight.iter().any(|probe| probe.ticket == ticket)
    }

    /// Whether any is within its lease.
    pub(super) fn has_any(&self, now: Moment) -> bool {
        self.in_flight.iter().any(|probe| now < probe.lease_ends)
    }

    /// Merely holds the place from now on, for what is left of the lease.
    pub(super) fn rest(&mut self, ticket: u32) {
        if let Some(probe) = self.in_flight.iter_mut().find(|probe| probe.ticket == ticket) {
            probe.is_asking = false;
        }
    }

    /// Asks something of the service, with a lease of its own. `false` for a place that is not held any more.
    pub(super) fn call(&mut self, ticket: u32, lease_ends: Moment) -> bool {
        let Some(probe) = self.in_flight.iter_mut().find(|probe| probe.ticket == ticket) else {
            return false;
        };
        (probe.is_asking, probe.lease_ends) = (true, lease_ends);
        true
    }

    /// From now on the silence of those who have a place says nothing.
    pub(super) fn disregard(&mut self) {
        self.in_flight.iter_mut().for_each(|probe| probe.is_asking = false);
    }

    /// Gives a place back; returns when its lease ends, or ended. `None` for one that is not held any more.
    pub(super) fn give_back(&mut self, ticket: u32) -> Option<Moment> {
        let at = self.in_flight.iter().position(|probe| probe.ticket == ticket)?;
        Some(self.in_flight.swap_remove(at).lease_ends)
    }

    /// Takes back the places whose lease is over, and returns how many of them were asking.
    pub(super) fn expire(&mut self, now: Moment) -> u32 {
        let mut asking = 0;
        self.in_flight.retain(|probe| {
            let is_over = now >= probe.lease_ends;
            asking += u32::from(is_over && probe.is_asking);
            !is_over
        });
        asking
    }
}
