use std::fmt;
use std::sync::Arc;

use crate::name::Name;

/// What a breaker is called where its changes are told: by its name, or by a text of its own where names end.
#[derive(Clone)]
pub(super) enum Label {
    Name(Name),
    /// Of a key, when as many keys have had names as may.
    Text(Arc<str>),
}

impl Label {
    /// Of a key, and the name that it has in refusals: one of its own, or that of all keys.
    pub(super) fn of_key(text: String, of_all: Name) -> (Self, Name) {
        match Name::of_key(&text) {
            Some(name) => (Self::Name(name), name),
            None => (Self::Text(text.into()), of_all),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_name_while_there_are_some_left_and_a_label_always() {
        let of_all = Name::from("payments");
        let (label, name) = Label::of_key("payments[7]".into(), of_all);
        assert_eq!((label.to_string().as_str(), name.as_str()), ("payments[7]", "payments[7]"));
        let long = "x".repeat(2 << 20);
        let (label, name) = Label::of_key(long.clone(), of_all);
        assert_eq!(name, of_all, "there is no room for such a name");
        assert_eq!(label.to_string(), long);
    }
}
