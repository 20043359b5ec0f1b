//! A direction's qualities as text: `loss=5%,delay=40ms,jitter=10ms`. What they mean is the path's business.

use std::str::FromStr;

use antiphon_netsim::{LinkConfig, Loss};
use thiserror::Error;

/// Longest wait at a narrow link, unless said otherwise.
const QUEUE_US: u64 = 200_000;

/// What one direction does to packets.
#[derive(Clone, Copy, Debug)]
pub struct Qualities {
    /// Loss, delay, jitter, reordering, duplicates.
    pub link: LinkConfig,
    /// Bits a second; none for as many as come.
    pub rate_bps: Option<u64>,
    /// Longest wait for the rate, in microseconds; packets that would wait longer are dropped.
    pub queue_us: u64,
    /// UDP does not pass, as behind some firewalls.
    pub udp_blocked: bool,
}

impl Default for Qualities {
    fn default() -> Self {
        Self {
            link: LinkConfig::default(),
            rate_bps: None,
            queue_us: QUEUE_US,
            udp_blocked: false,
        }
    }
}

/// Text that describes no direction.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum QualitiesError {
    /// A word without its value.
    #[error("{0:?} is not name=value")]
    NotAPair(String),
    /// An unknown name.
    #[error(
        "{0:?} is unknown: there are loss, bursts, delay, jitter, reorder, duplicate, rate, queue and udp; or `none`"
    )]
    Unknown(String),
    /// A value that cannot be.
    #[error("{value:?} is no value for {name}: expected for example {example}")]
    Value {
        /// Of the quality.
        name: &'static str,
        /// As given.
        value: String,
        /// One that would do.
        example: &'static str,
    },
}

impl FromStr for Qualities {
    type Err = QualitiesError;

    fn from_str(text: &str) -> Result<Self, QualitiesError> {
        let mut found = Self::default();
        if text.trim() == "none" {
            return Ok(found);
        }
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (name, value) = word
                .split_once('=')
                .ok_or_else(|| QualitiesError::NotAPair(word.to_owned()))?;
            found.set(name, value)?;
        }
        Ok(found)
    }
}

impl Qualities {
    fn set(&mut self, name: &str, value: &str) -> Result<(), QualitiesError> {
        let wrong = |name, example| QualitiesError::Value {
            name,
            value: value.to_owned(),
            example,
        };
        let link = &mut self.link;
        match name {
            "loss" => link.loss = Loss::Random(chance(value).ok_or_else(|| wrong("loss", "5%"))?),
            "bursts" => link.loss = bursts(value).ok_or_else(|| wrong("bursts", "1%/20%/100%"))?,
            "delay" => link.delay_us = microseconds(value).ok_or_else(|| wrong("delay", "40ms"))?,
            "jitter" => link.jitter_us = microseconds(value).ok_or_else(|| wrong("jitter", "10ms"))?,
            "duplicate" => link.duplicate = chance(value).ok_or_else(|| wrong("duplicate", "1%"))?,
            "reorder" => {
                (link.reorder, link.reorder_us) = reorder(value).ok_or_else(|| wrong("reorder", "1%/15ms"))?;
            }
            "rate" => self.rate_bps = Some(rate(value).ok_or_else(|| wrong("rate", "2mbit"))?),
            "queue" => self.queue_us = microseconds(value).ok_or_else(|| wrong("queue", "200ms"))?,
            "udp" if value == "blocked" => self.udp_blocked = true,
            "udp" => return Err(wrong("udp", "blocked")),
            other => return Err(QualitiesError::Unknown(other.to_owned())),
        }
        Ok(())
    }
}

/// 5% or 0.05.
fn chance(text: &str) -> Option<f64> {
    let value = match text.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().ok()? / 100.0,
        None => text.parse().ok()?,
    };
    (0.0..=1.0).contains(&value).then_some(value)
}

/// Of going bad, of recovering, of loss while bad.
fn bursts(text: &str) -> Option<Loss> {
    let mut parts = text.split('/').map(chance);
    let found = Loss::Bursts {
        begin: parts.next()??,
        end: parts.next()??,
        loss: parts.next()??,
    };
    parts.next().is_none().then_some(found)
}

fn reorder(text: &str) -> Option<(f64, u64)> {
    let (share, by) = text.split_once('/')?;
    Some((chance(share)?, microseconds(by)?))
}

/// 40ms, 1.5ms, 250us or 2s.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be in range"
)]
fn microseconds(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[digits.len()..] {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    let value = digits.parse::<f64>().ok()? * scale;
    (0.0..=6e7).contains(&value).then_some(value.round() as u64)
}

/// 64kbit, 2mbit or 1gbit.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be in range"
)]
fn rate(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[digits.len()..] {
        "kbit" => 1e3,
        "mbit" => 1e6,
        "gbit" => 1e9,
        _ => return None,
    };
    let value = digits.parse::<f64>().ok()? * scale;
    (1e3..=1e11).contains(&value).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::{Qualities, QualitiesError};
    use antiphon_netsim::Loss;

    #[test]
    fn every_quality_can_be_said() {
        let text = "loss=5%, delay=40ms,jitter=1.5ms,reorder=1%/15ms,duplicate=0.02,rate=2mbit,queue=1s,udp=blocked";
        let found: Qualities = text.parse().expect("it is well-formed");
        assert!(matches!(found.link.loss, Loss::Random(loss) if (loss - 0.05).abs() < 1e-9));
        assert_eq!((found.link.delay_us, found.link.jitter_us), (40_000, 1_500));
        assert_eq!((found.link.reorder_us, found.queue_us), (15_000, 1_000_000));
        assert_eq!((found.rate_bps, found.udp_blocked), (Some(2_000_000), true));
        assert!((found.link.duplicate - 0.02).abs() < 1e-9);
    }

    #[test]
    fn bursts_have_three_chances() {
        let found: Qualities = "bursts=1%/20%/90%".parse().expect("it is well-formed");
        assert!(matches!(found.link.loss, Loss::Bursts { begin, end, loss }
            if (begin - 0.01).abs() < 1e-9 && (end - 0.2).abs() < 1e-9 && (loss - 0.9).abs() < 1e-9));
        assert!("bursts=1%/20%".parse::<Qualities>().is_err());
        assert!("bursts=1%/20%/90%/1%".parse::<Qualities>().is_err());
    }

    #[test]
    fn nothing_said_changes_nothing() {
        for text in ["", "none", " none "] {
            let found: Qualities = text.parse().expect("it is well-formed");
            assert!(matches!(found.link.loss, Loss::None) && found.link.delay_us == 0);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = |text: &str| text.parse::<Qualities>().expect_err("it is wrong").to_string();
        assert!(wrong("loss=120%").contains("loss"));
        assert!(wrong("delay=40").contains("40ms"));
        assert!(wrong("rate=fast").contains("2mbit"));
        assert!(wrong("udp=open").contains("blocked"));
        assert_eq!(
            "loss".parse::<Qualities>().err(),
            Some(QualitiesError::NotAPair("loss".to_owned()))
        );
        assert_eq!(
            "colour=red".parse::<Qualities>().err(),
            Some(QualitiesError::Unknown("colour".to_owned()))
        );
    }
}
