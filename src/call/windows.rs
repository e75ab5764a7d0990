//! The windows around the end of an entry's freshness, in the terms of RFC 5861.

use super::Times;
use crate::random;
use std::time::Duration;

/// `-ln` of the smallest number that [`random::uniform`] draws is less than this.
const LARGEST_DRAW: f64 = 37.0;

/// What a function's decorator says about the time around expiry. Times in milliseconds; nothing set is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Windows {
    /// For so long after its end an entry is served while it is made anew in the background.
    pub while_revalidate: i64,
    /// For so long after its end an entry is served when the function raises.
    pub if_error: i64,
    /// So long a caller waits for the function while there is an entry to serve instead.
    pub fill_timeout: Option<Duration>,
    /// How early entries are refreshed before their end: beta of [`Windows::standing`].
    pub early: f64,
    /// By which fraction of it ttls are shortened at most, at random.
    pub jitter: f64,
}

/// What may be done with a valid entry at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is served.
    Fresh,
    /// It is served, and refreshed already.
    Due,
    /// It is served while it is made anew.
    Revalidate,
    /// It stands in where making it anew fails, or takes too long.
    Spare,
    /// Nothing.
    Over,
}

impl Windows {
    /// For how long after its end an entry is of use.
    #[must_use]
    pub fn longest(&self) -> i64 {
        self.while_revalidate.max(self.if_error)
    }

    /// Whether entries are ever refreshed while they are there.
    #[must_use]
    pub fn any(&self) -> bool {
        self.longest() > 0 || self.early > 0.0
    }

    /// Until when an entry is [`Standing::Fresh`] for sure; `None` is for ever.
    #[must_use]
    pub fn surely_fresh_until(&self, times: &Times) -> Option<i64> {
        let end = times.expires_at?;
        Some(if self.early > 0.0 {
            end.saturating_sub(self.gap(times.fill_us, LARGEST_DRAW))
        } else {
            end
        })
    }

    /// Whether no draw can make anything but [`Standing::Fresh`] of an entry.
    #[must_use]
    pub fn is_surely_fresh(&self, times: &Times, now: i64) -> bool {
        self.surely_fresh_until(times).is_none_or(|until| now < until)
    }

    /// Until when an entry is of any use; `None` is for ever.
    #[must_use]
    pub fn gone_at(&self, times: &Times) -> Option<i64> {
        times.expires_at.map(|end| end.saturating_add(self.longest()))
    }

    /// What may be done with an entry. Draws whether this reader refreshes it early, as `XFetch` does: if
    /// `now - fill time * beta * ln(random) >= end`.
    /// (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015.)
    #[must_use]
    pub fn standing(&self, times: &Times, now: i64) -> Standing {
        let Some(end) = times.expires_at else { return Standing::Fresh };
        let late = now.saturating_sub(end);
        if late < 0 {
            if self.is_surely_fresh(times, now) {
                return Standing::Fresh;
            }
            let gap = self.gap(times.fill_us, -random::uniform().ln());
            return if late.saturating_add(gap) >= 0 { Standing::Due } else { Standing::Fresh };
        }
        if late < self.while_revalidate {
            Standing::Revalidate
        } else if late < self.if_error {
            Standing::Spare
        } else {
            Standing::Over
        }
    }

    /// Whether an entry, stale or not, may stand in for an error.
    #[must_use]
    pub fn spares(&self, times: &Times, now: i64) -> bool {
        times.expires_at.is_none_or(|end| now < end.saturating_add(self.if_error))
    }

    /// A ttl after jitter: never longer, and at least a millisecond.
    #[must_use]
    pub fn jittered(&self, ttl: i64) -> i64 {
        if self.jitter == 0.0 {
            return ttl;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
        let less = (ttl as f64 * self.jitter * random::uniform()) as i64;
        (ttl - less).max(1)
    }

    fn gap(&self, fill_us: u32, draw: f64) -> i64 {
        #[allow(clippy::cast_possible_truncation)] // saturates
        let gap = (f64::from(fill_us) / 1000.0 * self.early * draw).ceil() as i64;
        gap
    }
}

#[cfg(test)]
mod tests {
    use super::{Standing, Windows};
    use crate::call::Times;
    use crate::random;

    const TIMES: Times = Times { cached_at: 0, expires_at: Some(100_000), fill_us: 1_000_000 };

    #[test]
    fn each_window_begins_where_the_one_before_ends() {
        let windows = Windows { while_revalidate: 10, if_error: 30, ..Windows::default() };
        let at = |now| windows.standing(&TIMES, now);
        assert_eq!(at(99_999), Standing::Fresh);
        assert_eq!([at(100_000), at(100_009)], [Standing::Revalidate; 2]);
        assert_eq!([at(100_010), at(100_029)], [Standing::Spare; 2]);
        assert_eq!(at(100_030), Standing::Over);
        assert_eq!(windows.gone_at(&TIMES), Some(100_030));
        assert_eq!(Windows::default().standing(&TIMES, 100_000), Standing::Over);
    }

    #[test]
    fn early_refreshes_come_as_often_as_the_paper_says() {
        // A reader draws one with probability exp(-distance / (beta * fill time)).
        for (beta, distance, expected) in
            [(1.0, 1000, 0.3679), (1.0, 3000, 0.0498), (2.0, 1000, 0.6065)]
        {
            random::seed(Some(7));
            let windows = Windows { early: beta, ..Windows::default() };
            let is_due = |_: &i32| windows.standing(&TIMES, 100_000 - distance) == Standing::Due;
            let share =
                f64::from(u32::try_from((0..50_000).filter(is_due).count()).unwrap()) / 50_000.0;
            assert!((share - expected).abs() < 0.01, "{share} instead of {expected}");
        }
    }

    #[test]
    fn before_a_certain_time_no_draw_refreshes() {
        let windows = Windows { early: 1.0, ..Windows::default() };
        let until = windows.surely_fresh_until(&TIMES).unwrap();
        assert_eq!(until, 63_000);
        assert!(-(2_f64.powi(-53)).ln() < super::LARGEST_DRAW);
    }

    #[test]
    fn jitter_only_shortens() {
        random::seed(Some(3));
        let windows = Windows { jitter: 0.25, ..Windows::default() };
        let ttls: Vec<i64> = (0..10_000).map(|_| windows.jittered(1000)).collect();
        assert!(ttls.iter().all(|ttl| (750..=1000).contains(ttl)));
        let mean = ttls.iter().sum::<i64>() / 10_000;
        assert!((870..=880).contains(&mean), "{mean}");
        assert_eq!(windows.jittered(1), 1);
    }
}
