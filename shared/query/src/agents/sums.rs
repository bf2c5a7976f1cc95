//! Sums of session events, and the values of metrics.

use std::collections::HashSet;

use gam_model::agent_metric::AgentAggregation;
use gam_model::{AgentCounter, AgentDimension, AgentMetric, SubjectKind};
use gam_rollup::agents::{AgentCounts, AgentTotals};
use gam_rollup::{AgentSide, Side};

use super::answers::{AgentMetricValue, AgentMetricValues, ByMetricName};
use crate::answers::BotFilter;
use crate::values::{counts_in_subject, distribution_in_hours};

const MS_PER_HOUR: f64 = 3_600_000.0;
const NANO_PER_DOLLAR: f64 = 1e9;
/// The counters of all tokens.
const TOKENS: [AgentCounter; 4] = [
    AgentCounter::TokensInput,
    AgentCounter::TokensOutput,
    AgentCounter::TokensCacheRead,
    AgentCounter::TokensCacheWrite,
];

/// What was done in some days.
#[derive(Debug, Default)]
pub(super) struct AgentSum<'a> {
    totals: AgentTotals,
    /// The keys of the members with an event. Empty in sums of one member.
    members: HashSet<&'a str>,
}

impl<'a> AgentSum<'a> {
    pub(super) fn of_counts(counts: AgentCounts) -> Self {
        let totals = AgentTotals { counts, ..AgentTotals::default() };
        AgentSum { totals, members: HashSet::new() }
    }

    /// Adds those sides that count in a subject of this kind. `members` are the names that the sides number.
    pub(super) fn add(
        &mut self,
        sides: &[(Side, AgentSide)],
        members: &'a [String],
        kind: SubjectKind,
        bots: BotFilter,
    ) {
        for (side, done) in sides {
            if counts_in_subject(kind, bots, *side) {
                self.totals.merge(&done.totals);
            }
            if bots.counts_members(*side) {
                self.members.extend(done.members.iter().map(|&index| members[index as usize].as_str()));
            }
        }
    }

    /// Returns the value of a metric of a subject of this kind.
    pub(super) fn value(&self, metric: &AgentMetric, kind: SubjectKind) -> AgentMetricValue {
        let count = |counter: AgentCounter| self.totals.counts[counter as usize];
        match metric.aggregation {
            AgentAggregation::Count(counter) => AgentMetricValue::Count(count(counter)),
            AgentAggregation::Hours(counter) => {
                AgentMetricValue::Number(Some(count(counter) as f64 / MS_PER_HOUR))
            }
            AgentAggregation::Dollars(counter) => AgentMetricValue::Number(
                (!self.is_unpriced()).then(|| count(counter) as f64 / NANO_PER_DOLLAR),
            ),
            AgentAggregation::Rate(numerator, denominator) => {
                let (numerator, denominator) = (count(numerator), count(denominator));
                AgentMetricValue::Number((denominator > 0).then(|| numerator as f64 / denominator as f64))
            }
            AgentAggregation::DistinctMembers => AgentMetricValue::Count(match kind {
                SubjectKind::Member => u64::from(!self.totals.is_empty()),
                SubjectKind::Org | SubjectKind::Repo => self.members.len() as u64,
            }),
            AgentAggregation::SessionLength => distribution_in_hours(&self.totals.session_lengths).into(),
        }
    }

    /// Returns whether there are tokens, and none of them has a price. What they cost is not known, so it is not 0.
    fn is_unpriced(&self) -> bool {
        let count = |counter: AgentCounter| self.totals.counts[counter as usize];
        let tokens = TOKENS.into_iter().map(count).fold(0, u64::saturating_add);
        // Web searches have a price of their own.
        tokens > 0 && count(AgentCounter::UnpricedTokens) >= tokens && count(AgentCounter::CostNanoUsd) == 0
    }

    /// Returns the values of all metrics that can be divided by the dimension; of all metrics for `None`.
    pub(super) fn values(&self, dimension: Option<AgentDimension>, kind: SubjectKind) -> AgentMetricValues {
        let metrics = AgentMetric::divided_by(dimension);
        ByMetricName(metrics.map(|metric| (metric.name.to_owned(), self.value(metric, kind))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(counts: &[(AgentCounter, u64)]) -> AgentMetricValue {
        let mut all = [0; AgentCounter::COUNT];
        counts.iter().for_each(|(counter, count)| all[*counter as usize] = *count);
        let metric = AgentMetric::named("agent_cost_usd").unwrap();
        AgentSum::of_counts(all).value(metric, SubjectKind::Org)
    }

    #[test]
    fn tokens_without_a_price_do_not_cost_nothing() {
        use AgentCounter::{CostNanoUsd, TokensCacheRead, TokensInput, UnpricedTokens};
        let dollars = |dollars| AgentMetricValue::Number(Some(dollars));
        assert_eq!(cost(&[]), dollars(0.0), "nothing was used");
        let all = [(TokensInput, 3), (TokensCacheRead, 4), (UnpricedTokens, 7)];
        assert_eq!(cost(&all), AgentMetricValue::Number(None));
        let some =
            [(TokensInput, 3), (TokensCacheRead, 4), (UnpricedTokens, 4), (CostNanoUsd, 1_500_000_000)];
        assert_eq!(cost(&some), dollars(1.5), "the sum of what has a price");
        assert_eq!(cost(&[(TokensInput, 3), (UnpricedTokens, 1)]), dollars(0.0), "a price of 0 is one");
        let searched = [(TokensInput, 3), (UnpricedTokens, 3), (CostNanoUsd, 10_000_000)];
        assert_eq!(cost(&searched), dollars(0.01), "a search of a response without tokens");
    }
}
