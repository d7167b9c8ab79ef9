package seccomp

import (
	"runtime"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Actions lists what a profile's rules can do.
func Actions() []string {
	return []string{
		string(specs.ActAllow), string(specs.ActErrno), string(specs.ActKill), string(specs.ActKillProcess),
		string(specs.ActKillThread), string(specs.ActLog), string(specs.ActNotify), string(specs.ActTrace), string(specs.ActTrap),
	}
}

// Operators lists how a rule can compare an argument.
func Operators() (names []string) {
	for _, o := range operators {
		names = append(names, string(o))
	}
	return names
}

// Archs lists the system call interfaces of this host.
func Archs() (names []string) {
	archs, err := archsFor(runtime.GOARCH, knownArchs())
	if err != nil { // there are no tables for it
		return nil
	}
	for _, a := range archs {
		names = append(names, string(a.name))
	}
	return names
}

// Flags lists the flags of a profile that are passed on to the kernel.
func Flags() []string {
	return []string{
		"SECCOMP_FILTER_FLAG_TSYNC", string(specs.LinuxSeccompFlagLog), string(specs.LinuxSeccompFlagSpecAllow),
		string(specs.LinuxSeccompFlagWaitKillableRecv),
	}
}
