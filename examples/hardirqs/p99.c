/* SPDX-License-Identifier: MIT */
/*
 * An alert for each interrupt whose 99th percentile exceeds a limit.
 *
 * Parameters: p99=100us is the limit; least=100 omits those that occurred fewer times;
 * show=yes passes the readings on; stop=CODE ends the run at the first alert, with this exit code.
 */
#include <bpfpack.h>

static struct bp_member name, slots;
static uint64_t limit, least, unit;
static bool show, stopped;
static uint64_t stop;

BP_START(about)
{
	uint32_t infos = bp_source("infos");
	struct bp_text unit_name = bp_json_text(bp_json_get(bp_about_source(about, infos), "unit"));

	if (!bp_argument_bool("targ_dist", false))
		bp_fail("there are no histograms without --targ_dist");
	unit = bp_equal(unit_name, "nsecs") ? 1 : BP_US;
	name = bp_member(infos, 0, "name");
	slots = bp_member(infos, 0, "slots");
	limit = bp_parameter_time("p99", 100 * BP_US);
	least = bp_parameter_u64("least", 100);
	show = bp_parameter_bool("show", false);
	stop = bp_parameter_u64("stop", UINT32_MAX);
	return 0;
}

/* Slot 0 counts 0 and 1, slot n from 2^n on. Assumes that values are spread evenly in a slot. */
static uint64_t percentile(struct bp_record row, uint64_t total, uint64_t percent)
{
	uint64_t rank = (total * percent + 99) / 100, count;

	for (uint32_t slot = 0; slot < slots.count; slot++, rank -= count) {
		uint64_t least = slot ? 1ULL << slot : 0, width = slot ? least : 2;

		count = bp_u64(bp_element(slots, slot), row);
		if (rank <= count)
			return (least + width * rank / count) * unit;
	}
	return 0;
}

BP_SAMPLE(sample)
{
	bool found = false;

	if (show)
		bp_show_sample(sample);
	/* A run ends with a last reading. */
	if (stopped)
		return 0;
	bp_each_row(row, sample) {
		struct bp_text handler = bp_text(name, row);
		uint64_t total = 0, p99;

		for (uint32_t slot = 0; slot < slots.count; slot++)
			total += bp_u64(bp_element(slots, slot), row);
		if (!total || total < least)
			continue;
		p99 = percentile(row, total, 99);
		if (p99 <= limit)
			continue;
		bp_textf("%.*s: 99 %% of %llu took up to %llu.%03llu us", BP_TEXT(handler), total,
			 p99 / 1000, p99 % 1000);
		found = true;
	}
	if (found && stop <= 255) {
		bp_stop(stop);
		stopped = true;
	}
	return 0;
}
