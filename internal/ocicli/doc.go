// Package ocicli is the command line of carob-oci: runc's commands, flags, output, exit
// codes and the texts that engines look for, over package ocirt. It keeps no state. The
// flags are read by a table and not by a library because every start of a container
// pays for what is linked (docs/adr/0013).
package ocicli
