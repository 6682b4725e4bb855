/* What the evaluator counts for each rule, added up over evaluators and generations. */
#include "pipeline/evaluate.h"

const uint64_t cw_meter_bounds_ns[CW_METER_BUCKETS - 1] = {
	500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 500000, 1000000, 10000000,
};

void cw_meter_subtract(struct cw_rule_meter *meter, const struct cw_rule_meter *from)
{
	meter->calls -= from->calls;
	meter->fires -= from->fires;
	for (int i = 0; i < 6; i++)
		meter->faults[i] -= from->faults[i];
	meter->ticks -= from->ticks;
	meter->sampled -= from->sampled;
	meter->sampled_ns -= from->sampled_ns;
	for (int i = 0; i < CW_METER_BUCKETS; i++)
		meter->buckets[i] -= from->buckets[i];
	meter->warmed -= from->warmed;
}

void cw_meter_add(struct cw_rule_meter *meter, const struct cw_rule_meter *from)
{
	meter->calls += from->calls;
	meter->fires += from->fires;
	for (int i = 0; i < 6; i++)
		meter->faults[i] += from->faults[i];
	meter->ticks += from->ticks;
	meter->sampled += from->sampled;
	meter->sampled_ns += from->sampled_ns;
	for (int i = 0; i < CW_METER_BUCKETS; i++)
		meter->buckets[i] += from->buckets[i];
	meter->warmed += from->warmed;
	meter->gap = from->gap;
	meter->from = from->from;
	meter->owner = from->owner;
}
