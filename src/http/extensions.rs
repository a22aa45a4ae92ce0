use http::{Request, Response};

use crate::clock::{Moment, Now};
use crate::deadline::{self, Deadline, DeadlineOf, ExportDeadline};
use crate::idempotency::{HandTransaction, InTransaction};
use crate::outcome::{Degraded, MarkDegraded};
use crate::rejection::Rejection;

/// Keeps what layers tell each other in the extensions of requests and responses, which never leave the process.
///
/// A request's deadline is the [`Deadline`] in its extensions or the one whose [`scope`](Deadline::scope) the call is made
/// in, whichever is earlier. A response that is a substitute carries [`Degraded`], and no longer the
/// [`Rejection`] it may have been made from: it is not a refusal any more.
#[derive(Clone, Copy, Debug, Default)]
pub struct InExtensions;

impl<B> DeadlineOf<Request<B>> for InExtensions {
    fn deadline_of(&self, request: &Request<B>, _: &Now) -> Option<Deadline> {
        deadline::earlier(request.extensions().get().copied(), Deadline::current())
    }
}

impl<B> ExportDeadline<Request<B>> for InExtensions {
    fn export(&self, request: &mut Request<B>, deadline: Deadline, _: Moment) {
        request.extensions_mut().insert(deadline);
    }
}

impl<B, Tx: Send + 'static> HandTransaction<Request<B>, Tx> for InExtensions {
    fn hand(&self, request: &mut Request<B>, transaction: InTransaction<Tx>) {
        request.extensions_mut().insert(transaction);
    }
}

impl<B> MarkDegraded<Response<B>> for InExtensions {
    fn mark(&self, response: &mut Response<B>, degraded: Degraded) {
        let extensions = response.extensions_mut();
        extensions.remove::<Rejection>();
        extensions.insert(degraded);
    }
}
