// Package names lets pods of a network find one another by name: a small DNS server on
// the network's gateway addresses, port 53, UDP and TCP.
//
// A member is found by its pod's name, its containers' names, its aliases in the network
// and the beginning of the pod's or a container's ID from 12 digits on; each also with ".NETWORK" behind.
// Who asks is told by the source address, which the built-in network does not let a pod
// choose: names are those of the networks the asker itself is in, and an address that is
// nobody's is refused. Everything else goes to the servers that the pod asked for, or to
// the host's, as they are in its resolv.conf at that moment.
//
// A pod in such a network has this server alone in its resolv.conf. The host's behind it
// would be asked at the same time by musl and win with "no such name"; while no daemon runs,
// names do not resolve there. Pods of the default network ask the host's servers themselves,
// unless all of those are on the host's loopback: then this server forwards, and knows no
// names.
//
// What pods send is hostile: forwarding is bounded per asker and in all, so are TCP
// connections and the time a question may take. An answer's question must be ours.
//
// # Locks
//
// Server.mu guards the maps and is held for map access only; Server.turn orders the opening
// and closing of listeners.
package names
