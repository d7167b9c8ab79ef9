// Package criu drives CRIU, which writes processes down and makes them again: one
// `criu swrk` for each action, over its remote procedure calls (criu's rpc.proto). It knows
// nothing of containers: what belongs to whom is said in Options, in CRIU's own terms.
//
// Terms: an *external* thing is one that CRIU does not write down, because it belongs to
// somebody else; whoever restores gives another one for it under the same key.
//
// What CRIU says goes to a log beside the images; an error quotes what counts of it.
// It keeps no state and runs no goroutine.
package criu
