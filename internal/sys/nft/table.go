package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// Content is all that depends on networks and pods.
type Content struct {
	// Networks are the subnets of each network, one per family at most. Pods of one
	// reach one another, pods of different ones do not.
	Networks [][]netip.Prefix
	// Uplinks are links of the host between which nothing is forwarded.
	Uplinks []string
	Elements
}

// Elements are one pod's part of the table, or several pods'.
type Elements struct {
	Sources []Source
	Ports   []Port
}

// Source lets a pod's link send from an address.
type Source struct {
	Link    string
	Address netip.Addr
}

// Port leads a port of the host to a pod.
type Port struct {
	Protocol uint8
	// Host is the host's address; the zero Addr is each of the family of Pod.
	Host     netip.Addr
	HostPort uint16
	Pod      netip.Addr
	PodPort  uint16
}

// Table is carob's table. The caller closes it; the table stays.
type Table struct {
	name, prefix string
	table        *nftables.Table
	sets         sets
	self         uint32 // the socket's number

	mu   sync.Mutex // guards conn: one transaction at a time
	conn *nftables.Conn
}

// Open prepares for the table with this name; the names of pods' links begin with
// prefix. Nothing is changed. Unsupported and Denied say what is missing for
// nftables.
func Open(name, prefix string) (*Table, error) {
	t := &Table{name: name, prefix: prefix, table: &nftables.Table{Name: name, Family: nftables.TableFamilyINet}}
	t.sets = newSets(t.table)
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) (err error) {
		if err = c.SetWriteBuffer(transaction); err == nil {
			t.self, err = number(c)
		}
		return err
	}))
	if err != nil {
		return nil, refusal("nftables", err)
	}
	t.conn = conn
	if _, err := conn.ListTablesOfFamily(nftables.TableFamilyINet); err != nil {
		return nil, errors.Join(refusal("nftables", err), conn.CloseLasting())
	}
	return t, nil
}

// transaction is room for the largest one, in bytes: a pod takes some 200 in it, and
// the kernel's usual buffer of 208 KiB ends at a thousand.
const transaction = 16 << 20

// number is the socket's netlink port, which the kernel writes into what it tells of
// the socket's changes.
func number(c *netlink.Conn) (uint32, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var pid uint32
	var failed error
	err = raw.Control(func(fd uintptr) {
		sa, err := unix.Getsockname(int(fd))
		if a, ok := sa.(*unix.SockaddrNetlink); ok {
			pid = a.Pid
		}
		failed = err
	})
	return pid, errors.Join(err, failed)
}

// Close closes the socket.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.conn.CloseLasting()
}

// Replace makes the table what c says, whether it was there or not, in one
// transaction: at no instant is it absent or half full.
func (t *Table) Replace(c Content) error {
	return t.commit("replace", func() error {
		t.conn.AddTable(t.table) // so that there is one to delete
		t.conn.DelTable(t.table)
		t.conn.AddTable(t.table)
		if err := t.addSets(c); err != nil {
			return err
		}
		t.addChains(c)
		return nil
	})
}

// Drop removes the table; without one it succeeds.
func (t *Table) Drop() error {
	return t.commit("remove", func() error {
		t.conn.AddTable(t.table)
		t.conn.DelTable(t.table)
		return nil
	})
}

// Add adds elements. NotFound when the table is not as it should be: Replace it.
func (t *Table) Add(e Elements) error {
	return t.commit("add", func() error { return t.eachSet(e, t.conn.SetAddElements) })
}

// Remove removes elements. NotFound when some were not there: Replace the table.
func (t *Table) Remove(e Elements) error {
	return t.commit("remove elements", func() error { return t.eachSet(e, t.conn.SetDeleteElements) })
}

func (t *Table) commit(step string, fill func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := fill()
	if err == nil {
		err = t.conn.Flush()
	}
	return refusal(fmt.Sprintf("nftables: table inet %s: %s", t.name, step), err)
}

func refusal(step string, err error) error {
	kind := fault.Internal
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		kind = fault.Denied
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EAFNOSUPPORT):
		kind = fault.Unsupported
	case errors.Is(err, unix.ENOENT):
		kind = fault.NotFound
	case errors.Is(err, unix.EEXIST):
		kind = fault.Exists
	}
	return fault.Wrap(kind, step, err)
}

// Watch calls changed, from its own goroutine's point of view one call at a time,
// after others have changed the table, and whenever it may have missed that, until
// ctx ends.
func (t *Table) Watch(ctx context.Context, changed func()) error {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return refusal("nftables: watch", err)
	}
	if err := c.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil {
		return errors.Join(refusal("nftables: watch", err), c.Close())
	}
	if err := c.SetBPF(othersOnly(t.self)); err != nil {
		return errors.Join(refusal("nftables: watch", err), c.Close())
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // ends Receive
	defer stop()
	dirty := false
	for {
		messages, err := c.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS): // more has happened than the socket could hold
			changed()
			continue
		case err != nil:
			return errors.Join(refusal("nftables: watch", err), c.Close())
		}
		for _, m := range messages {
			dirty = dirty || t.concerns(m)
			if dirty && m.Header.Type == generation {
				changed()
				dirty = false
			}
		}
	}
}

// othersOnly lets the kernel keep what it tells of a socket's own changes: every start of
// a pod would wake the watcher. What one datagram tells of is one transaction's.
func othersOnly(self uint32) []bpf.RawInstruction {
	const pid = 12 // in struct nlmsghdr, in the machine's byte order, and BPF reads the network's
	own := binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, self))
	filter, _ := bpf.Assemble([]bpf.Instruction{ // all of them are known
		bpf.LoadAbsolute{Off: pid, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: own, SkipTrue: 1},
		bpf.RetConstant{Val: 1<<32 - 1},
		bpf.RetConstant{Val: 0},
	})
	return filter
}

// generation is the type of the message that ends what the kernel tells of a
// transaction.
const generation = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWGEN

// concerns reports whether a message tells of something in the table. The first
// attribute of tables, chains, rules, sets and elements is the table's name.
func (t *Table) concerns(m netlink.Message) bool {
	const header = 4 // struct nfgenmsg
	kind := uint16(m.Header.Type)
	if kind>>8 != unix.NFNL_SUBSYS_NFTABLES || m.Header.Type == generation || len(m.Data) < header || m.Data[0] != unix.NFPROTO_INET {
		return false
	}
	attrs, err := netlink.UnmarshalAttributes(m.Data[header:])
	if err != nil {
		return false
	}
	for _, a := range attrs {
		if a.Type == unix.NFTA_TABLE_NAME {
			return string(a.Data) == t.name+"\x00"
		}
	}
	return false
}
