package cgroup

import (
	"fmt"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	minIOWeight     = 10
	maxIOWeight     = 1000
	noWeight        = "no I/O scheduler with weights on this host"
	ioMaxUnlimited  = "rbps=max wbps=max riops=max wiops=max"
	defaultIOWeight = "default"
)

// blockIO plans weights and throttles. v2's io.weight reaches from 1 to 10000 and
// is mapped linearly; BFQ's own file keeps OCI's range in both versions.
func (p *planner) blockIO(b *specs.LinuxBlockIO) error {
	if b == nil {
		return nil
	}
	if value(b.LeafWeight) != 0 {
		return unsupported("blockIO.leafWeight", "only the CFQ scheduler had it, gone with Linux 5.0")
	}
	if w := value(b.Weight); w != 0 {
		if err := p.ioWeight("", w, "blockIO.weight"); err != nil {
			return err
		}
	}
	for i, d := range b.WeightDevice {
		field := fmt.Sprintf("blockIO.weightDevice[%d]", i)
		if value(d.LeafWeight) != 0 {
			return unsupported(field+".leafWeight", "only the CFQ scheduler had it, gone with Linux 5.0")
		}
		if err := p.ioWeight(device(d.Major, d.Minor), value(d.Weight), field); err != nil {
			return err
		}
	}
	for _, t := range []ioRate{
		{"blockIO.throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps", b.ThrottleReadBpsDevice},
		{"blockIO.throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps", b.ThrottleWriteBpsDevice},
		{"blockIO.throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops", b.ThrottleReadIOPSDevice},
		{"blockIO.throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops", b.ThrottleWriteIOPSDevice},
	} {
		if err := p.throttles(t); err != nil {
			return err
		}
	}
	return nil
}

// ioRate is one of the four rates that can be limited: its OCI field, its file in
// v1, its key in v2's io.max, and the limits by device.
type ioRate struct {
	field, v1, v2 string
	devices       []specs.LinuxThrottleDevice
}

func (p *planner) throttles(t ioRate) error {
	for i, d := range t.devices {
		field := fmt.Sprintf("%s[%d]", t.field, i)
		v, err := p.need("io", field)
		if err != nil {
			return err
		}
		key := device(d.Major, d.Minor)
		rate := strconv.FormatUint(d.Rate, 10)
		w := Write{Controller: "io", File: t.v1, Value: key + " " + rate, Field: field, Key: key, Unset: "0",
			Missing: "this kernel has no I/O throttling"}
		if v == V2 {
			if d.Rate == 0 { // v1 takes 0 for "no limit", v2 refuses it
				rate = "max"
			}
			w.File, w.Value, w.Unset = "io.max", key+" "+t.v2+"="+rate, ioMaxUnlimited
		}
		p.add(w)
	}
	return nil
}

// ioWeight plans the weight of a group (no key) or for one device of it.
func (p *planner) ioWeight(key string, weight uint16, field string) error {
	v, err := p.need("io", field)
	if err != nil {
		return err
	}
	if weight < minIOWeight || weight > maxIOWeight {
		return invalid(field, "%d is not between %d and %d", weight, minIOWeight, maxIOWeight)
	}
	n := strconv.Itoa(int(weight))
	w := Write{Controller: "io", File: "io.bfq.weight", Value: n, Field: field, Missing: noWeight}
	or := w
	if key != "" {
		w.Key, w.Value, w.Unset = key, key+" "+n, "0"
		or = w
	}
	if v == V1 {
		w.File, or.File = "blkio.bfq.weight", "blkio.weight"
		if key != "" {
			w.File, or.File = "blkio.bfq.weight_device", "blkio.weight_device"
		}
		w.Or = &or
		p.add(w)
		return nil
	}
	or.File, or.Key, or.Unset = "io.weight", defaultIOWeight, "100"
	scaled := strconv.FormatUint(IOWeight(weight), 10)
	or.Value = defaultIOWeight + " " + scaled
	if key != "" {
		or.Key, or.Value, or.Unset = key, key+" "+scaled, "default"
	}
	w.Or = &or
	p.add(w)
	return nil
}

// IOWeight converts a v1 blkio weight (10..1000) to v2 io.weight (1..10000).
func IOWeight(weight uint16) uint64 {
	if weight < minIOWeight {
		return 0
	}
	return 1 + (uint64(weight)-minIOWeight)*9999/990
}

func device(major, minor int64) string {
	return strconv.FormatInt(major, 10) + ":" + strconv.FormatInt(minor, 10)
}
