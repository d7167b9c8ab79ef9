package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/testenv"
)

// TestCRIMany: many pods at once, every other one in the host's network, each with a
// container. All lists are whole, a pod takes no more memory than any, and what the calls
// take is shown; with -long of 300 pods.
func TestCRIMany(t *testing.T) {
	h := startOwn(t)
	k := h.kubelet()
	count := 40
	if *long {
		count = 300
		var cancel context.CancelFunc
		k.ctx, cancel = context.WithTimeout(context.Background(), testenv.Patience(10*time.Minute))
		defer cancel()
	}
	before := h.pss(h.daemon())
	pods := k.many(count)
	now := h.pss(h.daemon())
	t.Logf("the daemon has %d MB, %d KB for each of %d pods", now>>20, (now-before)>>10/count, count)
	sum := 0
	for _, pid := range h.supervisors() {
		sum += h.pss(pid)
	}
	const budget = 600_000
	if t.Logf("%d bytes PSS for each supervisor", sum/count); sum/count > budget {
		t.Errorf("%d bytes PSS for each supervisor, budget %d", sum/count, budget)
	}
	for _, one := range k.lists(count) {
		k.time(one, count)
	}
	var all sync.WaitGroup
	for _, pod := range pods {
		all.Go(func() {
			if _, err := k.RemovePodSandbox(k.ctx, &cri.RemovePodSandboxRequest{PodSandboxId: pod}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// list is a call that lists, and how many things came.
type list struct {
	what string
	ask  func() (int, error)
}

// lists are the calls that a kubelet makes again and again.
func (k *kubelet) lists(count int) []list {
	return []list{
		{"ListPodSandbox", func() (int, error) {
			r, err := k.ListPodSandbox(k.ctx, &cri.ListPodSandboxRequest{})
			return len(r.GetItems()), err
		}},
		{"ListContainers", func() (int, error) {
			r, err := k.ListContainers(k.ctx, &cri.ListContainersRequest{})
			return len(r.GetContainers()), err
		}},
		{"ListContainerStats", func() (int, error) {
			r, err := k.ListContainerStats(k.ctx, &cri.ListContainerStatsRequest{})
			return len(r.GetStats()), err
		}},
		{"ListPodSandboxStats", func() (int, error) {
			r, err := k.ListPodSandboxStats(k.ctx, &cri.ListPodSandboxStatsRequest{})
			return len(r.GetStats()), err
		}},
		{"ListPodSandboxMetrics", func() (int, error) {
			r, err := k.ListPodSandboxMetrics(k.ctx, &cri.ListPodSandboxMetricsRequest{})
			return len(r.GetPodMetrics()), err
		}},
		{"Status", func() (int, error) {
			_, err := k.Status(k.ctx, &cri.StatusRequest{})
			return count, err
		}},
	}
}

// time shows what a call takes; it has to tell of every pod.
func (k *kubelet) time(l list, count int) {
	k.Helper()
	var took []time.Duration
	for range 20 {
		began := time.Now()
		n, err := l.ask()
		if took = append(took, time.Since(began)); err != nil || n != count {
			k.Fatalf("%s: %d of %d, %v", l.what, n, count, err)
		}
	}
	slices.Sort(took)
	k.Logf("%-22s least %v, median %v", l.what, took[0].Round(10*time.Microsecond), took[10].Round(10*time.Microsecond))
}

// many makes pods with a container each, eight at a time.
func (k *kubelet) many(count int) []string {
	k.Helper()
	pods := make([]string, count)
	next := make(chan int)
	var makers sync.WaitGroup
	for range 8 {
		makers.Go(func() {
			for i := range next {
				if err := k.one(i, &pods[i]); err != nil {
					k.Errorf("pod %d: %v", i, err)
				}
			}
		})
	}
	began := time.Now()
	for i := range pods {
		next <- i
	}
	close(next)
	makers.Wait()
	k.Logf("%d pods in %v", count, time.Since(began).Round(time.Millisecond))
	if k.Failed() {
		k.FailNow()
	}
	return pods
}

func (k *kubelet) one(i int, pod *string) error {
	s := k.sandbox(func(c *cri.PodSandboxConfig) {
		c.Metadata.Name = fmt.Sprintf("many-%d", i)
		c.Metadata.Uid = c.Metadata.Name
		if i%2 == 0 {
			c.Linux.SecurityContext.NamespaceOptions.Network = cri.NamespaceMode_NODE
			c.Hostname = ""
		}
	})
	p, err := k.RunPodSandbox(k.ctx, &cri.RunPodSandboxRequest{Config: s})
	if err != nil {
		return err
	}
	*pod = p.GetPodSandboxId()
	c, err := k.CreateContainer(k.ctx, k.ask(*pod, s, "exec sleep 1000000"))
	if err != nil {
		return err
	}
	_, err = k.StartContainer(k.ctx, &cri.StartContainerRequest{ContainerId: c.GetContainerId()})
	return err
}
