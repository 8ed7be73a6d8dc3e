//! Slots: the smallest free number for each target, kept while its container lives.
//!
//! A hundred deployments then use one set of series. The rules:
//! - A container that the engine lists keeps its slot, also while it is paused and not a target.
//! - A slot is free again when its container has been gone for [`limits::SLOT_KEPT`], so no minute in Mackerel has
//!   points of two containers. There are never more slots than containers that existed within that time.
//! - Overlapping runs agree, because each assigns slots under the state's lock, and only to targets without one.
//! - Time is the boot clock, which cannot be set. After a restart of the machine it starts again.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::moment::Moment;
use crate::pipeline::name::{label as value_of, legal};
use crate::pipeline::target::Target;

/// The slots of all targets, by their identities.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slots(BTreeMap<String, Slot>);

/// A target's slot.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Slot {
    /// The label's value in legal characters, before the number. Each group has numbers of its own.
    group: String,
    /// The number, from 1.
    number: u32,
    /// The start of the last run whose engine listed the container.
    seen: Moment,
}

impl Slots {
    /// Returns true if there are no slots.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names the targets by their slots, in their order, and returns true if a slot is new. `label` is the label whose
    /// value precedes the number. `listed` are the ids of all containers that the engine listed for a run that began at
    /// `begun`.
    pub fn assign(
        &mut self,
        label: Option<&str>,
        targets: &[Target],
        listed: &HashSet<&str>,
        begun: Moment,
        now: Moment,
    ) -> (Vec<String>, bool) {
        self.0.retain(|identity, slot| {
            let id = identity.split(':').next().unwrap_or_default();
            if listed.contains(id) {
                // An overlapping run can have seen it later.
                if slot.seen.boot < begun.boot || slot.seen.boot > now.boot {
                    slot.seen = begun;
                }
                return true;
            }
            if slot.seen.boot > now.boot {
                slot.seen = now;
            }
            u128::from(now.boot - slot.seen.boot) < limits::SLOT_KEPT.as_nanos()
        });
        let mut is_new = false;
        let names = targets.iter().map(|target| {
            let value = label.and_then(|key| value_of(target.container.as_ref()?, key));
            let name = target.labelled.as_ref().and_then(|labelled| labelled.name.as_deref());
            let value = name.or(value);
            let group = value.map(|value| legal(value, limits::INSTANCE_LENGTH - NUMBER_LENGTH)).unwrap_or_default();
            let identity = target.identity();
            let kept = self.0.get(&identity).filter(|slot| slot.group == group).map(|slot| slot.number);
            let number = kept.unwrap_or_else(|| {
                is_new = true;
                let number = self.smallest_free(&group);
                self.0.insert(identity, Slot { group: group.clone(), number, seen: begun });
                number
            });
            if group.is_empty() { number.to_string() } else { format!("{group}_{number}") }
        });
        (names.collect(), is_new)
    }

    fn smallest_free(&self, group: &str) -> u32 {
        let taken: HashSet<u32> = self.0.values().filter(|slot| slot.group == group).map(|slot| slot.number).collect();
        (1..u32::MAX).find(|number| !taken.contains(number)).unwrap_or(u32::MAX)
    }
}

/// The characters that a name reserves for the underscore and the number.
const NUMBER_LENGTH: usize = 11;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::Container;

    const MINUTE: u64 = 60_000_000_000;

    /// One run at a minute since the machine's start, by containers' names, whose first letter is their label.
    fn run(slots: &mut Slots, minute: u64, names: &[&str]) -> Vec<String> {
        let target = |name: &&str| {
            Target::whole(&Container {
                id: (*name).to_owned(),
                name: (*name).to_owned(),
                labels: [("app".to_owned(), name[..1].to_owned())].into(),
                ..Container::default()
            })
        };
        let targets: Vec<Target> = names.iter().map(target).collect();
        let moment = Moment { wall: 1_700_000_000_000_000_000, boot: minute * MINUTE };
        slots.assign(None, &targets, &names.iter().copied().collect(), moment, moment).0
    }

    fn kept() -> u64 {
        u64::try_from(limits::SLOT_KEPT.as_nanos()).unwrap() / MINUTE
    }

    #[test]
    fn a_target_keeps_the_smallest_number_that_was_free_when_it_came() {
        let mut slots = Slots::default();
        assert_eq!(run(&mut slots, 100, &["a", "b", "c"]), ["1", "2", "3"]);
        assert_eq!(run(&mut slots, 101, &["c", "d"]), ["3", "4"], "nobody's slot is free yet");
        assert_eq!(run(&mut slots, 100 + kept(), &["c", "d", "e"]), ["3", "4", "1"]);
        assert_eq!(run(&mut slots, 101 + kept(), &["b", "c", "d", "e"]), ["2", "3", "4", "1"]);
    }

    #[test]
    fn a_container_that_is_there_and_no_target_keeps_its_slot_for_ever() {
        let mut slots = Slots::default();
        run(&mut slots, 0, &["a", "b"]);
        let moment = Moment { wall: 1, boot: 1_000 * MINUTE };
        slots.assign(None, &[], &HashSet::from(["a"]), moment, moment);
        assert_eq!(run(&mut slots, 1_001, &["a", "c"]), ["1", "2"]);
    }

    #[test]
    fn time_counts_anew_after_the_machines_restart_and_nothing_is_held_for_ever() {
        let mut slots = Slots::default();
        run(&mut slots, 100, &["a", "b"]);
        assert_eq!(run(&mut slots, 1, &["b", "c"]), ["2", "3"]);
        assert_eq!(run(&mut slots, kept(), &["b", "d"]), ["2", "4"]);
        assert_eq!(run(&mut slots, 1 + kept(), &["b", "e"]), ["2", "1"]);
    }

    #[test]
    fn a_run_that_overlaps_and_began_earlier_takes_nothing_away() {
        let mut slots = Slots::default();
        run(&mut slots, 10, &["a", "b"]);
        let (early, late) = (Moment { wall: 1, boot: 9 * MINUTE }, Moment { wall: 1, boot: 10 * MINUTE + 1 });
        let (names, is_new) = slots.assign(None, &[], &HashSet::from(["a"]), early, late);
        assert!(names.is_empty() && !is_new);
        assert_eq!(run(&mut slots, 9 + kept(), &["c"]), ["3"], "a and b were last seen in minute 10");
    }

    #[test]
    fn replaced_one_a_minute_there_are_as_many_slots_as_containers_and_those_just_gone() {
        let mut slots = Slots::default();
        let mut alive: Vec<String> = (0..10).map(|number| format!("first-{number}")).collect();
        let mut largest = 0;
        for minute in 0..500 {
            let names: Vec<&str> = alive.iter().map(String::as_str).collect();
            let numbers: Vec<u64> = run(&mut slots, minute, &names).iter().map(|name| name.parse().unwrap()).collect();
            assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), 10, "each has its own");
            largest = largest.max(*numbers.iter().max().unwrap());
            alive.remove(0);
            alive.push(format!("next-{minute}"));
        }
        assert_eq!(largest, 10 + limits::SLOT_KEPT.as_secs() / Duration::from_mins(1).as_secs() - 1);
    }

    #[test]
    fn a_label_in_front_counts_by_itself_and_is_made_legal() {
        let target = |id: &str, app: Option<&str>| {
            Target::whole(&Container {
                id: id.to_owned(),
                labels: app.map(|app| ("app".to_owned(), app.to_owned())).into_iter().collect(),
                ..Container::default()
            })
        };
        let long = "x".repeat(1000);
        let targets =
            [("a", Some("web/eu")), ("b", Some("web_eu")), ("c", Some("db")), ("d", None), ("e", Some(&long))];
        let targets = targets.map(|(id, app)| target(id, app));
        let moment = Moment { wall: 1, boot: 1 };
        let (names, _) = Slots::default().assign(Some("app"), &targets, &HashSet::new(), moment, moment);
        assert_eq!(names[..4], ["web_eu_1", "web_eu_2", "db_1", "1"]);
        assert!(names[4].len() <= limits::INSTANCE_LENGTH && names[4].ends_with("x_1"), "{}", names[4]);
    }
}
