//! For how long a response is good (RFC 9111, section 4.2; RFC 5861).

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{AGE, DATE, EXPIRES, HeaderName};

use super::control::{ResponseControl, delta_seconds};
use crate::cache_fallback::Allowed;
use crate::clock;

/// Two clocks that are set go as far apart, and a `Date` has whole seconds.
const APART: Duration = Duration::from_secs(5);

/// What is further apart are no two clocks that are both set.
const TOO_FAR_APART: Duration = Duration::from_secs(86_400);

/// For how long the origin allows its answer to be used.
///
/// `s-maxage` shortens how long it may stand in for a failure only together with `stale-if-error`. RFC 9111 (section 4.2.4) has
/// it that a shared cache that was told `s-maxage` gives no stale answer at all; yet whoever writes it says how long the answer
/// is fresh, and not that an error is better than an old answer. That is what `must-revalidate` and `proxy-revalidate` are for,
/// and they are heeded.
pub(in crate::http) fn allowed(headers: &HeaderMap, control: &ResponseControl) -> Allowed {
    let fresh = control.s_maxage.or(control.max_age).or_else(|| until_expiry(headers));
    Allowed {
        age: age(headers),
        fresh,
        stale_while_revalidate: control.stale_while_revalidate,
        stale_if_error: control.stale_if_error.map(|stale| fresh.unwrap_or_default().saturating_add(stale)),
    }
}

/// The same of an answer that is not to be used at all once it is so old.
pub(in crate::http) fn until(most: Duration, allowed: Allowed) -> Allowed {
    let shorter = |said: Option<Duration>, most: Duration| said.map_or(most, |said| said.min(most));
    let fresh = shorter(allowed.fresh, most);
    Allowed {
        age: allowed.age,
        fresh: Some(fresh),
        stale_while_revalidate: Some(shorter(allowed.stale_while_revalidate, most - fresh)),
        stale_if_error: Some(shorter(allowed.stale_if_error, most)),
    }
}

/// How old an answer was when it came (RFC 9111, sections 4.2.3 and 5.1). Whoever has kept it for a while says so in its `Age`,
/// which needs no clock but their own. Where nobody does, or it cannot be read, its `Date` counts, unless that may be a clock that
/// is not set.
fn age(headers: &HeaderMap) -> Duration {
    let first = headers.get(AGE).and_then(|age| age.as_bytes().split(|byte| *byte == b',').next());
    if let Some(age) = first.and_then(|age| delta_seconds(age.trim_ascii())) {
        return age;
    }
    let Some(Some(date)) = headers.get(DATE).map(http_date) else { return Duration::ZERO };
    let apparent = clock::wall_time().duration_since(date).unwrap_or_default();
    if (APART..TOO_FAR_APART).contains(&apparent) { apparent } else { Duration::ZERO }
}

/// What `Expires` says, if it is there; of several the earliest. What is no date has passed.
pub(in crate::http) fn until_expiry(headers: &HeaderMap) -> Option<Duration> {
    let expiry = headers.get_all(EXPIRES).iter().map(http_date).min()?;
    let Some(expiry) = expiry else { return Some(Duration::ZERO) };
    let sent = date(headers, &DATE).unwrap_or_else(clock::wall_time);
    Some(expiry.duration_since(sent).unwrap_or_default())
}

/// The first line of that name, if it is a date.
pub(in crate::http) fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    headers.get(name).and_then(http_date)
}

fn http_date(value: &http::HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::CACHE_CONTROL;
    use proptest::prelude::*;

    use super::*;

    const SEC: Duration = Duration::from_secs(1);

    fn of(lines: &[(HeaderName, &str)]) -> Allowed {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value.parse().expect("a value"));
        }
        allowed(&headers, &ResponseControl::of(&headers))
    }

    fn saying(control: &str) -> Allowed {
        of(&[(CACHE_CONTROL, control)])
    }

    fn ago(seconds: u32) -> String {
        httpdate::fmt_http_date(clock::wall_time() - seconds * SEC)
    }

    fn ahead(seconds: u32) -> String {
        httpdate::fmt_http_date(clock::wall_time() + seconds * SEC)
    }

    #[test]
    fn an_origin_that_says_nothing_shortens_nothing() {
        assert_eq!(of(&[]), Allowed::default());
        assert_eq!(saying("public, immutable"), Allowed::default());
    }

    #[test]
    fn what_is_for_shared_caches_counts_before_what_is_for_all_and_both_before_a_date() {
        assert_eq!(saying("max-age=60").fresh, Some(60 * SEC));
        assert_eq!(saying("max-age=60, s-maxage=5").fresh, Some(5 * SEC));
        assert_eq!(saying("s-maxage=60, max-age=5").fresh, Some(60 * SEC));
        assert_eq!(saying("max-age=x").fresh, Some(Duration::ZERO));
        let both = of(&[(CACHE_CONTROL, "max-age=60"), (EXPIRES, "0")]);
        assert_eq!(both.fresh, Some(60 * SEC));
    }

    #[test]
    fn a_date_of_expiry_counts_from_the_date_of_the_answer() {
        let expires = |expires: &str, date: &str| of(&[(EXPIRES, expires), (DATE, date)]).fresh;
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(expires("Sun, 06 Nov 1994 08:50:37 GMT", date), Some(60 * SEC));
        assert_eq!(expires(date, date), Some(Duration::ZERO));
        assert_eq!(expires("Sun, 06 Nov 1994 08:49:36 GMT", date), Some(Duration::ZERO), "it has passed");
        for unreadable in ["0", "-1", "", "soon"] {
            assert_eq!(expires(unreadable, date), Some(Duration::ZERO), "{unreadable:?}");
        }
        let several = of(&[(EXPIRES, "Sun, 06 Nov 1994 08:50:37 GMT"), (EXPIRES, "0"), (DATE, date)]);
        assert_eq!(several.fresh, Some(Duration::ZERO), "the earliest");
    }

    #[test]
    fn without_a_date_of_the_answer_our_own_clock_counts() {
        for lines in [&[(EXPIRES, &*ahead(60))][..], &[(EXPIRES, &*ahead(60)), (DATE, "yesterday")]] {
            let fresh = of(lines).fresh.expect("it expires");
            assert!((50 * SEC..=60 * SEC).contains(&fresh), "{fresh:?}");
        }
        assert_eq!(of(&[(EXPIRES, &ago(60))]).fresh, Some(Duration::ZERO));
    }

    #[test]
    fn stale_times_count_from_the_end_of_freshness() {
        let said = saying("max-age=60, stale-while-revalidate=10, stale-if-error=30");
        assert_eq!(said.stale_while_revalidate, Some(10 * SEC));
        assert_eq!(said.stale_if_error, Some(90 * SEC));
        assert_eq!(saying("s-maxage=5").stale_if_error, None, "it says nothing of errors");
        assert_eq!(saying("max-age=60, s-maxage=5, stale-if-error=30").stale_if_error, Some(35 * SEC));
        assert_eq!(saying("s-maxage=5, stale-if-error=0").stale_if_error, Some(5 * SEC));
        assert_eq!(saying("stale-if-error=30").stale_if_error, Some(30 * SEC));
        let dated = [
            (EXPIRES, "Sun, 06 Nov 1994 08:50:37 GMT"),
            (DATE, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (CACHE_CONTROL, "stale-if-error=30"),
        ];
        assert_eq!(of(&dated).stale_if_error, Some(90 * SEC));
    }

    #[test]
    fn whoever_has_kept_an_answer_says_how_old_it_is() {
        let age = |age: &str| of(&[(AGE, age), (DATE, &ago(600))]).age;
        assert_eq!(age("7"), 7 * SEC, "whatever the clocks say");
        assert_eq!(age(" 3, 9"), 3 * SEC);
        for unreadable in ["x", "-7", ""] {
            assert!((600 * SEC..610 * SEC).contains(&age(unreadable)), "{unreadable:?} says nothing");
        }
        assert_eq!(age("99999999999").as_secs(), 1 << 31);
    }

    /// A cache of HTTP/1.0 hands on what it has kept for ten minutes, and does not say so.
    #[test]
    fn an_answer_with_a_date_of_old_is_old() {
        let age = |date: &str| of(&[(DATE, date)]).age;
        let told = age(&ago(600));
        assert!((600 * SEC..610 * SEC).contains(&told), "{told:?}");
        assert_eq!(age(&ago(2)), Duration::ZERO, "clocks are that far apart");
        assert_eq!(age(&ahead(600)), Duration::ZERO, "that clock is ahead of ours");
        assert_eq!(age("yesterday"), Duration::ZERO);
        for unset in ["Thu, 01 Jan 1970 00:00:07 GMT", "Sat, 01 Jan 2000 00:00:00 GMT", &ago(86_400 + 60)] {
            assert_eq!(age(unset), Duration::ZERO, "that clock is not set: {unset}");
        }
    }

    #[test]
    fn what_is_kept_for_a_short_time_is_used_for_no_longer_in_any_way() {
        let of = |control: &str| until(10 * SEC, saying(control));
        let times = |allowed: Allowed| [allowed.fresh, allowed.stale_while_revalidate, allowed.stale_if_error];
        assert_eq!(times(of("")), [Some(10 * SEC), Some(Duration::ZERO), Some(10 * SEC)]);
        assert_eq!(times(of("max-age=4")), [Some(4 * SEC), Some(6 * SEC), Some(10 * SEC)]);
        let shorter = of("max-age=4, stale-while-revalidate=3, stale-if-error=1");
        assert_eq!(times(shorter), [Some(4 * SEC), Some(3 * SEC), Some(5 * SEC)]);
        let longer = of("max-age=60, stale-while-revalidate=60, stale-if-error=60");
        assert_eq!(times(longer), [Some(10 * SEC), Some(Duration::ZERO), Some(10 * SEC)]);
    }

    proptest! {
        #[test]
        fn no_date_can_panic(lines in proptest::collection::vec((0..3_usize, proptest::collection::vec(any::<u8>(), 0..32)), 0..5)) {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    headers.append([AGE, DATE, EXPIRES][name].clone(), value);
                }
            }
            allowed(&headers, &ResponseControl::default());
        }

        #[test]
        fn a_short_time_only_shortens(fresh: Option<u16>, stale: Option<u16>, on_error: Option<u16>, most: u16) {
            let seconds = |seconds: Option<u16>| seconds.map(|seconds| u32::from(seconds) * SEC);
            let allowed = Allowed {
                age: Duration::ZERO,
                fresh: seconds(fresh),
                stale_while_revalidate: seconds(stale),
                stale_if_error: seconds(on_error),
            };
            let most = u32::from(most) * SEC;
            let shortened = until(most, allowed);
            let (fresh, stale) = (shortened.fresh.expect("short"), shortened.stale_while_revalidate.expect("short"));
            prop_assert!(fresh + stale <= most && shortened.stale_if_error <= Some(most));
            prop_assert!(allowed.fresh.is_none_or(|longer| fresh <= longer));
            prop_assert!(allowed.stale_while_revalidate.is_none_or(|longer| stale <= longer));
            prop_assert!(allowed.stale_if_error.is_none_or(|longer| shortened.stale_if_error <= Some(longer)));
        }
    }
}
