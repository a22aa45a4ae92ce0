use std::sync::Arc;

/// Makes of one request as many as are sent.
///
/// Ready-made are [`Cloned`] (the default) and, for HTTP bodies that cannot be cloned,
/// [`http::ReplayBodies`](crate::http::ReplayBodies). A closure `Fn(&Req) -> Option<Req>` serves too, such as
/// `reqwest::Request::try_clone`; where it makes none, the request is sent once.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot send a `{Req}` again",
    label = "this retry has no way to repeat the request",
    note = "a request that is `Clone` needs nothing; a closure `|request: &{Req}| -> Option<{Req}>` can say how to copy it",
    note = "for an `http::Request` with a body that streams, choose `.replay(buttress::http::ReplayBodies::new())`; the service is then given a `ReplayBody<B>`, or what `.into_body(..)` makes of it: `axum::body::Body::new`, `reqwest::Body::wrap`"
)]
pub trait Replay<Req> {
    /// What the wrapped service is given.
    type Request;

    /// What is kept while an attempt is under way.
    type Kept;

    /// What of the kept request there is to decide by.
    type Head;

    /// The request as the wrapped service takes it, of which nothing is kept: it is not to be sent again.
    fn once(&self, request: Req) -> Self::Request;

    /// The request as the wrapped service takes it, and what is kept to make another. `None` if that cannot be; then
    /// it is sent once, and nothing was copied.
    fn split(&self, request: Req) -> (Self::Request, Option<Self::Kept>);

    /// What there is to decide by.
    fn head<'kept>(&self, kept: &'kept Self::Kept) -> &'kept Self::Head;

    /// The last attempt is over for us, and there shall be another. From now on it is sent nothing more, and cannot end as
    /// if it were whole. `false` if what was kept is not enough to begin again.
    ///
    /// It is asked when a retry is decided, before the wait.
    fn seal(&self, kept: &mut Self::Kept) -> bool;

    /// The request once more; it was sealed.
    fn again(&self, kept: &mut Self::Kept) -> Self::Request;

    /// The same for the last time, so that nothing need be copied any more.
    fn last(&self, mut kept: Self::Kept) -> Self::Request {
        self.again(&mut kept)
    }
}

/// Clones the request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cloned;

#[diagnostic::do_not_recommend]
impl<Req: Clone> Replay<Req> for Cloned {
    type Request = Req;
    type Kept = Req;
    type Head = Req;

    fn once(&self, request: Req) -> Req {
        request
    }

    fn split(&self, request: Req) -> (Req, Option<Req>) {
        let kept = request.clone();
        (request, Some(kept))
    }

    fn head<'kept>(&self, kept: &'kept Req) -> &'kept Req {
        kept
    }

    fn seal(&self, _: &mut Req) -> bool {
        true
    }

    fn again(&self, kept: &mut Req) -> Req {
        kept.clone()
    }

    fn last(&self, kept: Req) -> Req {
        kept
    }
}

/// A request and the copy that is sent next.
#[derive(Debug)]
pub struct Copied<Req> {
    original: Req,
    next: Option<Req>,
}

#[diagnostic::do_not_recommend]
impl<F, Req> Replay<Req> for F
where
    F: Fn(&Req) -> Option<Req>,
{
    type Request = Req;
    type Kept = Copied<Req>;
    type Head = Req;

    fn once(&self, request: Req) -> Req {
        request
    }

    fn split(&self, request: Req) -> (Req, Option<Copied<Req>>) {
        let kept = self(&request).map(|original| Copied { original, next: None });
        (request, kept)
    }

    fn head<'kept>(&self, kept: &'kept Copied<Req>) -> &'kept Req {
        &kept.original
    }

    fn seal(&self, kept: &mut Copied<Req>) -> bool {
        kept.next = self(&kept.original);
        kept.next.is_some()
    }

    fn again(&self, kept: &mut Copied<Req>) -> Req {
        kept.next.take().expect("a request is sent again only after it was sealed")
    }
}

impl<P, Req> Replay<Req> for Arc<P>
where
    P: Replay<Req> + ?Sized,
{
    type Request = P::Request;
    type Kept = P::Kept;
    type Head = P::Head;

    fn once(&self, request: Req) -> P::Request {
        (**self).once(request)
    }

    fn split(&self, request: Req) -> (P::Request, Option<P::Kept>) {
        (**self).split(request)
    }

    fn head<'kept>(&self, kept: &'kept P::Kept) -> &'kept P::Head {
        (**self).head(kept)
    }

    fn seal(&self, kept: &mut P::Kept) -> bool {
        (**self).seal(kept)
    }

    fn again(&self, kept: &mut P::Kept) -> P::Request {
        (**self).again(kept)
    }

    fn last(&self, kept: P::Kept) -> P::Request {
        (**self).last(kept)
    }
}
