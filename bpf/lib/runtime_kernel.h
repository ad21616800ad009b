/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* The kernel's runtime: see runtime.h. Nothing else in bpf/lib names a map or a helper, but maps.h. */
#ifndef NEST_RUNTIME_KERNEL_H
#define NEST_RUNTIME_KERNEL_H

#include <stdbool.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include <nest/abi.h>

#include "maps.h"
#include "scratch.h"

#define nest_from_be16(value) bpf_ntohs(value)
#define nest_from_be32(value) bpf_ntohl(value)
#define nest_from_be64(value) bpf_be64_to_cpu(value)
#define nest_to_be16(value)   bpf_htons(value)

/* Drawn by the loader; constants for the verifier. The fingerprint tells an adopter which build is loaded. */
const volatile __u64 nest_trace_magic = 0;
const volatile __u64 nest_fingerprint = 0;

/*
 * The coarse monotonic clock. It moves at ticks only, so each CPU calls for it once a tick: to look whether the tick is
 * still the same is one load. The kernel counts a tick just before it moves the clock; who asks in between gets the time
 * before, until the next tick.
 */
static __always_inline __u64 nest_runtime_clock(struct nest_scratch *scratch)
{
	const __u64 tick = bpf_jiffies64();

	if (scratch->clock_tick != tick) {
		scratch->clock_tick = tick;
		scratch->clock_ns = bpf_ktime_get_coarse_ns();
	}
	return scratch->clock_ns;
}

/* One 64-bit load: sequence and flags always belong together. */
static __always_inline struct nest_control nest_runtime_control(void)
{
	const __u32 key = 0;
	struct nest_control none = {};
	const volatile __u64 *word = bpf_map_lookup_elem(&nest_control, &key);

	if (!word)
		return none;
	const __u64 value = *word;

	none.sequence = (__u32)value;
	none.flags = (__u32)(value >> 32);
	return none;
}

static __always_inline struct nest_scratch *nest_runtime_scratch(__u32 is_trace)
{
	return bpf_map_lookup_elem(&nest_scratch, &is_trace);
}

/* The tables of a slot; NULL when absent. */
static __always_inline void *nest_runtime_identities4(__u32 slot)
{
	return bpf_map_lookup_elem(&nest_ident4, &slot);
}

static __always_inline void *nest_runtime_identities6(__u32 slot)
{
	return bpf_map_lookup_elem(&nest_ident6, &slot);
}

static __always_inline void *nest_runtime_pairs(__u32 slot)
{
	return bpf_map_lookup_elem(&nest_pairs, &slot);
}

static __always_inline void *nest_runtime_ports(__u32 slot)
{
	return bpf_map_lookup_elem(&nest_ports, &slot);
}

/* A look-up in a table one of the above returned. Longest prefix for identities, exact otherwise. */
static __always_inline const void *nest_runtime_find(void *table, const void *key)
{
	return bpf_map_lookup_elem(table, key);
}

/*
 * Keeps the compiler from making one call of the calls for two tables: the kernel calls a table's own code only where
 * the instruction names one table, and otherwise goes through a generic helper and a retpoline.
 */
#define nest_runtime_keep_apart(found) asm volatile("" : "+r"(found))

static __always_inline struct nest_flow *nest_runtime_flow_find4(const struct nest_flow_key4 *key)
{
	struct nest_flow *flow = bpf_map_lookup_elem(&nest_flows4, key);

	nest_runtime_keep_apart(flow);
	return flow;
}

static __always_inline struct nest_flow *nest_runtime_flow_find6(const struct nest_flow_key6 *key)
{
	return bpf_map_lookup_elem(&nest_flows6, key);
}

static __always_inline struct nest_flow *nest_runtime_flow_find(struct nest_scratch *scratch)
{
	if (scratch->packet.family == 4)
		return nest_runtime_flow_find4(&scratch->key4);
	return nest_runtime_flow_find6(&scratch->key6);
}

/* Stores scratch->fresh. 0, or a negative errno; -EEXIST only without replace. */
static __always_inline long nest_runtime_flow_store(struct nest_scratch *scratch, bool replace)
{
	const __u64 flags = replace ? BPF_ANY : BPF_NOEXIST;
	long error;

	if (scratch->packet.family != 4)
		return bpf_map_update_elem(&nest_flows6, &scratch->key6, &scratch->fresh, flags);
	error = bpf_map_update_elem(&nest_flows4, &scratch->key4, &scratch->fresh, flags);
	nest_runtime_keep_apart(error);
	return error;
}

static __always_inline void nest_runtime_flow_delete(struct nest_scratch *scratch)
{
	long error;

	if (scratch->packet.family != 4) {
		bpf_map_delete_elem(&nest_flows6, &scratch->key6);
		return;
	}
	error = bpf_map_delete_elem(&nest_flows4, &scratch->key4);
	nest_runtime_keep_apart(error);
}

static __always_inline struct nest_fragment *
nest_runtime_fragment_find(struct nest_scratch *scratch)
{
	return bpf_map_lookup_elem(&nest_frags, &scratch->fragment_key);
}

static __always_inline void nest_runtime_fragment_store(struct nest_scratch *scratch,
							const struct nest_fragment *fragment)
{
	bpf_map_update_elem(&nest_frags, &scratch->fragment_key, fragment, BPF_ANY);
}

static __always_inline void nest_runtime_fragment_delete(struct nest_scratch *scratch)
{
	bpf_map_delete_elem(&nest_frags, &scratch->fragment_key);
}

static __always_inline struct nest_counter *nest_runtime_interface_counter(__u32 interface,
									   __u32 reason)
{
	const __u32 *slot = bpf_map_lookup_elem(&nest_if_slot, &interface);
	__u32 index;

	if (!slot || *slot == 0)
		return NULL;
	index = (*slot - 1) * NEST_REASON_SLOTS + (reason & (NEST_REASON_SLOTS - 1));
	return bpf_map_lookup_elem(&nest_if_count, &index);
}

static __always_inline struct nest_counter *nest_runtime_mapping_counter(__u32 index)
{
	return bpf_map_lookup_elem(&nest_map_count, &index);
}

static __always_inline __u64 *nest_runtime_loss(__u32 kind)
{
	return bpf_map_lookup_elem(&nest_losses, &kind);
}

static __always_inline struct nest_record *nest_runtime_record_begin(void)
{
	return bpf_ringbuf_reserve(&nest_records, sizeof(struct nest_record), 0);
}

static __always_inline void nest_runtime_record_end(struct nest_record *record, bool wake)
{
	bpf_ringbuf_submit(record, wake ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

/* ---- balancers, limits, deny lists ---- */

static __always_inline void *nest_runtime_table(void *outer, __u32 slot)
{
	return bpf_map_lookup_elem(outer, &slot);
}

/* NULL when the table is absent, or the index outside of it. */
static __always_inline const struct nest_action *nest_runtime_action(__u32 slot, __u32 mapping)
{
	void *table = nest_runtime_table(&nest_actions, slot);

	return table ? bpf_map_lookup_elem(table, &mapping) : NULL;
}

static __always_inline const struct nest_balancer *nest_runtime_balancer(__u32 slot, __u32 index)
{
	void *table = nest_runtime_table(&nest_balancers, slot);

	return table ? bpf_map_lookup_elem(table, &index) : NULL;
}

static __always_inline const struct nest_backend *nest_runtime_backend(__u32 slot, __u32 index)
{
	void *table = nest_runtime_table(&nest_backends, slot);

	return table ? bpf_map_lookup_elem(table, &index) : NULL;
}

/* Index of the backend at a position (0 .. NEST_RING_SIZE - 1) of a ring, NEST_BACKEND_NONE when there is none. */
static __always_inline __u16 nest_runtime_ring(__u32 slot, __u32 ring, __u32 position)
{
	void *table = nest_runtime_table(&nest_rings, slot);
	const struct nest_ring *found = table ? bpf_map_lookup_elem(table, &ring) : NULL;

	/* The compiler knows the range of a remainder and would leave the check out; the verifier needs it. */
	asm volatile("" : "+r"(position));
	/* The compiler knows that a remainder is in range and leaves the check out; the verifier does not. */
	asm volatile("" : "+r"(position));
	if (!found || position >= NEST_RING_SIZE)
		return NEST_BACKEND_NONE;
	return found->backend[position];
}

/* Index of a backend by what it is, NULL when this policy does not have it. */
static __always_inline const __u32 *nest_runtime_backend_index(__u32 slot,
							       const struct nest_backend_key *key)
{
	void *table = nest_runtime_table(&nest_be_index, slot);

	return table ? bpf_map_lookup_elem(table, key) : NULL;
}

/* The deny list an address is on: exact addresses first, then the longest prefix. Uses scratch->prefix4 or prefix6. */
static __always_inline const struct nest_deny *nest_runtime_deny_find4(struct nest_scratch *scratch,
								       __u32 slot, __be32 address)
{
	void *exact = nest_runtime_table(&nest_deny4, slot);
	void *prefixes;
	const struct nest_deny *found;

	scratch->prefix4.length = 32;
	*(__be32 *)scratch->prefix4.address = address;
	found = exact ? bpf_map_lookup_elem(exact, scratch->prefix4.address) : NULL;
	nest_runtime_keep_apart(found);
	if (found)
		return found;
	prefixes = nest_runtime_table(&nest_deny_pfx4, slot);
	found = prefixes ? bpf_map_lookup_elem(prefixes, &scratch->prefix4) : NULL;
	nest_runtime_keep_apart(found);
	return found;
}

static __always_inline const struct nest_deny *
nest_runtime_deny_find6(struct nest_scratch *scratch, __u32 slot, const __be32 *address)
{
	void *exact = nest_runtime_table(&nest_deny6, slot);
	void *prefixes;
	const struct nest_deny *found;

	scratch->prefix6.length = 128;
	for (int i = 0; i < 4; i++)
		((__be32 *)scratch->prefix6.address)[i] = address[i];
	found = exact ? bpf_map_lookup_elem(exact, scratch->prefix6.address) : NULL;
	nest_runtime_keep_apart(found);
	if (found)
		return found;
	prefixes = nest_runtime_table(&nest_deny_pfx6, slot);
	return prefixes ? bpf_map_lookup_elem(prefixes, &scratch->prefix6) : NULL;
}

static __always_inline const struct nest_deny *
nest_runtime_deny_find(struct nest_scratch *scratch, __u32 slot, __u8 family, const __be32 *address)
{
	return family == 4 ? nest_runtime_deny_find4(scratch, slot, address[0])
			   : nest_runtime_deny_find6(scratch, slot, address);
}

static __always_inline struct nest_bucket *nest_runtime_bucket(__u32 index)
{
	return bpf_map_lookup_elem(&nest_buckets, &index);
}

/* The bucket of a source, made when it is new; NULL when there is no memory. */
static __always_inline struct nest_bucket *
nest_runtime_source_bucket(const struct nest_source_key *key)
{
	struct nest_bucket *bucket = bpf_map_lookup_elem(&nest_sources, key);
	const struct nest_bucket fresh = {};

	if (bucket)
		return bucket;
	bpf_map_update_elem(&nest_sources, key, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&nest_sources, key);
}

/* Read only: NULL when the source has none yet. For traces. */
static __always_inline const struct nest_bucket *
nest_runtime_source_bucket_peek(const struct nest_source_key *key)
{
	return bpf_map_lookup_elem(&nest_sources, key);
}

/* Nanoseconds, monotonic: for buckets, where four milliseconds are too coarse. */
static __always_inline __u64 nest_runtime_clock_precise(void)
{
	return bpf_ktime_get_ns();
}

/* Returns what was there; the swap has happened when that is `expected`. */
static __always_inline __u64 nest_runtime_compare_swap(__u64 *value, __u64 expected, __u64 desired)
{
	return __sync_val_compare_and_swap(value, expected, desired);
}

/* CPU, or worker of a user-space engine. */
static __always_inline __u32 nest_runtime_lane(void)
{
	return bpf_get_smp_processor_id();
}

static __always_inline __u32 nest_runtime_random(void)
{
	return bpf_get_prandom_u32();
}

static __always_inline const struct nest_interface_address *
nest_runtime_interface_address(__u32 interface)
{
	return bpf_map_lookup_elem(&nest_if_addr, &interface);
}

static __always_inline struct nest_counter *nest_runtime_limit_counter(__u32 index)
{
	return bpf_map_lookup_elem(&nest_lim_count, &index);
}

static __always_inline struct nest_counter *nest_runtime_deny_counter(__u32 index)
{
	return bpf_map_lookup_elem(&nest_deny_count, &index);
}

static __always_inline struct nest_backend_counter *nest_runtime_backend_counter(__u32 index)
{
	return bpf_map_lookup_elem(&nest_be_count, &index);
}

static __always_inline __u64 *nest_runtime_stat(__u32 kind)
{
	return bpf_map_lookup_elem(&nest_stats, &kind);
}

static __always_inline struct nest_trace_more *nest_runtime_trace_more(void)
{
	const __u32 key = 0;

	return bpf_map_lookup_elem(&nest_trace_more, &key);
}

/* ---- the way out ---- */

#define NEST_AF_INET  2
#define NEST_AF_INET6 10

/* Asks the kernel's routing table, as a packet of the rewrite's addresses would. */
static __always_inline enum nest_way nest_runtime_route(void *context, struct nest_scratch *scratch,
							const struct nest_rewrite *rewrite,
							struct nest_route *route)
{
	const struct nest_packet *packet = &scratch->packet;
	struct bpf_fib_lookup fib = {};
	const __u32 *port;
	long result;

	fib.family = packet->family == 4 ? NEST_AF_INET : NEST_AF_INET6;
	fib.l4_protocol = packet->protocol;
	fib.sport = rewrite->source_port;
	fib.dport = rewrite->destination_port;
	fib.ifindex = packet->interface;
	for (int i = 0; i < 4; i++) {
		fib.ipv6_src[i] = rewrite->source[i];
		fib.ipv6_dst[i] = rewrite->destination[i];
	}
	result = bpf_fib_lookup(context, &fib, sizeof(fib), 0);
	if (result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH)
		return NEST_WAY_KERNEL;
	route->egress = fib.ifindex;
	route->mtu = fib.mtu_result;
	if (result != BPF_FIB_LKUP_RET_SUCCESS)
		return NEST_WAY_KERNEL;
	port = bpf_map_lookup_elem(&nest_tx_ports, &route->egress);
	if (!port || !(*port & NEST_PORT_TX))
		return NEST_WAY_KERNEL;
	for (int i = 0; i < 6; i++) {
		route->destination_mac[i] = fib.dmac[i];
		route->source_mac[i] = fib.smac[i];
	}
	return NEST_WAY_FORWARD;
}

/* Set by the loader: possible CPUs, which share the ports of source NAT. */
const volatile __u32 nest_lanes = 1;

static __always_inline __u32 nest_runtime_lanes(void)
{
	return nest_lanes ? nest_lanes : 1;
}

/*
 * Grows the packet by `head` bytes in front, then makes it `length` bytes long; fills in the frame
 * anew. False: there is no room.
 */
static __always_inline bool nest_runtime_reshape(void *context, __u32 head, __u32 length,
						 struct nest_frame *frame)
{
	struct xdp_md *packet = context;
	__u64 bytes;

	if (bpf_xdp_adjust_head(packet, -(int)head) != 0)
		return false;
	bytes = (__u64)((__u8 *)(long)packet->data_end - (__u8 *)(long)packet->data);
	/* The verifier knows the difference of two pointers, but not a sum with one of them. */
	asm volatile("" : "+r"(bytes));
	if (bpf_xdp_adjust_tail(packet, (int)length - (int)bytes) != 0)
		return false;
	frame->start = (void *)(long)packet->data;
	frame->end = (void *)(long)packet->data_end;
	return true;
}

/* Both directions of a flow may be on two CPUs, one direction too while a task moves. */
static __always_inline void nest_runtime_add(__u64 *value, __u64 amount)
{
	__sync_fetch_and_add(value, amount);
}

/* Sets bits of flow->tcp, which is byte 3 of an aligned little-endian word. */
static __always_inline void nest_runtime_tcp_set(struct nest_flow *flow, __u32 bits)
{
	__sync_fetch_and_or((__u32 *)&flow->mapping, bits << 24);
}

_Static_assert(__builtin_offsetof(struct nest_flow, mapping) % 4 == 0, "aligned word");
_Static_assert(__builtin_offsetof(struct nest_flow, tcp) ==
		       __builtin_offsetof(struct nest_flow, mapping) + 3,
	       "tcp is byte 3 of the word");

#endif
