use std::sync::Arc;

/// Says of which errors it is certain that the request was never sent.
///
/// Such a request may be sent again whatever it is, a payment too. Ready-made is [`NotKnown`] (the default); a closure
/// `Fn(&E) -> bool` serves too, such as `|error: &Error<_>| matches!(error, Error::Inner(error) if error.is_connect())`
/// over hyper-util's client. A refusal by a layer of this crate further in is such an error as well, as long as nothing
/// between acts before it is refused; `error.rejection().is_some_and(..)` finds it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say of which `{E}` the request was never sent",
    note = "a closure `|error: &{E}| -> bool` does"
)]
pub trait NeverSent<E> {
    /// Whether it can be known at all. `false` saves the copy of a request that may not be
    /// [repeated](crate::retry::MayRepeat).
    const CAN_TELL: bool = true;

    /// Whether `error` means that the request was never sent.
    fn never_sent(&self, error: &E) -> bool;
}

/// It is not known of any error.
#[derive(Clone, Copy, Debug, Default)]
pub struct NotKnown;

impl<E> NeverSent<E> for NotKnown {
    const CAN_TELL: bool = false;

    fn never_sent(&self, _: &E) -> bool {
        false
    }
}

#[diagnostic::do_not_recommend]
impl<F, E> NeverSent<E> for F
where
    F: Fn(&E) -> bool,
{
    fn never_sent(&self, error: &E) -> bool {
        self(error)
    }
}

impl<N, E> NeverSent<E> for Arc<N>
where
    N: NeverSent<E> + ?Sized,
{
    const CAN_TELL: bool = true;

    fn never_sent(&self, error: &E) -> bool {
        (**self).never_sent(error)
    }
}
