// Package link connects network namespaces: veth pairs, their addresses and routes,
// traffic limits and the connections that the kernel tracks. It talks rtnetlink:
// what belongs together travels in one message stream, so that a pair with all it
// carries costs five system calls in each namespace. It keeps no state and decides
// nothing; see package network for names and addresses.
//
// Errors carry the kernel's own explanation (NETLINK_EXT_ACK), and a fault kind:
// Denied without the privilege, Exists for a name or address in use, NotFound for a
// link that is gone, Unsupported for what this kernel was built without.
package link
