/// How many retries there may be beside the calls.
///
/// Retries are paid for in tokens: a retry costs one, and after a timeout, which has cost the service most, two. Each call
/// that succeeds at its first attempt pays in a part of a token, and so does time. So while most calls succeed, each may be
/// retried; when most fail, retries add no more to the load than a fixed share.
///
/// ```
/// use buttress::retry::BudgetConfig;
///
/// // Half a retry for each good call, and one a second for those with few calls.
/// let config = BudgetConfig::new().ratio(0.5).per_second(1.0).capacity(50);
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct BudgetConfig {
    pub(in super::super) ratio: f64,
    pub(in super::super) per_second: f64,
    pub(in super::super) capacity: u32,
}

impl BudgetConfig {
    /// 20 % and 3 a second, holding at most 100, with which it begins. A fifth more load is what most services bear at
    /// their worst; three a second let a caller retry that hardly ever calls.
    #[must_use]
    pub const fn new() -> Self {
        Self { ratio: 0.2, per_second: 3.0, capacity: 100 }
    }

    /// How many tokens each call that succeeds at its first attempt pays in; 0 to 1000, to the millionth.
    #[must_use]
    pub const fn ratio(mut self, ratio: f64) -> Self {
        self.ratio = ratio;
        self
    }

    /// How many tokens each second pays in; 0 to a million, to the millionth.
    #[must_use]
    pub const fn per_second(mut self, tokens: f64) -> Self {
        self.per_second = tokens;
        self
    }

    /// How many tokens it holds at most, and at first; 2 to a million. However long nothing was retried, there is never
    /// more at once.
    #[must_use]
    pub const fn capacity(mut self, tokens: u32) -> Self {
        self.capacity = tokens;
        self
    }
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self::new()
    }
}
