//! What a layer is called in events, refusals and marks.

use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// What a layer is called wherever it reports something: events, [`Rejection`](crate::Rejection)s,
/// [`Degraded`](crate::Degraded) answers.
///
/// It is one word and `Copy`, so that a future, a refusal and every error that holds one cost little to move and nothing to
/// drop. Its text is therefore kept for as long as the process runs, once however often it is made: name layers, not
/// requests. (Where keys of requests have names, as with a circuit breaker by key, that ends after a mebibyte of them, and
/// the rest are called by the name of all.) To make one is to look for it under a lock, which a call need not do.
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

    /// The one of this text, in which requests have a part; none if as much has been kept of such as may.
    pub(crate) fn of_key(text: &str) -> Option<Self> {
        all().of_key(text)
    }
}

/// The texts of all names that were not written as names.
#[derive(Default)]
struct Names {
    by_text: HashMap<&'static str, Kept>,
    bytes_of_keys: usize,
}

/// Requests have as many keys as whoever sends them likes.
const MOST_BYTES_OF_KEYS: usize = 1 << 20;

fn all() -> MutexGuard<'static, Names> {
    static ALL: LazyLock<Mutex<Names>> = LazyLock::new(Mutex::default);
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Names {
    /// The one of this text, which is kept by `keep` if there is none yet.
    fn of<T: AsRef<str>>(&mut self, text: T, keep: impl FnOnce(T) -> &'static str) -> Name {
        if let Some(known) = self.by_text.get(text.as_ref()) {
            return Name(known);
        }
        let text = keep(text);
        Name(self.by_text.entry(text).or_insert(Box::leak(Box::new(text))))
    }

    fn of_key(&mut self, text: &str) -> Option<Name> {
        if !self.by_text.contains_key(text) {
            let bytes = self.bytes_of_keys.saturating_add(text.len());
            if bytes > MOST_BYTES_OF_KEYS {
                return None;
            }
            self.bytes_of_keys = bytes;
        }
        Some(self.of(text, |text| Box::leak(Box::from(text))))
    }
}

impl From<&'static str> for Name {
    fn from(name: &'static str) -> Self {
        all().of(name, |name| name)
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        all().of(name, |name| Box::leak(name.into_boxed_str()))
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

    #[test]
    fn what_is_kept_of_keys_is_bounded() {
        let mut names = Names::default();
        let text = |number| format!("{number:01024}");
        for number in 0..1024 {
            assert_eq!(names.of_key(&text(number)).expect("there is room").as_str(), text(number));
        }
        assert!(names.of_key("one more").is_none());
        assert!(names.of_key(&text(7)).is_some(), "it is kept already");
        assert_eq!(names.of(String::from("one more"), |name| Box::leak(name.into_boxed_str())).as_str(), "one more");
        assert!(names.of_key("one more").is_some(), "a layer is called so as well");
    }
}
