//! Where it is recorded which orders are run, and what came of them.
//!
//! Memory is always there. The other engines are each behind a feature of this crate, and a build without one says so.

#[cfg(not(all(feature = "postgres", feature = "redis", feature = "sqlite")))]
pub(crate) mod absent;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

use std::fmt;
use std::str::FromStr;

#[cfg(not(feature = "postgres"))]
pub(crate) use self::absent as postgres;
#[cfg(not(feature = "redis"))]
pub(crate) use self::absent as redis;
#[cfg(not(feature = "sqlite"))]
pub(crate) use self::absent as sqlite;

/// The store of a run, as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Records {
    Memory,
    /// In this file.
    Sqlite(String),
    /// In the database of this URL.
    Postgres(String),
    /// In the server of this URL.
    Redis(String),
}

impl Records {
    pub(crate) const fn engine(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
            Self::Redis(_) => "redis",
        }
    }

    const fn is_built_in(&self) -> bool {
        match self {
            Self::Memory => true,
            Self::Sqlite(_) => cfg!(feature = "sqlite"),
            Self::Postgres(_) => cfg!(feature = "postgres"),
            Self::Redis(_) => cfg!(feature = "redis"),
        }
    }
}

impl FromStr for Records {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (engine, place) = text.split_once(':').unwrap_or((text, ""));
        // One that begins as URLs do is a URL already.
        let url = if place.starts_with("//") { text } else { place };
        let records = match (engine, place.is_empty()) {
            ("memory", true) => Self::Memory,
            ("sqlite", false) => Self::Sqlite(place.into()),
            ("postgres", false) => Self::Postgres(url.into()),
            ("redis", false) => Self::Redis(url.into()),
            _ => return Err("there are memory, sqlite:FILE, postgres:URL and redis:URL".into()),
        };
        if !records.is_built_in() {
            return Err(format!(
                "this shop is built without it; `cargo run --release --features {engine} --example shop` is one with it"
            ));
        }
        Ok(records)
    }
}

impl fmt::Display for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str(self.engine()),
            Self::Sqlite(place) | Self::Postgres(place) | Self::Redis(place) => write!(f, "{}:{place}", self.engine()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_an_engine_and_a_place() {
        assert_eq!("memory".parse(), Ok(Records::Memory));
        for wrong in ["", "memory:7", "sqlite", "sqlite:", "redis", "postgres:", "paper:7"] {
            assert!(wrong.parse::<Records>().is_err_and(|said| said.starts_with("there are")), "{wrong}");
        }
    }

    #[test]
    fn an_engine_that_is_built_in_is_known_again_by_its_own_words_and_another_says_what_to_build_with() {
        for (text, records) in [
            ("sqlite:/tmp/records", Records::Sqlite("/tmp/records".into())),
            ("postgres:host=/tmp", Records::Postgres("host=/tmp".into())),
            ("postgres://shop@db/shop", Records::Postgres("postgres://shop@db/shop".into())),
            ("redis:redis+unix:///tmp/socket", Records::Redis("redis+unix:///tmp/socket".into())),
        ] {
            match text.parse::<Records>() {
                Ok(parsed) => {
                    assert!(parsed.is_built_in());
                    assert_eq!(parsed, records);
                    assert_eq!(parsed.to_string().parse(), Ok(records));
                }
                Err(said) => assert!(said.contains(&format!("--features {}", records.engine())), "{said}"),
            }
        }
    }
}
