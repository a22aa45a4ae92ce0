use tower::layer::util::Identity;
use tower::util::Either;

/// A layer that a configuration may leave out, or have another in its place; which costs a branch.
pub type Optional<L, Else = Identity> = Either<L, Else>;

pub(super) fn optional<L>(layer: Option<L>) -> Optional<L> {
    match layer {
        Some(layer) => Either::Left(layer),
        None => Either::Right(Identity::new()),
    }
}

/// Another layer in the place of this one, if it is there.
pub(super) fn changed<L, L2, Else>(layer: Optional<L, Else>, change: impl FnOnce(L) -> L2) -> Optional<L2, Else> {
    match layer {
        Either::Left(layer) => Either::Left(change(layer)),
        Either::Right(instead) => Either::Right(instead),
    }
}

pub(super) const fn present<L, Else>(layer: &Optional<L, Else>) -> Option<&L> {
    match layer {
        Either::Left(layer) => Some(layer),
        Either::Right(_) => None,
    }
}
