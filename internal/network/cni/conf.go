package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/utils"

	"carob/internal/fault"
	"carob/internal/sys/fd"
)

// maxConf bounds a configuration file in bytes.
const maxConf = 1 << 20

// networks are the networks of a configuration directory at one time.
type networks struct {
	lists []*libcni.NetworkConfigList
	// first is what pods that name no network get, nil when there is none.
	first *libcni.NetworkConfigList
	// broken are the files that say nothing.
	broken error
}

// named returns a network by its name, nil when there is none.
func (n *networks) named(name string) *libcni.NetworkConfigList {
	i := slices.IndexFunc(n.lists, func(l *libcni.NetworkConfigList) bool { return l.Name == name })
	if i < 0 {
		return nil
	}
	return n.lists[i]
}

// defaulted is the default network, or why there is none.
func (n *networks) defaulted(dir string) (*libcni.NetworkConfigList, error) {
	switch {
	case n.first != nil:
		return n.first, nil
	case n.broken != nil:
		return nil, fault.Wrap(fault.Unavailable, "network not ready", n.broken)
	case len(n.lists) > 0:
		return nil, fault.New(fault.Unavailable, fmt.Sprintf("network not ready: no CNI configuration in %s but other engines' (%s)", dir, strings.Join(n.names(), ", ")))
	}
	return nil, fault.New(fault.Unavailable, "network not ready: no CNI configuration in "+dir)
}

// confDir is a configuration directory, which need not exist.
type confDir struct {
	path string
	log  *slog.Logger

	// mu guards what follows.
	mu    sync.Mutex
	watch *fd.Watch // of path or of the directory nearest to it; nil when it could not be watched
	have  *networks
}

// current returns the networks as the directory has them now.
func (c *confDir) current() *networks {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.have != nil && c.watch != nil && !c.watch.Changed() {
		return c.have
	}
	c.close()
	c.watch = watchNear(c.path) // before reading: what changes meanwhile is seen next time
	next := readNetworks(c.path)
	if next.broken != nil && (c.have == nil || c.have.broken == nil || next.broken.Error() != c.have.broken.Error()) {
		c.log.Warn("CNI configuration", "dir", c.path, "cause", next.broken)
	}
	if now, before := next.names(), c.have.names(); !slices.Equal(now, before) {
		c.log.Info("CNI configuration", "dir", c.path, "networks", now)
	}
	c.have = next
	return next
}

func (n *networks) names() (names []string) {
	if n == nil {
		return nil
	}
	for _, l := range n.lists {
		names = append(names, l.Name)
	}
	return names
}

// close ends the watch. The caller holds mu.
func (c *confDir) close() {
	if c.watch != nil {
		_ = c.watch.Close() // nothing is pending
		c.watch = nil
	}
}

// watchNear watches dir, or the nearest directory above that exists.
func watchNear(dir string) *fd.Watch {
	for {
		w, err := fd.NewWatch(dir)
		if err == nil {
			return w
		}
		if !fault.Is(err, fault.NotFound) || dir == filepath.Dir(dir) {
			return nil // no descriptors, say: read each time
		}
		dir = filepath.Dir(dir)
	}
}

// readNetworks reads a directory: files that are not valid are left out, as other runtimes
// do, and of two networks with one name the first one counts.
func readNetworks(dir string) *networks {
	n := &networks{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			n.broken = err
		}
		return n
	}
	var broken []error
	for _, e := range entries { // in lexical order
		path := filepath.Join(dir, e.Name())
		list, err := readNetwork(path)
		switch {
		case err != nil:
			broken = append(broken, fmt.Errorf("%s: %w", path, err))
		case list != nil && n.named(list.Name) == nil:
			n.lists = append(n.lists, list)
			if n.first == nil && !foreign(list) {
				n.first = list
			}
		}
	}
	n.broken = errors.Join(broken...)
	return n
}

// foreign reports whether another engine made a network for its own containers and left
// its file in the common directory: podman's package does, and nerdctl. It can be named,
// but that it is installed does not mean that carob's pods belong there.
func foreign(list *libcni.NetworkConfigList) bool {
	var marks struct {
		NerdctlID     any `json:"nerdctlID"`
		NerdctlLabels any `json:"nerdctlLabels"`
		Args          struct {
			PodmanLabels any `json:"podman_labels"`
		} `json:"args"`
	}
	_ = json.Unmarshal(list.Bytes, &marks) // libcni has read it
	return list.Name == "podman" || marks.NerdctlID != nil || marks.NerdctlLabels != nil || marks.Args.PodmanLabels != nil
}

// readNetwork returns nil for a file that is no configuration by its name.
func readNetwork(path string) (*libcni.NetworkConfigList, error) {
	ext := filepath.Ext(path)
	if !slices.Contains([]string{".conflist", ".conf", ".json"}, ext) {
		return nil, nil
	}
	if st, err := os.Stat(path); err != nil || !st.Mode().IsRegular() || st.Size() > maxConf {
		return nil, errors.Join(err, fmt.Errorf("not a regular file of at most %d bytes", maxConf))
	}
	list, err := parseFile(path, ext)
	if err != nil {
		return nil, err
	}
	if e := utils.ValidateNetworkName(list.Name); e != nil {
		return nil, e
	}
	for _, p := range list.Plugins {
		if p.Network.Type == "" || filepath.Base(p.Network.Type) != p.Network.Type {
			return nil, fmt.Errorf("plugin type %.60q: not the name of a program", p.Network.Type)
		}
	}
	return list, nil
}

// parseFile reads a list, or a single plugin's configuration as a list of one, which
// versions before 1.0 had.
func parseFile(path, ext string) (*libcni.NetworkConfigList, error) {
	if ext == ".conflist" {
		return libcni.NetworkConfFromFile(path)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	one, err := libcni.NetworkPluginConfFromBytes(raw)
	if err != nil {
		return nil, err
	}
	list, err := json.Marshal(map[string]any{
		"name": one.Network.Name, "cniVersion": one.Network.CNIVersion, "plugins": []json.RawMessage{raw},
	})
	if err != nil {
		return nil, err
	}
	return libcni.NetworkConfFromBytes(list)
}
