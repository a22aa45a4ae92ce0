use std::io::{Read, stdin};
use std::net::Ipv4Addr;
use std::{process, thread};

use axum::Router;
use tokio::net::TcpListener;

use crate::{Outcome, runtime};

/// On one thread, so that what it takes of one core is what it costs.
pub(crate) fn until_input_ends(router: Router) -> Outcome {
    thread::spawn(|| {
        let _ = stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    runtime().block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?.port());
        Ok(axum::serve(listener, router).await?)
    })
}
