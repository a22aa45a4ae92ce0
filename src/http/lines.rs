//! Headers as they are written down: how many there are, and each by the lengths of its name and its value. Numbers are
//! little-endian.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const CUT: &str = "it ends too soon";

/// How many bytes they take.
pub(super) fn length(lines: &HeaderMap) -> usize {
    2 + lines.iter().map(|(name, value)| 6 + name.as_str().len() + value.len()).sum::<usize>()
}

/// `None` for headers that are longer than a length can tell, which no server sends.
pub(super) fn encode(bytes: &mut BytesMut, lines: &HeaderMap) -> Option<()> {
    bytes.put_u16_le(u16::try_from(lines.len()).ok()?);
    for (name, value) in lines {
        bytes.put_u16_le(u16::try_from(name.as_str().len()).ok()?);
        bytes.put_u32_le(u32::try_from(value.len()).ok()?);
        bytes.put_slice(name.as_str().as_bytes());
        bytes.put_slice(value.as_bytes());
    }
    Some(())
}

/// What was encoded; or why it cannot be told.
pub(super) fn decode(bytes: &mut Bytes) -> Result<HeaderMap, &'static str> {
    let mut lines = HeaderMap::new();
    for _ in 0..bytes.try_get_u16_le().map_err(|_| CUT)? {
        let name = usize::from(bytes.try_get_u16_le().map_err(|_| CUT)?);
        let value = usize::try_from(bytes.try_get_u32_le().map_err(|_| CUT)?).map_err(|_| CUT)?;
        if name.checked_add(value).is_none_or(|length| length > bytes.len()) {
            return Err(CUT);
        }
        let name = HeaderName::from_bytes(&bytes.split_to(name)).map_err(|_| "a header has no name")?;
        let value = HeaderValue::from_maybe_shared(bytes.split_to(value)).map_err(|_| "a header has no value")?;
        lines.try_append(name, value).map_err(|_| "it has too many headers")?;
    }
    Ok(lines)
}
