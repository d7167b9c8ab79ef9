// Package testenv tells a test what the machine under it can do. A need that is
// not met skips the test at a desk and fails it where CAROB_TEST_REQUIRE names
// the need, so that CI never passes by skipping.
package testenv

import (
	"cmp"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Need is something a test requires of the machine.
type Need string

// The needs that tests name.
const (
	// Root is uid 0 with CAP_SYS_ADMIN in the initial user namespace.
	Root Need = "root"
	// Cgroup is a writable cgroup file system, v1 or v2.
	Cgroup Need = "cgroup"
	// Cgroup2 is a unified hierarchy with controllers.
	Cgroup2 Need = "cgroup2"
	// Systemd is systemd as PID 1, and the right to give it units.
	Systemd Need = "systemd"
	// AppArmor is a kernel that confines by it, and apparmor_parser to load profiles.
	AppArmor Need = "apparmor"
	// SELinux is a kernel that enforces a policy with types for containers.
	SELinux Need = "selinux"
	// Toolchain is the go command.
	Toolchain Need = "toolchain"
	// Binaries are bin/carob, bin/carobd, bin/carob-look, bin/carob-pod, bin/carob-init, bin/carob-oci and bin/carob-toolbox, built by make.
	Binaries Need = "binaries"
	// CNIPlugins are the reference plugins, as Debian's containernetworking-plugins has them,
	// and the iptables that some of them execute.
	CNIPlugins Need = "cni-plugins"
	// Network is a kernel with netfilter, and the commands ip, sysctl and nsenter.
	Network Need = "network"
	// DockerRegistry is the docker-registry command of Debian's package of that name.
	DockerRegistry Need = "docker-registry"
	// Chromium is a browser that can be driven.
	Chromium Need = "chromium"
	// Runc, Crun and Runsc are OCI runtimes.
	Runc  Need = "runc"
	Crun  Need = "crun"
	Runsc Need = "runsc"
	// Ext4 and XFS are kernels with the file system and loop devices, and its mkfs.
	Ext4 Need = "ext4"
	XFS  Need = "xfs"
	// Ext4Quota and XFSQuota are those file systems with project quotas in force.
	Ext4Quota Need = "ext4-quota"
	XFSQuota  Need = "xfs-quota"
	// Podman is podman, which builds and saves images without a daemon.
	Podman Need = "podman"
	// CRIU is a criu that can work on this kernel: 4.1 or newer from Linux 6.13 on.
	CRIU Need = "criu"
	// Buildah, Skopeo and Umoci make images and copy them.
	Buildah Need = "buildah"
	Skopeo  Need = "skopeo"
	Umoci   Need = "umoci"
)

// CNIPluginDir is where Debian's package puts plugins.
const CNIPluginDir = "/usr/lib/cni"

// Variable is the environment variable that lists, comma separated, the needs
// whose absence is a failure.
const Variable = "CAROB_TEST_REQUIRE"

// Require skips or fails t unless every need is met.
func Require(t testing.TB, needs ...Need) {
	t.Helper()
	for _, n := range needs {
		why := missing(n)
		if why == "" {
			continue
		}
		for _, must := range strings.Split(os.Getenv(Variable), ",") {
			if must == string(n) {
				t.Fatalf("%s is required here: %s", n, why)
			}
		}
		t.Skipf("needs %s: %s", n, why)
	}
}

// missing says why a need is not met; "" when it is.
func missing(n Need) string {
	check, known := map[Need]func() string{
		Root:     root,
		Cgroup:   cgroup,
		Cgroup2:  func() string { return file("/sys/fs/cgroup/cgroup.controllers") },
		Systemd:  func() string { return file("/run/systemd/system") }, // sd_booted(3)
		AppArmor: appArmor,
		SELinux:  seLinux,
		CNIPlugins: func() string {
			return cmp.Or(file(CNIPluginDir+"/bridge"), file(CNIPluginDir+"/firewall"), program("iptables"))
		},
		Toolchain: func() string { return program("go") },
		Network:   network,

		DockerRegistry: func() string { return program("docker-registry") },
		Binaries: func() string {
			_, err := BinDir()
			return text(err)
		},
		Podman:  func() string { return program("podman") },
		Buildah: func() string { return program("buildah") },
		Skopeo:  func() string { return program("skopeo") },
		Umoci:   func() string { return program("umoci") },
		Ext4:    func() string { return cmp.Or(file("/dev/loop-control"), program("mkfs.ext4")) },
		XFS:     func() string { return cmp.Or(file("/dev/loop-control"), program("mkfs.xfs")) },

		Ext4Quota: func() string { return cmp.Or(root(), missing(Ext4), holdsQuotas(Ext4Disk(16<<20, Projects))) },
		XFSQuota:  func() string { return cmp.Or(root(), missing(XFS), holdsQuotas(XFSDisk(320<<20))) },
		Chromium: func() string {
			_, err := ChromiumPath()
			return text(err)
		},
		Runc:  func() string { return program("runc") },
		Crun:  func() string { return program("crun") },
		Runsc: func() string { return program("runsc") },
		CRIU:  criu,
	}[n]
	if !known {
		return "unknown need"
	}
	return check()
}

func text(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

func root() string {
	if os.Geteuid() != 0 {
		return "not running as root"
	}
	return ""
}

func cgroup() string {
	if writable("/sys/fs/cgroup/memory") == nil {
		return ""
	}
	return text(writable("/sys/fs/cgroup"))
}

func appArmor() string {
	if on, err := os.ReadFile("/sys/module/apparmor/parameters/enabled"); err != nil || on[0] != 'Y' {
		return "this kernel does not run AppArmor"
	}
	return program("apparmor_parser")
}

func seLinux() string {
	on, err := os.ReadFile("/sys/fs/selinux/enforce")
	switch {
	case err != nil:
		return "this kernel does not run SELinux"
	case string(on) != "1":
		return "SELinux only warns"
	}
	return text(os.WriteFile("/sys/fs/selinux/context", []byte("system_u:system_r:container_t:s0"), 0))
}

func criu() string {
	if out, err := exec.Command("criu", "check").CombinedOutput(); err != nil {
		return strings.TrimSpace(err.Error() + ": " + string(out[:min(len(out), 200)]))
	}
	return ""
}

func network() string {
	for _, name := range []string{"ip", "sysctl", "nsenter"} {
		if why := program(name); why != "" {
			return why
		}
	}
	return file("/proc/sys/net/netfilter")
}

func file(name string) string {
	_, err := os.Stat(name)
	return text(err)
}

func program(name string) string {
	_, err := exec.LookPath(name)
	return text(err)
}

// ChromiumPath finds Chromium by the names that distributions give it.
func ChromiumPath() (string, error) {
	path, err := "", error(nil)
	for _, name := range []string{"google-chrome", "chromium-browser", "chromium"} {
		if path, err = exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", err
}

// writable tries what creating a cgroup needs: a directory of its own.
func writable(dir string) error {
	d, err := os.MkdirTemp(dir, "carob-testenv-")
	if err != nil {
		return err
	}
	return os.Remove(d)
}

// BinDir returns the repository's bin directory, found from the working
// directory upwards, if the binaries are there.
func BinDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(dir + "/go.mod"); err == nil {
			break
		}
		i := strings.LastIndexByte(dir, '/')
		if i <= 0 {
			return "", os.ErrNotExist
		}
		dir = dir[:i]
	}
	for _, b := range []string{"carob", "carobd", "carob-look", "carob-pod", "carob-init", "carob-oci", "carob-toolbox"} {
		if _, err := os.Stat(dir + "/bin/" + b); err != nil {
			return "", err
		}
	}
	return dir + "/bin", nil
}
