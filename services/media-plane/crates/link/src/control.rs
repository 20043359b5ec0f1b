//! Control messages that wait for their stream. What opens, connects and closes sessions is never dropped: there are no
//! more of them than sessions. Data-channel messages are bounded.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use tokio_stream::Stream;

use crate::proto::ControlRequest;
use crate::proto::control_request::Message;

/// Data-channel messages that may wait for one link.
const DATA_MESSAGES: usize = 1024;
/// Bytes of data-channel messages that may wait for one link.
const DATA_BYTES: usize = 4 << 20;

/// A data-channel message was not taken: too many wait for the worker, or the link is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the link to the worker takes no more data messages for now")]
pub struct Refused;

/// The queue of one link's control stream.
#[derive(Debug, Default)]
pub struct ControlQueue {
    waiting: Mutex<Waiting>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Message>,
    data_messages: usize,
    data_bytes: usize,
    closed: bool,
}

impl ControlQueue {
    /// Sends a message in its order.
    ///
    /// # Errors
    /// [`Refused`] for a data-channel message when too many wait, and for any when the link is down.
    pub fn push(&self, message: Message) -> Result<(), Refused> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.closed {
            return Err(Refused);
        }
        if let Message::Data(data) = &message {
            if waiting.data_messages >= DATA_MESSAGES || waiting.data_bytes + data.payload.len() > DATA_BYTES {
                return Err(Refused);
            }
            waiting.data_messages += 1;
            waiting.data_bytes += data.payload.len();
        }
        waiting.messages.push_back(message);
        drop(waiting);
        self.waker.wake();
        Ok(())
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .messages
            .is_empty()
    }

    pub(crate) fn close(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting = Waiting {
            closed: true,
            ..Waiting::default()
        };
        drop(waiting);
        self.waker.wake();
    }

    fn pop(&self) -> Poll<Option<Message>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.messages.pop_front() {
            Some(message) => {
                if let Message::Data(data) = &message {
                    waiting.data_messages -= 1;
                    waiting.data_bytes -= data.payload.len();
                }
                Poll::Ready(Some(message))
            }
            None if waiting.closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// The queue as its stream reads it.
#[derive(Debug)]
pub(crate) struct ControlStream(pub(crate) Arc<ControlQueue>);

impl Stream for ControlStream {
    type Item = ControlRequest;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ControlRequest>> {
        let wrap = |message: Option<Message>| message.map(|message| ControlRequest { message: Some(message) });
        if let Poll::Ready(message) = self.0.pop() {
            return Poll::Ready(wrap(message));
        }
        self.0.waker.register(context.waker());
        self.0.pop().map(wrap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{DataMessage, SessionClosed};

    #[test]
    fn data_messages_are_bounded_and_the_rest_is_not() {
        let queue = ControlQueue::default();
        let data = || {
            Message::Data(DataMessage {
                payload: vec![0; 8].into(),
                ..DataMessage::default()
            })
        };
        for _ in 0..DATA_MESSAGES {
            queue.push(data()).expect("room");
        }
        assert_eq!(queue.push(data()), Err(Refused));
        queue
            .push(Message::Closed(SessionClosed::default()))
            .expect("control is never refused");
        assert!(matches!(queue.pop(), Poll::Ready(Some(Message::Data(_)))));
        queue.push(data()).expect("room again");
    }

    #[test]
    fn a_closed_queue_refuses_and_ends_its_stream() {
        let queue = ControlQueue::default();
        queue.close();
        assert_eq!(queue.push(Message::Closed(SessionClosed::default())), Err(Refused));
        assert_eq!(queue.pop(), Poll::Ready(None));
    }
}
