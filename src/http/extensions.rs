use http::{Request, Response};

use crate::clock::Moment;
use crate::deadline::{Deadline, DeadlineOf, ExportDeadline};
use crate::outcome::{Degraded, MarkDegraded};

/// Keeps what layers tell each other in the extensions of requests and responses, which never leave the process.
///
/// A request's deadline is the [`Deadline`] in its extensions or, where there is none, the one whose
/// [`scope`](Deadline::scope) the call is made in. A response that is a substitute carries [`Degraded`].
#[derive(Clone, Copy, Debug, Default)]
pub struct InExtensions;

impl<B> DeadlineOf<Request<B>> for InExtensions {
    fn deadline_of(&self, request: &Request<B>) -> Option<Deadline> {
        request.extensions().get().copied().or_else(Deadline::current)
    }
}

impl<B> ExportDeadline<Request<B>> for InExtensions {
    fn export(&self, request: &mut Request<B>, deadline: Deadline, _: Moment) {
        request.extensions_mut().insert(deadline);
    }
}

impl<B> MarkDegraded<Response<B>> for InExtensions {
    fn mark(&self, response: &mut Response<B>, degraded: Degraded) {
        response.extensions_mut().insert(degraded);
    }
}
