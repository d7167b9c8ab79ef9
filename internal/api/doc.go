// Package api is carob's own interface to the daemon: the words of the engine's
// use-cases over a unix socket, for the CLI and for whatever is written against it, and the
// frames that carry them. Package client asks, package server answers; this one links
// neither, nor what answers them.
//
// One connection carries one call after another:
//
//	client                                     daemon
//	  ── request {method, params, files} ──────▶      files by SCM_RIGHTS, with the first byte
//	  ◀─────────────────────── {"event": …} ──        none, one or many
//	  ◀──────── {"result": …} or {"error": …} ──      exactly one;
//	                                                  a result may bring a file, too
//
// A frame is a length in 4 bytes, big-endian, and so many bytes of JSON. Closing the
// connection cancels the call; what has been done by then stays done unless the
// method undoes it. Data streams (standard streams, logs, tar) are pipes that the
// client makes and passes: they go to the pod supervisor and survive the daemon.
//
// Trust: the socket is 0600 and the peer must be the daemon's user or root
// (SO_PEERCRED). Frames, files, and the time until the request is complete are
// bounded; unknown methods, fields and file names are refused.
package api
