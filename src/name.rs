//! What a layer is called in events, refusals and marks.

use std::fmt;
use std::sync::Arc;

/// What a layer is called wherever it reports something: events, [`Rejection`](crate::Rejection)s,
/// [`Degraded`](crate::Degraded) answers.
///
/// A `&'static str` costs nothing per call; a `String`, as read from a file, costs a reference count.
///
/// ```
/// use buttress::Name;
///
/// let fixed = Name::from("payments");
/// let read = Name::from(String::from("payments"));
/// assert_eq!(fixed, read);
/// assert_eq!(fixed.as_str(), "payments");
/// ```
#[derive(Clone)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(from = "String"))]
pub struct Name(Text);

/// Two words: every future and every refusal carries one.
#[derive(Clone)]
enum Text {
    Static(&'static str),
    Shared(Arc<Box<str>>),
}

impl Name {
    pub(crate) const fn fixed(name: &'static str) -> Self {
        Self(Text::Static(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Static(name) => name,
            Text::Shared(name) => name,
        }
    }
}

impl From<&'static str> for Name {
    fn from(name: &'static str) -> Self {
        Self::fixed(name)
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        Self(Text::Shared(Arc::new(name.into_boxed_str())))
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Name {}

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
}
