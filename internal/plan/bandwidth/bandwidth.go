// Package bandwidth reads the limits that Kubernetes' annotations ask for.
package bandwidth

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"

	"carob/internal/fault"
)

// Limits are in bits per second as seen from the pod; 0 is no limit.
type Limits struct {
	Ingress uint64 `json:"ingress,omitempty"`
	Egress  uint64 `json:"egress,omitempty"`
}

// The annotations of a pod.
const (
	ingress = "kubernetes.io/ingress-bandwidth"
	egress  = "kubernetes.io/egress-bandwidth"
)

// The kubelet's bounds (pkg/util/bandwidth): 1 kbit/s to 1 Pbit/s.
const (
	least = 1_000
	most  = 1_000_000_000_000_000
)

// Of reads a pod's annotations; what is no sensible quantity is Invalid.
func Of(annotations map[string]string) (l Limits, err error) {
	if l.Ingress, err = limit(annotations, ingress); err != nil {
		return Limits{}, err
	}
	if l.Egress, err = limit(annotations, egress); err != nil {
		return Limits{}, err
	}
	return l, nil
}

func limit(annotations map[string]string, key string) (uint64, error) {
	text, there := annotations[key]
	if !there {
		return 0, nil
	}
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return 0, fault.New(fault.Invalid, fmt.Sprintf("annotation %s: %.40q: not a quantity of bits per second, as 10M", key, text))
	}
	if q.CmpInt64(least) < 0 || q.CmpInt64(most) > 0 {
		return 0, fault.New(fault.Invalid, fmt.Sprintf("annotation %s: %.40q: not from 1k to 1P bits per second", key, text))
	}
	return uint64(q.Value()), nil
}
