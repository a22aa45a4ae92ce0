//! Notes what the limit decides on every order, from just outside of it.
//!
//! The times are read right beside the decision, so that neither the way to it is in them nor what the handler does after.

use std::task::{Context, Poll};

use axum::http::{Response, StatusCode};
use futures::FutureExt;
use futures::future::BoxFuture;
use tower::{Layer, Service};

use crate::record::Log;

#[derive(Clone)]
pub(super) struct Noted(pub(super) Log);

impl<S> Layer<S> for Noted {
    type Service = Noting<S>;

    fn layer(&self, limited: S) -> Noting<S> {
        Noting { limited, log: self.0.clone() }
    }
}

#[derive(Clone)]
pub(super) struct Noting<S> {
    limited: S,
    log: Log,
}

impl<S, Req, B> Service<Req> for Noting<S>
where
    S: Service<Req, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<B>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.limited.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let began = self.log.now();
        let answer = self.limited.call(request); // it decides in here
        let decision = self.log.decided(began);
        let log = self.log.clone();
        async move {
            let response = answer.await?;
            if response.status() == StatusCode::TOO_MANY_REQUESTS {
                log.turned_away(decision);
            }
            Ok(response)
        }
        .boxed()
    }
}
