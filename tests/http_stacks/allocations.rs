//! A call that succeeds at once asks for no memory, however many parts it goes through.

use buttress::http::{InExtensions, ServerStackConfig, server_stack};
use buttress::timeout::TimeoutLayer;
use tower::Layer;

use super::support::allocations::{CALLS, of};
use super::*;

#[test]
fn a_call_through_a_stack_asks_for_no_memory() {
    let calls = Calls::default();
    let service = backend(&calls, |_| response(200));
    let client = stack(config());
    assert_eq!(of(client.layer(service.clone()), get, Result::is_ok), 0);
    let in_extensions = client.total_with(|total| total.export_with(InExtensions));
    assert!(of(in_extensions.layer(service.clone()), get, Result::is_ok) >= CALLS, "a counter that counts");

    let server = server_stack(ServerStackConfig::new()).expect("valid");
    assert_eq!(of(server.layer(service.clone()), get, Result::is_ok), 0);
    let in_extensions = server.door_with(TimeoutLayer::export_deadline);
    assert!(of(in_extensions.layer(service), get, Result::is_ok) >= CALLS, "a counter that counts");
}
