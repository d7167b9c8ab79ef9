package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const pauseImage = "carob.local/pause"

// A peer is a CRI runtime that takes part.
type peer struct {
	recipe
	*node
	*kubelet
}

// A recipe says how a runtime is started: config is written to a file of the runtime's
// name, start is the shell's command, and load brings the images into the running daemon.
type recipe struct {
	// name is what others call it, with VERSION for what it says, key its files, daemon its
	// process.
	name, key, daemon string
	config, start     string
	load              func(ctx context.Context) error
}

// socket is where a runtime serves the CRI.
func (c *contest) socket(key string) string { return filepath.Join(c.dir, key+".sock") }

// startPeer starts a runtime in a node of its own, and has a pod live there.
func (c *contest) startPeer(ctx context.Context, r recipe) (p *peer, err error) {
	if err := os.WriteFile(filepath.Join(c.dir, r.key+".toml"), []byte(r.config), 0o600); err != nil {
		return nil, err
	}
	n, err := c.startNode(ctx, r.start, c.socket(r.key))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, fmt.Errorf("its log ends: %s", n.said()), n.close())
		}
	}()
	if r.load != nil {
		if err := r.load(ctx); err != nil {
			return nil, err
		}
	}
	k := newKubelet(n.conn, filepath.Join(c.dir, "kubelet-"+r.key), filepath.Join(c.parent, r.key))
	version, err := k.meet(ctx)
	if err != nil {
		return nil, err
	}
	r.name = strings.Replace(r.name, "VERSION", version, 1)
	for _, net := range networks {
		if _, err := k.live(ctx, net); err != nil {
			return nil, err
		}
	}
	return &peer{recipe: r, node: n, kubelet: k}, nil
}

// carobRecipe is carob with its built-in network.
func (c *contest) carobRecipe() recipe {
	return recipe{name: "carob", key: "carob", daemon: "carobd", start: c.serve(c.bin, "carob", "--network builtin")}
}

// otherRecipe is another build of carob, or carob with other flags, in directories of its own.
func (c *contest) otherRecipe(name, key, bin, flags string) recipe {
	directories := fmt.Sprintf("CAROB_RUN=/run/carob CAROB_ROOT=%q; export CAROB_RUN CAROB_ROOT; ", filepath.Join(c.dir, "lib-"+key))
	return recipe{name: name, key: key, daemon: "carobd", start: directories + c.serve(bin, key, flags)}
}

func (c *contest) serve(bin, key, flags string) string {
	return fmt.Sprintf("exec %q serve --cri-socket %q %s", filepath.Join(bin, "carob"), c.socket(key), flags)
}

// peerRecipes are the other runtimes found in PATH, each in the ways that are tried, and
// before them carob with the network that they have; or another build of carob alone.
func (c *contest) peerRecipes(against string) ([][]recipe, error) {
	if against != "" {
		bin, err := filepath.Abs(against)
		return [][]recipe{{c.otherRecipe("carob, other build", "carob-other", bin, "--network builtin")}}, err
	}
	if !has("containerd") && !has("crio") {
		return nil, nil
	}
	plugins, err := c.cni()
	if err != nil {
		return nil, err
	}
	flags := fmt.Sprintf("--network cni --cni-conf-dir %q --cni-bin-dir %q", filepath.Join(c.dir, "cni"), plugins)
	all := [][]recipe{{c.otherRecipe("carob, CNI plugins", "carob-cni", c.bin, flags)}}
	if has("containerd") {
		all = append(all, []recipe{c.containerd(plugins)})
	}
	if has("crio") {
		all = append(all, []recipe{c.crio(plugins, "crun"), c.crio(plugins, "runc")})
	}
	return all, nil
}

// cni writes the configuration that a new cluster's node has, and finds the plugins.
func (c *contest) cni() (plugins string, err error) {
	for _, plugins = range []string{"/opt/cni/bin", "/usr/lib/cni"} {
		if has(filepath.Join(plugins, "bridge")) {
			const list = `{"cniVersion": "1.0.0", "name": "bench", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
`
			dir := filepath.Join(c.dir, "cni")
			return plugins, errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "bench.conflist"), []byte(list), 0o600))
		}
	}
	return "", errors.New("no CNI plugins in /opt/cni/bin and /usr/lib/cni")
}

// containerd's configuration is of the version that 1.6 knows, and 2 still reads.
func (c *contest) containerd(plugins string) recipe {
	config := fmt.Sprintf(`version = 2
root = %q
[grpc]
address = %q
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "%s:latest"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = %q
conf_dir = %q
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
`, filepath.Join(c.dir, "containerd"), c.socket("containerd"), pauseImage, plugins, filepath.Join(c.dir, "cni"))
	load := func(ctx context.Context) error {
		for _, archive := range []string{"toolbox.tar", "pause.tar"} {
			if err := c.program("ctr", "--address", c.socket("containerd"), "--namespace", "k8s.io", "images", "import", archive)(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	return recipe{name: "containerd VERSION", key: "containerd", daemon: "containerd", config: config, start: "exec containerd --config containerd.toml", load: load}
}

// crio has its images brought into its storage before it starts: it has no call for it.
func (c *contest) crio(plugins, ociRuntime string) recipe {
	storage := filepath.Join(c.dir, "crio")
	var start strings.Builder
	for _, name := range []string{image, pauseImage} {
		fmt.Fprintf(&start, "skopeo --insecure-policy copy docker-archive:%s.tar 'containers-storage:[overlay@%s+/run/containers/storage]%s:latest' && ", filepath.Base(name), storage, name)
	}
	if ociRuntime == "crun" { // it refuses a hierarchy of version 2 beside those of version 1
		start.WriteString("{ umount -q /sys/fs/cgroup/unified || true; } && ")
	}
	start.WriteString("exec crio --config crio.toml --config-dir ''")
	config := fmt.Sprintf(`[crio]
root = %q
runroot = "/run/containers/storage"
storage_driver = "overlay"
[crio.api]
listen = %q
[crio.runtime]
cgroup_manager = "cgroupfs"
conmon_cgroup = "pod"
default_runtime = %q
[crio.runtime.runtimes.%s]
monitor_cgroup = "pod"
[crio.image]
pause_image = "%s:latest"
signature_policy = %q
[crio.network]
network_dir = %q
plugin_dirs = [%q]
`, storage, c.socket("crio"), ociRuntime, ociRuntime, pauseImage, filepath.Join(c.dir, "policy.json"), filepath.Join(c.dir, "cni"), plugins)
	return recipe{name: "CRI-O VERSION, " + ociRuntime, key: "crio", daemon: "crio", config: config, start: start.String()}
}
