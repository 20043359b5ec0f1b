//! New ICE credentials for a live call.

use crate::support::{Call, CallConfig, address, opus};
use str0m::change::SdpAnswer;

fn attribute<'a>(text: &'a str, name: &str) -> &'a str {
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(name)).expect("the attribute")
}

/// The answer with the credentials of a fragment.
fn renewed(answer: &str, fragment: &str) -> String {
    let lines = answer.lines().map(|line| {
        let name = ["a=ice-ufrag:", "a=ice-pwd:"]
            .into_iter()
            .find(|name| line.starts_with(name));
        match name {
            Some(name) => format!("{name}{}\r\n", attribute(fragment, name)),
            None => format!("{line}\r\n"),
        }
    });
    lines.collect()
}

/// str0m asks for a restart, and takes the answer.
fn restart(call: &mut Call) {
    let mut changes = call.rtc.sdp_api();
    changes.ice_restart(true);
    let (offer, pending) = changes.apply().expect("a restart");
    let offer = offer.to_sdp_string();
    let fragment = format!(
        "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n",
        attribute(&offer, "a=ice-ufrag:"),
        attribute(&offer, "a=ice-pwd:")
    );
    let before = call.session.ufrag().to_owned();
    let fragment = call
        .session
        .restart_ice(call.now, &fragment)
        .expect("a fragment that can be answered");
    assert_ne!(call.session.ufrag(), before);
    assert_eq!(attribute(&fragment, "a=ice-ufrag:"), call.session.ufrag());
    let answer = SdpAnswer::from_sdp_string(&renewed(&call.answer, &fragment)).expect("an answer");
    call.rtc
        .sdp_api()
        .accept_answer(pending, answer)
        .expect("str0m takes it");
    call.drive_peer();
}

#[test]
fn media_goes_on_through_a_restart_and_moves_to_the_new_address() {
    let mut call = Call::connected(CallConfig::default());
    (0..10).for_each(|mark| call.say(&opus(mark)));
    call.nat.rebind(address("203.0.113.9:7000"));
    restart(&mut call);
    call.run_ms(1_000);
    (10..20).for_each(|mark| call.say(&opus(mark)));
    call.run_ms(200);
    assert_eq!(call.session.stats().remote, Some(address("203.0.113.9:7000").into()));
    let marks: Vec<_> = call.said.frames.iter().map(|frame| frame.payload[1]).collect();
    assert_eq!(marks, (0..20).collect::<Vec<u8>>());
    let gap = call.session.stats().path_gaps.last.expect("it moved");
    assert!(
        (1_000..1_200).contains(&gap.as_millis()),
        "a second of silence, and a few packets' time: {gap:?}"
    );
    call.run_ms(60_000);
    assert_eq!(call.said.closed(), None);
}

#[test]
fn a_fragment_without_new_credentials_changes_nothing() {
    let mut call = Call::connected(CallConfig::default());
    let before = call.session.ufrag().to_owned();
    let candidate = "a=mid:0\r\na=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n";
    assert!(call.session.restart_ice(call.now, candidate).is_ok());
    assert_eq!(call.session.ufrag(), before);
}
