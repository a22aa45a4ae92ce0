//! Where a layer's future is put together.

use tower::Service;

/// A request of up to a cache line can be kept in registers, once all that it goes through is inlined, and so can its answer
/// and its future.
const SMALL: usize = 64;

/// A layer's service, with what its `call` does.
pub(crate) trait MakeCall<Req>: Service<Req> {
    /// Inlined in any case; [`call`] decides into what.
    fn make_call(&mut self, request: Req) -> Self::Future;
}

/// Makes a call in such a way that its future is moved no more than it need be.
///
/// Those of small requests are put together in registers. One that is large, as are those of HTTP, is in memory: a function
/// of its own writes it straight to where its caller wants it, whereas one that is inlined writes it to the side and then
/// moves it as a whole, since there is more than one way for a call to go.
#[inline(always)]
pub(crate) fn call<S: MakeCall<Req>, Req>(service: &mut S, request: Req) -> S::Future {
    if const { size_of::<Req>() <= SMALL } { service.make_call(request) } else { call_apart(service, request) }
}

#[inline(never)]
fn call_apart<S: MakeCall<Req>, Req>(service: &mut S, request: Req) -> S::Future {
    service.make_call(request)
}
