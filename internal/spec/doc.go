// Package spec holds what was asked for: pods and containers as a person, a
// manifest or the CRI describes them, before the engine decides anything. What is
// true now is package status. Values are plain data with JSON names; they are
// stored as they came, so that "asked" and "observed" can be held against each
// other. The package is pure: no I/O, no defaults that depend on the machine.
//
// Resource limits, rlimits and seccomp profiles use the OCI runtime
// specification's own types.
package spec
