// Package ocirt is an OCI runtime without a daemon: it creates containers from bundles,
// starts, executes in, signals and deletes them, as the runtime specification's
// "Runtime and Lifecycle" has it. It joins what package ocispec decides to the init stage's
// programs; flags, output and exit codes are package ocicli's.
//
// A container between create and start is a process that has its world and waits at a
// FIFO for a byte, all privileges given up. Nothing of the runtime stays: the process is
// a child of whoever called create, or of the nearest subreaper above it (conmon, a
// shim), who sees how it ends.
//
// On disk, below Root, a directory for each container, 0700:
//
//	record  what is known of it (type Record) and the bundle's configuration as it was
//	        then, written once by create, last of all
//	start   the FIFO that the process waits at; a created container is one that has it
//	report  the FIFO that tells start whether execve has succeeded
//
// A run whose process need not wait does without the FIFOs, and writes its record before that
// has come to its command.
//
// A directory without a record is one whose create has not come to its end: for all
// commands but delete it does not exist. Commands that change a container hold a lock on
// its directory.
package ocirt
