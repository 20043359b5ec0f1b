//! Playout reports of a caller's device.

use antiphon_engine::device::{DeviceReport, DeviceReportError, stop};
use proptest::prelude::*;

use crate::hex;

const REPORT: &str = "01 01 0003  00bc614e  fffffff0  0007 002d 0041 0000  000003e8  0000000c  00001388";

#[test]
fn a_report_is_read_as_the_proto_has_it() {
    let report = DeviceReport {
        silences: true,
        plays: true,
        sent_ms: 12_345_678,
        timestamp: 0xffff_fff0,
        age_ms: 7,
        output_ms: 45,
        buffer_ms: 65,
        received: 1_000,
        lost: 12,
        concealed: 5_000,
    };
    assert_eq!(DeviceReport::parse(&hex(REPORT)), Ok(report));
    assert_eq!(report.write()[..], hex(REPORT));
}

#[test]
fn a_longer_report_of_a_later_version_is_read_as_far_as_it_is_known() {
    let mut later = hex(REPORT);
    later[1] = 9;
    later.extend([1, 2, 3]);
    assert_eq!(DeviceReport::parse(&later).map(|report| report.age_ms), Ok(7));
}

#[test]
fn what_is_no_report_is_refused() {
    let whole = hex(REPORT);
    for length in 0..whole.len() {
        assert_eq!(
            DeviceReport::parse(&whole[..length]),
            Err(DeviceReportError),
            "{length}"
        );
    }
    for (at, octet) in [(0, 2), (1, 0)] {
        let mut other = whole.clone();
        other[at] = octet;
        assert_eq!(DeviceReport::parse(&other), Err(DeviceReportError));
    }
}

#[test]
fn a_stop_names_the_timestamp() {
    assert_eq!(stop(0xfedc_ba98)[..], hex("02 01 0000 fedcba98"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(message in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(report) = DeviceReport::parse(&message) {
            prop_assert_eq!(DeviceReport::parse(&report.write()), Ok(report));
        }
    }
}
