//! What a layer is called in events, refusals and marks.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// What a layer is called wherever it reports something: events, [`Rejection`](crate::Rejection)s,
/// [`Degraded`](crate::Degraded) answers.
///
/// It is `Copy`, so that a future, a refusal and every error that holds one cost nothing to move and nothing to drop. A
/// `String`, as read from a file, is therefore kept for as long as the process runs, once for each text: name layers with
/// it, not requests.
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
pub struct Name(Text);

/// Has a name of its own, or serde's derive would see a lifetime here and borrow for as long.
type Text = &'static str;

impl Name {
    pub(crate) const fn fixed(name: &'static str) -> Self {
        Self(name)
    }

    /// The name as text.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        self.0
    }
}

impl From<&'static str> for Name {
    fn from(name: &'static str) -> Self {
        Self::fixed(name)
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        static KEPT: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.get_or_insert_default();
        let known = kept.get(&*name).copied();
        Self(known.unwrap_or_else(|| {
            let name: &'static str = Box::leak(name.into_boxed_str());
            kept.insert(name);
            name
        }))
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
    fn a_name_takes_two_words() {
        assert_eq!(size_of::<Name>(), 2 * size_of::<usize>());
    }

    #[test]
    fn a_text_is_kept_once_however_often_it_is_read() {
        let read = || Name::from(String::from("orders of a shop")).as_str();
        assert!(std::ptr::eq(read(), read()));
        assert_ne!(read(), Name::from(String::from("payments")).as_str());
    }
}
