//! What a layer is called in events, refusals and marks.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// What a layer is called wherever it reports something: events, [`Rejection`](crate::Rejection)s,
/// [`Degraded`](crate::Degraded) answers.
///
/// It is one word and `Copy`, so that a future, a refusal and every error that holds one cost little to move and nothing to
/// drop. Its text is therefore kept for as long as the process runs, once however often it is made: name layers, not
/// requests.
///
/// ```
/// use buttress::Name;
///
/// let fixed = Name::from("payments");
/// let read = Name::from(String::from("payments"));
/// assert_eq!(fixed, read);
/// assert_eq!(fixed.as_str(), "payments");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(from = "String"))]
pub struct Name(Kept);

/// Has a name of its own, or serde's derive would see a lifetime here and borrow for as long.
type Kept = &'static &'static str;

impl Name {
    pub(crate) const fn fixed(name: Kept) -> Self {
        Self(name)
    }

    /// The name as text.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        self.0
    }

    /// The one of this text, which is kept by `keep` if there is none yet.
    fn of<T: AsRef<str>>(text: T, keep: impl FnOnce(T) -> &'static str) -> Self {
        static KEPT: Mutex<Option<HashMap<&'static str, Kept>>> = Mutex::new(None);
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.get_or_insert_default();
        if let Some(known) = kept.get(text.as_ref()) {
            return Self(known);
        }
        let text = keep(text);
        Self(kept.entry(text).or_insert(Box::leak(Box::new(text))))
    }
}

impl From<&'static str> for Name {
    fn from(name: &'static str) -> Self {
        Self::of(name, |name| name)
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        Self::of(name, |name| Box::leak(name.into_boxed_str()))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_takes_one_word() {
        assert_eq!(size_of::<Name>(), size_of::<usize>());
    }

    #[test]
    fn a_text_is_kept_once_however_often_it_is_read() {
        let read = || Name::from(String::from("orders of a shop"));
        assert!(std::ptr::eq(read().0, read().0));
        assert!(std::ptr::eq(read().0, Name::from("orders of a shop").0));
        assert_ne!(read(), Name::from(String::from("payments")));
        assert_eq!(Name::fixed(&"payments"), Name::from("payments"), "by its text, not by where it is");
    }
}
