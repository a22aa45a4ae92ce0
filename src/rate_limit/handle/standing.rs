use std::sync::Arc;

use super::Snapshot;
use super::Taking;
use super::member::{Member, Members};
use crate::clock::Moment;
use crate::name::Name;

/// How a limiter stands after a call, for the caller to be told.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The limiter.
    pub name: Name,
    /// Its bucket, or that of the call's key.
    pub bucket: Snapshot,
}

pub(super) fn standings(members: &[Member], now: Moment) -> Arc<[Standing]> {
    members.iter().map(|member| Standing { name: *member.name(), bucket: member.snapshot(now) }).collect()
}

impl Members {
    pub(in super::super) fn standings(&self, now: Moment) -> Arc<[Standing]> {
        standings(self.each(), now)
    }
}

impl Taking {
    /// Of what it was counted in, once it is finished.
    pub(in super::super) fn standings(&self) -> Arc<[Standing]> {
        standings(self.members(), Moment::now())
    }
}

/// Tells the caller how the limiters stand, with every answer.
///
/// Ready-made are [`NotAnnounced`] (the default) and, for HTTP,
/// [`http::RateLimitHeaders`](crate::http::RateLimitHeaders). A closure `Fn(&mut Res, &[Standing])` serves too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot write into a `{Res}` how a rate limiter stands",
    note = "a closure `|response: &mut {Res}, standings: &[Standing]| ..` can"
)]
pub trait Announce<Res> {
    /// Whether anything is told; `false` saves looking.
    const ANNOUNCES: bool = true;

    /// Writes into `response` how the limiters stand that the call was counted in.
    fn announce(&self, response: &mut Res, standings: &[Standing]);
}

#[diagnostic::do_not_recommend]
impl<F, Res> Announce<Res> for F
where
    F: Fn(&mut Res, &[Standing]),
{
    fn announce(&self, response: &mut Res, standings: &[Standing]) {
        self(response, standings);
    }
}

impl<A, Res> Announce<Res> for Arc<A>
where
    A: Announce<Res> + ?Sized,
{
    const ANNOUNCES: bool = true;

    fn announce(&self, response: &mut Res, standings: &[Standing]) {
        (**self).announce(response, standings);
    }
}

/// Tells nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NotAnnounced;

impl<Res> Announce<Res> for NotAnnounced {
    const ANNOUNCES: bool = false;

    fn announce(&self, _: &mut Res, _: &[Standing]) {}
}
