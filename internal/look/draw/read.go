package draw

import (
	"context"
	"fmt"
	"os"
	"strings"

	"carob/internal/fault"
	"carob/internal/look"
	"carob/internal/look/draw/scene"
	"carob/internal/look/group"
)

// Options say what is read and what of it is drawn.
type Options struct {
	// Root is where proc and sys are found, RunDirs are carob's: see look.Options.
	Root    string
	RunDirs []string
	// Thing is a pod, container or process as look.Find has it; "" or "host" is all.
	Thing string
}

// Read observes a host. A thing that is not there is NotFound, one that may be several
// a Conflict, in words that can be shown.
func Read(ctx context.Context, o Options) (scene.Input, error) {
	var in scene.Input
	h, err := look.Read(ctx, look.Options{Root: o.Root, RunDirs: o.RunDirs})
	if err != nil {
		return in, err
	}
	in.Host = h
	in.Focus = h.HostThing()
	if o.Thing != "" {
		if in.Focus, err = h.Find(o.Thing); err != nil {
			// It may name containers by what they call themselves.
			return in, fault.New(fault.KindOf(err), scene.Clean(err.Error()))
		}
	}
	if b, err := os.ReadFile(h.Path("proc/sys/kernel/hostname")); err == nil {
		in.Name = strings.TrimSpace(string(b))
	}
	if err := readGroups(ctx, o, &in); err != nil {
		return in, err
	}
	readNamespaces(&in)
	return in, nil
}

// readGroups reads the cgroups. A host without any is drawn without limits.
func readGroups(ctx context.Context, o Options, in *scene.Input) error {
	root := strings.TrimSuffix(o.Root, "/")
	g, err := group.Open(root)
	if fault.Is(err, fault.Unsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	in.Mode, in.Memory = g.Mode, g.Memory
	in.Groups, err = g.Tree(ctx, "/")
	return err
}

// readNamespaces learns what there is to say of network and user namespaces, of each by
// a process in it.
func readNamespaces(in *scene.Input) {
	in.Addresses, in.Maps = map[uint64][]string{}, map[uint64]string{}
	for _, c := range in.Host.Containers {
		if net := c.NS[look.Net]; net != 0 && net != in.Host.NS[look.Net] && in.Addresses[net] == nil {
			all, _ := look.Addresses(in.Host, c.Leader) // it has ended, or may not be seen
			in.Addresses[net] = []string{}
			for _, a := range all {
				in.Addresses[net] = append(in.Addresses[net], a.String())
			}
		}
		if user := c.NS[look.User]; user != 0 && user != in.Host.NS[look.User] && in.Maps[user] == "" {
			users, _, _ := in.Host.Maps(c.Leader) // likewise
			in.Maps[user] = mapped(users)
		}
	}
}

// mapped says who root inside is outside.
func mapped(users []look.Map) string {
	for _, m := range users {
		if m.Inside == 0 {
			return fmt.Sprintf("root is %d outside", m.Outside)
		}
	}
	return ""
}
