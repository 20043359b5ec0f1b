//! What members are told over the data channel, as proto/antiphon/data/v1 has it: who is in the room, who speaks, and whose voice
//! comes in which of their m-lines.

use std::fmt::Write as _;

use antiphon_engine::room::MAX_SLOTS;

use super::Stage;
use crate::slot::Slot;

/// Who is in the room, with whom it is told to. `None` when that is as it was.
pub(crate) fn members_notice(stage: &Stage, before: Option<&Stage>, you: Slot) -> Option<String> {
    let told = |stage: &Stage| {
        let mut told: Vec<_> = stage.cards.iter().map(|card| (card.slot.0, card.muted)).collect();
        told.sort_unstable();
        told
    };
    if before.is_some_and(|before| told(before) == told(stage)) {
        return None;
    }
    let mut text = String::from("{\"roomMembers\":{\"room\":");
    quote(&mut text, &stage.name);
    text.push_str(",\"you\":");
    quote(&mut text, stage.card(you).map_or("", |card| &card.id));
    text.push_str(",\"members\":[");
    for (at, card) in stage.cards.iter().enumerate() {
        text.push_str(if at == 0 { "{\"session\":" } else { ",{\"session\":" });
        quote(&mut text, &card.id);
        let _ = write!(text, ",\"muted\":{}}}", card.muted);
    }
    text.push_str("]}}");
    Some(text)
}

/// Who speaks, and whose voice comes in which m-line. `None` when that is as it was.
pub(crate) fn speakers_notice<'a>(
    stage: &Stage,
    before: Option<&Stage>,
    you: Slot,
    mid: impl Fn(usize) -> Option<&'a str>,
) -> Option<String> {
    let speaking = |stage: &Stage| {
        let speakers = stage.cards.iter().filter(|card| card.speaking);
        let mut speakers: Vec<_> = speakers.map(|card| card.slot.0).collect();
        speakers.sort_unstable();
        speakers
    };
    let hears = |stage: &Stage| stage.card(you).map_or([None; MAX_SLOTS], |card| card.hears);
    if before.is_some_and(|before| speaking(before) == speaking(stage) && hears(before) == hears(stage)) {
        return None;
    }
    let mut text = String::from("{\"roomSpeakers\":{\"speaking\":[");
    for (at, card) in stage.cards.iter().filter(|card| card.speaking).enumerate() {
        text.push_str(if at == 0 { "" } else { "," });
        quote(&mut text, &card.id);
    }
    text.push_str("],\"voices\":[");
    let mut first = true;
    for (at, source) in hears(stage).into_iter().enumerate() {
        let (Some(source), Some(mid)) = (source.and_then(|source| stage.card(source)), mid(at)) else {
            continue;
        };
        text.push_str(if std::mem::take(&mut first) {
            "{\"mid\":"
        } else {
            ",{\"mid\":"
        });
        quote(&mut text, mid);
        text.push_str(",\"session\":");
        quote(&mut text, &source.id);
        text.push('}');
    }
    text.push_str("]}}");
    Some(text)
}

/// Whether a caller's message says that it leaves; workers read it where there is one.
pub(crate) fn is_bye(message: &[u8]) -> bool {
    let visible = message.iter().filter(|byte| !byte.is_ascii_whitespace());
    visible.eq(b"{\"bye\":{}}")
}

fn quote(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' | '\\' => {
                text.push('\\');
                text.push(character);
            }
            control if u32::from(control) < 0x20 => {
                let _ = write!(text, "\\u{:04x}", u32::from(control));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::super::{Card, Wants};
    use super::*;

    fn stage() -> Stage {
        let card = |slot, id: &str, speaking: bool| Card {
            slot: Slot(slot),
            id: id.into(),
            link: 0,
            muted: !speaking,
            speaking,
            wants: Wants::All,
            hears: [None; MAX_SLOTS],
            towards: 0,
        };
        let mut stage = Stage {
            room: 1,
            name: "a \"room\"\n".into(),
            cards: vec![card(1, "one", true), card(2, "two", false)],
        };
        stage.cards[1].hears[1] = Some(Slot(1));
        stage
    }

    #[test]
    fn members_and_speakers_are_told_once() {
        let stage = stage();
        assert_eq!(
            members_notice(&stage, None, Slot(2)).expect("news"),
            r#"{"roomMembers":{"room":"a \"room\"\u000a","you":"two","members":[{"session":"one","muted":false},{"session":"two","muted":true}]}}"#
        );
        let mid = |at| ["1", "2"].get(at).copied();
        assert_eq!(
            speakers_notice(&stage, None, Slot(2), mid).expect("news"),
            r#"{"roomSpeakers":{"speaking":["one"],"voices":[{"mid":"2","session":"one"}]}}"#
        );
        assert_eq!(members_notice(&stage, Some(&stage), Slot(2)), None);
        assert_eq!(speakers_notice(&stage, Some(&stage), Slot(2), mid), None);
    }

    #[test]
    fn a_bye_is_known_however_it_is_spaced() {
        assert!(is_bye(b"{\n  \"bye\": {}\n}"));
        assert!(!is_bye(b"{\"app\":{}}"));
    }
}
