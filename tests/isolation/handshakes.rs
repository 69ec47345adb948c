//! TLS handshakes that never end.

use std::io::Write;
use std::time::{Duration, Instant};

use qarbiter::tls::TlsClient;
use qarbiter::wire::Message;

use crate::nodes::{in_time, ring};
use crate::raw::Raw;
use crate::victim::Scene;

#[test]
fn half_open_handshakes() {
    let mut scene = Scene::new(&[]);
    let newcomer = scene.cluster("newcomer", &[1]);
    let tls = newcomer.tls.clone().unwrap();
    let held = scene.under("300 half-open handshakes", |scene| {
        let mut held = Vec::new();
        for number in 0..300 {
            let mut raw = Raw::named(scene.arbiter.address, "attacker");
            let mut hello = Message::StartTls { seq: Some(2) }.encode();
            TlsClient::new(tls.clone(), &mut hello).unwrap();
            // Every other one stops in the middle of its first message.
            let length = if number % 2 == 0 {
                hello.len()
            } else {
                hello.len() / 2
            };
            raw.stream.write_all(&hello[..length]).unwrap();
            held.push(raw);
        }
        // A node that comes now is served, too.
        let start = Instant::now();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut node = newcomer.join(1, ring(1, 1), &[1]).await;
            in_time(node.vote()).await.unwrap();
        });
        let time = start.elapsed();
        println!("a newcomer has its vote after {time:?}");
        assert!(time < Duration::from_secs(2), "{time:?}");
        held
    });
    assert_eq!(held.len(), 300);
}
