//! Data channels: opened by the caller in-band, or agreed beforehand.

use crate::support::{Call, CallConfig};
use antiphon_engine::Event;
use antiphon_netsim::{LinkConfig, Loss};
use str0m::channel::ChannelConfig;

fn in_band(label: &str) -> ChannelConfig {
    ChannelConfig {
        label: label.to_owned(),
        ..ChannelConfig::default()
    }
}

fn with_channels(channels: Vec<ChannelConfig>, negotiated: Option<u16>) -> Call {
    let mut call = Call::connected(CallConfig {
        channels,
        negotiated,
        ..CallConfig::default()
    });
    call.run_ms(1_000);
    call
}

fn opened(call: &Call) -> Vec<&str> {
    let labels = call.said.events.iter().filter_map(|(_, event)| match event {
        Event::ChannelOpen { label, .. } => Some(label.as_str()),
        _ => None,
    });
    labels.collect()
}

fn received(call: &Call) -> Vec<(&str, bool, &[u8])> {
    let messages = call.said.events.iter().filter_map(|(_, event)| match event {
        Event::Data {
            label, binary, payload, ..
        } => Some((label.as_str(), *binary, payload.as_slice())),
        _ => None,
    });
    messages.collect()
}

fn peer_received(call: &Call) -> Vec<(bool, &[u8])> {
    let messages = call.peer_events.iter().filter_map(|(_, event)| match event {
        str0m::Event::ChannelData(data) => Some((data.binary, data.data.as_slice())),
        _ => None,
    });
    messages.collect()
}

fn peer_sends(call: &mut Call, channel: usize, binary: bool, payload: &[u8]) {
    let id = call.channels[channel];
    let sent = call.rtc.channel(id).expect("an open channel").write(binary, payload);
    assert!(sent.expect("a channel that works"));
    call.drive_peer();
}

#[test]
fn a_channel_that_the_caller_opens_carries_text_and_bytes_both_ways() {
    let mut call = with_channels(vec![in_band("antiphon"), in_band("other")], None);
    assert_eq!(opened(&call), ["antiphon", "other"]);
    peer_sends(&mut call, 0, false, b"hello");
    peer_sends(&mut call, 1, true, &[0, 1, 2]);
    assert!(call.send_data("antiphon", false, b"{}"));
    assert!(call.send_data("other", true, &[9; 20_000]));
    assert!(call.send_data("other", false, b""));
    call.run_ms(2_000);
    assert_eq!(
        received(&call),
        [("antiphon", false, &b"hello"[..]), ("other", true, &[0, 1, 2])]
    );
    assert_eq!(
        peer_received(&call),
        [(false, &b"{}"[..]), (true, &[9; 20_000]), (false, b"")]
    );
    let counters = call.session.stats().counters;
    assert_eq!((counters.messages_in, counters.messages_out), (2, 3));
}

#[test]
fn a_channel_that_was_agreed_beforehand_needs_no_opening() {
    let negotiated = ChannelConfig {
        negotiated: Some(4),
        ..in_band("antiphon")
    };
    let mut call = with_channels(vec![negotiated], Some(4));
    assert_eq!(opened(&call), ["antiphon"]);
    assert!(call.send_data("antiphon", false, b"from the edge"));
    call.run_ms(200);
    peer_sends(&mut call, 0, false, b"from the caller");
    call.run_ms(200);
    assert_eq!(peer_received(&call), [(false, &b"from the edge"[..])]);
    assert_eq!(received(&call), [("antiphon", false, &b"from the caller"[..])]);
}

#[test]
fn messages_survive_loss_in_order() {
    let mut call = with_channels(vec![in_band("other")], None);
    let lossy = LinkConfig {
        loss: Loss::Random(0.1),
        ..CallConfig::default().up
    };
    call.up.configure(lossy);
    call.down.configure(lossy);
    for number in 0..50_u8 {
        assert!(call.send_data("other", true, &[number; 100]));
        peer_sends(&mut call, 0, true, &[number; 100]);
        call.run_ms(20);
    }
    call.run_ms(20_000);
    let expected: Vec<_> = (0..50).collect();
    assert_eq!(
        received(&call)
            .iter()
            .map(|(.., payload)| payload[0])
            .collect::<Vec<_>>(),
        expected
    );
    assert_eq!(
        peer_received(&call)
            .iter()
            .map(|(_, payload)| payload[0])
            .collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn binary_messages_on_the_sessions_own_channel_stop_at_the_edge() {
    let mut call = with_channels(vec![in_band("antiphon"), in_band("other")], None);
    peer_sends(&mut call, 0, true, &[255, 1, 2]);
    peer_sends(&mut call, 0, true, &[1, 1, 2]);
    peer_sends(&mut call, 0, true, &[16]);
    peer_sends(&mut call, 0, false, b"{}");
    peer_sends(&mut call, 1, true, &[1, 1, 2]);
    call.run_ms(500);
    assert_eq!(
        received(&call),
        [("antiphon", false, &b"{}"[..]), ("other", true, &[1, 1, 2])]
    );
    let counters = call.session.stats().counters;
    assert_eq!(
        (counters.edge_messages_unknown, counters.device_reports_refused),
        (1, 1)
    );
    let asked = call.said.events.iter().filter_map(|(_, event)| match event {
        Event::Room { message } => Some(message.as_slice()),
        _ => None,
    });
    assert_eq!(asked.collect::<Vec<_>>(), [[16]], "rooms are the runtime's business");
    assert_eq!(counters.messages_in, 5);
}

#[test]
fn what_cannot_be_sent_is_refused_and_counted() {
    let mut call = with_channels(vec![in_band("antiphon")], None);
    assert!(!call.send_data("unknown", false, b"x"));
    assert!(!call.send_data("antiphon", true, &[0; 70_000]));
    call.peer_is_silent = true;
    let taken = (0..100)
        .filter(|_| call.send_data("antiphon", true, &[0; 10_000]))
        .count();
    assert!((20..30).contains(&taken), "256 KiB may wait: {taken}");
    assert_eq!(call.session.stats().counters.refused_messages, 102 - taken as u64);
}

#[test]
fn a_channel_that_the_caller_closed_takes_no_more_messages() {
    let mut call = with_channels(vec![in_band("antiphon")], None);
    let id = call.channels[0];
    call.rtc.direct_api().close_data_channel(id);
    call.drive_peer();
    call.run_ms(1_000);
    assert!(!call.send_data("antiphon", false, b"x"));
}

#[test]
fn a_message_on_a_stream_without_a_channel_is_counted() {
    let negotiated = ChannelConfig {
        negotiated: Some(4),
        ..in_band("antiphon")
    };
    let mut call = with_channels(vec![negotiated], None);
    peer_sends(&mut call, 0, false, b"nobody agreed to this channel");
    call.run_ms(500);
    assert_eq!(received(&call), []);
    assert_eq!(call.session.stats().counters.stray_messages, 1);
}
