//! Which points are tried when there are more than the budget allows. Pure.

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

/// Chooses `budget` of the points of all groups; all of them when they are not more. Of each group first come its first and
/// last point, then the second, the one before the last and the middle one; what is left of the budget goes to points drawn by
/// the seed. The indices count over all groups, ascending.
#[must_use]
pub fn choose(groups: &[usize], budget: usize, seed: u64) -> Vec<usize> {
    let total: usize = groups.iter().sum();
    if total <= budget {
        return (0..total).collect();
    }
    let starts: Vec<usize> = groups
        .iter()
        .scan(0, |next, n| {
            let start = *next;
            *next += n;
            Some(start)
        })
        .collect();
    let mut chosen = std::collections::BTreeSet::new();
    let marks: [fn(usize) -> Option<usize>; 5] =
        [|_| Some(0), |n| n.checked_sub(1), |n| (n > 1).then_some(1), |n| n.checked_sub(2), |n| Some(n / 2)];
    for mark in marks {
        for (&start, &n) in starts.iter().zip(groups) {
            if chosen.len() < budget
                && n > 0
                && let Some(at) = mark(n)
            {
                chosen.insert(start + at);
            }
        }
    }
    let mut rest: Vec<usize> = (0..total).filter(|i| !chosen.contains(i)).collect();
    rest.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let room = budget.saturating_sub(chosen.len());
    chosen.extend(rest.into_iter().take(room));
    chosen.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_when_the_budget_is_enough() {
        assert_eq!(choose(&[2, 0, 3], 5, 1), [0, 1, 2, 3, 4]);
        assert_eq!(choose(&[], 5, 1), Vec::<usize>::new());
    }

    #[test]
    fn the_ends_and_the_middle_of_each_group_come_first() {
        let chosen = choose(&[100, 100], 12, 7);
        assert_eq!(chosen.len(), 12);
        for index in [0, 1, 50, 98, 99, 100, 101, 150, 198, 199] {
            assert!(chosen.contains(&index), "{index} of {chosen:?}");
        }
        assert_eq!(chosen, choose(&[100, 100], 12, 7), "the same seed draws the same");
        assert_ne!(chosen, choose(&[100, 100], 12, 8));
    }

    #[test]
    fn a_budget_below_the_number_of_groups_is_kept() {
        assert_eq!(choose(&[10, 10, 10, 10], 3, 1).len(), 3);
        assert_eq!(choose(&[1, 1, 1, 1], 3, 1), [0, 1, 2]);
    }
}
