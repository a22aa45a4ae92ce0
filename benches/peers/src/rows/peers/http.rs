use http::{Request, StatusCode};
use tower::{Layer, ServiceExt};
use tower_governor::GovernorLayer;
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::GlobalKeyExtractor;

use super::super::Rows;
use crate::calls::{now, through};
use crate::inner::BareHttp;

pub(super) fn add(rows: &mut Rows) {
    rows.peer("tower_governor", &["http, rate limit, refused"], || {
        let mut config = GovernorConfigBuilder::default().key_extractor(GlobalKeyExtractor);
        let config = config.per_second(3600).burst_size(1).finish().expect("valid");
        let layer = GovernorLayer::new(config);
        now(layer.layer(BareHttp).oneshot(Request::new(()))).expect("the first");
        through(
            layer.layer(BareHttp),
            |_| Request::new(()),
            |answer| answer.as_ref().is_ok_and(|response| response.status() == StatusCode::TOO_MANY_REQUESTS),
        )
    });
}
