//! What a shard has to say to others about rooms: a queue for each, so that one whose mailbox is full holds up no other.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::mailbox::{Mail, Mailbox};
use crate::rooms::{RoomMail, Stage};

/// The queues, by the number of the shard; a shard has one for itself, too.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    queues: Vec<VecDeque<RoomMail>>,
}

impl Outgoing {
    fn queue(&mut self, shard: usize) -> &mut VecDeque<RoomMail> {
        if self.queues.len() <= shard {
            self.queues.resize_with(shard + 1, VecDeque::new);
        }
        &mut self.queues[shard]
    }

    pub(super) fn push(&mut self, shard: usize, mail: RoomMail) {
        self.queue(shard).push_back(mail);
    }

    /// A room's newest stage; those that still wait say nothing any more.
    pub(super) fn set_stage(&mut self, shard: usize, stage: &Arc<Stage>) {
        let queue = self.queue(shard);
        queue.retain(|mail| !matches!(mail, RoomMail::Stage(waiting) if waiting.room == stage.room));
        queue.push_back(RoomMail::Stage(stage.clone()));
    }

    /// The next message for a shard.
    pub(super) fn next(&mut self, shard: usize) -> Option<RoomMail> {
        self.queues.get_mut(shard)?.pop_front()
    }

    /// Posts what waits, as far as there is room. Returns whether nothing is left.
    pub(super) fn post(&mut self, mailboxes: &[Mailbox]) -> bool {
        for (queue, mailbox) in self.queues.iter_mut().zip(mailboxes) {
            while let Some(mail) = queue.pop_front() {
                if let Err(Mail::Room(back)) = mailbox.post(Mail::Room(mail)) {
                    queue.push_front(back);
                    break;
                }
            }
        }
        self.queues.iter().all(VecDeque::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::Slot;

    fn leave(room: u32) -> RoomMail {
        RoomMail::Leave { room, slot: Slot(0) }
    }

    fn rooms_left(mailbox: &Mailbox) -> Vec<u32> {
        let mail = std::iter::from_fn(|| mailbox.next_mail());
        mail.filter_map(|mail| match mail {
            Mail::Room(RoomMail::Leave { room, .. }) => Some(room),
            _ => None,
        })
        .collect()
    }

    #[test]
    fn a_full_mailbox_holds_up_its_own_messages_only_and_their_order_stays() {
        let [full, other] = [(); 2].map(|()| Mailbox::new().expect("a descriptor"));
        while full.post(Mail::LinkDown { link: 0 }).is_ok() {}
        let mailboxes = [full, other];
        let mut outgoing = Outgoing::default();
        for (shard, room) in [(0, 1), (1, 2), (0, 3), (1, 4)] {
            outgoing.push(shard, leave(room));
        }

        assert!(!outgoing.post(&mailboxes));
        assert_eq!(rooms_left(&mailboxes[1]), [2, 4]);
        assert_eq!(rooms_left(&mailboxes[0]), [0_u32; 0]);
        assert!(outgoing.post(&mailboxes));
        assert_eq!(rooms_left(&mailboxes[0]), [1, 3]);
    }
}
