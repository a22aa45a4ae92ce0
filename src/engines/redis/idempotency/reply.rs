//! What a script says, and what a server says instead.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::{ErrorKind, RedisError, RedisResult, Value};

use crate::idempotency::{Acquired, Begin, Commit, StoreError};
use crate::rejection::BoxError;

/// A word, and what belongs to it.
#[derive(Debug)]
pub(super) struct Reply(Vec<Vec<u8>>);

impl Reply {
    pub(super) fn of(answer: RedisResult<Value>) -> Result<Self, StoreError> {
        let answer = answer.and_then(Value::extract_error).map_err(error)?;
        let Value::Array(words) = answer else {
            return Err(in_doubt(format!("a script answers {answer:?}")));
        };
        let words = words.into_iter().map(|word| match word {
            Value::BulkString(word) => Ok(word),
            other => Err(in_doubt(format!("a script answers with {other:?}"))),
        });
        Ok(Self(words.collect::<Result<_, _>>()?))
    }

    pub(super) fn is_acquired(&self) -> bool {
        self.0.first().is_some_and(|word| word == b"acquired")
    }

    pub(super) fn begin(self) -> Result<Begin, StoreError> {
        let mut words = self.0.iter().map(Vec::as_slice);
        Ok(match (words.next(), words.next(), words.next()) {
            (Some(b"acquired"), Some(fence), Some(attempt)) => {
                Begin::Acquired(Acquired { fence: number(fence)?, attempt: number(attempt)? })
            }
            (Some(b"running"), Some(left), None) => Begin::Running { left: Duration::from_micros(number(left)?) },
            (Some(b"mismatch"), None, None) => Begin::Mismatch,
            (Some(b"done"), Some(_), None) => Begin::Done(self.last()),
            (Some(b"parked"), Some(why), None) => {
                let why = str::from_utf8(why).map_err(|error| StoreError::Corrupt(Arc::new(error.into())))?;
                Begin::Parked(why.into())
            }
            (Some(b"full"), None, None) => return Err(StoreError::Full),
            _ => return Err(self.strange()),
        })
    }

    pub(super) fn look(self) -> Result<Option<Begin>, StoreError> {
        if self.0 == [b"nothing"] { Ok(None) } else { self.begin().map(Some) }
    }

    pub(super) fn commit(&self) -> Result<Commit, StoreError> {
        match self.0.iter().map(Vec::as_slice).collect::<Vec<_>>()[..] {
            [b"stored"] => Ok(Commit::Stored),
            [b"lost"] => Ok(Commit::Lost),
            [b"recreated"] => Ok(Commit::Recreated),
            _ => Err(self.strange()),
        }
    }

    pub(super) fn yes(&self) -> Result<bool, StoreError> {
        match self.0.iter().map(Vec::as_slice).collect::<Vec<_>>()[..] {
            [b"yes"] => Ok(true),
            [b"no"] => Ok(false),
            _ => Err(self.strange()),
        }
    }

    fn last(mut self) -> Bytes {
        self.0.pop().unwrap_or_default().into()
    }

    fn strange(&self) -> StoreError {
        let word = self.0.first().map(|word| word.escape_ascii().to_string());
        in_doubt(format!("a script answers {} words, of which the first is {word:?}", self.0.len()))
    }
}

fn number<N: FromStr<Err: Into<BoxError>>>(digits: &[u8]) -> Result<N, StoreError> {
    let number = str::from_utf8(digits).map_err(BoxError::from).and_then(|digits| digits.parse().map_err(Into::into));
    number.map_err(|error: BoxError| StoreError::Corrupt(Arc::new(error)))
}

pub(super) fn in_doubt(why: String) -> StoreError {
    StoreError::Ambiguous(Arc::new(why.into()))
}

/// What was asked for may have been done, unless it is known that it was not.
pub(super) fn error(error: RedisError) -> StoreError {
    let cause: Arc<BoxError> = Arc::new(error.clone().into());
    let before_it_was_sent = match error.kind() {
        ErrorKind::AuthenticationFailed
        | ErrorKind::InvalidClientConfig
        | ErrorKind::Client
        | ErrorKind::MasterNameNotFoundBySentinel
        | ErrorKind::NoValidReplicasFoundBySentinel
        | ErrorKind::EmptySentinelList
        | ErrorKind::ClusterConnectionNotFound
        | ErrorKind::RESP3NotSupported => true,
        _ => error.is_connection_refusal(),
    };
    if before_it_was_sent {
        return StoreError::Unavailable(cause);
    }
    match error.into_server_errors().as_deref().and_then(<[_]>::first).map(|(_, error)| error.code()) {
        Some("OOM") => StoreError::Full,
        Some("CORRUPT") => StoreError::Corrupt(cause),
        // A server says so before a script has changed anything.
        Some(
            "ASK" | "BUSY" | "CLUSTERDOWN" | "CROSSSLOT" | "LOADING" | "MASTERDOWN" | "MISCONF" | "MOVED" | "NOAUTH"
            | "NOREPLICAS" | "NOSCRIPT" | "READONLY" | "TRYAGAIN",
        ) => StoreError::Unavailable(cause),
        _ => StoreError::Ambiguous(cause),
    }
}

#[cfg(test)]
mod tests {
    use redis::parse_redis_value;

    use super::*;

    fn reply(bytes: &str) -> Result<Reply, StoreError> {
        Reply::of(parse_redis_value(bytes.as_bytes()))
    }

    #[test]
    fn what_no_script_says_is_in_doubt() {
        for strange in ["+OK\r\n", "$-1\r\n", ":1\r\n", "*1\r\n:1\r\n", "*1\r\n*0\r\n", "no protocol\r\n"] {
            assert!(matches!(reply(strange), Err(StoreError::Ambiguous(_))), "{strange}");
        }
        for strange in ["*0\r\n", "*1\r\n$3\r\ntea\r\n", "*1\r\n$8\r\nacquired\r\n", "*1\r\n$4\r\ndone\r\n"] {
            let words = || reply(strange).expect("words");
            let errors = [
                words().begin().map(drop),
                words().look().map(drop),
                words().commit().map(drop),
                words().yes().map(drop),
            ];
            for error in errors {
                assert!(matches!(error, Err(StoreError::Ambiguous(_))), "{strange}: {error:?}");
            }
        }
    }

    #[test]
    fn what_is_no_number_or_no_text_cannot_be_read() {
        for strange in ["*3\r\n$8\r\nacquired\r\n$1\r\nx\r\n$1\r\n1\r\n", "*2\r\n$7\r\nrunning\r\n$2\r\n-1\r\n"] {
            let begin = reply(strange).and_then(Reply::begin);
            assert!(matches!(begin, Err(StoreError::Corrupt(_))), "{strange}: {begin:?}");
        }
        let parked = Reply(vec![b"parked".to_vec(), vec![0xff]]).begin();
        assert!(matches!(parked, Err(StoreError::Corrupt(_))), "{parked:?}");
    }

    #[test]
    fn a_server_that_says_no_before_it_did_anything_was_not_reached() {
        for no in ["LOADING", "READONLY", "NOAUTH", "MISCONF", "BUSY", "NOSCRIPT"] {
            let error = reply(&format!("-{no} why\r\n"));
            assert!(matches!(error, Err(StoreError::Unavailable(_))), "{no}: {error:?}");
        }
        assert!(matches!(reply("-OOM why\r\n"), Err(StoreError::Full)));
        assert!(matches!(reply("-CORRUPT why\r\n"), Err(StoreError::Corrupt(_))));
        let unknown = reply("-ERR why\r\n");
        assert!(matches!(unknown, Err(StoreError::Ambiguous(_))), "who knows: {unknown:?}");
    }
}
