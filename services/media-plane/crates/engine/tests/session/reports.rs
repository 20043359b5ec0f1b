//! RTCP: the round trip and the loss that each side tells the other.

use crate::support::{Call, CallConfig, frame, opus};
use antiphon_engine::PlayoutFrame;
use antiphon_netsim::{LinkConfig, Loss};

fn talk(call: &mut Call, packets: usize) {
    let payload = opus(1);
    for _ in 0..packets {
        call.play(PlayoutFrame {
            live: true,
            ..frame(1, &payload)
        });
        call.say(&payload);
    }
}

#[test]
fn the_round_trip_is_the_networks() {
    let mut call = Call::connected(CallConfig::default());
    talk(&mut call, 1_000);
    let round_trip = call.session.stats().rtt_ms.expect("a report came");
    assert!((40.0..43.0).contains(&round_trip), "20 ms each way: {round_trip}");
    assert!(call.session.stats().jitter_ms < 0.1);
    assert!(call.session.stats().counters.rtcp_out >= 10);
}

#[test]
fn loss_on_the_way_to_the_caller_is_learned_from_its_reports_and_made_good() {
    let mut call = Call::connected(CallConfig::default());
    call.down.configure(LinkConfig {
        loss: Loss::Random(0.2),
        ..CallConfig::default().down
    });
    talk(&mut call, 1_000);
    // It has neither RED nor NACK: packets go again unasked.
    let stats = call.session.stats();
    assert!(stats.counters.repeated_out > 1_000, "{}", stats.counters.repeated_out);
    let loss = stats.remote_loss.expect("a report came");
    assert!(loss < 0.05, "{loss}");
}

#[test]
fn jitter_of_the_network_shows() {
    let mut call = Call::connected(CallConfig {
        up: LinkConfig {
            jitter_us: 10_000,
            ..CallConfig::default().up
        },
        ..CallConfig::default()
    });
    talk(&mut call, 500);
    let jitter = call.session.stats().jitter_ms;
    assert!((1.5..6.0).contains(&jitter), "{jitter}");
}
