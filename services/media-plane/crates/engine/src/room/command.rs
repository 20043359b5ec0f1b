//! What a caller's SDK asks of its room over the data channel: short binary messages on the channel `antiphon`, whose first byte is
//! the type. The edge carries them out itself, so that they work without a worker.
//!
//! ```text
//! 16  flag                           mutes (1) or unmutes (0) oneself
//! 17  0                              hears all members
//! 17  1  count  (length  id) ...     hears only these sessions
//! ```

/// First byte of a message about whether the member is heard.
pub const MUTE: u8 = 16;
/// First byte of a message about whom the member hears.
pub const HEAR: u8 = 17;
/// Most sessions that a member may name.
pub const MAX_NAMED: usize = 64;

/// What a member asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Not to be heard, or to be heard again.
    Mute(bool),
    /// To hear whoever speaks.
    HearAll,
    /// To hear only these sessions, however loud others are.
    HearOnly(Named<'a>),
}

impl<'a> Command<'a> {
    /// Reads a message; `None` when it is none of these, or malformed.
    #[must_use]
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        match message {
            [MUTE, flag @ (0 | 1)] => Some(Self::Mute(*flag == 1)),
            [HEAR, 0] => Some(Self::HearAll),
            [HEAR, 1, count, names @ ..] => {
                let named = Named(names);
                let counted = named.count();
                let whole = named.map(|name| 1 + name.len()).sum::<usize>() == names.len();
                let agrees = counted == usize::from(*count) && counted <= MAX_NAMED && whole;
                agrees.then_some(Self::HearOnly(named))
            }
            _ => None,
        }
    }
}

/// Walks sessions' ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a>(&'a [u8]);

impl<'a> Iterator for Named<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        self.0 = rest;
        std::str::from_utf8(name).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_are_read() {
        assert_eq!(Command::parse(&[16, 1]), Some(Command::Mute(true)));
        assert_eq!(Command::parse(&[17, 0]), Some(Command::HearAll));
        let Some(Command::HearOnly(named)) = Command::parse(b"\x11\x01\x02\x01a\x02bc") else {
            panic!("well-formed")
        };
        assert_eq!(named.collect::<Vec<_>>(), ["a", "bc"]);
        assert!(
            matches!(Command::parse(&[17, 1, 0]), Some(Command::HearOnly(_))),
            "nobody"
        );
    }

    #[test]
    fn what_is_malformed_is_none() {
        for message in [
            &[][..],
            &[16],
            &[16, 2],
            &[16, 1, 0],
            &[17, 1, 1],
            &[17, 1, 1, 9, b'a'],
            &[17, 1, 0, 1, b'a'],
            &[1, 2],
        ] {
            assert_eq!(Command::parse(message), None, "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            for first in [MUTE, HEAR] {
                let message = [&[first][..], &bytes].concat();
                if let Some(Command::HearOnly(named)) = Command::parse(&message) {
                    prop_assert!(named.count() <= MAX_NAMED);
                    prop_assert_eq!(named.map(|name| 1 + name.len()).sum::<usize>() + 3, message.len());
                }
            }
        }
    }
}
