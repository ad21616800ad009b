/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The XDP programs: nest_xdp sees every packet and settles those of live flows, nest_judge is tail-called for the
 * rest. All logic is in bpf/lib; here packets become cursors and reasons become XDP actions.
 */
#include "lib/verdict.h"

/* Counts by reason, answers the tracer, and turns the reason into what XDP does. */
static __always_inline int nest_finish(struct nest_scratch *scratch, struct nest_trace *trace,
				       enum nest_reason reason)
{
	if (trace)
		nest_trace_answer(trace, scratch, reason);
	else
		nest_count_reason(&scratch->packet, reason);
	return nest_is_dropped(reason) ? XDP_DROP : XDP_PASS;
}

static __always_inline struct nest_trace *nest_context_trace(const struct xdp_md *context)
{
	return nest_trace_request((void *)(long)context->data_meta, (void *)(long)context->data);
}

SEC("xdp")
int nest_xdp(struct xdp_md *context)
{
	const __u8 *start = (const void *)(long)context->data;
	struct nest_cursor cursor = {
		.start = start,
		.position = start,
		.end = (const void *)(long)context->data_end,
	};
	struct nest_trace *trace = nest_context_trace(context);
	struct nest_scratch *scratch = nest_runtime_scratch(trace != NULL);
	enum nest_reason reason;

	if (!scratch)
		return XDP_PASS;
	scratch->packet.length = (__u32)(cursor.end - cursor.start);
	scratch->packet.interface = context->ingress_ifindex;
	scratch->control = nest_runtime_control();
	reason = nest_verdict_begin(scratch, &cursor, trace != NULL);
	if (trace || reason == NEST_REASON_UNSPECIFIED || nest_is_dropped(reason)) {
		scratch->packet.reason = reason;
		bpf_tail_call(context, &nest_tail, 0);
		reason = NEST_REASON_TABLE_MISSING;
	}
	return nest_finish(scratch, trace, reason);
}

SEC("xdp")
int nest_judge(struct xdp_md *context)
{
	struct nest_trace *trace = nest_context_trace(context);
	struct nest_scratch *scratch = nest_runtime_scratch(trace != NULL);

	if (!scratch)
		return XDP_PASS;
	return nest_finish(scratch, trace, nest_verdict_judge(scratch, trace != NULL));
}

char _license[] SEC("license") = "GPL";
