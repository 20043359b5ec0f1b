//! What may be said to a running impairer, one line each on its standard input: `up delay=40ms`, `down none`, `rebind`,
//! `counts`. Each is answered by one line; the end of the input ends the program.

use std::io::{self, BufRead};
use std::os::unix::net::UnixDatagram;
use std::str::FromStr;
use std::thread;

use thiserror::Error;

use crate::path::Way;
use crate::qualities::{Qualities, QualitiesError};

/// Longest line.
pub const LINE: usize = 512;

/// What to do.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    /// Change a direction for what is sent from now on.
    Configure(Way, Qualities),
    /// Give each flow a new source port, as a NAT that forgot its mappings does.
    Rebind,
    /// Say what happened so far.
    Counts,
}

/// A line that is no command.
#[derive(Debug, Error)]
pub enum CommandError {
    /// Its first word is unknown.
    #[error("{0:?} is no command: there are up, down, rebind and counts")]
    Unknown(String),
    /// Its qualities are wrong.
    #[error(transparent)]
    Qualities(#[from] QualitiesError),
}

impl FromStr for Command {
    type Err = CommandError;

    fn from_str(line: &str) -> Result<Self, CommandError> {
        let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        match word {
            "up" => Ok(Self::Configure(Way::Up, rest.parse()?)),
            "down" => Ok(Self::Configure(Way::Down, rest.parse()?)),
            "rebind" => Ok(Self::Rebind),
            "counts" => Ok(Self::Counts),
            other => Err(CommandError::Unknown(other.to_owned())),
        }
    }
}

/// Lines of standard input as datagrams, so that they can be polled whatever the input is: epoll refuses files. An empty
/// datagram is the end.
///
/// # Errors
/// What socketpair says.
pub fn standard_input() -> io::Result<UnixDatagram> {
    let (ours, theirs) = UnixDatagram::pair()?;
    ours.set_nonblocking(true)?;
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let line = line.trim();
            if !line.is_empty() && theirs.send(&line.as_bytes()[..line.len().min(LINE)]).is_err() {
                return;
            }
        }
        let _ = theirs.send(b"");
    });
    Ok(ours)
}

#[cfg(test)]
mod tests {
    use super::{Command, CommandError};
    use crate::path::Way;

    #[test]
    fn a_direction_is_changed_by_its_name() {
        let command = "down delay=40ms,loss=5%".parse().expect("it is well-formed");
        assert!(matches!(command, Command::Configure(Way::Down, qualities) if qualities.link.delay_us == 40_000));
        assert!(matches!(
            "up none".parse(),
            Ok::<_, CommandError>(Command::Configure(Way::Up, _))
        ));
    }

    #[test]
    fn what_is_no_command_is_named() {
        let wrong = |line: &str| line.parse::<Command>().expect_err("it is wrong").to_string();
        assert!(wrong("sideways loss=5%").contains("sideways"));
        assert!(wrong("up loss=often").contains("often"));
        assert!(wrong("").contains("no command"));
    }
}
