//! What a seed draws: weather, pace, means, and what happens when.

use outcrier_core::chaos::{Burst, Plan, Start as BurstStart};
use outcrier_core::retransmit::{Limits, ServerConfig};
use outcrier_core::wire::auth::{Keyring, MasterKey};

use crate::host::Forgery;
use crate::publisher::Means;
use crate::rng::Rng;
use crate::world::{MS, Pace, US};

/// How a publisher is replaced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Restart {
    /// It is gone; the next one begins a while later.
    Crash { pause_ns: u64 },
    /// It goes on beside the next one, which may name it as its predecessor.
    Zombie { named: bool, for_ns: u64 },
    /// It stands still (SIGSTOP) while the next one begins, then goes on for a while.
    Stopped { for_ns: u64, then_ns: u64 },
    /// It says SESSION_END; the next one begins a while later and may name it.
    End { named: bool, pause_ns: u64 },
    /// A second one speaks in the same session; both are stopped, then a new session begins.
    Same { for_ns: u64 },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Join,
    Sleep {
        ns: u64,
    },
    Cut {
        frames: u64,
        everyone: bool,
    },
    /// The publisher stands still for a while, and nobody takes its place.
    Freeze {
        ns: u64,
    },
    WallStep {
        ns: i64,
    },
    Restart(Restart),
    Forge(Forgery),
    /// A new session begins, naming that one if it is not 0.
    Begin {
        prev_session: u32,
    },
    /// A publisher that stood still goes on …
    Resume {
        publisher: usize,
    },
    /// … and one that should not be any more is gone.
    Kill {
        publisher: usize,
    },
    /// It is gone and a new session begins, whoever is heard by now.
    Replace {
        publisher: usize,
    },
}

pub(crate) fn weather(rng: &mut Rng) -> Plan {
    let burst = [None, None, Some((2_000, 50)), Some((5_000, 500))];
    let burst = rng.pick(&burst).map(|(every, length)| Burst { every, length, start: BurstStart::Drawn });
    Plan {
        loss: rng.pick(&[0, 0, 1_000, 10_000, 50_000, 100_000, 300_000]),
        burst,
        reorder: rng.pick(&[0, 0, 10_000, 100_000]),
        reorder_ns: rng.pick(&[100 * US, 500 * US, 5 * MS]),
        duplicate: rng.pick(&[0, 10_000, 100_000]),
        corrupt: rng.pick(&[0, 0, 1_000, 20_000]),
        truncate: rng.pick(&[0, 0, 2_000]),
        garbage: rng.pick(&[0, 0, 5_000]),
        delay_ns: rng.pick(&[0, 100 * US, 2 * MS]),
        jitter_ns: rng.pick(&[0, 50 * US, MS]),
    }
}

pub(crate) fn pace(rng: &mut Rng) -> Pace {
    Pace {
        read_ns: rng.pick(&[100 * US, 500 * US, 2 * MS]),
        messages: rng.pick(&[1, 4, 12]),
        is_even: false,
        gaps: rng.pick(&[0, 0, 2, 10]),
        incidents: rng.pick(&[0, 5, 20]),
    }
}

fn restart(rng: &mut Rng) -> Restart {
    let pause_ns = if rng.chance(300) { rng.below(3 * MS) } else { rng.below(800 * MS) };
    match rng.below(6) {
        0 | 1 => Restart::Crash { pause_ns },
        2 => Restart::Zombie { named: rng.chance(500), for_ns: 50 * MS + pause_ns },
        3 => Restart::Stopped { for_ns: 360 * MS + pause_ns, then_ns: rng.below(600 * MS) },
        4 => Restart::End { named: rng.chance(500), pause_ns },
        _ => Restart::Same { for_ns: 50 * MS + rng.below(400 * MS) },
    }
}

pub(crate) fn act(rng: &mut Rng) -> Act {
    match rng.below(11) {
        0 | 1 => Act::Restart(restart(rng)),
        2 | 3 => Act::Sleep { ns: rng.pick(&[MS, 20 * MS, 200 * MS]) + rng.below(100 * MS) },
        4 | 5 => Act::Cut { frames: rng.pick(&[1, 50, 500]), everyone: rng.chance(300) },
        6 => Act::WallStep { ns: if rng.chance(500) { 3_600_000_000_000 } else { -3_600_000_000_000 } },
        7 => Act::Forge(if rng.chance(700) { Forgery::Checksum } else { Forgery::LineB }),
        8 => Act::Freeze { ns: 300 * MS + rng.below(500 * MS) },
        _ => Act::Join,
    }
}

pub(crate) fn means(rng: &mut Rng) -> Means {
    let keys = rng.chance(300).then(|| {
        let master = |id: u8| (id, MasterKey::new([id ^ 0x5A; 32]));
        Keyring::new(vec![master(1), master(2)]).expect("two different keys")
    });
    // A small store, so that some of what is asked for is not kept any more; a slow line, so that some has to wait.
    let frames = rng.pick(&[20, 300, 1 << 16]);
    let line_bytes_per_s = rng.pick(&[1_000_000, 125_000_000, 125_000_000]);
    Means {
        limits: Limits { frames, ..Limits::default() },
        server: ServerConfig { secret: [7; 16], line_bytes_per_s, keys },
        guarded: rng.chance(500),
    }
}
