//! How many calls may be in flight at once. GitHub limits not only how many there are but the time its
//! servers work for them, and tells of neither: so a run starts modestly, takes more while answers are
//! quick, and less when they are slow or GitHub says that it is too much.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How many may be in flight at first.
const FIRST: usize = 4;
/// An answer within this time means that there is room for more.
const QUICK: Duration = Duration::from_secs(3);
/// An answer that takes longer than this means that there is less: GitHub gives up after 10 s.
const SLOW: Duration = Duration::from_secs(8);

#[derive(Debug)]
struct State {
    allowed: usize,
    busy: usize,
    /// Quick answers since the number was changed.
    quick: usize,
    /// When it was last made less. Until it ever was, every quick answer makes it greater.
    lessened: Option<Instant>,
}

/// The places of calls in flight.
#[derive(Debug)]
pub(crate) struct Lanes {
    state: Mutex<State>,
    freed: Notify,
    most: usize,
}

/// A place among the calls in flight; free again when it is dropped.
pub(crate) struct Place<'a> {
    lanes: &'a Lanes,
    since: Instant,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.lanes.lock().busy -= 1;
        self.lanes.freed.notify_waiters();
    }
}

impl Lanes {
    /// At most so many.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.clamp(1, 100);
        let state = State { allowed: FIRST.min(most), busy: 0, quick: 0, lessened: None };
        Lanes { state: Mutex::new(state), freed: Notify::new(), most }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place.
    pub(crate) async fn enter(&self) -> Place<'_> {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.lock();
                if state.busy < state.allowed {
                    state.busy += 1;
                    return Place { lanes: self, since: Instant::now() };
                }
            }
            freed.await;
        }
    }
}

impl Place<'_> {
    /// An answer has come.
    pub(crate) fn answered(&self) {
        match self.since.elapsed() {
            quick if quick <= QUICK => {
                let mut state = self.lanes.lock();
                state.quick += 1;
                let enough = if state.lessened.is_some() { state.allowed } else { 1 };
                if state.quick >= enough && state.allowed < self.lanes.most {
                    state.allowed += 1;
                    state.quick = 0;
                    self.lanes.freed.notify_waiters();
                }
            }
            slow if slow > SLOW => self.lessen(),
            _ => {}
        }
    }

    /// It was too much. Calls that were in flight together count once.
    pub(crate) fn lessen(&self) {
        let mut state = self.lanes.lock();
        if state.lessened.is_none_or(|at| at <= self.since) {
            state.allowed = (state.allowed / 2).max(1);
            state.quick = 0;
            state.lessened = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fill(lanes: &Lanes) -> Vec<Place<'_>> {
        let mut places = Vec::new();
        while let Ok(place) = tokio::time::timeout(Duration::from_millis(1), lanes.enter()).await {
            places.push(place);
        }
        places
    }

    #[tokio::test(start_paused = true)]
    async fn it_starts_modestly_and_grows_while_answers_are_quick() {
        let lanes = Lanes::new(10);
        let places = fill(&lanes).await;
        assert_eq!(places.len(), FIRST);
        places.iter().for_each(Place::answered);
        drop(places);
        assert_eq!(fill(&lanes).await.len(), 2 * FIRST);
        fill(&lanes).await.iter().for_each(Place::answered);
        assert_eq!(fill(&lanes).await.len(), 10, "never more than it was told");
        assert_eq!(fill(&Lanes::new(2)).await.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn it_halves_once_for_calls_that_were_in_flight_together_and_regrows_slowly() {
        let lanes = Lanes::new(8);
        fill(&lanes).await.iter().for_each(Place::answered);
        let places = fill(&lanes).await;
        tokio::time::sleep(SLOW + Duration::from_secs(1)).await;
        places[0].lessen();
        places.iter().for_each(Place::answered);
        drop(places);
        let places = fill(&lanes).await;
        assert_eq!(places.len(), 4);
        places[..3].iter().for_each(Place::answered);
        drop(places);
        let places = fill(&lanes).await;
        assert_eq!(places.len(), 4, "a quick answer from each is needed");
        places[0].answered();
        drop(places);
        assert_eq!(fill(&lanes).await.len(), 5);
    }
}
