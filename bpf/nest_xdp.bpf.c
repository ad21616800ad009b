/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The XDP programs: nest_xdp sees every packet and settles those of live flows, the others are tail-called, one for
 * each stage of the verdict. All logic is in bpf/lib; here packets become cursors and outcomes become XDP actions.
 */
#include "lib/verdict.h"

static __always_inline struct nest_trace *nest_context_trace(const struct xdp_md *context)
{
	return nest_trace_request((void *)(long)context->data_meta, (void *)(long)context->data);
}

static __always_inline struct nest_frame nest_context_frame(const struct xdp_md *context)
{
	const struct nest_frame frame = {
		.start = (void *)(long)context->data,
		.end = (void *)(long)context->data_end,
	};

	return frame;
}

/* Counts by reason, answers the tracer, and does what the verdict decided. */
static __always_inline int nest_finish(const struct xdp_md *context, struct nest_scratch *scratch,
				       enum nest_reason reason, __u32 outcome)
{
	struct nest_trace *trace = nest_context_trace(context);

	if (trace)
		nest_trace_answer(trace, scratch, reason);
	else
		nest_count_reason(&scratch->packet, reason);
	if (outcome == NEST_OUTCOME_PASS)
		return XDP_PASS;
	if (outcome == NEST_OUTCOME_TX)
		return XDP_TX;
	if (outcome == NEST_OUTCOME_REDIRECT)
		return (int)bpf_redirect(scratch->out.egress, 0);
	return XDP_DROP;
}

/* Goes on to the stage that the one before named. A missing program means that the packet passes. */
static __always_inline int nest_next(struct xdp_md *context, struct nest_scratch *scratch,
				     __u32 next)
{
	if (next == NEST_TAIL_NONE)
		return nest_finish(context, scratch, scratch->packet.reason, scratch->outcome);
	bpf_tail_call(context, &nest_tail, next);
	return nest_finish(context, scratch, NEST_REASON_TABLE_MISSING, NEST_OUTCOME_PASS);
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
	const bool is_traced = nest_context_trace(context) != NULL;
	struct nest_scratch *scratch = nest_runtime_scratch(is_traced);
	enum nest_reason reason;

	if (!scratch)
		return XDP_PASS;
	scratch->packet.length = (__u32)(cursor.end - cursor.start);
	scratch->packet.interface = context->ingress_ifindex;
	scratch->control = nest_runtime_control();
	reason = nest_verdict_begin(scratch, &cursor, is_traced);
	if (reason == NEST_REASON_FLOW)
		return nest_finish(context, scratch, reason, scratch->outcome);
	/* In a flood nothing is recorded: the counters of the lists and of the reason say enough. */
	if (reason == NEST_REASON_DENY_LIST && !is_traced)
		return nest_finish(context, scratch, reason, NEST_OUTCOME_DROP);
	if (!is_traced && reason && !nest_is_dropped(reason))
		return nest_finish(context, scratch, reason, NEST_OUTCOME_PASS);
	scratch->packet.reason = reason;
	return nest_next(context, scratch, NEST_TAIL_JUDGE);
}

SEC("xdp")
int nest_judge(struct xdp_md *context)
{
	const bool is_traced = nest_context_trace(context) != NULL;
	struct nest_scratch *scratch = nest_runtime_scratch(is_traced);

	if (!scratch)
		return XDP_PASS;
	return nest_next(context, scratch, nest_stage_judge(context, scratch, is_traced));
}

SEC("xdp")
int nest_rule(struct xdp_md *context)
{
	const bool is_traced = nest_context_trace(context) != NULL;
	struct nest_scratch *scratch = nest_runtime_scratch(is_traced);

	if (!scratch)
		return XDP_PASS;
	return nest_next(context, scratch, nest_stage_rule(scratch, is_traced));
}

SEC("xdp")
int nest_begin(struct xdp_md *context)
{
	const bool is_traced = nest_context_trace(context) != NULL;
	struct nest_scratch *scratch = nest_runtime_scratch(is_traced);

	if (!scratch)
		return XDP_PASS;
	return nest_next(context, scratch, nest_stage_begin(context, scratch, is_traced));
}

SEC("xdp")
int nest_continue(struct xdp_md *context)
{
	const bool is_traced = nest_context_trace(context) != NULL;
	struct nest_scratch *scratch = nest_runtime_scratch(is_traced);

	if (!scratch)
		return XDP_PASS;
	return nest_next(context, scratch, nest_stage_continue(context, scratch, is_traced));
}

SEC("xdp")
int nest_related(struct xdp_md *context)
{
	const bool is_traced = nest_context_trace(context) != NULL;
	const struct nest_frame frame = nest_context_frame(context);
	struct nest_scratch *scratch = nest_runtime_scratch(is_traced);

	if (!scratch)
		return XDP_PASS;
	return nest_next(context, scratch, nest_stage_related(context, scratch, &frame, is_traced));
}

SEC("xdp")
int nest_send(struct xdp_md *context)
{
	const bool is_traced = nest_context_trace(context) != NULL;
	const struct nest_frame frame = nest_context_frame(context);
	struct nest_scratch *scratch = nest_runtime_scratch(is_traced);

	if (!scratch)
		return XDP_PASS;
	return nest_next(context, scratch, nest_stage_send(scratch, &frame, is_traced));
}

SEC("xdp")
int nest_too_big(struct xdp_md *context)
{
	const bool is_traced = nest_context_trace(context) != NULL;
	struct nest_frame frame = nest_context_frame(context);
	struct nest_scratch *scratch = nest_runtime_scratch(is_traced);

	if (!scratch)
		return XDP_PASS;
	return nest_next(context, scratch, nest_stage_too_big(context, scratch, &frame, is_traced));
}

char _license[] SEC("license") = "GPL";
