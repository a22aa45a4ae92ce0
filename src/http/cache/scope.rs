/// Whom a remembered response is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Whoever asks.
    Everybodys,
    /// Those who are called so.
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
    /// Whether requests are told apart by who sent them.
    const IS_SAID: bool;

    /// Whom the response to `request` is for.
    fn scope_of(&self, request: &Req) -> Whose;
}

/// Every response is for everybody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everybody;

impl<Req> CacheScope<Req> for Everybody {
    const IS_SAID: bool = false;

    fn scope_of(&self, _: &Req) -> Whose {
        Whose::Everybodys
    }
}

#[diagnostic::do_not_recommend]
impl<F, Req> CacheScope<Req> for F
where
    F: Fn(&Req) -> Option<String>,
{
    const IS_SAID: bool = true;

    fn scope_of(&self, request: &Req) -> Whose {
        self(request).map_or(Whose::Nobodys, Whose::Of)
    }
}
