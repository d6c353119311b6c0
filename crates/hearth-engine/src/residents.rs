//! Which models hold memory, and who of them goes so that another can come: the decisions, without the doing.
//!
//! A model is resident from the moment that its load is allowed until its worker has ended. What it is reckoned with are
//! its weights; what all weights leave is shared equally among the caches, and a model's share is never smaller than what
//! some model is using of it just now, so that a load fails nobody's answer.

use std::collections::BTreeMap;

use hearth_core::model::KeepAlive;
use tokio::time::Instant;

/// Bytes that each model's caches get at least where there are several, or a part of the budget where it is small.
const FLOOR: u64 = 256 << 20;
const FLOOR_SHARE: u64 = 16;

/// Tells models apart that may have had the same name.
pub(crate) type Key = u64;

/// Bytes that a model needs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Needs {
    /// For its weights.
    pub(crate) weights: u64,
    /// For any answer at all, as far as that is known, or for those that it is giving.
    pub(crate) answers: u64,
}

/// A model that holds memory, or is about to.
pub(crate) struct Resident<M> {
    pub(crate) model: M,
    pub(crate) needs: Needs,
    pub(crate) pinned: bool,
    pub(crate) keep_alive: KeepAlive,
    /// What was set for it, before a request said otherwise.
    setting: KeepAlive,
    /// Requests that use it.
    pub(crate) using: usize,
    /// When the last of them ended.
    used: Instant,
    /// Whether it is being unloaded.
    pub(crate) leaving: bool,
    /// Loads that had failed for want of memory before it was admitted.
    pub(crate) failures: u64,
    /// Whether one has since: nobody comes to it before all who wanted it have let go of it.
    pub(crate) failed: bool,
    /// The limit that it was told.
    limit: Option<u64>,
}

impl<M> Resident<M> {
    /// A model that nobody uses yet.
    pub(crate) fn new(model: M, needs: Needs, keep_alive: KeepAlive, now: Instant) -> Self {
        let (pinned, using, leaving, failures, failed) = (false, 0, false, 0, false);
        Self {
            model,
            needs,
            pinned,
            keep_alive,
            setting: keep_alive,
            using,
            used: now,
            leaving,
            failures,
            failed,
            limit: None,
        }
    }

    /// What is set for it holds from when it changes, until a request says otherwise.
    pub(crate) fn set_keep_alive(&mut self, setting: KeepAlive) {
        if std::mem::replace(&mut self.setting, setting) != setting {
            self.keep_alive = setting;
        }
    }

    fn is_idle(&self) -> bool {
        self.using == 0 && !self.pinned && !self.leaving
    }

    /// When it has been idle for long enough.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.keep_alive {
            KeepAlive::For(time) if self.is_idle() => self.used.checked_add(time),
            _ => None,
        }
    }
}

/// Whether a model may hold memory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It does.
    Here,
    /// There is room for it.
    Fits,
    /// There is, once these are gone.
    Evict(Vec<Key>),
    /// Others hold it, and may let it go.
    Wait,
    /// The pinned ones hold too much of it for as long as they are pinned.
    Pinned,
    /// It is too large even alone.
    TooLarge,
}

/// The models that hold memory.
pub(crate) struct Residents<M> {
    held: BTreeMap<Key, Resident<M>>,
    /// Bytes that all of them may take together; `None`: no worker has said yet what the machine has. `u64::MAX`: no
    /// limit is known.
    pub(crate) budget: Option<u64>,
}

impl<M> Residents<M> {
    pub(crate) fn new(budget: Option<u64>) -> Self {
        Self { held: BTreeMap::new(), budget }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Resident<M>> {
        self.held.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Resident<M>> {
        self.held.get_mut(&key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Resident<M>> {
        self.held.values()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Resident<M>> {
        self.held.values_mut()
    }

    pub(crate) fn insert(&mut self, key: Key, resident: Resident<M>) {
        self.held.insert(key, resident);
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&Resident<M>) -> bool) {
        self.held.retain(|_, resident| keep(resident));
    }

    /// Whether the model of `key`, which needs so much, may be used now.
    pub(crate) fn admit(&self, key: Key, needs: Needs) -> Admission {
        match (self.get(key), self.budget) {
            (Some(resident), _) if resident.leaving || resident.failed => return Admission::Wait,
            (Some(_), _) => return Admission::Here,
            // The first one tells what there is.
            (None, None) if !self.held.is_empty() => return Admission::Wait,
            (None, _) => {}
        }
        if self.fits(needs, self.iter().map(|resident| resident.needs)) {
            return Admission::Fits;
        }
        if !self.fits(needs, [].into_iter()) {
            return Admission::TooLarge;
        }
        let pinned = self.iter().filter(|resident| resident.pinned && !resident.leaving);
        if !self.fits(needs, pinned.map(|resident| Needs { answers: 0, ..resident.needs })) {
            return Admission::Pinned;
        }
        match self.victims(needs) {
            Some(victims) if !victims.is_empty() => Admission::Evict(victims),
            _ => Admission::Wait,
        }
    }

    /// Who has to go besides those that are going, the least recently used first; `None` where that would not be enough.
    fn victims(&self, needs: Needs) -> Option<Vec<Key>> {
        let mut idle: Vec<_> = self.held.iter().filter(|(_, resident)| resident.is_idle()).collect();
        idle.sort_by_key(|(_, resident)| resident.used);
        let idle: Vec<Key> = idle.into_iter().map(|(&key, _)| key).collect();
        let fits_without = |gone: &[Key]| {
            let stay = self.held.iter().filter(|(key, resident)| !resident.leaving && !gone.contains(key));
            self.fits(needs, stay.map(|(_, resident)| resident.needs))
        };
        (0..=idle.len()).map(|count| &idle[..count]).find(|gone| fits_without(gone)).map(<[Key]>::to_vec)
    }

    /// Whether a model fits beside others.
    fn fits(&self, needs: Needs, others: impl Iterator<Item = Needs>) -> bool {
        let Some(budget) = self.budget else { return true };
        let (mut weights, mut count, mut share) = (needs.weights, 1, needs.answers);
        for other in others {
            (weights, count) = (weights.saturating_add(other.weights), count + 1);
            share = share.max(other.answers).max(FLOOR.min(budget / FLOOR_SHARE));
        }
        weights.saturating_add(share.saturating_mul(count)) <= budget
    }

    /// A request begins to use the model.
    pub(crate) fn enter(&mut self, key: Key, keep_alive: Option<KeepAlive>) {
        if let Some(resident) = self.get_mut(key) {
            resident.using += 1;
            resident.keep_alive = keep_alive.unwrap_or(resident.keep_alive);
        }
    }

    /// A request has ended; whether it was the last one.
    pub(crate) fn leave(&mut self, key: Key, now: Instant) -> bool {
        let Some(resident) = self.get_mut(key) else { return false };
        (resident.using, resident.used) = (resident.using.saturating_sub(1), now);
        resident.using == 0
    }

    /// Models that have been idle for long enough.
    pub(crate) fn due(&self, now: Instant) -> Vec<Key> {
        let due = self.held.iter().filter(|(_, resident)| resident.deadline().is_some_and(|at| at <= now));
        due.map(|(&key, _)| key).collect()
    }

    /// When the next one will have been.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.iter().filter_map(Resident::deadline).min()
    }

    /// The models whose limit has changed, and the bytes that each may take now.
    pub(crate) fn new_limits(&mut self) -> Vec<(&M, u64)> {
        let Some(budget) = self.budget.filter(|budget| *budget < u64::MAX) else { return Vec::new() };
        let weights = self.iter().map(|resident| resident.needs.weights).sum();
        let share = budget.saturating_sub(weights) / self.held.len().max(1) as u64;
        let mut changed = Vec::new();
        for resident in self.held.values_mut() {
            let limit = resident.needs.weights.saturating_add(share);
            if resident.limit.replace(limit) != Some(limit) {
                changed.push((&resident.model, limit));
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn weighing(weights: u64) -> Needs {
        Needs { weights, answers: 0 }
    }

    const MINUTE: KeepAlive = KeepAlive::For(Duration::from_secs(60));

    /// Models 1, 2, … with these weights, used in this order, within a budget of 1600 that makes the floor 100.
    fn residents(weights: &[u64]) -> (Residents<&'static str>, Instant) {
        let (mut residents, now) = (Residents::new(Some(1600)), Instant::now());
        for (key, weights) in (1..).zip(weights) {
            residents.insert(key, Resident::new("m", weighing(*weights), MINUTE, now + Duration::from_secs(key)));
        }
        (residents, now)
    }

    #[test]
    fn a_model_fits_beside_others_if_each_has_room_for_caches() {
        for (others, weights, expected) in [
            (&[][..], 1600, Admission::Fits),
            (&[], 1601, Admission::TooLarge),
            (&[400], 1000, Admission::Fits),
            (&[400], 1001, Admission::Evict(vec![1])),
            (&[300, 200, 100], 700, Admission::Evict(vec![1])),
            (&[100, 200, 300], 900, Admission::Evict(vec![1, 2])),
            (&[100, 200, 300], 1600, Admission::Evict(vec![1, 2, 3])),
        ] {
            assert_eq!(residents(others).0.admit(9, weighing(weights)), expected, "{weights} beside {others:?}");
        }
    }

    #[test]
    fn who_is_in_use_or_pinned_stays_and_nobody_goes_in_vain() {
        let (mut residents, _) = residents(&[400, 400]);
        residents.enter(1, None);
        assert_eq!(residents.admit(9, weighing(700)), Admission::Evict(vec![2]));
        assert_eq!(residents.admit(9, weighing(1100)), Admission::Wait, "for the first one");
        residents.get_mut(2).unwrap().leaving = true;
        assert_eq!(residents.admit(9, weighing(700)), Admission::Wait, "for the one that is going");
        residents.get_mut(2).unwrap().leaving = false;
        residents.get_mut(2).unwrap().pinned = true;
        assert_eq!(
            (residents.admit(9, weighing(700)), residents.admit(9, weighing(1001))),
            (Admission::Wait, Admission::Pinned)
        );
        assert_eq!(
            (residents.admit(1, weighing(0)), residents.admit(2, weighing(0))),
            (Admission::Here, Admission::Here)
        );
    }

    #[test]
    fn answers_that_run_keep_what_they_need() {
        let (mut residents, _) = residents(&[400]);
        residents.enter(1, None);
        residents.get_mut(1).unwrap().needs.answers = 300;
        assert_eq!(
            (residents.admit(9, weighing(600)), residents.admit(9, weighing(601))),
            (Admission::Fits, Admission::Wait)
        );
        let needs = |answers| Needs { weights: 300, answers };
        assert_eq!(
            (residents.admit(9, needs(450)), residents.admit(9, needs(451))),
            (Admission::Fits, Admission::Wait)
        );
        assert_eq!(
            (residents.admit(9, needs(1300)), residents.admit(9, needs(1301))),
            (Admission::Wait, Admission::TooLarge)
        );
    }

    #[test]
    fn the_first_one_tells_what_there_is() {
        let mut residents = Residents::new(None);
        assert_eq!(residents.admit(1, weighing(u64::MAX)), Admission::Fits);
        residents.insert(1, Resident::new("m", weighing(1), MINUTE, Instant::now()));
        assert_eq!(
            (residents.admit(1, weighing(1)), residents.admit(2, weighing(1))),
            (Admission::Here, Admission::Wait)
        );
        assert!(residents.new_limits().is_empty());
        residents.budget = Some(u64::MAX);
        assert_eq!(residents.admit(2, weighing(1 << 60)), Admission::Fits);
        assert!(residents.new_limits().is_empty());
    }

    #[test]
    fn a_model_is_due_when_nobody_has_used_it_for_its_time() {
        let (mut residents, now) = residents(&[1, 1, 1]);
        let at = |seconds| now + Duration::from_secs(seconds);
        residents.get_mut(2).unwrap().pinned = true;
        assert_eq!((residents.next_deadline(), residents.due(at(60))), (Some(at(61)), vec![]));
        assert_eq!(residents.due(at(63)), [1, 3]);
        residents.enter(1, Some(KeepAlive::Forever));
        residents.enter(3, Some(KeepAlive::For(Duration::ZERO)));
        residents.enter(3, None);
        assert_eq!((residents.next_deadline(), residents.leave(1, at(5))), (None, true));
        assert_eq!((residents.leave(3, at(6)), residents.due(at(9))), (false, vec![]));
        assert_eq!((residents.leave(3, at(7)), residents.due(at(7))), (true, vec![3]));
        residents.get_mut(3).unwrap().leaving = true;
        assert_eq!(residents.next_deadline(), None);
    }

    #[test]
    fn what_the_weights_leave_is_shared_equally_and_told_once() {
        let (mut residents, now) = residents(&[400, 200]);
        assert_eq!(residents.new_limits(), [(&"m", 900), (&"m", 700)]);
        assert!(residents.new_limits().is_empty());
        residents.insert(3, Resident::new("third", weighing(400), MINUTE, now));
        assert_eq!(residents.new_limits(), [(&"m", 600), (&"m", 400), (&"third", 600)]);
        residents.retain(|resident| resident.model != "third");
        assert_eq!(residents.new_limits().len(), 2);
    }
}
