package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// networks of pods: the pod's own, then the host's.
var networks = [...]cri.NamespaceMode{cri.NamespaceMode_POD, cri.NamespaceMode_NODE}

// row is a step in one network, as it is shown.
type row struct {
	scenario
	net  cri.NamespaceMode
	step int
}

// rows that are shown. The host's network makes no difference to the other steps.
func rows(who []subject) []row {
	var all []row
	add := func(net cri.NamespaceMode, step int, name string, budget float64) {
		all = append(all, row{scenario{name: name, budget: budget, subjects: who}, net, step})
	}
	add(cri.NamespaceMode_POD, stepSandbox, "RunPodSandbox, pod network", 5)
	add(cri.NamespaceMode_POD, stepCreate, "CreateContainer", 0)
	add(cri.NamespaceMode_POD, stepStart, "StartContainer", 0)
	add(cri.NamespaceMode_POD, stepExec, "ExecSync true", 2)
	add(cri.NamespaceMode_POD, stepOne, "pod of one ready, pod network", 0)
	add(cri.NamespaceMode_POD, stepTwo, "pod of two ready, pod network", 10)
	add(cri.NamespaceMode_POD, stepEnd, "stop and remove it, pod network", 10)
	add(cri.NamespaceMode_NODE, stepSandbox, "RunPodSandbox, host network", 2.5)
	add(cri.NamespaceMode_NODE, stepOne, "pod of one ready, host network", 0)
	add(cri.NamespaceMode_NODE, stepTwo, "pod of two ready, host network", 10)
	add(cri.NamespaceMode_NODE, stepEnd, "stop and remove it, host network", 10)
	return all
}

// A contest compares runtimes as a kubelet uses them: carob, and what is found in PATH of
// containerd (with ctr and runc) and CRI-O (with skopeo, conmon, pinns and crun or runc).
type contest struct {
	*bench
	// parent is the cgroup of all pods.
	parent string
}

// hold runs the contest and ends all that took part.
func (c *contest) hold(ctx context.Context, w io.Writer, o options) (err error) {
	if err := makeParent(c.parent); err != nil {
		return err
	}
	var all []*peer
	defer func() {
		for _, p := range all {
			err = errors.Join(err, p.close())
		}
		err = errors.Join(err, removeGroups(c.parent))
	}()
	carob, err := c.startPeer(ctx, c.carobRecipe())
	if err != nil {
		return err
	}
	all = append(all, carob)
	peers, err := c.peerRecipes(o.against)
	if err == nil {
		err = c.archives(ctx)
	}
	if err != nil {
		return err
	}
	for _, ways := range peers {
		p, err := c.firstThatWorks(ctx, ways)
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench: left out: %v\n", err)
			continue
		}
		all = append(all, p)
	}
	if err := comparePods(ctx, w, o, all); err != nil || o.only.String() != "" {
		return err
	}
	return comparePSS(ctx, w, all)
}

func (c *contest) firstThatWorks(ctx context.Context, ways []recipe) (*peer, error) {
	var errs []error
	for _, r := range ways {
		p, err := c.startPeer(ctx, r)
		if err == nil {
			return p, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", r.key, err))
	}
	return nil, errors.Join(errs...)
}

// runner is one who makes pods.
type runner struct {
	subject
	live func(context.Context, cri.NamespaceMode) (laps, error)
}

// comparePods has all runtimes make pods in turns.
func comparePods(ctx context.Context, w io.Writer, o options, all []*peer) error {
	carob := all[0]
	runners := []runner{{subject{name: carob.name}, carob.live}, {subject{name: carob.name + ", right after another pod"}, carob.liveAfterAnother}}
	for _, p := range all[1:] {
		runners = append(runners, runner{subject{name: p.name}, p.live})
	}
	who := make([]subject, 0, len(runners))
	for _, r := range runners {
		who = append(who, r.subject)
	}
	for _, net := range networks {
		took, err := takeTurns(ctx, runners, net, o.rounds)
		if err != nil {
			return err
		}
		for _, r := range rows(who) {
			if r.net == net && o.only.MatchString(r.name) {
				show(w, r.scenario, took[r.step])
			}
		}
	}
	return nil
}

// takeTurns returns the times by step and runner.
func takeTurns(ctx context.Context, runners []runner, net cri.NamespaceMode, rounds int) (took [steps][][]time.Duration, err error) {
	const apart = 100 * time.Millisecond // as in engine.scenarios
	for s := range took {
		took[s] = make([][]time.Duration, len(runners))
	}
	for round := range rounds * len(runners) {
		i := round % len(runners)
		time.Sleep(apart)
		l, err := runners[i].live(ctx, net)
		if err != nil {
			return took, fmt.Errorf("%s: %w", runners[i].name, err)
		}
		for s, d := range l {
			took[s][i] = append(took[s][i], d)
		}
	}
	return took, nil
}

// comparePSS prints what pods cost in memory beside their containers: 30 pods of one
// container, which then get a second one each.
func comparePSS(ctx context.Context, w io.Writer, all []*peer) error {
	const n = 30
	var first [3]float64
	for _, p := range all {
		pods, ones, err := p.crowd(ctx, n, nil)
		var twos memory
		if err == nil {
			_, twos, err = p.crowd(ctx, n, pods)
		}
		for _, one := range pods {
			err = errors.Join(err, one.end(ctx))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		kB := [3]float64{ones.pods, twos.pods, twos.daemon}
		if p == all[0] {
			first = kB
		}
		for i, what := range []string{"processes of %d pods of one", "processes of %d pods of two", "the daemon of %d pods of two"} {
			fmt.Fprintf(w, "PSS of "+what+", kB\t%s\t\t%.0f\t\t%.1f×\t\n", n, p.name, kB[i], kB[i]/first[i])
		}
	}
	return nil
}

// crowd makes n pods of one container, or adds a container to each of those there are,
// and reads the memory.
func (p *peer) crowd(ctx context.Context, n int, pods []*kubePod) ([]*kubePod, memory, error) {
	order := 1
	if len(pods) == 0 {
		order = 0
		for range n {
			one, err := p.newPod(cri.NamespaceMode_POD)
			if err == nil {
				err = one.run(ctx)
			}
			if err != nil {
				return pods, memory{}, err
			}
			pods = append(pods, one)
		}
	}
	for _, one := range pods {
		id, err := one.create(ctx, order)
		if err == nil {
			err = one.start(ctx, id)
		}
		if err != nil {
			return pods, memory{}, err
		}
	}
	used, err := p.memory(p.daemon)
	return pods, used, err
}

// archives writes the images for the peers: carob's toolbox, and one of a pause program,
// which carob has no use for.
func (c *contest) archives(ctx context.Context) error {
	program, err := pause()
	if err != nil {
		return err
	}
	root := filepath.Join(c.dir, "pause")
	if err := errors.Join(os.MkdirAll(root, 0o755), os.WriteFile(filepath.Join(root, "pause"), program, 0o755)); err != nil {
		return err
	}
	policy := []byte(`{"default": [{"type": "insecureAcceptAnything"}]}`)
	return errors.Join(
		c.carob(ctx, "import", "--change", `ENTRYPOINT ["/pause"]`, root, pauseImage),
		c.carob(ctx, "save", "--output", "toolbox.tar", image),
		c.carob(ctx, "save", "--output", "pause.tar", pauseImage),
		os.WriteFile(filepath.Join(c.dir, "policy.json"), policy, 0o600),
	)
}

// pause is a program that does nothing but wait, as an ELF file of one page: the least
// that a pause process can take.
func pause() ([]byte, error) {
	if runtime.GOARCH != "amd64" {
		return nil, fmt.Errorf("no pause program for %s", runtime.GOARCH)
	}
	code := []byte{
		0xb8, 0x22, 0, 0, 0, // mov $34, %eax: pause(2)
		0x0f, 0x05, // syscall
		0xeb, 0xf7, // jmp to the start
	}
	const (
		base          = 0x400000
		header, entry = 64, 56
	)
	size := uint64(header + entry + len(code))
	var file bytes.Buffer
	file.WriteString("\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9))
	for _, field := range []any{
		uint16(2), uint16(62), uint32(1), uint64(base + header + entry), uint64(header), uint64(0), uint32(0),
		uint16(header), uint16(entry), uint16(1), uint16(0), uint16(0), uint16(0),
		uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), size, size, uint64(0x1000),
	} {
		if err := binary.Write(&file, binary.LittleEndian, field); err != nil {
			return nil, err
		}
	}
	file.Write(code)
	return file.Bytes(), nil
}
