// Package cni connects pods by CNI plugins (specification 1.1 and older), through libcni:
// where a directory has a configuration, it is asked instead of the built-in network.
//
// # What is where
//
// The configuration directory is read when it has changed (inotify), at the moment somebody
// asks. The first valid file in lexical order is the default network, other engines' own
// networks left out; all of them can be named. A pod's network namespace gets a path below /run/netns, where the whole
// ecosystem looks for them and `ip netns` shows them: plugins remember the path, and a DEL
// finds the namespace there though the pod's processes have died.
//
// # The crash rule
//
// An attachment is recorded, with the configuration it will be made from, before the first
// plugin runs, and the record goes after the last DEL has succeeded. Records and libcni's
// cached results are on disk: what a killed daemon, a crashed machine or a changed
// configuration leaves is taken back by the next daemon from the record alone. A failed
// ADD is followed by DEL for every plugin of the pod at once.
//
// # Plugins
//
// They run as root and are trusted; what they print is bounded and checked all the same.
// Each run has a session of its own, a deadline, and a line in the log with its time.
//
// # Locks
//
// A pod's turn, then gate. gate is held by ADD and DEL for reading and by GC of one network
// for writing: the specification has a runtime execute either GC or ADD and DEL (section 3,
// "Lifecycle & Ordering"), since GC is told which attachments are valid, and an ADD meanwhile
// would not be among them. Both are held while plugins run.
package cni
