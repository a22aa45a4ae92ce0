use http::HeaderValue;

/// Numbers up to this one are ready to be sent: an hour of seconds, and few waits are longer.
const READY: usize = 3600;

/// The numbers that are ready, one after the other, in four digits each.
static DIGITS: &str = {
    const ALL: [u8; 4 * (READY + 1)] = {
        let mut all = [0; 4 * (READY + 1)];
        let mut at = 0;
        while at < all.len() {
            let place = [1000, 100, 10, 1][at % 4];
            all[at] = b"0123456789"[at / 4 / place % 10];
            at += 1;
        }
        all
    };
    match std::str::from_utf8(&ALL) {
        Ok(digits) => digits,
        Err(_) => panic!("digits are text"),
    }
};

/// A number as a header says it. Whoever writes one allocates, and floods are refused.
pub(super) fn number(number: u64) -> HeaderValue {
    match usize::try_from(number) {
        Ok(ready @ ..=READY) => {
            let zeros = usize::from(ready < 10) + usize::from(ready < 100) + usize::from(ready < 1000);
            HeaderValue::from_static(&DIGITS[4 * ready + zeros..4 * ready + 4])
        }
        _ => number.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_sent_as_they_are() {
        for sent in (0..=5000).chain([86_400, u64::MAX]) {
            assert_eq!(number(sent), sent.to_string());
        }
    }
}
