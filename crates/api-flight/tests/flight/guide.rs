//! The Rust example of the guide to Arrow Flight, as it stands there.

#[path = "guide_client.rs"]
mod client;

use super::server::Server;

#[tokio::test]
async fn the_example_of_the_guide_reads_all_rows() {
    let (guide, example) = (include_str!("../../../../docs/guides/flight.md"), include_str!("guide_client.rs"));
    assert!(guide.contains(&format!("```rust\n{example}```")), "the guide shows another client");
    let server = Server::start().await;
    let rows = client::count_rows(format!("http://{}", server.address), "SELECT * FROM trips").await;
    assert_eq!(rows.unwrap(), 250);
}
