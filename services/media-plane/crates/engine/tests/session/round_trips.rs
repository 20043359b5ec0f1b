//! How many round trips lie between the answer and the first Opus frame, for each way of setting a call up. The path is
//! 100 ms there and back, computing takes no time: what is counted is the protocols' alone. `docs/setup.md` tells the same table.

use std::time::Duration;

use crate::support::{Call, CallConfig, DtlsVersion, START, frame, opus};
use antiphon_engine::{Event, Time};
use antiphon_netsim::LinkConfig;
use str0m::channel::ChannelConfig;

const ROUND_TRIP_US: u64 = 100_000;
/// What the ends' own timers may add: str0m begins checks, and paces, by ticks of its own.
const SLACK_US: u64 = 9_000;

/// Who sends the ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Active {
    Caller,
    Edge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    InBand,
    Negotiated,
}

/// Half round trips from the moment that the caller has the answer.
#[derive(Debug, PartialEq, Eq)]
struct Halves {
    /// Until the worker has the caller's first frame.
    up: u64,
    /// Until the caller has the agent's first frame.
    down: u64,
    /// Until the worker has the caller's first message.
    message_up: u64,
    /// Until the caller has the agent's first message.
    message_down: u64,
}

fn set_up(dtls: DtlsVersion, active: Active, channel: Channel) -> Halves {
    let link = LinkConfig {
        delay_us: ROUND_TRIP_US / 2,
        ..LinkConfig::default()
    };
    let negotiated = (channel == Channel::Negotiated).then_some(0);
    let mut call = Call::new(CallConfig {
        dtls,
        up: link,
        down: link,
        channels: vec![ChannelConfig {
            label: "antiphon".to_owned(),
            negotiated,
            ..ChannelConfig::default()
        }],
        negotiated,
        offer: match active {
            Active::Caller => |offer| offer,
            Active::Edge => |offer| offer.replace("a=setup:actpass", "a=setup:passive"),
        },
        ..CallConfig::default()
    });
    let (mut up, mut down, mut message_up, mut message_down) = (None, None, None, None);
    let (mut spoke, mut wrote, mut edge_spoke, mut edge_wrote) = (false, false, false, false);
    while call.now < START + Duration::from_secs(3) {
        if !spoke && call.rtc.is_connected() {
            spoke = true;
            call.send_packet(1, 960, true, &opus(1));
        }
        if !wrote && let Some(mut ready) = call.rtc.channel(call.channels[0]) {
            wrote = ready.write(false, b"hello").unwrap_or(false);
            call.drive_peer();
        }
        if !edge_spoke && call.session.is_connected() {
            edge_spoke = call.play(frame(1, &opus(2)));
            edge_wrote |= negotiated.is_some() && call.send_data("antiphon", false, b"hello");
        }
        let opened = |(_, event): &(Time, Event)| matches!(event, Event::ChannelOpen { .. });
        if !edge_wrote && call.said.events.iter().any(opened) {
            edge_wrote = call.send_data("antiphon", false, b"hello");
        }
        call.run(Duration::from_micros(200));
        up = up.or(call.said.frames.first().map(|frame| frame.at));
        down = down.or(call.heard.first().map(|heard| heard.at));
        let told = |(at, event): &(Time, Event)| matches!(event, Event::Data { .. }).then_some(*at);
        message_up = message_up.or(call.said.events.iter().find_map(told));
        let heard = |(at, event): &(Time, str0m::Event)| matches!(event, str0m::Event::ChannelData(_)).then_some(*at);
        message_down = message_down.or(call.peer_events.iter().find_map(heard));
    }
    Halves {
        up: halves(up),
        down: halves(down),
        message_up: halves(message_up),
        message_down: halves(message_down),
    }
}

fn halves(reached: Option<Time>) -> u64 {
    let took = reached.expect("reached").as_micros() - START.as_micros();
    let half = ROUND_TRIP_US / 2;
    let count = took / half;
    assert!(
        took - count * half < SLACK_US,
        "{took} us is no whole number of half round trips"
    );
    count
}

fn row(dtls: DtlsVersion, active: Active, channel: Channel) -> String {
    let found = set_up(dtls, active, channel);
    let trips = |halves: u64| format!("{}{}", halves / 2, if halves % 2 == 1 { ".5" } else { "" });
    format!(
        "| {} | {} | {} | {} | {} | {} | {} |",
        if dtls == DtlsVersion::Dtls12 { "1.2" } else { "1.3" },
        match active {
            Active::Caller => "the caller",
            Active::Edge => "the edge",
        },
        match channel {
            Channel::InBand => "in-band",
            Channel::Negotiated => "negotiated",
        },
        trips(found.up),
        trips(found.down),
        trips(found.message_up),
        trips(found.message_down),
    )
}

#[test]
fn each_way_of_setting_up_takes_the_round_trips_that_the_docs_tell() {
    let docs = include_str!("../../../../../../docs/setup.md");
    let mut missing = Vec::new();
    for dtls in [DtlsVersion::Dtls12, DtlsVersion::Dtls13] {
        for active in [Active::Caller, Active::Edge] {
            for channel in [Channel::InBand, Channel::Negotiated] {
                let row = row(dtls, active, channel);
                if !docs.contains(&row) {
                    missing.push(row);
                }
            }
        }
    }
    assert!(missing.is_empty(), "found, but not told:\n{}", missing.join("\n"));
}
