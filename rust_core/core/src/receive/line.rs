//! Where a datagram came from, and what that says about it.

/// Which socket or connection a datagram came from. The numbers are those that Python sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Line {
    /// The incremental plane, line A.
    A = 0,
    /// The snapshot plane.
    Snapshot = 1,
    /// The incremental plane, line B: the same bytes as line A, by another way.
    B = 2,
    /// The repair group: frames of either plane sent again to everyone.
    Repair = 3,
    /// Frames of either plane sent again to us, and the server's replies.
    Retransmit = 4,
    /// An image by TCP: laid out as the snapshot plane, numbered from 1 in the connection.
    Image = 5,
}

impl Line {
    /// Every line in the order of its number.
    pub const ALL: [Self; 6] =
        [Self::A, Self::Snapshot, Self::B, Self::Repair, Self::Retransmit, Self::Image];

    /// From its number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Whether it is line A or B: only there does a publisher speak for the first time, so that only there a session
    /// begins, silence ends and reordering says something about W.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::A | Self::B)
    }

    /// Whether frames of that plane come on it.
    #[must_use]
    pub fn carries(self, snapshot_plane: bool) -> bool {
        match self {
            Self::A | Self::B => !snapshot_plane,
            Self::Snapshot | Self::Image => snapshot_plane,
            Self::Repair | Self::Retransmit => true,
        }
    }
}

/// How a frame came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) line: Line,
    /// Kernel's stamp, wall clock, ns; 0 unknown.
    pub(super) rx_ts: i64,
    /// Whether it carries a valid MAC.
    pub(super) authenticated: bool,
}
