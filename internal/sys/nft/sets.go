package nft

import (
	"encoding/binary"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
)

// sets are the table's, without their elements.
type sets struct {
	from4, from6, any4, any6, at4, at6, uplinks *nftables.Set
}

func newSets(t *nftables.Table) sets {
	ip := map[bool]nftables.SetDatatype{true: nftables.TypeIPAddr, false: nftables.TypeIP6Addr}
	from := func(name string, v4 bool) *nftables.Set {
		return &nftables.Set{
			Table: t, Name: name, Concatenation: true, KeyType: nftables.MustConcatSetType(nftables.TypeIFName, ip[v4]),
		}
	}
	to := func(name string, v4 bool, key ...nftables.SetDatatype) *nftables.Set {
		return &nftables.Set{
			Table: t, Name: name, Concatenation: true, IsMap: true, KeyType: nftables.MustConcatSetType(key...),
			DataType: nftables.MustConcatSetType(ip[v4], nftables.TypeInetService),
		}
	}
	return sets{
		from4: from("from4", true), from6: from("from6", false),
		any4:    to("any4", true, nftables.TypeInetProto, nftables.TypeInetService),
		any6:    to("any6", false, nftables.TypeInetProto, nftables.TypeInetService),
		at4:     to("at4", true, nftables.TypeInetProto, nftables.TypeIPAddr, nftables.TypeInetService),
		at6:     to("at6", false, nftables.TypeInetProto, nftables.TypeIP6Addr, nftables.TypeInetService),
		uplinks: &nftables.Set{Table: t, Name: "uplinks", KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian},
	}
}

func (t *Table) addSets(c Content) error {
	s := t.sets
	for _, set := range []*nftables.Set{s.from4, s.from6, s.any4, s.any6, s.at4, s.at6, s.uplinks} {
		set.ID = 0 // a new one in this transaction
		if err := t.conn.AddSet(set, nil); err != nil {
			return err
		}
	}
	var uplinks []nftables.SetElement
	for _, name := range c.Uplinks {
		uplinks = append(uplinks, nftables.SetElement{Key: linkName(name)})
	}
	if err := chunked(t.conn.SetAddElements)(s.uplinks, uplinks); err != nil {
		return err
	}
	return t.eachSet(c.Elements, t.conn.SetAddElements)
}

// eachSet sorts elements by the set they belong to.
func (t *Table) eachSet(e Elements, do func(*nftables.Set, []nftables.SetElement) error) error {
	bySet := map[*nftables.Set][]nftables.SetElement{}
	put := func(s *nftables.Set, key, value []byte) {
		bySet[s] = append(bySet[s], nftables.SetElement{Key: key, Val: value})
	}
	s := t.sets
	for _, f := range e.Sources {
		set := s.from6
		if f.Address.Is4() {
			set = s.from4
		}
		put(set, append(linkName(f.Link), f.Address.AsSlice()...), nil)
	}
	for _, p := range e.Ports {
		value := append(p.Pod.AsSlice(), word(p.PodPort)...)
		key := []byte{p.Protocol, 0, 0, 0}
		set := map[[2]bool]*nftables.Set{
			{true, true}: s.at4, {true, false}: s.any4, {false, true}: s.at6, {false, false}: s.any6,
		}[[2]bool{p.Pod.Is4(), p.Host.IsValid()}]
		if p.Host.IsValid() {
			key = append(key, p.Host.AsSlice()...)
		}
		put(set, append(key, word(p.HostPort)...), value)
	}
	for set, elements := range bySet {
		if err := chunked(do)(set, elements); err != nil {
			return err
		}
	}
	return nil
}

// chunked keeps what one message carries below the 64 KiB that an attribute can hold.
func chunked(do func(*nftables.Set, []nftables.SetElement) error) func(*nftables.Set, []nftables.SetElement) error {
	const most = 400
	return func(s *nftables.Set, all []nftables.SetElement) error {
		for part := range slices.Chunk(all, most) {
			if err := do(s, part); err != nil {
				return err
			}
		}
		return nil
	}
}

// linkName is a link's name as a key: IFNAMSIZ bytes.
func linkName(name string) []byte {
	key := make([]byte, 16)
	copy(key, name)
	return key
}

// word is a port as a part of a key: in network order, filled up to four bytes.
func word(port uint16) []byte {
	return append(binary.BigEndian.AppendUint16(nil, port), 0, 0)
}

// families are the two, as rules see them.
type familySets struct {
	v4            bool
	from, any, at *nftables.Set
}

func (s sets) families() []familySets {
	return []familySets{{true, s.from4, s.any4, s.at4}, {false, s.from6, s.any6, s.at6}}
}
