//! What a caller says: Opus packets of 20 ms, encoded beforehand.

/// 20 ms of a clip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// One Opus packet.
    pub payload: Vec<u8>,
    /// Level as RFC 6464 has it: 0 to 127, in -dBov.
    pub level: u8,
}

/// Something to say. It begins and ends with voice: turns are timed by its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clip {
    frames: Vec<Frame>,
}

/// Why frames make no clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadClip {
    /// There is nothing to say.
    #[error("a clip needs a frame at least")]
    Empty,
    /// A frame is not what it should be.
    #[error("frame {0}: expected one Opus packet of 20 ms, 3 to 1,275 bytes long")]
    Frame(usize),
}

const SAMPLES: u32 = 960;
const LARGEST: usize = 1_275;

impl Clip {
    /// Takes frames.
    ///
    /// # Errors
    /// [`BadClip`]; packets of DTX are none of a clip's.
    pub fn new(frames: Vec<Frame>) -> Result<Self, BadClip> {
        if frames.is_empty() {
            return Err(BadClip::Empty);
        }
        let good = |frame: &Frame| {
            (3..=LARGEST).contains(&frame.payload.len())
                && antiphon_engine::opus::duration(&frame.payload) == Some(SAMPLES)
        };
        match frames.iter().position(|frame| !good(frame)) {
            Some(at) => Err(BadClip::Frame(at)),
            None => Ok(Self { frames }),
        }
    }

    /// A frame of it; none behind its end.
    #[must_use]
    pub fn frame(&self, at: usize) -> Option<&Frame> {
        self.frames.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_clip_is_refused() {
        let frame = |payload: &[u8]| Frame {
            payload: payload.to_vec(),
            level: 30,
        };
        assert_eq!(Clip::new(Vec::new()), Err(BadClip::Empty));
        assert_eq!(
            Clip::new(vec![frame(&[0xf8, 1, 2]), frame(&[0xf8])]),
            Err(BadClip::Frame(1))
        );
        assert_eq!(Clip::new(vec![frame(&[0xf0, 1, 2])]), Err(BadClip::Frame(0)), "10 ms");
        assert!(Clip::new(vec![frame(&[0xf8, 1, 2])]).is_ok());
    }
}
