/// Whom a remembered response is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Whoever asks.
    Everybodys,
    /// Whoever asks of the site that is called so, or in the way that is.
    EverybodysAt(String),
    /// Those who are called so. Only then may the request say who sent it, by `Authorization` or a `Cookie`.
    Of(String),
    /// Nobody can say.
    Nobodys,
}

/// Says whom a response is remembered for.
///
/// Without a word it is everybody, and a request that says who sent it has nothing to do with the memory. A closure
/// `Fn(&Req) -> Option<String>` says who.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whom the response to a `{Req}` is for",
    note = "a closure `|request: &{Req}| -> Option<String>` does"
)]
pub trait CacheScope<Req> {
    /// Whom the response to `request` is for.
    fn scope_of(&self, request: &Req) -> Whose;
}

/// Every response is for everybody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everybody;

impl<Req> CacheScope<Req> for Everybody {
    fn scope_of(&self, _: &Req) -> Whose {
        Whose::Everybodys
    }
}

#[diagnostic::do_not_recommend]
impl<F, Req> CacheScope<Req> for F
where
    F: Fn(&Req) -> Option<String>,
{
    fn scope_of(&self, request: &Req) -> Whose {
        self(request).map_or(Whose::Nobodys, Whose::Of)
    }
}

/// Every response is for everybody who asks of the same site; made by [`CachedResponses::site`](super::CachedResponses::site).
#[derive(Clone, Copy, Debug)]
pub struct Site<F>(pub(super) F);

impl<F, Req> CacheScope<Req> for Site<F>
where
    F: Fn(&Req) -> String,
{
    fn scope_of(&self, request: &Req) -> Whose {
        Whose::EverybodysAt((self.0)(request))
    }
}
