// Package registry pulls images from registries into the image store and pushes them
// back. The protocol, its authentication and the certs.d/HOST/hosts.toml files are
// containerd's library; which content is believed, how long anybody is waited for and
// what is shared are decided here.
//
// A pull asks for the manifest with the caller's own credentials, whatever others are
// pulling, and then wants layers by digest. A blob is downloaded once for all pulls that
// want it, into one file, and is read from there while it still comes; a
// layer is unpacked once for all of them (image.Intake.Add). What nobody waits for any
// more is cancelled, and its file is gone with it, except when the daemon is what ends: the
// next one asks for the rest, and believes nothing before the whole has the right digest. A blob whose download fails with
// another caller's credentials or registry is asked for again with one's own.
//
// Nothing that a registry says is believed until its digest fits: the reader of a blob
// ends only after the blob's digest was right, and the store holds the unpacked layer
// against its diff ID. Every size is bounded before it is read. A registry that answers
// too slowly, that sends less than a minimum or that says 429 or 503 is waited for within
// bounds, and the pull's progress says so.
//
// Credentials live as long as the call. They are sent to the registry they are meant for
// and to the token server it names, never to a mirror, to the target of a redirect, or
// in plain text when the registry speaks HTTPS.
//
// Lock order: downloads.mu before download.mu; board.mu is innermost.
package registry
