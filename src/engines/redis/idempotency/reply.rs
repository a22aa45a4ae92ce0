//! What a script says, and what a server says instead.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::{ErrorKind, RedisError, RedisResult, Value};

use crate::idempotency::{Acquired, Begin, Commit, StoreError};
use crate::rejection::BoxError;

/// What of the record of a request that is over stands before what came of it: the phase, the owner and the request.
const HEAD: usize = 1 + 16 + 32;

/// A word; or a letter and what belongs to it, which is the whole record of a request that is over.
#[derive(Debug)]
pub(super) struct Reply(Bytes);

impl Reply {
    pub(super) fn of(answer: RedisResult<Value>) -> Result<Self, StoreError> {
        match answer.and_then(Value::extract_error).map_err(error)? {
            Value::BulkString(said) => Ok(Self(said.into())),
            other => Err(in_doubt(format!("a script answers {other:?}"))),
        }
    }

    pub(super) fn is_acquired(&self) -> bool {
        self.0.starts_with(b"a")
    }

    pub(super) fn begin(self) -> Result<Begin, StoreError> {
        let begin = match self.0.split_first() {
            Some((b'a', numbers)) => acquired(numbers).map(Begin::Acquired),
            Some((b'r', left)) => left.try_into().ok().map(running),
            Some((b'm', [])) => Some(Begin::Mismatch),
            Some((b'd', _)) if self.0.len() >= HEAD => Some(Begin::Done(self.0.slice(HEAD..))),
            Some((b'p', _)) if self.0.len() >= HEAD => {
                let why =
                    str::from_utf8(&self.0[HEAD..]).map_err(|error| StoreError::Corrupt(Arc::new(error.into())))?;
                Some(Begin::Parked(why.into()))
            }
            _ => None,
        };
        begin.ok_or_else(|| self.strange())
    }

    pub(super) fn look(self) -> Result<Option<Begin>, StoreError> {
        if *self.0 == *b"n" { Ok(None) } else { self.begin().map(Some) }
    }

    pub(super) fn commit(&self) -> Result<Commit, StoreError> {
        match &*self.0 {
            b"stored" => Ok(Commit::Stored),
            b"lost" => Ok(Commit::Lost),
            b"recreated" => Ok(Commit::Recreated),
            _ => Err(self.strange()),
        }
    }

    pub(super) fn yes(&self) -> Result<bool, StoreError> {
        match &*self.0 {
            b"yes" => Ok(true),
            b"no" => Ok(false),
            _ => Err(self.strange()),
        }
    }

    fn strange(&self) -> StoreError {
        let first = self.0.first().map(|byte| byte.escape_ascii().to_string());
        in_doubt(format!("a script answers {} bytes, of which the first is {first:?}", self.0.len()))
    }
}

fn acquired(numbers: &[u8]) -> Option<Acquired> {
    let (fence, attempt) = numbers.split_first_chunk()?;
    Some(Acquired { fence: u64::from_be_bytes(*fence), attempt: u32::from_be_bytes(attempt.try_into().ok()?) })
}

fn running(left: [u8; 8]) -> Begin {
    Begin::Running { left: Duration::from_micros(u64::from_be_bytes(left)) }
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
        | ErrorKind::RESP3NotSupported => true,
        _ => error.is_connection_refusal(),
    };
    if before_it_was_sent {
        return StoreError::Unavailable(cause);
    }
    // What a later command of a pipeline was answered says nothing of the script, which is the first.
    let errors = error.into_server_errors();
    let of_the_script = errors.as_deref().and_then(<[_]>::first).filter(|(command, _)| *command == 0);
    match of_the_script.map(|(_, error)| (error.code(), error.details().unwrap_or_default())) {
        Some(("OOM", _)) => StoreError::Full,
        Some(("CORRUPT", _)) => StoreError::Corrupt(cause),
        // A server says so before a script has changed anything.
        Some((
            "BUSY" | "CROSSSLOT" | "LOADING" | "MASTERDOWN" | "MISCONF" | "NOAUTH" | "NOREPLICAS" | "NOSCRIPT"
            | "READONLY",
            _,
        )) => StoreError::Unavailable(cause),
        // Later versions say the same of what a script does, which may have done something by then.
        Some(("NOPERM", why)) if !why.contains(" script") => StoreError::Unavailable(cause),
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

    fn said(bytes: &[u8]) -> Reply {
        Reply::of(Ok(Value::BulkString(bytes.to_vec()))).expect("bytes")
    }

    #[test]
    fn what_no_script_says_is_in_doubt() {
        for strange in ["+OK\r\n", "$-1\r\n", ":1\r\n", "*0\r\n", "*1\r\n$3\r\nyes\r\n", "no protocol\r\n"] {
            assert!(matches!(reply(strange), Err(StoreError::Ambiguous(_))), "{strange}");
        }
        let of_another_length = [vec![b'a'; 12], vec![b'a'; 14], vec![b'r'; 8], vec![b'r'; 10], b"mm".to_vec()];
        let cut_off = [vec![b'd'; HEAD - 1], vec![b'p'; HEAD - 1], b"nn".to_vec()];
        let words = [b"".to_vec(), b"tea".to_vec(), b"yes ".to_vec(), b"store".to_vec()];
        for strange in [&of_another_length[..], &cut_off, &words].concat() {
            let errors = [
                said(&strange).begin().map(drop),
                said(&strange).look().map(drop),
                said(&strange).commit().map(drop),
                said(&strange).yes().map(drop),
            ];
            for error in errors {
                assert!(matches!(error, Err(StoreError::Ambiguous(_))), "{strange:?}: {error:?}");
            }
        }
    }

    #[test]
    fn what_a_script_says_of_another_operation_is_in_doubt() {
        for of_another in ["n", "yes", "stored"] {
            let begin = said(of_another.as_bytes()).begin();
            assert!(matches!(begin, Err(StoreError::Ambiguous(_))), "{of_another}: {begin:?}");
        }
        for of_another in ["m", "yes"] {
            let commit = said(of_another.as_bytes()).commit();
            assert!(matches!(commit, Err(StoreError::Ambiguous(_))), "{of_another}: {commit:?}");
        }
        for of_another in ["m", "n", "stored"] {
            let yes = said(of_another.as_bytes()).yes();
            assert!(matches!(yes, Err(StoreError::Ambiguous(_))), "{of_another}: {yes:?}");
        }
    }

    #[test]
    fn all_of_it_is_read() {
        let acquired = said(b"a\0\x1f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").begin();
        let largest = Acquired { fence: (1 << 53) - 1, attempt: u32::MAX };
        assert_eq!(acquired.expect("it is one"), Begin::Acquired(largest));
        let running = said(b"r\0\0\0\0\0\0\x01\x02").begin();
        assert_eq!(running.expect("it is one"), Begin::Running { left: Duration::from_micros(258) });
        let over = |phase: &str, outcome: &[u8]| said(&[phase.as_bytes(), &[0xff; HEAD - 1], outcome].concat()).begin();
        assert_eq!(over("d", b"\xfftea").expect("it is one"), Begin::Done(Bytes::from_static(b"\xfftea")));
        assert_eq!(over("d", b"").expect("it is one"), Begin::Done(Bytes::new()));
        assert_eq!(over("p", b"why").expect("it is one"), Begin::Parked("why".into()));
        let no_text = over("p", b"\xff");
        assert!(matches!(no_text, Err(StoreError::Corrupt(_))), "{no_text:?}");
    }

    #[test]
    fn a_server_that_says_no_before_it_did_anything_was_not_reached() {
        for no in ["LOADING", "READONLY", "NOAUTH", "MISCONF", "BUSY", "NOSCRIPT"] {
            let error = reply(&format!("-{no} why\r\n"));
            assert!(matches!(error, Err(StoreError::Unavailable(_))), "{no}: {error:?}");
        }
        assert!(matches!(reply("-OOM why\r\n"), Err(StoreError::Full)));
        assert!(matches!(reply("-CORRUPT why\r\n"), Err(StoreError::Corrupt(_))));
        let forbidden = reply("-NOPERM this user has no permissions to run the 'evalsha' command\r\n");
        assert!(matches!(forbidden, Err(StoreError::Unavailable(_))), "{forbidden:?}");
        let within = reply("-NOPERM ACL failure in script: User u has no permissions to run the 'hset' command\r\n");
        assert!(matches!(within, Err(StoreError::Ambiguous(_))), "it may have done something before: {within:?}");
        let unknown = reply("-ERR why\r\n");
        assert!(matches!(unknown, Err(StoreError::Ambiguous(_))), "who knows: {unknown:?}");
    }

    /// A connection that goes where a cluster sends it has been elsewhere before, and says only what came of the last time.
    #[test]
    fn what_a_cluster_says_is_in_doubt() {
        for said in ["ASK 1 there:1", "CLUSTERDOWN why", "MOVED 1 there:1", "TRYAGAIN why"] {
            let error = reply(&format!("-{said}\r\n"));
            assert!(matches!(error, Err(StoreError::Ambiguous(_))), "{said}: {error:?}");
        }
        let error = error((ErrorKind::ClusterConnectionNotFound, "why").into());
        assert!(matches!(error, StoreError::Ambiguous(_)), "{error:?}");
    }
}
