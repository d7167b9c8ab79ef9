package cni

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"k8s.io/apimachinery/pkg/api/resource"

	"carob/internal/fault"
	"carob/internal/network"
	"carob/internal/pod"
	"carob/internal/spec"
)

// The annotations that say something to plugins.
const (
	ingressAnnotation = "kubernetes.io/ingress-bandwidth"
	egressAnnotation  = "kubernetes.io/egress-bandwidth"
	// networksAnnotation is the Network Plumbing Working Group's: further networks of a pod.
	networksAnnotation = "k8s.v1.cni.cncf.io/networks"
)

// wanted is one attachment to make.
type wanted struct {
	list   *libcni.NetworkConfigList
	ifname string
	args   map[string]any // of capabilities
}

// want decides which attachments a pod gets, in the order in which they are made.
func want(n *networks, a pod.Attachment) ([]wanted, error) {
	joins, err := joinsOf(n, a)
	if err != nil {
		return nil, err
	}
	taken := map[string]bool{"lo": true}
	for _, c := range a.Connections {
		taken[c.Interface] = true
	}
	for _, j := range joins {
		if j.ifname != "" && taken[j.ifname] {
			return nil, fault.New(fault.Invalid, fmt.Sprintf("network %s: interface %s: named twice", j.Network, j.ifname))
		}
		taken[j.ifname] = true
	}
	var all []wanted
	for i, j := range joins {
		list := n.named(j.Network)
		if list == nil {
			return nil, fault.New(fault.NotFound, fmt.Sprintf("network %.80q: no CNI configuration has this name", j.Network))
		}
		args, err := capabilities(list, a, j.Join, i == 0 && len(a.Connections) == 0)
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", list.Name, err)
		}
		all = append(all, wanted{list, cmp.Or(j.ifname, free(taken, j.prefix)), args})
	}
	return all, nil
}

// free returns the first interface name with this prefix that is not taken, and takes it.
func free(taken map[string]bool, prefix string) string {
	for i := 0; ; i++ {
		if name := prefix + strconv.Itoa(i); !taken[name] {
			taken[name] = true
			return name
		}
	}
}

// join is a network a pod is to join, with the name of its interface or the prefix of one
// that is free.
type join struct {
	spec.Join
	ifname, prefix string
}

// joinsOf are the networks asked for by name, the default one without any, and those of
// the annotation. With a pod that comes through the CRI the annotation is left to the
// cluster's own plugin, Multus for one.
func joinsOf(n *networks, a pod.Attachment) ([]join, error) {
	var all []join
	for _, j := range a.Joins {
		if isDefault(j) && n.first != nil && n.named(j.Network) == nil {
			j.Network = n.first.Name
		}
		all = append(all, join{Join: j, prefix: "eth"})
	}
	if len(all) == 0 && len(a.Connections) == 0 {
		all = []join{{Join: spec.Join{Network: n.first.Name}, prefix: "eth"}}
	}
	if text := a.Spec.Annotations[networksAnnotation]; text != "" && a.Spec.Owner != ownerCRI && len(a.Connections) == 0 {
		more, err := selections(text)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, "annotation "+networksAnnotation, err)
		}
		all = append(all, more...)
	}
	return all, nil
}

// isDefault reports whether a join means the default network, whatever it is called.
func isDefault(j spec.Join) bool { return j.Network == network.Default }

// ownerCRI is spec.Pod's Owner of what the kubelet asks for.
const ownerCRI = "cri"

var (
	selection = regexp.MustCompile(`^(?:[a-z0-9]([-a-z0-9]*[a-z0-9])?/)?([a-zA-Z0-9][a-zA-Z0-9_.-]*)(?:@([a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}))?$`)
	ifname    = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}$`)
)

// maxSelections bounds the networks of one annotation.
const maxSelections = 32

// selections reads the annotation: NAME[@INTERFACE],… or a JSON list. A namespace before
// the name has no meaning here, where networks are files.
func selections(text string) ([]join, error) {
	var all []join
	if strings.HasPrefix(strings.TrimSpace(text), "[") {
		var list []struct {
			Name, Interface, MAC string
			IPs                  []string
		}
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			return nil, err
		}
		for _, e := range list {
			m := selection.FindStringSubmatch(e.Name)
			if m == nil || m[3] != "" || e.Interface != "" && !ifname.MatchString(e.Interface) {
				return nil, fmt.Errorf("%.80q, interface %.40q: not names", e.Name, e.Interface)
			}
			all = append(all, join{Join: spec.Join{Network: m[2], IPs: e.IPs, MAC: e.MAC}, ifname: e.Interface, prefix: "net"})
		}
	} else {
		for word := range strings.SplitSeq(text, ",") {
			m := selection.FindStringSubmatch(strings.TrimSpace(word))
			if m == nil {
				return nil, fmt.Errorf("%.80q: not NAME or NAME@INTERFACE", word)
			}
			all = append(all, join{Join: spec.Join{Network: m[2]}, ifname: m[3], prefix: "net"})
		}
	}
	if len(all) > maxSelections {
		return nil, fmt.Errorf("%d networks, at most %d", len(all), maxSelections)
	}
	return all, nil
}

// capabilities are the arguments for the network's plugins. What the pod asks for and no
// plugin of the network can do is an error; with a pod of the kubelet's that is left to the
// cluster, where ports may be another component's work.
func capabilities(list *libcni.NetworkConfigList, a pod.Attachment, j spec.Join, first bool) (map[string]any, error) {
	args := map[string]any{}
	if err := ofJoin(args, j); err != nil {
		return nil, err
	}
	if first {
		if err := ofPod(args, a.Spec); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(args)) {
		if !declared(list, name) && !optional[name] && a.Spec.Owner != ownerCRI {
			return nil, fault.New(fault.Unsupported, fmt.Sprintf("no plugin has the capability %s, which %s", name, needs[name]))
		}
	}
	return args, nil
}

// ofJoin adds what was asked of one network.
func ofJoin(args map[string]any, j spec.Join) error {
	for _, ip := range j.IPs {
		_, err := netip.ParseAddr(ip)
		if _, perr := netip.ParsePrefix(ip); err != nil && perr != nil {
			return fault.New(fault.Invalid, fmt.Sprintf("address %.60q: not an IP address", ip))
		}
		args["ips"] = j.IPs
	}
	if j.MAC != "" {
		if _, err := net.ParseMAC(j.MAC); err != nil {
			return fault.Wrap(fault.Invalid, "", err)
		}
		args["mac"] = j.MAC
	}
	if len(j.Aliases) > 0 {
		args["aliases"] = j.Aliases
	}
	return nil
}

// optional are capabilities that tell plugins what is taken care of without them, too.
var optional = map[string]bool{"dns": true, "io.kubernetes.cri.pod-annotations": true}

// needs says what asks for a capability.
var needs = map[string]string{
	"portMappings": "ports of the host need", "bandwidth": "the bandwidth annotations need",
	"ips": "a fixed address needs", "mac": "a fixed hardware address needs", "aliases": "an alias needs",
}

func declared(list *libcni.NetworkConfigList, capability string) bool {
	return slices.ContainsFunc(list.Plugins, func(p *libcni.PluginConfig) bool { return p.Network.Capabilities[capability] })
}

// portMapping is an entry of the capability portMappings.
type portMapping struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP,omitempty"`
}

// bandwidth is the capability of that name: bits per second, and bits.
type bandwidth struct {
	IngressRate  int64 `json:"ingressRate,omitempty"`
	IngressBurst int64 `json:"ingressBurst,omitempty"`
	EgressRate   int64 `json:"egressRate,omitempty"`
	EgressBurst  int64 `json:"egressBurst,omitempty"`
}

// resolver is the capability dns.
type resolver struct {
	Servers  []string `json:"servers,omitempty"`
	Searches []string `json:"searches,omitempty"`
	Options  []string `json:"options,omitempty"`
}

// ofPod adds what belongs to the pod and goes with its first network.
func ofPod(args map[string]any, s *spec.Pod) error {
	var ports []portMapping
	for _, p := range s.Ports {
		switch {
		case p.HostPort < 0:
			return fault.New(fault.Unsupported, fmt.Sprintf("port %d: CNI plugins cannot choose a port of the host; name one", p.ContainerPort))
		case p.HostPort > 0:
			ports = append(ports, portMapping{p.HostPort, p.ContainerPort, strings.ToLower(cmp.Or(p.Protocol, "TCP")), p.HostIP})
		}
	}
	if len(ports) > 0 {
		args["portMappings"] = ports
	}
	var b bandwidth
	var err error
	if b.IngressRate, b.IngressBurst, err = rate(s.Annotations, ingressAnnotation); err != nil {
		return err
	}
	if b.EgressRate, b.EgressBurst, err = rate(s.Annotations, egressAnnotation); err != nil {
		return err
	}
	if b != (bandwidth{}) {
		args["bandwidth"] = b
	}
	if d := s.DNS; d != nil {
		args["dns"] = resolver{d.Nameservers, d.Searches, d.Options}
	}
	if len(s.Annotations) > 0 {
		args["io.kubernetes.cri.pod-annotations"] = s.Annotations
	}
	return nil
}

// rate reads a bandwidth as Kubernetes does: bits per second between 1k and 1P. The burst
// is the largest the plugin takes, as the kubelet's runtimes have it.
func rate(annotations map[string]string, name string) (rate, burst int64, err error) {
	text := annotations[name]
	if text == "" {
		return 0, 0, nil
	}
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return 0, 0, fault.Wrap(fault.Invalid, fmt.Sprintf("annotation %s: %.40q", name, text), err)
	}
	if v := q.Value(); v < 1000 || v > 1e15 {
		return 0, 0, fault.New(fault.Invalid, fmt.Sprintf("annotation %s: %.40q: not between 1k and 1P bits per second", name, text))
	}
	return q.Value(), math.MaxInt32, nil
}

var argument = regexp.MustCompile(`^[^;=\x00-\x20]*$`)

// arguments are CNI_ARGS as Kubernetes' runtimes give them. A word that would be more than
// one argument is Invalid.
func arguments(a pod.Attachment) ([][2]string, error) {
	args := [][2]string{
		{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", a.Namespace}, {"K8S_POD_NAME", a.Name},
		{"K8S_POD_INFRA_CONTAINER_ID", a.PodID}, {"K8S_POD_UID", a.Spec.UID},
	}
	for _, arg := range args {
		if !argument.MatchString(arg[1]) {
			return nil, fault.New(fault.Invalid, fmt.Sprintf("%s %.80q: cannot be an argument of a CNI plugin", arg[0], arg[1]))
		}
	}
	return args, nil
}
