//! Which requests belong together.

use std::sync::Arc;

/// What a request is counted under: a client, a tenant, a host, an order number.
///
/// `None` says the request has no key; each layer that asks says what it then does. A closure
/// `Fn(&Req) -> Option<K>` serves.
///
/// ```
/// use buttress::KeyOf;
///
/// struct Job {
///     tenant: Option<u32>,
/// }
/// let tenant = |job: &Job| job.tenant;
/// assert_eq!(tenant.key_of(&Job { tenant: Some(7) }), Some(7));
/// assert_eq!(tenant.key_of(&Job { tenant: None }), None);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which key a `{Req}` belongs to",
    note = "a closure `|request: &{Req}| -> Option<Key>` does"
)]
pub trait KeyOf<Req> {
    /// The key; small keys are cheap keys.
    type Key;

    /// The key of `request`, if it has one.
    fn key_of(&self, request: &Req) -> Option<Self::Key>;
}

#[diagnostic::do_not_recommend]
impl<F, Req, K> KeyOf<Req> for F
where
    F: Fn(&Req) -> Option<K>,
{
    type Key = K;

    fn key_of(&self, request: &Req) -> Option<K> {
        self(request)
    }
}

impl<T, Req> KeyOf<Req> for Arc<T>
where
    T: KeyOf<Req> + ?Sized,
{
    type Key = T::Key;

    fn key_of(&self, request: &Req) -> Option<T::Key> {
        (**self).key_of(request)
    }
}
