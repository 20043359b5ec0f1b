//! Who is heard in a room: its members in the order of their voices. The first N of the order, less the listener, are what a
//! listener with N slots hears. It is a pure function of levels and time.
//!
//! A member's level is smoothed, quick to rise and slow to fall. Only a voice moves a member: one that speaks overtakes the one
//! above it when it is louder by `margin_db`, or that one is silent, and has been for `overtake`. After a move both stay where they
//! are for `hold`. So noises of equal level never change places, and a member that falls silent keeps its slot until somebody
//! needs it.

use std::time::Duration;

use crate::time::Time;

/// What decides who is heard.
#[derive(Clone, Copy, Debug)]
pub struct OrderPolicy {
    /// A level above this is a voice, where its sender does not call it noise (RFC 6464's V bit).
    pub voice_dbov: f32,
    /// A voice goes on for this long after its last loud frame.
    pub hangover: Duration,
    /// How much louder a speaker must be than one above it that speaks, too.
    pub margin_db: f32,
    /// For how long it must have been so.
    pub overtake: Duration,
    /// A member that was moved is not moved again before this, unless it fell silent.
    pub hold: Duration,
    /// No word of a member for this long is silence: its encoder sends nothing (DTX).
    pub stale: Duration,
}

impl Default for OrderPolicy {
    fn default() -> Self {
        Self {
            voice_dbov: -50.0,
            hangover: Duration::from_millis(400),
            margin_db: 6.0,
            overtake: Duration::from_millis(60),
            hold: Duration::from_millis(600),
            stale: Duration::from_millis(500),
        }
    }
}

/// Of silence, and of who has not been heard yet.
const SILENCE_DBOV: f32 = -127.0;
/// Share of a new level that counts at once, when it is louder and when it is not.
const ATTACK: f32 = 0.6;
const RELEASE: f32 = 0.08;

#[derive(Clone, Copy, Debug)]
struct Member<K> {
    key: K,
    level_dbov: f32,
    heard_at: Time,
    /// When it was last loud.
    voiced_at: Option<Time>,
    speaking: bool,
    muted: bool,
    /// Its sender tells voice from noise. Some senders give levels and never set RFC 6464's V bit.
    tells_voice: bool,
    /// Since when it could overtake the one above it.
    ahead_since: Option<Time>,
    moved_at: Option<Time>,
}

/// Members of one room, the most audible first.
#[derive(Clone, Debug)]
pub struct Order<K> {
    policy: OrderPolicy,
    members: Vec<Member<K>>,
}

impl<K: Copy + PartialEq> Order<K> {
    /// An empty room.
    #[must_use]
    pub fn new(policy: OrderPolicy) -> Self {
        Self {
            policy,
            members: Vec::new(),
        }
    }

    /// Somebody came: they stand last.
    pub fn join(&mut self, key: K, now: Time) {
        if self.position(key).is_none() {
            self.members.push(Member {
                key,
                level_dbov: SILENCE_DBOV,
                heard_at: now,
                voiced_at: None,
                speaking: false,
                muted: false,
                tells_voice: false,
                ahead_since: None,
                moved_at: None,
            });
        }
    }

    /// Somebody left.
    pub fn leave(&mut self, key: K) {
        self.members.retain(|member| member.key != key);
    }

    /// A muted member speaks to nobody.
    pub fn mute(&mut self, key: K, muted: bool) {
        if let Some(at) = self.position(key) {
            let member = &mut self.members[at];
            member.muted = muted;
            if muted {
                member.level_dbov = SILENCE_DBOV;
                member.voiced_at = None;
                member.speaking = false;
                member.ahead_since = None;
            }
        }
    }

    /// A frame of a member: its level in dBov (-127 to 0), and whether its sender takes it for voice, where it says so. Returns
    /// whether the order, or who speaks, changed.
    pub fn hear(&mut self, key: K, level_dbov: f32, voice: Option<bool>, now: Time) -> bool {
        let Some(at) = self.position(key) else { return false };
        let policy = self.policy;
        let member = &mut self.members[at];
        if member.muted {
            return false;
        }
        let share = if level_dbov > member.level_dbov {
            ATTACK
        } else {
            RELEASE
        };
        member.level_dbov += (level_dbov.clamp(SILENCE_DBOV, 0.0) - member.level_dbov) * share;
        member.heard_at = now;
        member.tells_voice |= voice == Some(true);
        let is_noise = member.tells_voice && voice != Some(true);
        if level_dbov > policy.voice_dbov && !is_noise {
            member.voiced_at = Some(now);
        }
        self.settle(now)
    }

    /// Time passed. Returns whether the order, or who speaks, changed.
    pub fn settle(&mut self, now: Time) -> bool {
        let policy = self.policy;
        let mut changed = false;
        for member in &mut self.members {
            if now.since(member.heard_at) > policy.stale {
                member.level_dbov = SILENCE_DBOV;
            }
            let speaks = member.voiced_at.is_some_and(|at| now.since(at) <= policy.hangover);
            changed |= speaks != member.speaking;
            member.speaking = speaks;
        }
        for at in 1..self.members.len() {
            changed |= self.climb(at, now);
        }
        changed
    }

    /// Lets one member overtake whom it may.
    fn climb(&mut self, from: usize, now: Time) -> bool {
        let mut at = from;
        while at > 0 && self.is_ahead_of_above(at, now) {
            let since = *self.members[at].ahead_since.get_or_insert(now);
            if now.since(since) < self.policy.overtake {
                break;
            }
            self.members.swap(at - 1, at);
            at -= 1;
        }
        if at == from {
            if !self.is_ahead_of_above(at, now) {
                self.members[at].ahead_since = None;
            }
            return false;
        }
        self.members[at].moved_at = Some(now);
        self.members[at].ahead_since = None;
        for passed in &mut self.members[at + 1..=from] {
            passed.moved_at = Some(now);
            passed.ahead_since = None;
        }
        true
    }

    fn is_ahead_of_above(&self, at: usize, now: Time) -> bool {
        let (Some(above), Some(this)) = (
            at.checked_sub(1).map(|above| &self.members[above]),
            self.members.get(at),
        ) else {
            return false;
        };
        if !this.speaking || this.muted {
            return false;
        }
        if above.muted || !above.speaking {
            return true;
        }
        let settled = |member: &Member<K>| member.moved_at.is_none_or(|moved| now.since(moved) >= self.policy.hold);
        settled(this) && settled(above) && this.level_dbov > above.level_dbov + self.policy.margin_db
    }

    /// All members, the most audible first.
    pub fn ranked(&self) -> impl Iterator<Item = K> + '_ {
        self.members.iter().map(|member| member.key)
    }

    /// Whether a member speaks.
    #[must_use]
    pub fn is_speaking(&self, key: K) -> bool {
        self.position(key).is_some_and(|at| self.members[at].speaking)
    }

    /// Whether a member is muted.
    #[must_use]
    pub fn is_muted(&self, key: K) -> bool {
        self.position(key).is_some_and(|at| self.members[at].muted)
    }

    /// Whether time alone may change something: somebody speaks.
    #[must_use]
    pub fn is_restless(&self) -> bool {
        self.members.iter().any(|member| member.speaking)
    }

    /// Whom a listener hears: the first of the order that are neither the listener nor muted and that it `wants`. `before` is
    /// whom it heard so far, by slot; who stays keeps the slot, so that a voice does not jump from one to another.
    pub fn assign(&self, listener: K, wants: impl Fn(K) -> bool, before: &[Option<K>], slots: &mut [Option<K>]) {
        let heard = self
            .members
            .iter()
            .filter(|member| member.key != listener && !member.muted && wants(member.key))
            .map(|member| member.key)
            .take(slots.len());
        slots.fill(None);
        let stays = |key: K| before.iter().take(slots.len()).position(|slot| *slot == Some(key));
        let (mut staying, mut coming) = (Vec::new(), Vec::new());
        for key in heard {
            match stays(key) {
                Some(slot) => staying.push((slot, key)),
                None => coming.push(key),
            }
        }
        for (slot, key) in staying {
            slots[slot] = Some(key);
        }
        let mut coming = coming.into_iter();
        for slot in slots.iter_mut().filter(|slot| slot.is_none()) {
            *slot = coming.next();
        }
    }

    fn position(&self, key: K) -> Option<usize> {
        self.members.iter().position(|member| member.key == key)
    }
}
