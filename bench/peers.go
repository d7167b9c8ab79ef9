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
	// name is what others call it, key its files, daemon its process.
	name, key, daemon string
	config, start     string
	load              func(ctx context.Context) error
}

// socket is where a runtime serves the CRI.
func (b *bench) socket(key string) string { return filepath.Join(b.dir, key+".sock") }

// startPeer starts a runtime in a node of its own, and has a pod live there.
func (b *bench) startPeer(ctx context.Context, r recipe) (p *peer, err error) {
	if err := os.WriteFile(filepath.Join(b.dir, r.key+".toml"), []byte(r.config), 0o600); err != nil {
		return nil, err
	}
	n, err := b.startNode(ctx, r.start, b.socket(r.key))
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
	k := newKubelet(n.conn, filepath.Join(b.dir, "kubelet-"+r.key), filepath.Join(b.parent, r.key))
	if err := k.meet(ctx, &r.name); err != nil {
		return nil, err
	}
	for _, net := range networks {
		if _, err := k.live(ctx, net); err != nil {
			return nil, err
		}
	}
	return &peer{recipe: r, node: n, kubelet: k}, nil
}

// carobRecipe is carob with its built-in network.
func (b *bench) carobRecipe() recipe {
	return recipe{name: "carob", key: "carob", daemon: "carobd", start: b.serve(b.bin, "carob", "--network builtin")}
}

// otherRecipe is another build of carob, or carob with other flags, in directories of its own.
func (b *bench) otherRecipe(name, key, bin, flags string) recipe {
	directories := fmt.Sprintf("CAROB_RUN=/run/carob CAROB_ROOT=%q; export CAROB_RUN CAROB_ROOT; ", filepath.Join(b.dir, "lib-"+key))
	return recipe{name: name, key: key, daemon: "carobd", start: directories + b.serve(bin, key, flags)}
}

func (b *bench) serve(bin, key, flags string) string {
	return fmt.Sprintf("exec %q serve --cri-socket %q %s", filepath.Join(bin, "carob"), b.socket(key), flags)
}

// peerRecipes are the other runtimes found in PATH, each in the ways that are tried, and
// before them carob with the network that they have; or another build of carob alone.
func (b *bench) peerRecipes(against string) ([][]recipe, error) {
	if against != "" {
		bin, err := filepath.Abs(against)
		return [][]recipe{{b.otherRecipe("carob, other build", "carob-other", bin, "--network builtin")}}, err
	}
	if !has("containerd") && !has("crio") {
		return nil, nil
	}
	plugins, err := b.cni()
	if err != nil {
		return nil, err
	}
	flags := fmt.Sprintf("--network cni --cni-conf-dir %q --cni-bin-dir %q", filepath.Join(b.dir, "cni"), plugins)
	all := [][]recipe{{b.otherRecipe("carob, CNI plugins", "carob-cni", b.bin, flags)}}
	if has("containerd") {
		all = append(all, []recipe{b.containerd(plugins)})
	}
	if has("crio") {
		all = append(all, []recipe{b.crio(plugins, "crun"), b.crio(plugins, "runc")})
	}
	return all, nil
}

// cni writes the configuration that a new cluster's node has, and finds the plugins.
func (b *bench) cni() (plugins string, err error) {
	for _, plugins = range []string{"/opt/cni/bin", "/usr/lib/cni"} {
		if has(filepath.Join(plugins, "bridge")) {
			const list = `{"cniVersion": "1.0.0", "name": "bench", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
`
			dir := filepath.Join(b.dir, "cni")
			return plugins, errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "bench.conflist"), []byte(list), 0o600))
		}
	}
	return "", errors.New("no CNI plugins in /opt/cni/bin and /usr/lib/cni")
}

// containerd's configuration is of the version that 1.6 knows, and 2 still reads.
func (b *bench) containerd(plugins string) recipe {
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
`, filepath.Join(b.dir, "containerd"), b.socket("containerd"), pauseImage, plugins, filepath.Join(b.dir, "cni"))
	load := func(ctx context.Context) error {
		for _, archive := range []string{"toolbox.tar", "pause.tar"} {
			if err := b.program("ctr", "--address", b.socket("containerd"), "--namespace", "k8s.io", "images", "import", archive)(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	return recipe{name: "containerd", key: "containerd", daemon: "containerd", config: config, start: "exec containerd --config containerd.toml", load: load}
}

// crio has its images brought into its storage before it starts: it has no call for it.
func (b *bench) crio(plugins, ociRuntime string) recipe {
	storage := filepath.Join(b.dir, "crio")
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
`, storage, b.socket("crio"), ociRuntime, ociRuntime, pauseImage, filepath.Join(b.dir, "policy.json"), filepath.Join(b.dir, "cni"), plugins)
	return recipe{name: "CRI-O, " + ociRuntime, key: "crio", daemon: "crio", config: config, start: start.String()}
}
