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
	add(cri.NamespaceMode_POD, stepExec, "ExecSync true", 1.5)
	add(cri.NamespaceMode_POD, stepOne, "pod of one ready, pod network", 0)
	add(cri.NamespaceMode_POD, stepTwo, "pod of two ready, pod network", 10)
	add(cri.NamespaceMode_POD, stepEnd, "stop and remove it, pod network", 10)
	add(cri.NamespaceMode_NODE, stepSandbox, "RunPodSandbox, host network", 2.5)
	add(cri.NamespaceMode_NODE, stepOne, "pod of one ready, host network", 0)
	add(cri.NamespaceMode_NODE, stepTwo, "pod of two ready, host network", 10)
	add(cri.NamespaceMode_NODE, stepEnd, "stop and remove it, host network", 10)
	return all
}

// asKubelet compares runtimes as a kubelet uses them: carob, and what is found in PATH of
// containerd (with ctr and runc) and CRI-O (with skopeo, conmon, pinns and crun or runc).
func (b *bench) asKubelet(ctx context.Context, w io.Writer, o options) (err error) {
	b.parent = "/" + filepath.Base(b.dir)
	if err := makeParent(b.parent); err != nil {
		return err
	}
	var all []*peer
	defer func() {
		for _, p := range all {
			err = errors.Join(err, p.close())
		}
		err = errors.Join(err, removeGroups(b.parent))
	}()
	carob, err := b.startPeer(ctx, b.carobRecipe())
	if err != nil {
		return err
	}
	all = append(all, carob)
	peers, err := b.peerRecipes(o.against)
	if err == nil {
		err = b.archives(ctx)
	}
	if err != nil {
		return err
	}
	for _, ways := range peers {
		p, err := b.firstThatWorks(ctx, ways)
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

func (b *bench) firstThatWorks(ctx context.Context, ways []recipe) (*peer, error) {
	var errs []error
	for _, r := range ways {
		p, err := b.startPeer(ctx, r)
		if err == nil {
			return p, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", r.name, err))
	}
	return nil, errors.Join(errs...)
}

// comparePods has all runtimes make pods in turns.
func comparePods(ctx context.Context, w io.Writer, o options, all []*peer) error {
	const apart = 100 * time.Millisecond // as in engine.scenarios
	lives := []func(context.Context, cri.NamespaceMode) (laps, error){all[0].live, all[0].liveAfterAnother}
	who := []subject{{name: all[0].name}, {name: all[0].name + ", right after another pod"}}
	for _, p := range all[1:] {
		lives, who = append(lives, p.live), append(who, subject{name: p.name})
	}
	for _, net := range networks {
		var took [steps][][]time.Duration
		for s := range took {
			took[s] = make([][]time.Duration, len(who))
		}
		for range o.rounds {
			for i, live := range lives {
				time.Sleep(apart)
				l, err := live(ctx, net)
				if err != nil {
					return fmt.Errorf("%s: %w", who[i].name, err)
				}
				for s, d := range l {
					took[s][i] = append(took[s][i], d)
				}
			}
		}
		for _, r := range rows(who) {
			if r.net == net && o.only.MatchString(r.name) {
				show(w, r.scenario, took[r.step])
			}
		}
	}
	return nil
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

// crowd adds a container to each of the pods, or makes n pods of one, and reads the memory.
func (p *peer) crowd(ctx context.Context, n int, pods []*kubePod) ([]*kubePod, memory, error) {
	second := len(pods) > 0
	for i := range n {
		if !second {
			one, err := p.newPod(cri.NamespaceMode_POD)
			if err == nil {
				err = one.run(ctx)
			}
			if err != nil {
				return pods, memory{}, err
			}
			pods = append(pods, one)
		}
		order := 0
		if second {
			order = 1
		}
		id, err := pods[i].create(ctx, order)
		if err == nil {
			err = pods[i].start(ctx, id)
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
func (b *bench) archives(ctx context.Context) error {
	program, err := pause()
	if err != nil {
		return err
	}
	root := filepath.Join(b.dir, "pause")
	if err := errors.Join(os.MkdirAll(root, 0o755), os.WriteFile(filepath.Join(root, "pause"), program, 0o755)); err != nil {
		return err
	}
	policy := []byte(`{"default": [{"type": "insecureAcceptAnything"}]}`)
	return errors.Join(
		b.carob(ctx, "import", "--change", `ENTRYPOINT ["/pause"]`, root, pauseImage),
		b.carob(ctx, "save", "--output", "toolbox.tar", image),
		b.carob(ctx, "save", "--output", "pause.tar", pauseImage),
		os.WriteFile(filepath.Join(b.dir, "policy.json"), policy, 0o600),
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
