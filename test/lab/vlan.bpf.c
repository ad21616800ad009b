/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * A VLAN sub-interface for kernels built without 802.1Q devices: tagged frames that arrive on the parent lose the tag
 * and come up on the sub-interface, frames the sub-interface sends get the tag and leave by the parent. The sub-interface
 * is one end of a veth pair; its other end, the carrier, runs the second program. What is on the wire is a real tag.
 * Interface indexes are chosen by the lab: sub-interface = parent + 1000, carrier = parent + 2000.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define LAB_VLAN_ID 120
#define LAB_LINK_OFFSET 1000
#define LAB_CARRIER_OFFSET 2000

SEC("tc/parent")
int lab_vlan_receive(struct __sk_buff *skb)
{
	if (!skb->vlan_present || (skb->vlan_tci & 0xfff) != LAB_VLAN_ID)
		return TC_ACT_OK;
	if (bpf_skb_vlan_pop(skb) != 0)
		return TC_ACT_SHOT;
	return bpf_redirect(skb->ifindex + LAB_LINK_OFFSET, BPF_F_INGRESS);
}

SEC("tc/carrier")
int lab_vlan_send(struct __sk_buff *skb)
{
	if (bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), LAB_VLAN_ID) != 0)
		return TC_ACT_SHOT;
	return bpf_redirect(skb->ifindex - LAB_CARRIER_OFFSET, 0);
}

char _license[] SEC("license") = "GPL";
