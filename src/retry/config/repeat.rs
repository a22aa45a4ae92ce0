use std::sync::Arc;

use crate::attempt::Attempt;

/// Says which requests may be sent more than once.
///
/// Ready-made are [`AnyRequest`] (the default) and, for HTTP,
/// [`http::IdempotentRequests`](crate::http::IdempotentRequests). A closure `Fn(&Req) -> bool` serves too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whether a `{Req}` may be sent again",
    note = "a closure `|request: &{Req}| -> bool` does; `http::IdempotentRequests`, which the HTTP presets choose, needs an `http::Request`"
)]
pub trait MayRepeat<Req> {
    /// Whether `request` may be sent again after it was sent, and perhaps acted upon.
    fn may_repeat(&self, request: &Req) -> bool;

    /// Which try of somebody else `request` is a part of: by default that of the [scope](Attempt::scope) that the call is
    /// made in. What is itself a retry is not multiplied by more of them.
    fn attempt_of(&self, request: &Req) -> Attempt {
        let _ = request;
        Attempt::current().unwrap_or(Attempt::FIRST)
    }
}

/// Every request may: whoever wraps a service that knows nothing of HTTP knows that it is safe to ask twice.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyRequest;

impl<Req> MayRepeat<Req> for AnyRequest {
    #[inline]
    fn may_repeat(&self, _: &Req) -> bool {
        true
    }
}

#[diagnostic::do_not_recommend]
impl<F, Req> MayRepeat<Req> for F
where
    F: Fn(&Req) -> bool,
{
    #[inline]
    fn may_repeat(&self, request: &Req) -> bool {
        self(request)
    }
}

impl<M, Req> MayRepeat<Req> for Arc<M>
where
    M: MayRepeat<Req> + ?Sized,
{
    fn may_repeat(&self, request: &Req) -> bool {
        (**self).may_repeat(request)
    }

    fn attempt_of(&self, request: &Req) -> Attempt {
        (**self).attempt_of(request)
    }
}
