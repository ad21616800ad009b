/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* From an address to its classes, by longest prefix: one as a source, one as a destination. */
#ifndef NEST_IDENTITY_H
#define NEST_IDENTITY_H

#include "runtime.h"

/* False when the table is absent. An address in no service has the classes 0. */
static __always_inline bool nest_identity_find(struct nest_scratch *scratch, const __be32 *address,
					       struct nest_identity *identity)
{
	const __u32 slot = scratch->control.sequence & 1;
	const struct nest_identity *found;
	void *table;

	identity->source = NEST_IDENTITY_ANY;
	identity->destination = NEST_IDENTITY_ANY;
	if (scratch->packet.family == 4) {
		table = nest_runtime_identities4(slot);
		if (!table)
			return false;
		scratch->prefix4.length = 32;
		*(__be32 *)scratch->prefix4.address = address[0];
		found = nest_runtime_find(table, &scratch->prefix4);
		/* Or the compiler makes one call for both tables, and the kernel cannot call a table's own code. */
		asm volatile("" : "+r"(found));
	} else {
		table = nest_runtime_identities6(slot);
		if (!table)
			return false;
		scratch->prefix6.length = 128;
		for (int i = 0; i < 4; i++)
			((__be32 *)scratch->prefix6.address)[i] = address[i];
		found = nest_runtime_find(table, &scratch->prefix6);
	}
	if (found)
		*identity = *found;
	return true;
}

#endif
