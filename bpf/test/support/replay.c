// SPDX-License-Identifier: AGPL-3.0-only
// Packets from stdin (u32le length, bytes) through a pinned program as if they came in on an interface:
// "<action> <ns> <bytes in hexadecimal>" for each, as the program left it: `replay <program pin> <index> <repeat>`.
// And what a full table does, at will: `replay <flow table pin> alias | initiator` removes those entries.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <nest/abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACKET_BYTES_MAX 4096
#define KEYS_MAX         4096

/* The entries of the responder's side, or all others. */
static int forget(const char *path, int is_alias)
{
	static struct nest_flow_key6 keys[KEYS_MAX];
	const int map = bpf_obj_get(path);
	struct nest_flow flow;
	int count = 0;

	if (map < 0)
		return 1;
	while (count < KEYS_MAX &&
	       bpf_map_get_next_key(map, count ? &keys[count - 1] : NULL, &keys[count]) == 0)
		count++;
	for (int i = 0; i < count; i++) {
		if (bpf_map_lookup_elem(map, &keys[i], &flow) == 0 &&
		    !!(flow.flags & NEST_FLOW_ALIAS) == is_alias)
			bpf_map_delete_elem(map, &keys[i]);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static uint8_t input[PACKET_BYTES_MAX], output[PACKET_BYTES_MAX];
	const int program = argc == 4 ? bpf_obj_get(argv[1]) : -1;
	uint8_t prefix[4];

	if (argc == 3)
		return forget(argv[1], strcmp(argv[2], "alias") == 0);
	if (program < 0) {
		perror("replay");
		return 1;
	}
	while (fread(prefix, 1, 4, stdin) == 4) {
		const uint32_t bytes =
			prefix[0] | prefix[1] << 8 | prefix[2] << 16 | (uint32_t)prefix[3] << 24;
		struct xdp_md context = {.data_end = bytes, .ingress_ifindex = atoi(argv[2])};
		struct bpf_test_run_opts options = {
			.sz = sizeof(options),
			.data_in = input,
			.data_size_in = bytes,
			.data_out = output,
			.data_size_out = sizeof(output),
			.ctx_in = &context,
			.ctx_size_in = sizeof(context),
			.repeat = atoi(argv[3]),
		};

		if (bytes > sizeof(input) || fread(input, 1, bytes, stdin) != bytes ||
		    bpf_prog_test_run_opts(program, &options) != 0) {
			perror("replay");
			return 1;
		}
		printf("%u %u ", options.retval, options.duration);
		for (uint32_t i = 0; i < options.data_size_out; i++)
			printf("%02x", output[i]);
		printf("\n");
	}
	return 0;
}
