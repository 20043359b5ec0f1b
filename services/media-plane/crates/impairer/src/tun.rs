//! TUN devices in other network namespaces. The crate's only `unsafe` code is here: the standard library and rustix know
//! no TUNSETIFF.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::thread;

use rustix::ioctl::{self, Opcode, Updater};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use thiserror::Error;

const DEVICE: &str = "/dev/net/tun";
const NAMESPACES: &str = "/run/netns";
const TUNSETIFF: Opcode = ioctl::opcode::write::<libc_int>(b'T', 202);
const IFF_TUN: i16 = 0x0001;
const IFF_NO_PI: i16 = 0x1000;
const NAME: usize = 16;

#[expect(non_camel_case_types, reason = "what the kernel's header calls it")]
type libc_int = i32;

/// One end of a router: a device, and the network namespace that sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// As `ip netns` lists it.
    pub namespace: String,
    /// The device's name there.
    pub device: String,
}

/// Text that names no end.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not namespace/device, with a device name of 1 to 15 bytes")]
pub struct EndError(String);

impl FromStr for End {
    type Err = EndError;

    fn from_str(text: &str) -> Result<Self, EndError> {
        match text.split_once('/') {
            Some((namespace, device))
                if !namespace.is_empty() && !device.contains('/') && (1..NAME).contains(&device.len()) =>
            {
                Ok(Self {
                    namespace: namespace.to_owned(),
                    device: device.to_owned(),
                })
            }
            _ => Err(EndError(text.to_owned())),
        }
    }
}

/// The kernel's `struct ifreq`, as far as TUNSETIFF reads it.
#[repr(C)]
struct Request {
    name: [u8; NAME],
    flags: i16,
    rest: [u8; 22],
}

/// Opens the end's device, and makes it where there is none yet; it lives as long as the file. Reading gives one IP packet
/// that the namespace sends, writing hands it one; neither waits.
///
/// # Errors
/// What the kernel says: no such namespace, no permission, a device that another program has.
///
/// # Panics
/// If the thread that enters the namespace does.
pub fn open(end: &End) -> io::Result<File> {
    let namespace = File::open(PathBuf::from(NAMESPACES).join(&end.namespace))?;
    let device = end.device.clone();
    // A thread of its own, since a namespace is a thread's: the file keeps it, the rest of the program never enters.
    thread::spawn(move || {
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(LinkNameSpaceType::Network))?;
        attach(&device)
    })
    .join()
    .expect("opening does not panic")
}

fn attach(device: &str) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(DEVICE)?;
    let mut request = Request {
        name: [0; NAME],
        flags: IFF_TUN | IFF_NO_PI,
        rest: [0; 22],
    };
    request.name[..device.len()].copy_from_slice(device.as_bytes());
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq` (40 bytes), which `request` is, and keeps no pointer to it. Its
    // opcode says `int` for historical reasons.
    unsafe { ioctl::ioctl(&file, Updater::<TUNSETIFF, Request>::new(&mut request)) }?;
    rustix::io::ioctl_fionbio(&file, true)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::{End, Request};

    #[test]
    fn an_end_is_a_namespace_and_a_device() {
        let end: End = "caller/wlan0".parse().expect("it is well-formed");
        assert_eq!((end.namespace.as_str(), end.device.as_str()), ("caller", "wlan0"));
        for wrong in [
            "",
            "caller",
            "caller/",
            "/wlan0",
            "caller/a/b",
            "caller/sixteen-bytes-xx",
        ] {
            assert!(wrong.parse::<End>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_request_is_as_large_as_the_kernels() {
        assert_eq!(std::mem::size_of::<Request>(), 40);
    }
}
