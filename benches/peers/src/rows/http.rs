use axum::body::Body;
use buttress::Rejection;
use buttress::retry::RetryConfig;
use http::header::{HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use tower::Layer;

use super::{Rows, limiter, retry};
use crate::calls::through;
use crate::inner::{BareHttp, Failed};

const HTTP: &str = "http, bare";
const OF_A_HEAD: &str = "http, bare, of a copied head";

type Answer = Result<Response<Body>, Failed>;

pub(super) fn add(rows: &mut Rows) {
    rows.bare(HTTP, || through(BareHttp, |_| Request::new(()), good));
    rows.ours("http, rate limit, refused", HTTP, || {
        through(limiter::used_up().http_server().layer(BareHttp), |_| Request::new(()), refused)
    });
    // The bare row allocates one copy of the head, and so whoever adds the same adds exactly one.
    rows.bare(OF_A_HEAD, || through(BareHttp, copies_of(head()), good));
    rows.ours("http, retry", OF_A_HEAD, || {
        through(retry::layer(RetryConfig::new()).http_client().layer(BareHttp), copies_of(head()), good)
    });
}

fn head() -> Request<()> {
    let request = Request::get("https://orders.example/orders/7?expand=lines");
    let request = request.header("accept", "application/json").header("user-agent", "rows");
    request.body(()).expect("a request")
}

fn copies_of(request: Request<()>) -> impl Fn(u64) -> Request<()> {
    move |_| request.clone()
}

fn good(answer: &Answer) -> bool {
    answer.as_ref().is_ok_and(|response| response.status() == StatusCode::OK)
}

fn refused(answer: &Answer) -> bool {
    answer.as_ref().is_ok_and(|response| {
        response.status() == StatusCode::TOO_MANY_REQUESTS
            && response.extensions().get::<Rejection>().is_some()
            && response.headers().get(RETRY_AFTER).is_some_and(|value| value != HeaderValue::from_static("0"))
    })
}
