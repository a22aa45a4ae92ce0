//! How often numbers are in a record, such as the shop's book and the provider's ledger.

use std::collections::HashMap;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entries {
    /// How many different numbers there are,
    pub(crate) numbers: usize,
    /// how many of them more than once,
    pub(crate) twice: usize,
    /// and how many are not there that are to be.
    pub(crate) missing: usize,
}

impl Entries {
    pub(crate) fn of(record: &[String], known: impl Iterator<Item = usize>) -> Self {
        let mut times = HashMap::<_, usize>::new();
        for number in record {
            *times.entry(number.as_str()).or_default() += 1;
        }
        Self {
            numbers: times.len(),
            twice: times.values().filter(|times| **times > 1).count(),
            missing: known.filter(|number| !times.contains_key(number.to_string().as_str())).count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_counts_once_however_often_it_is_there() {
        let record = ["7", "8", "7", "7"].map(String::from);
        assert_eq!(Entries::of(&record, [7, 9].into_iter()), Entries { numbers: 2, twice: 1, missing: 1 });
        assert_eq!(Entries::of(&[], [].into_iter()), Entries::default());
    }
}
