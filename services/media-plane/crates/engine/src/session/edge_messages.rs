//! Binary messages on the session's own channel: they are between the caller's SDK and the edge, and no worker hears of them.
//! `proto/antiphon/data/v1` lists their types.

use super::Session;
use crate::device::{self, DeviceReport};
use crate::output::{Event, Output};
use crate::room;
use crate::time::Time;

/// Label of the channel that carries the session's text to the worker, and these messages to the edge.
pub(super) const LABEL: &str = "antiphon";

impl Session {
    /// The caller's SDK tells the edge something.
    pub(super) fn receive_edge_message(&mut self, now: Time, message: Vec<u8>, out: &mut impl Output) {
        match message.first() {
            Some(&device::PLAYOUT_REPORT) => self.receive_device_report(now, &message),
            Some(&(room::MUTE | room::HEAR)) => out.event(Event::Room { message }),
            _ => self.counters.edge_messages_unknown += 1,
        }
    }

    /// The caller's device tells what it plays, in the layout of [`DeviceReport`].
    pub fn receive_device_report(&mut self, now: Time, message: &[u8]) {
        let report = DeviceReport::parse(message).ok();
        let Some(report) = report.filter(|report| self.playout.device_report(now, report)) else {
            self.counters.device_reports_refused += 1;
            return;
        };
        self.counters.device_reports += 1;
        self.egress.redundancy.counted(report.received, report.lost);
        self.device = Some(report);
    }

    /// What was sent before `timestamp` shall not be heard any more.
    pub(super) fn silence_device(&mut self, now: Time, timestamp: u32, out: &mut impl Output) {
        if let Some(channels) = &mut self.channels
            && channels.send_past_others(&device::stop(timestamp))
        {
            self.drive_channels(now, out);
        }
    }
}
