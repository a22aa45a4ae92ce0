use std::sync::Arc;

/// How many tokens a call takes.
///
/// Ready-made is [`OneEach`] (the default); a closure `Fn(&Req) -> u32` serves too. What costs nothing always passes; what
/// costs more than the burst never does.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how many tokens a `{Req}` takes",
    note = "a closure `|request: &{Req}| -> u32` does"
)]
pub trait CostOf<Req> {
    /// The tokens that `request` takes.
    fn cost_of(&self, request: &Req) -> u32;
}

#[diagnostic::do_not_recommend]
impl<F, Req> CostOf<Req> for F
where
    F: Fn(&Req) -> u32,
{
    #[inline]
    fn cost_of(&self, request: &Req) -> u32 {
        self(request)
    }
}

impl<C, Req> CostOf<Req> for Arc<C>
where
    C: CostOf<Req> + ?Sized,
{
    #[inline]
    fn cost_of(&self, request: &Req) -> u32 {
        (**self).cost_of(request)
    }
}

/// Every call takes one token.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneEach;

impl<Req> CostOf<Req> for OneEach {
    #[inline]
    fn cost_of(&self, _: &Req) -> u32 {
        1
    }
}
