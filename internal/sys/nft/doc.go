// Package nft keeps carob's one nftables table (family inet) in the kernel. Nothing
// outside that table is read or changed. What is in it:
//
//	set from4, from6        (link . address): which addresses a pod's link may send from
//	map any4, any6          (protocol . port) → (pod's address . port), at every address of the host
//	map at4, at6            (protocol . address . port) → (pod's address . port)
//	set uplinks             links between which nothing is forwarded
//	chain sources           prerouting, before tracking: pods send from their own addresses
//	chain arriving, leaving nat prerouting and output: ports of the host, by the maps
//	chain outside           nat postrouting: masquerade
//	chain waiting           output: nobody is told that the names' server is away
//	chain passing           forward: who may speak to whom
//
// A pod costs elements, not rules: one per address and one per port. Rules are per
// network. Whatever changes, changes in one transaction.
//
// Table serialises its transactions, as the kernel does, on one socket; by that socket's
// number Watch tells one's own changes from others'.
package nft
