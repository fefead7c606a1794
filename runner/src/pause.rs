// SPDX-License-Identifier: MIT
//! The pauses before something that has failed is tried again.

use std::time::Duration;

/// The first pause.
pub(crate) const FIRST: Duration = Duration::from_secs(1);

/// The longest pause.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// The pause after so many failures before: twice as long each time.
pub(crate) fn pause(failures: u32) -> Duration {
    FIRST.saturating_mul(1 << failures.min(10)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let pauses: Vec<u64> = (0..8).map(|failures| pause(failures).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
